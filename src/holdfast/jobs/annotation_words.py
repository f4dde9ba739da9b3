"""What annotation comes to, in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.making.agreement import LEAST_ALPHA

if TYPE_CHECKING:
    from collections.abc import Mapping, Set
    from pathlib import Path

    from holdfast.data.making.agreement import Agreement
    from holdfast.data.making.sheets import Sheets


def agreement_words(found: Agreement) -> list[str]:
    """Returns what alpha means for these labels; nothing where it is high enough, with its interval."""
    if found.num_paired == 0:
        return ["No item has two answers yet, so agreement cannot be measured."]
    if found.alpha is None:
        return ["All answers are the same label, so agreement cannot be told from chance."]
    if found.alpha < LEAST_ALPHA:
        return [
            f"The annotators agree too little: alpha is {found.alpha:.2f}, and below {LEAST_ALPHA} nothing should rest "
            "on the labels. Talk about items on which they differ, make clearer what each label means, and have "
            "a new set of sheets filled in before you label more."
        ]
    if found.low is not None and found.low < LEAST_ALPHA:
        return [f"Alpha may lie below {LEAST_ALPHA}; with more items the interval would be narrower."]
    return []


def sheet_words(folder: Path, sheets: Sheets, missing: Mapping[str, int], own: Set[str]) -> list[str]:
    """Returns which sheets are not back, which lack lines, and which files in the folder nothing reads.

    `own` are the names of all files that belong there.
    """
    words: list[str] = []
    for name, ids in sheets.assigned.items():
        file = f"{name}.{sheets.format}"
        if not (folder / file).is_file():
            words.append(f"{file} is not there; its {len(ids)} items have no answer from {name}.")
        elif missing.get(name):
            words.append(f"{file}: {missing[name]} of its {len(ids)} items have no line that can be used.")
    strange = sorted(path.name for path in folder.iterdir() if path.name not in own and not path.name.startswith("."))
    if strange:
        name = f"{next(iter(sheets.assigned))}.{sheets.format}"
        words.append(
            f"Not read: {', '.join(strange)}. A sheet is read under the name that it was written with, such as {name}."
        )
    return words
