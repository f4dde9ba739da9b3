"""Names of persons, by what stands beside them: titles, introductions, greetings, signatures, speech, and by mention.

No model and no list of names: a capitalised word alone is not taken for a name, two beside each other hardly
(`BARE`, below the default threshold), and in scripts without capitals only titles and introductions help. A name that
was found is found again in the same text, whole or by a part of it. What this misses: names with nothing beside them
("Ivan so wanted it"), most names in lower case, and scripts other than Latin, Greek, Cyrillic and Persian.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import regex

from holdfast.data.pii.name_words import (
    ALSO_WORDS,
    DEEDS,
    LANGUAGES,
    LEADING_WORDS,
    LINE_LABELS,
    NOT_NAMES,
    ORGANISATION_WORDS,
    PERSIAN_INTRODUCTIONS,
    PERSIAN_STOP,
    PERSIAN_TITLES,
    PERSONAL_LABELS,
    PLACE_WORDS,
    ROLES,
    SPEECH,
)
from holdfast.data.pii.spans import FAIR, LIKELY, WEAK, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BARE = WEAK
"""Two or more capitalised words with nothing beside them."""
UNSURE = 0.45
"""A name by words that many other capitalised words have beside them, too."""
ALL_LANGUAGES = (*LANGUAGES, "fa")

_CAP = (
    r"(?:\p{Lu}[\p{L}\p{M}]{1,30}+|[ODL]['\u2019]\p{Lu}[\p{L}\p{M}]{1,30}+)"
    r"(?:['\u2019](?=\p{Lu})\p{L}{2,30}+)?(?:-\p{L}{2,30}+){0,2}"
)
_PARTICLE = r"(?:van|von|vom|zu|de|der|den|del|della|di|da|dos|das|du|la|le|bin|ibn|al|el|ter|ten|af|av|ben|y)"
_INITIAL = r"\p{Lu}(?:\.|(?![\p{L}\p{N}'\u2019.]))"
_NEXT = rf"(?:{_CAP}|{_INITIAL}|{_PARTICLE} (?:{_PARTICLE} )?{_CAP})"
_CANDIDATE = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}_@/])(?:{_CAP}|{_INITIAL}(?= ?\p{{Lu}}))(?: ?(?<=[ .]){_NEXT}){{0,5}}(?![\p{{N}}_@])"
)
_BACKWARDS = r"\p{Lu}[\p{L}\p{M}]{1,30}(?:-\p{L}{2,30})?"
"""A capitalised word for patterns that are read backwards, where a greedy run must give its first letter back."""
_NO_THING = r"(?!\s{0,3}\n[^\p{L}\n]{0,4}(?i:description|documentation|version|parameters|arguments|type)\s?:)"
"""Not before such a field on the next line: then a label's value is the name of a thing."""
_LONG_TITLE = 5
_WORD_OF_NAME = regex.compile(r"[^ ]+")
_WINDOW = 64
"""So many characters before and after a candidate are read."""


@dataclass(frozen=True, slots=True)
class _Cue:
    """What stands before or after a name: of one word it counts with `alone`, of more with `full`."""

    before: regex.Pattern[str] | None
    after: regex.Pattern[str] | None
    alone: float
    full: float

    def holds(self, before: str, after: str) -> bool:
        """Whether the text around a name is this cue's."""
        return (self.after is None or self.after.match(after) is not None) and (
            self.before is None or self.before.match(before) is not None
        )


def _cue(before: str, after: str, alone: float, full: float) -> _Cue:
    """Returns a cue; `before` ends where the name begins and is read backwards, `after` begins where it ends."""
    backwards = regex.compile(before, regex.REVERSE) if before else None
    return _Cue(backwards, regex.compile(after) if after else None, alone, full)


