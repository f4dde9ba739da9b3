"""Which languages rows are written in, and rows that are asked in one language and answered in another.

Languages are told by lingua (n-gram models of letters, the extra `data`) among those that the settings list: a text in
another language is mostly "not told", and the more are listed, the more memory and the more mistakes. The thirteen
listed by default take 0.28 GB; all 75 would take 0.98 GB.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from holdfast.data.check import CheckSettings, Drop, Finding, Shown, shortened
from holdfast.data.checks.phrases import CODE
from holdfast.data.checks.repetition import words_of
from holdfast.data.checks.row_check import RowCheck
from holdfast.data.checks.wording import Tally, counted, listed, of_rows
from holdfast.errors import DataError
from holdfast.settings import Count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.check import Context, Decision, Row
    from holdfast.types import Example

INSTALL = "pip install 'holdfast[data]'"
NOT_TOLD = "not told"
TOO_SHORT = "too short to tell"
_JUDGED_LENGTH = 300
_UNKNOWN = (NOT_TOLD, TOO_SHORT, "")


class LanguageSettings(CheckSettings):
    """Among which languages is told, which are kept, and how sure one must be."""

    languages: Annotated[tuple[str, ...], Field(min_length=2)] = (
        "ar", "de", "en", "es", "fa", "fr", "hi", "it", "ja", "pt", "ru", "tr", "zh",
    )  # fmt: skip
    """The languages that may occur, as ISO 639-1 codes; a text in another is not told, or mistaken for one of them."""
    keep: tuple[str, ...] = ()
    """If any are given, rows in other languages are dropped; rows whose language is not told are kept."""
    mixed: Literal["keep", "drop"] = "keep"
    """Whether rows answered in another language than asked are dropped; translations are such rows, too."""
    min_words: Count = 3
    """Shorter texts than this are too short to tell, and not guessed."""
    certainty: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    """How much more probable the most probable language must be than the next; below, it is not told."""

    @model_validator(mode="after")
    def _kept_languages_are_listed(self) -> Self:
        missing = sorted(set(self.keep) - set(self.languages))
        if missing:
            raise ValueError(f"keep names {', '.join(missing)}, which languages does not list; add it there")
        return self


class Detector(Protocol):
    """Tells the languages of many texts at once, as ISO 639-1 codes; None where it is not sure."""

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        """Returns one code or None for each text."""
        ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """The languages of one row's questions and answers: a code, `NOT_TOLD`, `TOO_SHORT`, or "" without such a turn."""

    asked: str
    answered: str

    @property
    def language(self) -> str:
        """The language of the row: of its answers where it is told, else of its questions."""
        return self.answered if self.answered not in _UNKNOWN else self.asked or self.answered

    @property
    def is_mixed(self) -> bool:
        """Whether it is answered in another language than asked."""
        return self.asked != self.answered and self.asked not in _UNKNOWN and self.answered not in _UNKNOWN


