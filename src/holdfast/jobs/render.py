"""The doctor of data: what the model will read, which part of it is trained on, and which rows are rejected why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.read import read
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.data.rejected import Rejected
    from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Shown:
    """One example as text pieces; a piece is trained on or only read."""

    source: str
    num_tokens: int
    pieces: list[tuple[str, bool]]
    problem: str | None


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
                    "problem": one.problem,
                }
                for one in self.shown
            ],
            "rejected": [{"source": row.source, "line": row.line, "reason": row.reason} for row in self.rejected],
        }


def render(
    source: str, *, base: str, num: int, max_tokens: int | None = None, columns: Mapping[str, str] | None = None
) -> Rendering:
    """Returns the first `num` examples of `source` rendered for `base`, and every row with a problem.

    `columns` maps Holdfast's column names to those of the source.
    """
    found = read(source, columns=columns)
    if not found.examples:
        reasons = "; ".join(f"line {row.line}: {row.reason}" for row in found.rejected[:5])
        raise DataError(f"{source}: no line could be read as an example. {reasons}")
    from holdfast.data.rejected import Rejected
    from holdfast.models.load import load_tokenizer
    from holdfast.models.render import problem_of, show

    tokenizer = load_tokenizer(base)
    limit = max_tokens or int(min(tokenizer.model_max_length, 1 << 30))
    shown: list[Shown] = []
    rejected = list(found.rejected)
    for position, example in enumerate(found.examples):
        problem = None if example.label is not None else problem_of(tokenizer, example, limit)
        if problem is not None:
            name, _, line = example.source.rpartition(":")
            rejected.append(Rejected(name or source, int(line) if line.isdigit() else position + 1, problem, ""))
        if position < num:
            pieces = show(tokenizer, example)
            num_tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text, _ in pieces)
            shown.append(Shown(example.source, num_tokens, pieces, problem))
    return Rendering(source, found.format, base, len(found.examples), shown, rejected, list(found.notes))
