"""Personal data of a whole example: every text of it is searched, what one names the others are searched for, too.

Searched are the turns, the arguments of calls, the document, the privileged context, the columns (their values, their
names stay) and the descriptions of tools. A label is never touched: it is what is to be learned.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, cast

from holdfast.data.pii.find import find
from holdfast.data.pii.kinds import DEFAULT_GROUPS, expand
from holdfast.data.pii.people import known_places, mentions
from holdfast.data.pii.pieces import Piece, pieces_of, rebuilt
from holdfast.data.pii.placeholders import normalised
from holdfast.data.pii.spans import Span, without_overlap
from holdfast.data.strict_json import dump, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from holdfast.types import Example, JSONValue, Message

Finder: TypeAlias = "Callable[[str], list[Span]]"
_TOO_SHORT = 5
"""A value of fewer characters is not looked for elsewhere: it is there by chance."""


@dataclass(frozen=True, slots=True)
class Found:
    """The places in one example: by text and piece, and what every value is called for its placeholder."""

    spans: Mapping[str, tuple[tuple[Piece, tuple[Span, ...]], ...]]
    names: Mapping[str, str]
    """A person's name by a part of it that stands alone, both normalised."""

    def counts(self) -> Counter[str]:
        """Returns how many places of each kind there are, a text that stands twice counted once."""
        return Counter(span.kind for span in self.all())

    def all(self) -> Iterator[Span]:
        """Yields every place in reading order."""
        for pieces in self.spans.values():
            for _, spans in pieces:
                yield from spans

    def value(self, span: Span) -> str:
        """Returns what stands for a place's value: the same for every spelling, and for a name's part its whole."""
        value = normalised(span.kind, span.text)
        return self.names.get(value, value) if span.kind == "person" else value


def default_finder(text: str) -> list[Span]:
    """Returns the places of the kinds that are looked for where nothing else is said."""
    return find(text, kinds=_DEFAULT_KINDS)


_DEFAULT_KINDS = expand(DEFAULT_GROUPS)


def search(example: Example, finder: Finder = default_finder) -> Found:
    """Returns the places of personal data in an example."""
    texts = dict.fromkeys(_texts(example))
    first = {text: [(piece, _in_piece(piece, finder)) for piece in pieces_of(text)] for text in texts}
    spans = [span for pieces in first.values() for _, found in pieces for span in found]
    if not spans:
        return Found({}, {})
    persons = [span for span in spans if span.kind == "person"]
    others = {span.text: span for span in spans if span.kind != "person" and len(span.text) >= _TOO_SHORT}
    again = _again(others)
    found: dict[str, tuple[tuple[Piece, tuple[Span, ...]], ...]] = {}
    for text, pieces in first.items():
        found[text] = tuple(
            (piece, tuple(without_overlap([*here, *again(piece.value), *mentions(piece.value, persons)])))
            for piece, here in pieces
        )
    return Found(found, _whole_names({span.text for span in persons}))


def masked(example: Example, found: Found, placeholder: Callable[[Span], str]) -> Example:
    """Returns an example in which every place found is its placeholder."""

    def text(given: str) -> str:
        pieces = found.spans.get(given)
        if not pieces or not any(spans for _, spans in pieces):
            return given
        by_start = {piece.start: spans for piece, spans in pieces}
        return rebuilt(
            given, [p for p, _ in pieces], lambda piece: _put(piece.value, by_start[piece.start], placeholder)
        )

    return _mapped(example, text)


def hide(example: Example, finder: Finder = default_finder) -> Example:
    """Returns an example with `[EMAIL]`, `[PERSON]` … where personal data stands: for what people are shown."""
    found = search(example, finder)
    return masked(example, found, lambda span: f"[{span.kind.upper()}]") if found.spans else example


def _in_piece(piece: Piece, finder: Finder) -> list[Span]:
    """Returns the places in a piece, found with the key before it in view."""
    shift = len(piece.said)
    return [
        Span(span.start - shift, span.end - shift, span.kind, span.text, span.confidence)
        for span in finder(piece.said + piece.value)
        if span.start >= shift
    ]


def _put(value: str, spans: tuple[Span, ...], placeholder: Callable[[Span], str]) -> str:
    parts: list[str] = []
    place = 0
    for span in spans:
        parts += [value[place : span.start], placeholder(span)]
        place = span.end
    return "".join([*parts, value[place:]])


def _again(values: Mapping[str, Span]) -> Callable[[str], Iterator[Span]]:
    """Returns a function that yields the places of known values, each as a whole word."""

    def places(text: str) -> Iterator[Span]:
        for start, value in known_places(text, values):
            known = values[value]
            yield Span(start, start + len(value), known.kind, value, known.confidence)

    return places


def _whole_names(persons: set[str]) -> dict[str, str]:
    """Returns the whole name by each name that is a part of it, where it is a part of one person's names only."""
    names = {normalised("person", name) for name in persons}
    names |= {word for name in names for word in name.split()}
    words = {name: _said_in_full(name) for name in names}
    of_word: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (-len(words[name]), name)):
        for word in words[name]:
            of_word.setdefault(word, []).append(name)
    wholes: dict[str, str] = {}
    for name in names:
        shared = of_word.get(min(words[name], key=lambda word: len(of_word[word])), []) if words[name] else []
        holders = [other for other in shared[:_MANY_HOLDERS] if words[name] < words[other]]
        if holders and all(words[other] <= words[holders[0]] for other in holders):
            wholes[name] = holders[0]
    return wholes


_MANY_HOLDERS = 100
"""A name is looked at beside so many others of the same example that share its rarest word, the longest first."""


def _said_in_full(name: str) -> frozenset[str]:
    """Returns the words of a name without initials."""
    return frozenset(word for word in name.split() if len(word) > 1)


def _texts(example: Example) -> Iterator[str]:
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    _mapped(example, note)
    yield from texts


def _mapped(example: Example, change: Callable[[str], str]) -> Example:
    """Returns an example whose texts are what `change` makes of them, in reading order."""
    return replace(
        example.with_turns(lambda message: _message(message, change)),
        document=change(example.document) if example.document else example.document,
        privileged_context=change(example.privileged_context)
        if example.privileged_context
        else example.privileged_context,
        columns={name: _column(name, value, change) for name, value in example.columns.items()},
        tools=tuple(cast("Mapping[str, JSONValue]", _described(dict(tool), change)) for tool in example.tools),
    )


def _message(message: Message, change: Callable[[str], str]) -> Message:
    calls = tuple(replace(call, arguments=change(call.arguments)) for call in message.tool_calls)
    return replace(message, content=change(message.content), tool_calls=calls)


def _column(name: str, value: JSONValue, change: Callable[[str], str]) -> JSONValue:
    """Returns a column's value, searched with the column's name in view; the name itself stays."""
    if value is None or isinstance(value, bool):
        return value
    before = dump({name: value})
    after = change(before)
    if before == after:
        return value
    return next(iter(cast("dict[str, JSONValue]", parse(after)).values()))


def _described(value: JSONValue, change: Callable[[str], str]) -> JSONValue:
    """Returns a tool's definition with its descriptions changed; names, types and choices stay."""
    if isinstance(value, dict):
        return {
            key: change(part) if key == "description" and isinstance(part, str) else _described(part, change)
            for key, part in cast("dict[str, JSONValue]", value).items()
        }
    return [_described(part, change) for part in value] if isinstance(value, list) else value