@lru_cache(maxsize=32)
def _cues(languages: tuple[str, ...]) -> tuple[_Cue, ...]:
    given = [LANGUAGES[language] for language in languages if language in LANGUAGES]
    if not given:
        return ()
    listed = "|".join(words.titles for words in given)
    # "me", "don" and "fr" are words of other kinds in small letters; "professor" is a title all the same.
    long = "|".join(title for title in listed.split("|") if len(title) >= _LONG_TITLE)
    titles = rf"(?:{listed}|(?i:{long}))"
    introductions, greetings, closings, labels = (
        "|".join(getattr(words, field) for words in given)
        for field in ("introductions", "greetings", "closings", "labels")
    )
    titled = rf"(?:\b{titles}\.? )?"
    cues = [
        _cue(rf"\b{titles}\.? ", "", LIKELY, 0.9),
        _cue(rf"\b(?i:{introductions}):? {titled}", "", FAIR, LIKELY),
        _cue(rf"(?:\A|[\n.!?\"“>:] ?)(?i:{greetings}),? {titled}", r"\s{0,3}(?:[,!.:\n]|\Z| - )", FAIR, 0.7),
        _cue(rf"(?i:{closings})[,.!]?\s{{0,2}}\n\s{{0,3}}(?:[-\u2013—] ?)?", r"\s{0,3}(?:[,\n.]|\Z)", 0.7, LIKELY),
        _cue(rf"(?:\A|[^\p{{L}}_])(?i:{labels})\s?[:?=]\s{{0,3}}[\"']?{titled}", _NO_THING, 0.45, FAIR),
        _cue(rf"(?:\A|[^\p{{L}}_])(?i:{PERSONAL_LABELS})\s?[:?=]\s{{0,3}}[\"']?{titled}", "", 0.55, LIKELY),
    ]
    return (*cues, *(_english() if "en" in languages else ()))


def _english() -> list[_Cue]:
    """Words that stand beside names and beside much else that is capitalised (Minecraft, the Sicilian Defense).

    So one word alone is `UNSURE` at best.
    """
    return [*_english_before(), *_english_after(), *_english_layout()]


def _english_before() -> list[_Cue]:
    """What stands before a name."""
    said = r"\b(?:by|said|asked|replied|says|told|named|married)"
    near = r"\b(?:[Bb]y|starring|featuring|heard|[Mm]eet|met|knew|with|under|saw|than)"
    weak = r"\b(?:about|as|for|from|add|remove)"
    return [
        _cue(
            r"\b(?:[Ii]['\u2019]m|[Ii] am|[Ii]t['\u2019]s|I was) ",
            r"\s{0,3}(?:[,.!;\n]|\Z|and\b|from\b|but\b)",
            UNSURE,
            0.7,
        ),
        _cue(rf"\b(?i:{ROLES}),? ", "", 0.0, FAIR),
        _cue(rf"{said} ", "", UNSURE, FAIR),
        _cue(
            r"\b(?:talk|talked|talking|speak|spoke|speaking|married|engaged|belongs|assistant|secretary|according"
            r"|said (?:\p{L}+)) to ",
            "",
            UNSURE,
            FAIR,
        ),
        _cue(
            rf"\b(?i:{ROLES})s(?: are| were|,)?:? (?:{_BACKWARDS}(?: {_BACKWARDS})?,? (?:and )?){{0,5}}",
            "",
            UNSURE,
            UNSURE,
        ),
        _cue(rf"{near} ", "", 0.0, UNSURE),
        _cue(rf"{weak} ", "", 0.0, UNSURE),
        _cue(r"\b(?:[Ww]hy|[Ww]here|[Hh]ow) (?:is|was|are|did|does|has) ", r" \p{Ll}", UNSURE, UNSURE),
        _cue(
            r"\b(?:[Ww]ho(?: is|['\u2019]s| was| are)|[Nn]amed after|[Ll]ike|[Tt]hanks to|[Gg]reetings from) ",
            "",
            UNSURE,
            UNSURE,
        ),
        _cue(
            r"\b(?:[Cc]all|[Cc]ontact|[Ee]mail|[Aa]sk|[Tt]ell|[Ii]nvite|[Vv]isit|[Tt]hank|[Hh]elp|[Rr]emind|[Pp]ay) ",
            "",
            UNSURE,
            UNSURE,
        ),
        _cue(r"\p{L}, ", r"[.]?(?:\s{0,2}\Z|\n)", UNSURE, UNSURE),
        _cue(
            r"(?:\A|[\n.!?\"“] ?)",
            r", (?:can|could|would|will|please|do you|did you|are you|have you|let me|come)\b",
            UNSURE,
            FAIR,
        ),
        _cue(r"(?:\p{L}, )", r"[?!](?:\s|\Z|[\"'])", UNSURE, UNSURE),
    ]


