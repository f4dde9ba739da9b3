"""Secrets and personal data: reported by kind, masked consistently over the whole data set, or dropped with the row."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from holdfast.data.check import (
    MANY_SHOWN,
    Change,
    CheckSettings,
    Decision,
    Drop,
    Finding,
    LookingCheck,
    Shown,
    shortened,
    text_of,
)
from holdfast.data.pii.engines import finder_of
from holdfast.data.pii.kinds import DEFAULT_GROUPS, GROUPS, expand
from holdfast.data.pii.people import ALL_LANGUAGES
from holdfast.data.pii.placeholders import Placeholders
from holdfast.data.pii.rewrite import Found, hide, masked, search
from holdfast.errors import ConfigError
from holdfast.settings import Share
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.data.check import Context, Row
    from holdfast.types import JSONValue


class PersonalDataSettings(CheckSettings):
    """What is looked for, with what, and what is done about it."""

    kinds: tuple[str, ...] = DEFAULT_GROUPS
    """Kinds and groups of kinds that are looked for; the group `indirect` names nobody alone and is left out."""
    action: Literal["mask", "drop"] = "mask"
    """mask = a placeholder in place of the value, the same for the same person; drop = the row is not used."""
    allow: tuple[str, ...] = ()
    """Values that may stay, in any case, with * for any characters: `support@example.org`, `*@example.org`."""
    engine: Literal["builtin", "presidio", "both"] = "builtin"
    """What looks: our patterns; Presidio's (`pip install 'holdfast[data]'`); or both, the surer place counts."""
    spacy_model: str = ""
    """An installed spaCy model by which Presidio finds names, places and organisations; without one it does not."""
    languages: tuple[str, ...] = ALL_LANGUAGES
    """Whose titles, introductions and greetings tell names; Presidio reads texts as being in the first of them."""
    min_confidence: Share = 0.5
    """From how sure on a place counts; 0.4 takes any two capitalised words for a name."""
    keep_before: bool = Field(default=True)
    """Whether the ledger keeps what stood there before; without, it keeps the kind of every value only."""

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            expand(names)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return names

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [language for language in languages if language not in ALL_LANGUAGES]
        if unknown or not languages:
            raise ValueError(f"choose languages from {', '.join(ALL_LANGUAGES)}")
        return languages

    @model_validator(mode="after")
    def _all_has_an_effect(self) -> PersonalDataSettings:
        if self.engine == "builtin":
            self.refuse_if_changed(["spacy_model"], "only Presidio reads it (engine)")
        return self


