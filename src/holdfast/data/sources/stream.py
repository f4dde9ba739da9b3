"""Several sources in a row, as one stream of Examples and rejected rows that never holds more than it must."""

from __future__ import annotations

import json
import random
from array import array
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from holdfast.data.example_json import from_json, to_json
from holdfast.data.rejected import Rejected, visible
from holdfast.data.sources.conversion import Tally, Wanted, converted
from holdfast.data.sources.places import places, shown, split_count
from holdfast.data.strict_json import dump
from holdfast.errors import DataError
from holdfast.seeds import derive_seed
from holdfast.types import Example

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
    from pathlib import Path

    from holdfast.data.sources.places import Place


def stream(
    sources: Sequence[str],
    *,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    need_demonstration: bool = True,
    keep: Set[str] = frozenset(),
    unlabelled: bool = False,
    notes: list[str],
) -> Iterator[Example | Rejected]:
    """Yields every row of every source, in order: as an Example, or as rejected with its line and reason.

    A source is a file (.jsonl, .json, .csv, .tsv, .parquet, .xlsx; text files also as .gz; `book.xlsx:SHEET`), a folder
    (all data files under it, in sorted order), a pattern (`logs/**/*.jsonl`), a query (`sqlite:///shop.db::SELECT …`,
    any SQLAlchemy URL) or a Hugging Face data set id. `#N` at its end draws N usable rows at random with `seed`.
    Documents among the sources hold no rows and are only named in `notes`; `documents` gives them and `passages` reads
    them. `columns` maps Holdfast's column names to the sources'; the columns `keep` ("*" for all) go with the examples.
    With `unlabelled`, rows need neither a label nor an answer, and a text alone is a row.

    What there is to say is added to `notes`, for a source when its end is reached. Raises `DataError` for a source
    that cannot be read; of a folder or a pattern, a file that cannot be read is one rejected row (kind `file`).
    """
    wanted = Wanted(columns or {}, need_demonstration, keep, unlabelled)
    total = Tally()
    papers: list[Path] = []
    for source in sources:
        yield from _one_source(source, wanted, seed, notes, total, papers)
    if papers:
        notes.append(_said_of_documents(papers))
    if not total.num_rows and not papers:
        raise DataError(f"{', '.join(map(shown, sources)) or 'no source'}: there are no rows.", param="training_file")
    if total.num_rows:
        total.check_columns(", ".join(map(shown, sources)), wanted.columns)


def documents(sources: Sequence[str], notes: list[str]) -> Iterator[Path]:
    """Yields the documents among the sources (see `is_document`), which `stream` leaves out."""
    for source in sources:
        papers: list[Path] = []
        for _ in places(split_count(source)[0], notes, papers):
            pass
        yield from papers


def rows_of(place: Place, wanted: Wanted, tally: Tally, notes: list[str]) -> Iterator[Example | Rejected]:
    """Yields the rows of one place; one that was only found and cannot be read is a rejected row of kind `file`."""
    try:
        for row in place.rows(notes):
            yield converted(row, place.name, wanted, tally)
    except DataError as error:
        if not place.found:
            raise
        tally.num_rejected += 1
        yield Rejected(place.name, 0, visible(error.message), "", "file")


def drawn(items: Iterable[Example | Rejected], count: int, seed: int, notes: list[str]) -> Iterator[Example | Rejected]:
    """Yields `count` of the examples, drawn at random with `seed`, in their order, and all rejected rows before them.

    The examples wait on the disk, so that the draw is over all of them without holding them.
    """
    with TemporaryFile("w+b") as spool:
        places = array("Q")
        for item in items:
            if isinstance(item, Rejected):
                yield item
            else:
                places.append(spool.tell())
                spool.write(dump(to_json(item)).encode() + b"\n")
        chosen: Iterable[int] = range(len(places))
        if count >= len(places):
            notes.append(f"{count} rows were asked for and {len(places)} are usable: all of them are taken")
        else:
            chosen = sorted(random.Random(derive_seed(seed, "sample rows")).sample(range(len(places)), count))
            notes.append(
                f"{count} of {len(places)} usable rows were drawn at random (seed {seed}); the others are not used"
            )
        for index in chosen:
            spool.seek(places[index])
            yield from_json(json.loads(spool.readline()))


def _one_source(
    source: str, wanted: Wanted, seed: int, notes: list[str], total: Tally, papers: list[Path]
) -> Iterator[Example | Rejected]:
    named, count = split_count(source)
    said: list[str] = []
    tally = Tally()
    rows = _rows_of_all(places(named, said, papers), wanted, tally, said)
    yield from rows if count is None else drawn(rows, count, seed, said)
    total.add(tally)
    if tally.num_rows:
        notes.extend(tally.said(shown(named)))
    notes.extend(said)


def _rows_of_all(
    found: Iterator[Place], wanted: Wanted, tally: Tally, notes: list[str]
) -> Iterator[Example | Rejected]:
    for place in found:
        said: list[str] = []
        yield from rows_of(place, wanted, tally, said)
        notes.extend(f"{place.name}: {note}" for note in said)


def _said_of_documents(papers: Sequence[Path]) -> str:
    shown = ", ".join(path.name for path in papers[:5]) + (", …" if len(papers) > 5 else "")
    return visible(f"{len(papers)} documents, which hold passages and no rows: {shown}")
