"""Python: OpenAI's `python` grader, a user's own `grade(sample, item)`, in a worker that can reach nothing.

Choices made here. Reward callables of TRL (`f(prompts, completions, completion_ids, **columns)`) are taken as they
are, async ones too: as from TRL, they get texts where the row's `prompt` is a text, and messages elsewhere.
`(value, text)` is a value with its explanation. Where OpenAI counts a grader that fails as 0, an answer that could
not be graded is not a 0 here, because a crash that trains is noise; `on_error: "zero"` gives the other meaning. The
result must be a number from 0 to 1.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from holdfast.errors import ConfigError
from holdfast.graders.confined import ConfinedGrader
from holdfast.graders.parametrised import ALL_COLUMNS
from holdfast.graders.reference import judged, ungradable
from holdfast.graders.sandbox import Limits, run
from holdfast.graders.template import item_of, sample_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.graders.sandbox import Outcome
    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, JSONValue, Score

MAX_SOURCE = 256 * 1024
SCALE = "scores lie between 0 and 1: have it return (value - least) / (largest - least)"


class PythonCode(ConfinedGrader, frozen=True):
    """What `function` of `source` returns for an answer, run by this machine's Python whatever `image_tag` says."""

    shared: ClassVar[bool] = True

    type: Literal["python"] = "python"
    source: str = Field(max_length=MAX_SOURCE)
    function: str = "grade"
    pass_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    on_error: Literal["not_graded", "zero"] = "not_graded"
    image_tag: str = Field(default="", exclude=True)

    @field_validator("source")
    @classmethod
    def _is_python(cls, source: str) -> str:
        try:
            ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"is not Python: {error}") from None
        return source

    def ready(self) -> list[str]:
        """Returns also that an image is not used; raises where the source does not load or lacks its function."""
        sentences = super().ready()
        limits = Limits(self.seconds, self.memory_mb, frozenset(self.unenforced))
        (outcome,) = run("load_grader", self.settings(), [{}], limits, shared=True)
        if outcome.value is None:
            raise ConfigError(
                f"The grader's source cannot be used: {outcome.text}. It runs with the Python and the libraries "
                "installed here, and reads no file: repair it, or name another function of it.",
                param="grader.source",
            )
        if not self.image_tag:
            return sentences
        where = "its code runs with the Python and the libraries installed here"
        return [*sentences, f"The grader's image_tag {self.image_tag!r} has no effect: {where}."]

    def columns(self) -> set[str]:
        """Returns that all columns may be read."""
        return {ALL_COLUMNS}

    def program(self) -> str:
        """Returns what asks a user's function."""
        return "ask_grader"

    def settings(self) -> Mapping[str, JSONValue]:
        """Returns the source and the name of its function."""
        return {"source": self.source, "function": self.function}

    def sample(self, completion: Completion, example: Example, view: View) -> Mapping[str, JSONValue]:
        """Returns the answer, its item, and the prompt in the form that the row has it in."""
        ids: list[JSONValue] = list(completion.token_ids)
        given = example.columns.get("prompt")
        turns: list[JSONValue] = [{"role": turn.role, "content": turn.content} for turn in example.prompt]
        return {
            "sample": sample_of(completion),
            "item": item_of(example),
            "prompt": given if isinstance(given, str) else turns,
            "completion_ids": ids,
        }

    def scored_outcome(self, outcome: Outcome, value: float) -> Score:
        """Judges the number that was returned."""
        if not 0.0 <= value <= 1.0:
            return ungradable("invalid_score", f"the grader returned {value:g}; {SCALE}")
        return self.scored(value, outcome.text or f"the grader returned {value:g}")

    def failed(self, outcome: Outcome) -> Score:
        """Judges an answer for which the grader failed."""
        if self.on_error == "zero" and outcome.error != "sandbox_failed":
            return judged(right=False, explanation=outcome.text)
        return super().failed(outcome)
