"""What every handler needs: the workspace, the models that are served, and the limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

from fastapi import Depends, Request

from holdfast.api.counts import Counts
from holdfast.jobs.evals import EvalRunner
from holdfast.models.embedding import encoder_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast.jobs.served import Served
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue


Reply: TypeAlias = dict[str, object]
"""A JSON object that goes out."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken at most."""

    file_bytes: int = 512 << 20
    body_bytes: int = 8 << 20
    seconds: float = 600.0
    """A completion that takes longer ends with what is there."""
    max_choices: int = 16
    """`n` of a request at most."""
    requests_per_minute: int = 0
    """Of one key, or of one address where none is needed; 0 = as many as they like."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The sentence encoder of a server (None: the embedded one), and the names under which it is asked."""

    model: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The encoder's own name, and those that the operator gave it."""
        return encoder_name(self.model), *self.aliases


@dataclass(slots=True)
class State:
    """One server's workspace, models and limits."""

    workspace: Workspace
    served: Served
    limits: Limits = field(default_factory=Limits)
    recipe: Mapping[str, JSONValue] = field(default_factory=dict[str, "JSONValue"])
    """What a job learns by where it says nothing."""
    counts: Counts = field(default_factory=Counts)
    embedding: Embedding = field(default_factory=Embedding)
    is_stopping: Callable[[], bool] = lambda: False
    """Whether the server has been asked to end: what would go on for long ends now."""
    evals: EvalRunner = field(init=False)
    """What carries out runs of evaluations while the application is up."""

    def __post_init__(self) -> None:
        """Makes the runner, which waits to be started."""
        self.evals = EvalRunner(self.workspace, self.served)


async def state_of(request: Request) -> State:
    """Returns the state of the server that a request came to; asynchronous, so that it costs no turn in the pool."""
    return cast("State", request.app.state.holdfast)


Here: TypeAlias = Annotated["State", Depends(state_of)]
