"""What an engine is to those who ask: a request goes in, pieces of text come out, whoever computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from holdfast.models.sampling import Sampling
    from holdfast.types import JSONValue

End: TypeAlias = Literal["stop", "length", "cancelled", "deadline", "error"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What changes the choice of tokens, in words: every engine carries it out in its own way.

    Penalties and biases (by token id) are OpenAI's; `schema` is a JSON schema that the text must follow.
    """

    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict[int, float])
    schema: Mapping[str, JSONValue] | None = None


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Ask:
    """One completion that is wanted: of a prompt's tokens, by an adapter (None: the bare base).

    `sample` tells apart the completions of one prompt and seed. `deadline` is a time of `time.monotonic`; what was
    written until then is the answer. `top_logprobs` None: no log-probability is wanted; 0: those of the chosen tokens.
    """

    prompt: tuple[int, ...]
    sampling: Sampling
    adapter: str | None = None
    sample: int = 0
    rules: Rules = NO_RULES
    top_logprobs: int | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token brought: the text that is sure by now, and at the end why it is one.

    `id` is None where no token came: a sequence that was cancelled, or failed (`problem` says how).
    """

    text: str
    id: int | None = None
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()
    end: End | None = None
    problem: str = ""


Sink: TypeAlias = Callable[[Piece], None]
"""Takes pieces in order, on the engine's own thread: it must return at once."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much an engine has to do now."""

    num_running: int
    num_waiting: int


class Engine(Protocol):
    """Writes completions with one base and any number of adapters on it."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer, with the workspace's chat template."""
        ...

    @property
    def context(self) -> int:
        """How many tokens a prompt and its completion may have."""
        ...

    def submit(self, ask: Ask, sink: Sink) -> int:
        """Takes a request in and returns its number.

        Raises:
            BusyError: too many wait already.
            ContextLengthError: the prompt leaves no room for a token.
            NotFoundError: the adapter is not loaded.
        """
        ...

    def cancel(self, number: int) -> None:
        """Ends a request whose answer nobody waits for any more; one that is done already is no error."""
        ...

    def load(self, adapter: str, folder: Path) -> None:
        """Makes an adapter ready; what is being written goes on meanwhile."""
        ...

    def unload(self, adapter: str) -> None:
        """Forgets an adapter as soon as nothing is written with it."""
        ...

    def status(self) -> Load:
        """Returns how much is running and waiting."""
        ...

    def close(self, *, timeout: float | None = None) -> None:
        """Takes nothing in any more, finishes what runs (for `timeout` seconds at most), and stops."""
        ...