class LanguageCheck(RowCheck[LanguageSettings, Spoken]):
    """Tells the language of every row; the remedy drops those outside `keep`, and mixed ones if told so."""

    name: ClassVar[str] = "language"
    Settings: ClassVar[type[CheckSettings]] = LanguageSettings

    def __init__(self, settings: LanguageSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._is_made = find_spec("lingua") is not None
        if not self._is_made and (settings.keep or settings.mixed == "drop"):
            raise DataError(
                "Rows cannot be chosen by language because lingua is not installed. "
                f"Install it ({INSTALL}), or take `keep` and `mixed` out of the settings of `language`.",
                param="language",
            )
        self._detector: Detector | None = None
        self._languages: Counter[str] = Counter()
        self._tally = Tally()
        self._mixed: Counter[str] = Counter()
        self._num_dropped = 0

    def examine(self, row: Row) -> Spoken:
        """Returns the languages of one row."""
        return self.look([row])[0]

    def look(self, rows: Sequence[Row]) -> list[Spoken]:
        """Returns the languages of a chunk of rows, told all at once."""
        if not self._is_made:
            return [Spoken("", "") for _ in rows]
        texts = [text for row in rows for text in said_and_answered(row.example)]
        is_long = [self._num_words(text) >= self.settings.min_words for text in texts]
        told = iter(self._told([text for text, long in zip(texts, is_long, strict=True) if long]))
        names = [
            (next(told) or NOT_TOLD) if long else TOO_SHORT if text else ""
            for text, long in zip(texts, is_long, strict=True)
        ]
        return [Spoken(asked, answered) for asked, answered in zip(names[::2], names[1::2], strict=True)]

    def count(self, row: Row, found: Spoken) -> None:
        """Counts the language of a row, and the pair where two are mixed."""
        if not self._is_made:
            return
        self._languages[found.language or TOO_SHORT] += 1
        decision = self.verdict(row, found)
        self._num_dropped += isinstance(decision, Drop)
        kinds: list[str] = []
        if found.is_mixed:
            self._mixed[f"asked in {found.asked}, answered in {found.answered}"] += 1
            kinds.append(f"asked in {found.asked}, answered in {found.answered}")
        elif isinstance(decision, Drop):
            kinds.append(f"is in {found.language}")
        self._tally.add(kinds, lambda kind: _shown(row, kind))

    def verdict(self, row: Row, found: Spoken) -> Decision:
        """Returns a drop where the row's language is told and not to be kept."""
        kept = self.settings.keep
        if kept and found.language not in (*kept, *_UNKNOWN):
            return Drop("language", f"is in {found.language}, and only {', '.join(kept)} are kept")
        if self.settings.mixed == "drop" and found.is_mixed:
            return Drop("mixed_languages", f"asks in {found.asked} and answers in {found.answered}")
        return None

    def finding(self) -> Finding:
        """Returns the shares of languages; says so where they could not be told."""
        if not self._is_made:
            title = f"The languages of {counted(self.num_seen, 'row')} were not told, because lingua is not installed"
            return Finding(self.name, f"{title} ({INSTALL})", level="note", figures={"made": False, "install": INSTALL})
        num_mixed = sum(self._mixed.values())
        title = f"Languages of {counted(self.num_seen, 'row')}: {listed(self._languages) or 'none'}"
        if num_mixed:
            title += f"; {of_rows(num_mixed, self.num_seen, 'are', 'is')} answered in another language than asked"
        level: Literal["ok", "note", "warning"] = "warning" if self._num_dropped else "note" if num_mixed else "ok"
        return Finding(
            self.name,
            title,
            level=level,
            num_rows=self._num_dropped or num_mixed,
            remedy=self._remedy() if self._num_dropped else None,
            figures={
                "made": True,
                "rows": self.num_seen,
                "languages": dict(self._languages.most_common()),
                "mixed": dict(self._mixed.most_common(50)),
                "dropped": self._num_dropped,
            },
            shown=self._tally.shown(),
        )

    def _remedy(self) -> str:
        why = [f"in other languages than {', '.join(self.settings.keep)}"] if self.settings.keep else []
        why += ["answered in another language than asked"] if self.settings.mixed == "drop" else []
        return f"drop {counted(self._num_dropped, 'row')} {' or '.join(why)}"

    def _told(self, texts: list[str]) -> list[str | None]:
        if not texts:
            return []
        if self._detector is None:
            self._detector = lingua_detector(self.settings.languages, self.settings.certainty)
        return self._detector(texts)

    def _num_words(self, text: str) -> int:
        return sum(not word.isdigit() for word in words_of(text))


def said_and_answered(example: Example) -> tuple[str, str]:
    """Returns the beginnings of what is asked and of what is answered, without code."""
    asked = "\n".join(turn.content for turn in example.messages if turn.role == "user")
    answered = "\n".join(turn.content for turn in example.messages if turn.role == "assistant")
    return _prose(asked), _prose(answered)


def _prose(text: str) -> str:
    return CODE.sub(" ", text[: 4 * _JUDGED_LENGTH]).strip()[:_JUDGED_LENGTH]


def lingua_detector(codes: Sequence[str], certainty: float) -> Detector:
    """Returns a detector among the languages of the given codes; raises `DataError` for a code that lingua lacks."""
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    languages: list[IsoCode639_1] = []
    for code in codes:
        try:
            languages.append(IsoCode639_1.from_str(code.upper()))
        except ValueError:
            raise DataError(
                f"languages: {code!r} is not the ISO 639-1 code of a language that can be told. "
                "Give two letters, such as en or fa, or leave it out.",
                param="languages",
            ) from None
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*languages).with_minimum_relative_distance(certainty)
    detector = builder.build()

    def tell(texts: Sequence[str]) -> list[str | None]:
        found = detector.detect_languages_in_parallel_of(list(texts))
        return [None if language is None else language.iso_code_639_1.name.lower() for language in found]

    return tell


def _shown(row: Row, note: str) -> Shown:
    asked, answered = said_and_answered(row.example)
    return Shown(row.example.source, shortened("\n".join(text for text in (asked, answered) if text)), "", note)
