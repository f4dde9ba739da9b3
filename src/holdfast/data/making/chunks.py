"""Documents cut into pieces of bounded size, along sections, paragraphs or sentences; each knows its place."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from holdfast.data.example_json import canonical
from holdfast.errors import DataError
from holdfast.settings import Count, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class Passage(Protocol):
    """A part of a document: its text, file, page (from 1; None where there are none) and heading ("" without)."""

    @property
    def text(self) -> str:
        """The text."""
        ...

    @property
    def source(self) -> str:
        """The file."""
        ...

    @property
    def page(self) -> int | None:
        """The page, from 1."""
        ...

    @property
    def section(self) -> str | None:
        """The heading that it stands under."""
        ...


class ChunkSettings(Settings):
    """How documents are cut."""

    by: Literal["section", "paragraph", "sentence"] = "paragraph"
    """Where a chunk may end: section = only where one ends, or where it would be too long."""
    max_size: Count = 1500
    """The longest chunk, in `unit`."""
    unit: Literal["characters", "tokens"] = "characters"
    """What sizes are counted in; tokens are those of the model that is to be taught."""
    overlap: int = 0
    """At most so much of a chunk's end, in whole sentences, is also the start of the next one of its section."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document. `whole` is True where it is all of its passage. `id` depends on its text and source."""

    id: str
    text: str
    source: str
    page: int | None
    section: str
    whole: bool

    @property
    def place(self) -> str:
        """The file with its page, as sources of examples are written."""
        return self.source if self.page is None else f"{self.source}:{self.page}"


_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_SENTENCE_END = re.compile(r"[.!?؟…]+[\"'”\u2019»)\]]*(?=\s)|[。\uff01\uff1f]+[」』”]*")
_SHORT = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Art|Sec|Fig|Inc|Ltd|Co|Corp|vs|etc|approx|ca|cf|e\.g|i\.e|a\.m|p\.m|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|z\.B|bzw|Nr|Abs)\.$"
)


def chunks(
    passages: Iterable[Passage],
    settings: ChunkSettings | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> Iterator[Chunk]:
    """Yields the chunks of passages in their order. No text is lost, and none is longer than `max_size`.

    Raises:
        DataError: sizes are counted in tokens and `count_tokens` is missing, or the overlap leaves no room.
    """
    settings = settings or ChunkSettings()
    if settings.unit == "tokens" and count_tokens is None:
        raise DataError(
            "Chunks are measured in tokens, and no model was chosen to count them. Choose one, or characters."
        )
    if not 0 <= settings.overlap <= settings.max_size // 2:
        raise DataError(f"overlap is {settings.overlap}; it must be from 0 to half of max_size ({settings.max_size}).")
    size: Callable[[str], int] = len if settings.unit == "characters" or count_tokens is None else count_tokens
    for passage in passages:
        text = passage.text.strip()
        if not text:
            continue
        pieces = _pieces(text, settings, size)
        for piece in pieces:
            key = hashlib.sha256(canonical([passage.source, piece])).hexdigest()[:16]
            yield Chunk(key, piece, passage.source, passage.page, passage.section or "", len(pieces) == 1)


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, which joined by spaces give it back but for its white space.

    >>> sentences("Dr. No pays 3.50 a day. Who else? See e.g. page 4")
    ['Dr. No pays 3.50 a day.', 'Who else?', 'See e.g. page 4']
    """
    found: list[str] = []
    for paragraph in _PARAGRAPH.split(text):
        start = 0
        for end in _SENTENCE_END.finditer(paragraph):
            following = paragraph[end.end() : end.end() + 9].lstrip()[:1]
            # "30 p.m. on" and "e.g. this" go on; a sentence does not begin with a small letter.
            if end.group()[0] in ".\u2026" and (
                following.islower() or _SHORT.search(paragraph[max(start, end.end() - 12) : end.end()])
            ):
                continue
            found.append(paragraph[start : end.end()])
            start = end.end()
        found.append(paragraph[start:])
    return [" ".join(sentence.split()) for sentence in found if sentence.strip()]


def _pieces(text: str, settings: ChunkSettings, size: Callable[[str], int]) -> list[str]:
    if settings.by == "section" and size(text) <= settings.max_size:
        return [text]
    units, joint = [part for part in _PARAGRAPH.split(text) if part.strip()], "\n\n"
    if settings.by == "sentence":
        units, joint = sentences(text), " "
    pieces: list[str] = []
    open_: list[str] = []
    for unit in units:
        if open_ and size(joint.join([*open_, unit])) > settings.max_size:
            pieces.append(joint.join(open_))
            open_ = _kept_over(pieces[-1], unit, joint, settings, size)
        if size(unit) <= settings.max_size:
            open_.append(unit)
            continue
        if open_:
            pieces.append(joint.join(open_))
        *full, rest = _cut(unit, settings, size)
        pieces += full
        open_ = [rest]
    return [*pieces, joint.join(open_)] if open_ else pieces


def _kept_over(piece: str, unit: str, joint: str, settings: ChunkSettings, size: Callable[[str], int]) -> list[str]:
    """The last sentences of a piece that fit the overlap and leave room for the next unit."""
    kept: list[str] = []
    for sentence in reversed(sentences(piece) if settings.overlap else []):
        longer = " ".join([sentence, *kept])
        if size(longer) > settings.overlap or size(joint.join([longer, unit])) > settings.max_size:
            break
        kept.insert(0, sentence)
    return [" ".join(kept)] if kept else []


def _cut(unit: str, settings: ChunkSettings, size: Callable[[str], int]) -> list[str]:
    """A unit that is too long, cut between sentences, else between words, else between signs."""
    for parts, joint in ((sentences(unit), " "), (unit.split(), " "), (list(unit), "")):
        if len(parts) > 1 and all(size(part) <= settings.max_size for part in parts):
            return _packed(parts, joint, settings, size)
    return _packed(list(unit), "", settings, size)


def _packed(parts: Sequence[str], joint: str, settings: ChunkSettings, size: Callable[[str], int]) -> list[str]:
    """Parts joined greedily; how many fit is found by doubling and halving, so that sizes are counted seldom."""
    packed: list[str] = []
    start = 0
    while start < len(parts):
        low, high = 1, 2
        while start + high <= len(parts) and size(joint.join(parts[start : start + high])) <= settings.max_size:
            low, high = high, 2 * high
        high = min(high, len(parts) - start + 1)
        while high - low > 1:
            middle = (low + high) // 2
            if size(joint.join(parts[start : start + middle])) <= settings.max_size:
                low = middle
            else:
                high = middle
        packed.append(joint.join(parts[start : start + low]))
        start += low
    return packed