def _english_after() -> list[_Cue]:
    """What stands after a name."""
    verb = rf",? (?:{SPEECH})\b"
    person = rf" (?:is|was|became|has been) (?:an?|the|my|our|his|her|your) (?:\p{{L}}+ ){{0,2}}(?:{ROLES})\b"
    return [
        _cue("", verb, UNSURE, FAIR),
        _cue("", rf",? (?:{DEEDS})\b", 0.0, UNSURE),
        _cue("", person, UNSURE, UNSURE),
        _cue(
            "",
            r", \d{1,2},|,? (?:aged )?\d{1,2} ?(?:years?|y/o)|,? \((?:born|b\.|née|aged?|\d{4} ?[-\u2013])",
            UNSURE,
            LIKELY,
        ),
        _cue("", r"[\"']? <[^\s@<>]{1,64}@", UNSURE, 0.9),
        _cue("", r", (?:the|an?|our|my|his|her) \p{L}[\p{L} ]{2,40},", 0.0, UNSURE),
        _cue("", r"['\u2019]s\b|(?<=s)['\u2019] ", 0.0, UNSURE),
    ]


def _english_layout() -> list[_Cue]:
    """A name on a line of its own at the head of a letter or a contact."""
    return [
        _cue(
            r"(?:\A|\n\s*\n)[^\p{L}\p{N}\n]{0,8}",
            r"[ \t]{0,4}\n(?:[^\n]{0,60}\n){0,6}[^\n]{0,30}(?:\d{3}|@)",
            0.0,
            FAIR,
        ),
        _cue(
            r"(?:\A|\n\s*\n)[^\p{L}\p{N}\n]{0,8}",
            r"[ \t]{0,4}\n{1,2}[^\n]{3,60}\n{1,2}[^\n]{0,60}\n?(?:[^\n]{0,60}\n){0,2}[^\n]{0,16}(?i:phone|tel"
            r"|e-?mail|mobile|address)",
            0.0,
            LIKELY,
        ),
    ]


_WORD = r"\p{Ll}[\p{Ll}\p{M}]{1,20}"
_LOWER = regex.compile(
    rf"(?<!\p{{L}})(?i:my name is|my name's|name is|i am called|call me) (?P<value>{_WORD}(?: \p{{Ll}}\.?)?(?:"
    rf" {_WORD})?)(?=\s?(?:[.,;!?\n]|\Z| (?:and|but)\b))"
)
_PERSIAN_WORD = r"[\u0620-\u06ff\u200c]{2,20}"
_PERSIAN = regex.compile(
    rf"(?<!\p{{L}})(?:{PERSIAN_TITLES}|{PERSIAN_INTRODUCTIONS}) (?P<value>{_PERSIAN_WORD}(?: {_PERSIAN_WORD})?)"
)
_SPEAKER = regex.compile(r"^(?P<value>[^\W\d_]\S{1,30}(?: \S{1,30})?):(?= )", regex.MULTILINE)


def persons(text: str, languages: Sequence[str] = ALL_LANGUAGES) -> Iterator[Span]:
    """Yields names with their confidence, those mentioned again included; the same place may come more than once."""
    found = [*_capitalised(text, _cues(tuple(languages))), *_speakers(text)]
    for language, pattern in (("en", _LOWER), ("fa", _PERSIAN)):
        if language in languages:
            for match in pattern.finditer(text):
                start, end = _trimmed(text, *match.span("value"))
                if start < end:
                    found.append(Span(start, end, "person", text[start:end], 0.55))
    yield from found
    yield from mentions(text, found)


