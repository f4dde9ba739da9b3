"""What a check of the data doctor is: it sees every row, says what it found, and decides about each row.

Rows come in chunks, so that a check holds what it needs to remember and never all rows. It is used like this:

    for rows in chunks:
        check.see(rows)
    finding = check.finding()
    if finding.remedy and approved:
        for row in rows of every chunk:
            check.decide(row)

`decide` is a function of the row and of what was seen, and changes nothing. Where `local` is True it is a function of
the row alone, so that a chunk may be decided about as soon as it was seen, in one pass over the data. A `LookingCheck`
sees in two steps, of which the first needs the rows alone and may be done on another machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeAlias, TypeVar

from holdfast.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from holdfast.types import Example, JSONValue


class CheckSettings(Settings):
    """What every check can be told; each check adds its own."""

    enabled: bool = True
    """Whether the check is made at all."""
    remedy: Literal["ask", "apply", "skip"] = "ask"
    """Whether what it proposes is done; ask = a person is asked, and without one it is done."""

    def pinned(self) -> Self:
        """Returns the settings with the sha256 of a file that they name and that decides about rows.

        Called before anything is read; what is wrong with such a file is said here, as a DataError.
        """
        return self


S = TypeVar("S", bound=CheckSettings)

MANY_SHOWN = 5
"""So many rows are shown with a finding; all that a remedy concerns are in the ledger."""
SHOWN_LENGTH = 240
"""So many characters of a row are shown."""


@dataclass(frozen=True, slots=True)
class Row:
    """One example and its number in reading order over all sources, which names it during a preparation."""

    number: int
    example: Example


@dataclass(frozen=True, slots=True)
class Change:
    """The row is used as `example`; `what` says in one phrase what is other than before."""

    example: Example
    what: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The row is not used; `kind` groups reasons in reports, `reason` completes the sentence "this row …"."""

    kind: str
    reason: str


Decision: TypeAlias = "Change | Drop | None"


@dataclass(frozen=True, slots=True)
class Shown:
    """A row shown with a finding: its place, its text before and, where it would change, after."""

    source: str
    before: str
    after: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    `title` is one sentence with its count. `remedy` says what would be done about it ("mask them, the same person by
    the same placeholder"), None where there is nothing to do or only people can do it. `level` is `problem` where a
    model would learn something wrong, `warning` where it may. `figures` are for reports and programs.
    """

    check: str
    title: str
    level: Literal["ok", "note", "warning", "problem"] = "ok"
    num_rows: int = 0
    remedy: str | None = None
    figures: Mapping[str, JSONValue] = field(default_factory=dict[str, "JSONValue"])
    shown: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What checks need from outside the room: functions of a model, other data, and a folder for large state.

    `count_tokens` counts the tokens of a text in the chosen model; `problem_of` says why the model cannot learn an
    example (template, mask, length), or None; `embed` turns texts into rows of unit length (float32,
    [num_texts, dim]). `scratch` is an empty folder that is removed afterwards.
    """

    scratch: Path
    seed: int = 0
    count_tokens: Callable[[str], int] | None = None
    problem_of: Callable[[Example], str | None] | None = None
    embed: Callable[[Sequence[str]], NDArray] | None = None
    max_tokens: int | None = None
    others: Mapping[str, Callable[[], Iterable[Example]]] = field(
        default_factory=dict[str, "Callable[[], Iterable[Example]]"]
    )
    """Data by name to compare with (`test of refunds`, `training data of refunds`, a benchmark's file)."""
    rows: Callable[[], Iterable[Example]] | None = None
    """All rows of this preparation, for a check after the split, which sees those of one side."""


class Check(ABC, Generic[S]):
    """One numbered analysis with its remedy; a new one is made for every preparation."""

    name: ClassVar[str]
    """What plans and reports call it."""
    Settings: ClassVar[type[CheckSettings]] = CheckSettings
    local: ClassVar[bool] = False
    training_only: ClassVar[bool] = False
    """True where it compares rows with each other, which is no business of rows given as a test."""

    def __init__(self, settings: S, context: Context) -> None:
        self.settings = settings
        self.context = context

    def concerns(self, row: Row) -> bool:
        """Tells whether the check looks at this row at all."""
        return True

    @abstractmethod
    def see(self, rows: Sequence[Row]) -> None:
        """Takes in one chunk of rows, in reading order."""

    @abstractmethod
    def finding(self) -> Finding:
        """Returns what was found in all rows seen."""

    @abstractmethod
    def decide(self, row: Row) -> Decision:
        """Returns what the remedy does to a row that was seen; None leaves it as it is."""


L = TypeVar("L")


class LookingCheck(Check[S], Generic[S, L]):
    """A check of which most of the work is to look at each row by itself."""

    @abstractmethod
    def look(self, rows: Sequence[Row]) -> L:
        """Returns what the check needs to know of a chunk's rows: a pure function of them, and it can be pickled."""

    @abstractmethod
    def take(self, rows: Sequence[Row], looked: L) -> None:
        """Takes in one chunk of rows, in reading order, with what `look` returned for them."""

    def see(self, rows: Sequence[Row]) -> None:
        """Looks at one chunk of rows and takes it in."""
        self.take(rows, self.look(rows))


def text_of(example: Example) -> str:
    """Returns all that is said in an example, turn by turn, with its document and label."""
    parts = [message.content for message in example.turns if message.content]
    parts += [call.arguments for message in example.turns for call in message.tool_calls]
    return "\n".join([*parts, *(part for part in (example.document, example.privileged_context) if part)])


def shown(row: Row, after: Example | None = None, note: str = "") -> Shown:
    """Returns a row as findings show it."""
    return Shown(
        row.example.source,
        shortened(text_of(row.example)),
        shortened(text_of(after)) if after is not None else "",
        note,
    )


def shortened(text: str) -> str:
    """Returns the first `SHOWN_LENGTH` characters of a text, with the number of those left out."""
    left_out = len(text) - SHOWN_LENGTH
    return text if left_out <= 0 else f"{text[:SHOWN_LENGTH]}… ({left_out} more characters)"
