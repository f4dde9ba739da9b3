"""What the graders share that run other people's code: their limits, and one worker for many answers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from holdfast.errors import ConfigError, GraderError
from holdfast.graders.parametrised import BatchGrader
from holdfast.graders.reference import outcome_of, ungradable
from holdfast.graders.sandbox import Limits, missing_here, refusal, run
from holdfast.graders.template import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.graders.sandbox import Outcome
    from holdfast.types import Completion, Example, JSONValue, Score


class ConfinedGrader(BatchGrader, frozen=True):
    """A grader whose code runs in a worker that can reach nothing.

    `seconds` and `memory_mb` are those of one answer. `unenforced` names guarantees that may be missing where
    the machine cannot keep them; without it the grader refuses to start there.
    """

    shared: ClassVar[bool]
    """Whether one process may serve many answers."""

    seconds: float = Field(default=10.0, gt=0, le=120)
    memory_mb: int = Field(default=2048, ge=64)
    unenforced: tuple[Literal["files", "network", "processes", "signals", "memory", "time"], ...] = ()

    def ready(self) -> list[str]:
        """Returns which guarantees this machine does not keep, as allowed by name; raises where one was not allowed."""
        missing = missing_here()
        if refused := sorted(set(missing) - set(self.unenforced)):
            raise ConfigError(refusal(refused), param="grader.unenforced")
        if not missing:
            return []
        return [f"The grader runs code here of which {', '.join(missing)} cannot be kept in, as its settings allow."]

    @abstractmethod
    def program(self) -> str:
        """Returns which of the sandbox's programs does it."""

    @abstractmethod
    def sample(self, completion: Completion, example: Example, view: View) -> Mapping[str, JSONValue]:
        """Returns what the program gets of one answer; may raise `GraderError`."""

    @abstractmethod
    def settings(self) -> Mapping[str, JSONValue]:
        """Returns what the program gets once."""

    @abstractmethod
    def scored_outcome(self, outcome: Outcome, value: float) -> Score:
        """Judges what the program returned for one answer."""

    def many(self, answers: Sequence[tuple[Completion, Example]]) -> list[Score]:
        """Judges all answers in one worker.

        Raises:
            GraderError: the machine cannot confine the code, and nobody allowed that.
        """
        scores: dict[int, Score] = {}
        samples: dict[int, Mapping[str, JSONValue]] = {}
        for place, (completion, example) in enumerate(answers):
            try:
                samples[place] = self.sample(completion, example, View(completion, example))
            except GraderError as error:
                scores[place] = outcome_of(error)
        limits = Limits(self.seconds, self.memory_mb, frozenset(self.unenforced))
        outcomes = run(self.program(), self.settings(), list(samples.values()), limits, shared=self.shared)
        for place, outcome in zip(samples, outcomes, strict=True):
            if outcome.value is None:
                scores[place] = self.failed(outcome)
            else:
                scores[place] = self.scored_outcome(outcome, outcome.value)
        return [scores[place] for place in range(len(answers))]

    def failed(self, outcome: Outcome) -> Score:
        """Judges an answer for which the program did not return a value."""
        return ungradable(outcome.error or "grader_failed", outcome.text)