def _capitalised(text: str, cues: Sequence[_Cue]) -> Iterator[Span]:
    for match in _CANDIDATE.finditer(text):
        start, end = _trimmed(text, match.start(), match.end())
        if start == end or (" " not in text[start:end] and _ACRONYM.search(text[start:end])):
            continue
        full = " " in text[start:end]
        before, after = text[max(0, start - _WINDOW) : start], text[end : end + _WINDOW * 4]
        confidence = BARE if full else 0.0
        for cue in cues:
            worth = cue.full if full else cue.alone
            if worth > confidence and cue.holds(before, after):
                confidence = worth
        if confidence:
            yield Span(start, end, "person", text[start:end], confidence)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Returns the part of a candidate that can be a name: up to a word that is none; empty where nothing is left."""
    words = [(m.start(), m.end()) for m in _WORD_OF_NAME.finditer(text[start:end])]
    if any(text[start + a : start + b] in ORGANISATION_WORDS for a, b in words):
        return start, start
    if words and text[start + words[-1][0] : start + words[-1][1]] in PLACE_WORDS:
        return start, start
    while words and _leads(text, start + words[0][0], text[start + words[0][0] : start + words[0][1]], len(words)):
        words.pop(0)
    for place, (a, b) in enumerate(words):
        if place and _no_name(text[start + a : start + b], behind=True):
            words = words[:place]
            break
    while words and len(text[start + words[-1][0] : start + words[-1][1]].rstrip(".")) == 1 and len(words) == 1:
        words.pop()
    return (start + words[0][0], start + words[-1][1]) if words else (start, start)


def _leads(text: str, start: int, word: str, num_words: int) -> bool:
    """Whether the first word of a candidate is none of the name: a title, a greeting, the first word of a sentence."""
    plain = word.lower().rstrip(".")
    if plain in ALSO_WORDS and num_words > 1 and not _begins_sentence(text, start):
        return False
    return _no_name(word) or plain in LEADING_WORDS


def _no_name(word: str, *, behind: bool = False) -> bool:
    """Whether a word is no part of a name; one `behind` another name may be an everyday word (Young, White)."""
    plain = word.lower().rstrip(".")
    return (plain in NOT_NAMES and not (behind and plain in ALSO_WORDS)) or word in PERSIAN_STOP


def _speakers(text: str) -> list[Span]:
    """Returns the names before the colons of a dialogue: two at least, one of them more than once.

    One label of a format (Action, Final Answer) among them, and none is a name.
    """
    if text.count(": ") < 2:
        return []
    lines = list(_SPEAKER.finditer(text))
    different = {match["value"] for match in lines}
    if not 1 < len(different) < len(lines) or any(_is_label(text, name) for name in different):
        return []
    if any(other.startswith(f"{name} ") for name in different for other in different):
        return []
    if any(text.startswith(("{", "```"), match.end() + 1) for match in lines):
        return []
    return [Span(*match.span("value"), "person", match["value"], 0.55) for match in lines]


def _is_label(text: str, speaker: str) -> bool:
    """Whether what stands before a colon is no name: not by its form, or a word that is no part of one.

    A word that the same text also has in small letters ("the action to take") is an everyday one.
    """
    if not _CANDIDATE.fullmatch(speaker):
        return True
    for place, word in enumerate(speaker.split()):
        plain = word.lower().rstrip(".")
        if _no_name(word, behind=place > 0) or plain in LINE_LABELS or plain.removesuffix("s") in LINE_LABELS:
            return True
    lower = speaker.lower()
    return lower != speaker and any(True for _ in known_places(text, [lower]))


def mentions(text: str, names: Iterable[Span]) -> Iterator[Span]:
    """Yields further places of names: the whole name, or a word of a surer one that is no everyday word."""
    wanted: dict[str, float] = {}
    for span in names:
        words = [word for word in span.text.split() if len(word.rstrip(".")) > 1 and word[0].isupper()]
        for value in (span.text, *(words if span.confidence >= FAIR else ())) if span.confidence >= UNSURE else ():
            wanted[value] = max(wanted.get(value, 0.0), min(span.confidence, FAIR))
    for start, name in known_places(text, wanted):
        if " " in name or not _everyday(text, start, name):
            yield Span(start, start + len(name), "person", name, wanted[name])


def known_places(text: str, values: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yields where known values stand as whole words, of several that begin at one place the longest."""
    lengths: dict[str, set[int]] = {}
    known = set(values)
    for value in known:
        first = _WORD_OR_SIGN.match(value)
        if first is not None:
            lengths.setdefault(first[0], set()).add(len(value))
    if not lengths:
        return
    for match in _WORD_OR_SIGN.finditer(text):
        start = match.start()
        for length in sorted(lengths.get(match[0], ()), reverse=True):
            value = text[start : start + length]
            if value in known and not text[start + length : start + length + 1].isalnum():
                yield start, value
                break


_ACRONYM = regex.compile(r"\p{Lu}\p{Lu}")
_WORD_OR_SIGN = regex.compile(r"[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]")


def _everyday(text: str, start: int, word: str) -> bool:
    """Whether a word that is also an everyday one stands where everyday words are capitalised, too."""
    plain = word.lower()
    return plain in NOT_NAMES - ALSO_WORDS or (plain in ALSO_WORDS and _begins_sentence(text, start))


def _begins_sentence(text: str, start: int) -> bool:
    before = text[max(0, start - 3) : start].rstrip(" \"'\u201c(")
    return not before or before[-1] in ".!?:\n"
