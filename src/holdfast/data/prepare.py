"""Examples in; kept and rejected Examples and a report out. Nothing is changed, shortened or lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from holdfast.data.example_json import check_text, content_hash, example_id, from_json, prompt_id, reject, to_json
from holdfast.data.folder import LoadedData, load_prepared, write_prepared
from holdfast.data.rejected import Rejected, RowError
from holdfast.data.report import DataReport, data_report
from holdfast.data.split import Parts, split, without_overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.types import Example

__all__ = [
    "DataReport",
    "LoadedData",
    "Parts",
    "Prepared",
    "Rejected",
    "content_hash",
    "example_id",
    "from_json",
    "load_prepared",
    "prepare",
    "prompt_id",
    "split",
    "to_json",
    "without_overlap",
    "write_prepared",
]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Usable examples, rejected rows, and a report whose numbers add up."""

    kept: list[Example]
    rejected: list[Rejected]
    report: DataReport


def prepare(
    examples: Sequence[Example],
    *,
    check: Callable[[Example], str | None] | None = None,
    rejected: Sequence[Rejected] = (),
    format: str = "",
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Returns each example as kept, or as rejected with the reason; `rejected` rows of reading are carried on.

    Exact duplicates are rejected, the first of them is kept. `check` returns the reason why a model
    cannot learn an example (over-long, nothing to train), or None. The ids are set to content ids.
    """
    kept: list[Example] = []
    refused: list[Rejected] = list(rejected)
    first: dict[str, str] = {}
    for index, given in enumerate(examples):
        try:
            example = _checked(given, check, first)
        except RowError as error:
            refused.append(reject(given, error.kind, error.reason))
        else:
            first[example.id] = example.source or f"example {index + 1}"
            kept.append(example)
        if progress is not None:
            progress(index + 1, len(examples))
    said = [*notes, *_conflicts(kept)]
    report = data_report(kept, refused, format=format, notes=said)
    return Prepared(kept, refused, report)


def _checked(given: Example, check: Callable[[Example], str | None] | None, first: dict[str, str]) -> Example:
    check_text(given)
    example = replace(given, id=example_id(given))
    if example.id in first:
        raise RowError("duplicate", f"is the same as {first[example.id]}")
    reason = check(example) if check is not None else None
    if reason is not None:
        raise RowError("model", reason)
    return example


def _conflicts(kept: Sequence[Example]) -> list[str]:
    answers: Counter[str] = Counter(prompt_id(example) for example in kept)
    num_several = sum(count > 1 for count in answers.values())
    if not num_several:
        return []
    return [f"{num_several} prompts have several different answers; all of them are kept, on the same side of a split"]
