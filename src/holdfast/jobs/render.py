"""The doctor of data: what the model will read, which part of it is trained on, and which rows are rejected why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.prepare import prepare
from holdfast.errors import HoldfastError
from holdfast.jobs.admission import open_reader, read_rows, train_problem
from holdfast.training.config import ReflectConfig, SdftConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.data.rejected import Rejected
    from holdfast.jobs.admission import Reader
    from holdfast.jobs.progress import Reporter
    from holdfast.training.config import Recipe
    from holdfast.types import Example, JSONValue, Message


@dataclass(frozen=True, slots=True)
class Shown:
    """One example as text pieces; a piece is trained on or only read.

    `teacher` is what an SDFT teacher reads, `rejected` the answer that DPO makes less likely.
    """

    source: str
    num_tokens: int
    pieces: list[tuple[str, bool]]
    problem: str | None
    teacher: str | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class Rendering:
    """The first examples of a file rendered, and every row that would be rejected."""

    source: str
    format: str
    model: str
    num_examples: int
    shown: list[Shown]
    rejected: list[Rejected]
    notes: list[str]

    def to_json(self) -> JSONValue:
        """Returns the whole as JSON."""
        return {
            "source": self.source,
            "format": self.format,
            "model": self.model,
            "num_examples": self.num_examples,
            "notes": list(self.notes),
            "examples": [
                {
                    "source": one.source,
                    "num_tokens": one.num_tokens,
                    "pieces": [{"text": text, "trained": trained} for text, trained in one.pieces],
                    "teacher": one.teacher,
                    "rejected": one.rejected,
                    "problem": one.problem,
                }
                for one in self.shown
            ],
            "rejected": [{"source": row.source, "line": row.line, "reason": row.reason} for row in self.rejected],
        }


def render(
    source: str,
    *,
    recipe: Recipe,
    num: int,
    columns: Mapping[str, str] | None = None,
    chat_template: str | None = None,
    progress: Reporter,
) -> Rendering:
    """Returns the first `num` examples of `source` as the recipe's model reads them, and every row with a problem.

    Rows are rejected here for the reasons for which `learn` rejects them with this recipe. `columns` maps
    Holdfast's column names to those of the source.
    """
    found = read_rows(source, recipe, columns)
    reader = open_reader(recipe.base, chat_template=chat_template)
    with progress.bar("checking examples", len(found.examples), unit="examples") as bar:
        done = prepare(
            found.examples,
            check=lambda example: train_problem(reader, example, recipe),
            rejected=found.rejected,
            progress=bar.update,
        )
    reasons = {f"{row.source}:{row.line}": row.reason for row in done.rejected}
    shown = [_shown(reader, example, recipe, reasons.get(example.source)) for example in found.examples[:num]]
    notes = [*found.notes, *done.report.notes]
    return Rendering(
        source, found.format, recipe.base, len(done.kept), shown, done.rejected, list(dict.fromkeys(notes))
    )


def _shown(reader: Reader, example: Example, recipe: Recipe, problem: str | None) -> Shown:
    """Returns the example as it is read; one that cannot be rendered at all shows its reason alone."""
    pieces, teacher = list[tuple[str, bool]](), None
    try:
        pieces = _pieces(reader, example, recipe)
        if isinstance(recipe.method, SdftConfig):
            teacher = _teacher_text(reader, example, recipe.method)
    except HoldfastError as error:
        problem = problem or error.message
    text_ids = (reader.tokenizer.encode(text, add_special_tokens=False) for text, _ in pieces)
    pair = example.rejected if recipe.method.type in ("auto", "dpo") else None
    return Shown(example.source, sum(map(len, text_ids)), pieces, problem, teacher, None if pair is None else pair.said)


def _pieces(reader: Reader, example: Example, recipe: Recipe) -> list[tuple[str, bool]]:
    from holdfast.models.render import render_prompt, show

    if example.label is not None and recipe.method.type in ("auto", "classify"):
        from holdfast.training.methods.classify import text_of

        return [(text_of(example), False), (f" -> {example.label}", True)]
    if isinstance(recipe.method, ReflectConfig):
        return _conversation(reader, example, recipe.method)
    if example.demonstration is None:
        return [(str(reader.tokenizer.decode(render_prompt(reader.tokenizer, example.prompt, example.tools))), False)]
    return show(reader.tokenizer, example)


def _conversation(reader: Reader, example: Example, config: ReflectConfig) -> list[tuple[str, bool]]:
    """Returns the three turns of a failed task; what the model writes stands in angle brackets."""
    from holdfast.models.render import render_prompt
    from holdfast.training.reflection import Turns

    attempt, reflection, turns = "<the failed attempt>", "<the reflection>", Turns(config)

    def text(messages: Sequence[Message]) -> str:
        return str(reader.tokenizer.decode(render_prompt(reader.tokenizer, messages, example.tools)))

    before = text(turns.reflect(example, attempt))
    whole = text(turns.retry(example, attempt, reflection))
    after = whole.partition(reflection)[2]
    return [(before, False), (reflection, True), (f"{after}<the retry>", False)]


def _teacher_text(reader: Reader, example: Example, config: SdftConfig) -> str:
    from holdfast.models.render import TEACHER_TEMPLATE, render_teacher_prompt

    ids = render_teacher_prompt(reader.tokenizer, example, template=config.teacher_template or TEACHER_TEMPLATE)
    return str(reader.tokenizer.decode(ids))