class PersonalData(LookingCheck[PersonalDataSettings, "Sequence[Found]"]):
    """Finds secrets and personal data; its findings and reports never hold a value that was found."""

    name: ClassVar[str] = "personal_data"
    Settings = PersonalDataSettings
    local: ClassVar[bool] = False  # a placeholder's number is known when the rows before were seen

    def __init__(self, settings: PersonalDataSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._finder = finder_of(settings)
        self._placeholders = Placeholders()
        self._places: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._with = bytearray()
        self._num_seen = 0
        self._num_rows = 0
        self._num_learned = 0
        self._shown: list[Shown] = []

    def look(self, rows: Sequence[Row]) -> list[Found]:
        """Returns the places in each row."""
        return [search(row.example, self._finder) for row in rows]

    def take(self, rows: Sequence[Row], looked: Sequence[Found]) -> None:
        """Counts what is found in a chunk of rows, and numbers the values in reading order."""
        self._num_seen += len(rows)
        for row, found in zip(rows, looked, strict=True):
            counts = found.counts()
            if not counts:
                continue
            self._places.update(counts)
            self._rows.update(counts.keys())
            self._num_rows += 1
            self._num_learned += _in_an_answer(row.example, found)
            self._mark(row.number)
            for span in found.all():
                self._placeholders.number(span.kind, found.value(span))
            if len(self._shown) < MANY_SHOWN:
                self._shown.append(self._show(row, found, counts))

    def finding(self) -> Finding:
        """Returns the counts by kind, and rows with every value masked."""
        settings = self.settings
        distinct = self._placeholders.distinct()
        kinds: dict[str, JSONValue] = {
            kind: {"places": self._places[kind], "rows": self._rows[kind], "distinct": distinct[kind]}
            for kind in sorted(self._places)
        }
        figures: dict[str, JSONValue] = {
            "kinds": kinds,
            "rows_with_it_in_a_trained_answer": self._num_learned,
            "engine": settings.engine,
            "action": settings.action,
        }
        if not self._num_rows:
            return Finding(self.name, "No secrets or personal data were found.", figures=figures)
        secrets = any(kind in GROUPS["secret"] for kind in kinds)
        remedy = "mask them, the same value by the same placeholder" if settings.action == "mask" else "drop these rows"
        return Finding(
            self.name,
            self._title(distinct),
            "problem" if secrets else "warning",
            self._num_rows,
            remedy,
            figures,
            tuple(self._shown),
        )

    def _title(self, distinct: Mapping[str, int]) -> str:
        """Returns the finding in one sentence: rows, those where a mask would be learned, and places by kind."""
        learned = self._num_learned if self.settings.action == "mask" else 0
        answers = f", in {learned} of them in an answer that is trained" if learned else ""
        listed = ", ".join(
            f"{kind} {count}" + (f" ({distinct[kind]} different)" if distinct[kind] < count else "")
            for kind, count in self._places.most_common()
        )
        return f"Secrets or personal data in {self._num_rows} of {self._num_seen} rows{answers}: {listed}."

    def decide(self, row: Row) -> Decision:
        """Returns the row with placeholders, or that it is dropped; None where nothing was found in it."""
        if not self._is_marked(row.number):
            return None
        found = search(row.example, self._finder)
        what = _listed(found.counts())
        if self.settings.action == "drop":
            return Drop("personal_data", f"holds secrets or personal data ({what})")
        return Change(self._mask(row.example, found), f"masked: {what}")

    def before(self, row: Row) -> Example:
        """Returns the row as the ledger keeps it from before the remedy, by `keep_before`."""
        return row.example if self.settings.keep_before else hide(row.example, self._finder)

    def before_text(self, text: str) -> str:
        """Returns a row that was not used, as text, as the ledger keeps it, by `keep_before`."""
        if self.settings.keep_before:
            return text
        return hide(Example("", (Message("user", text),)), self._finder).messages[0].content

    def _mask(self, example: Example, found: Found) -> Example:
        return masked(example, found, lambda span: self._placeholders.text(span.kind, found.value(span)))

    def _show(self, row: Row, found: Found, counts: Counter[str]) -> Shown:
        before = masked(row.example, found, lambda span: f"[{span.kind.upper()}]")
        after = self._mask(row.example, found) if self.settings.action == "mask" else None
        return Shown(
            row.example.source, _excerpt(text_of(before)), _excerpt(text_of(after)) if after else "", _listed(counts)
        )

    def _mark(self, number: int) -> None:
        place, bit = divmod(number, 8)
        if place >= len(self._with):
            self._with.extend(bytes(max(place + 1 - len(self._with), len(self._with))))
        self._with[place] |= 1 << bit

    def _is_marked(self, number: int) -> bool:
        place, bit = divmod(number, 8)
        return place < len(self._with) and bool(self._with[place] >> bit & 1)


def _in_an_answer(example: Example, found: Found) -> bool:
    """Whether a place is in an assistant turn that is learned, its calls included."""
    texts = (
        text
        for message in example.messages
        if message.role == "assistant" and message.weight
        for text in (message.content, *(call.arguments for call in message.tool_calls))
    )
    return any(spans for text in texts for _, spans in found.spans.get(text, ()))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


def _excerpt(text: str) -> str:
    """Returns a text from a little before its first placeholder on."""
    first = re.search(r"\[[A-Z_]+(?:_\d+)?\]", text)
    start = max(0, first.start() - 80) if first else 0
    return ("… " if start else "") + shortened(text[start:])
