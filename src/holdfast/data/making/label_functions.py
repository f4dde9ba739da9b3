"""Labelling functions: plain Python functions in a file of the user's own, and the votes they give.

The file runs as the user's own code, in this process and with all its rights, like any script of theirs.
"""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from holdfast.data.making.label_model import ABSTAIN
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from holdfast.types import Example

    LabelFunction: TypeAlias = Callable[[Example], str | None]

LISTED = "LABEL_FUNCTIONS"
"""A file may name its labelling functions in a list of this name."""
MOST_LABELS = 1000
"""More different labels than this are no labels but texts."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Rows at which a function gave no usable vote, so that it abstains there: how many by reason, and the first."""

    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    first: str = ""

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Votes:
    """What M functions say of N rows, alike rows kept once.

    `patterns` [P, M] holds the different rows of votes, as indices into `labels` or `ABSTAIN`, and `known` [P] the
    label that their rows came with. `row_of` [N] says which of them each row is, `counts` [P] how many rows are
    like it.
    """

    labels: tuple[str, ...]
    patterns: NDArray[np.int64]
    known: NDArray[np.int64]
    row_of: NDArray[np.int32]
    counts: NDArray[np.int64]
    faults: tuple[Faults, ...]

    @property
    def votes(self) -> NDArray[np.int64]:
        """The votes of every row, [rows, functions]."""
        return self.patterns[self.row_of]

    def differ(self) -> NDArray[np.bool_]:
        """Returns of each pattern whether its votes contradict each other, [P]."""
        voted = self.patterns != ABSTAIN
        lowest = np.where(voted, self.patterns, len(self.labels)).min(1, initial=len(self.labels))
        return voted.any(1) & (self.patterns.max(1, initial=ABSTAIN) != lowest)


def load_functions(path: str | Path) -> dict[str, LabelFunction]:
    """Returns the labelling functions of a Python file by name, in the file's order.

    They are the functions in its list `LABEL_FUNCTIONS`, or, without one, all functions that the file defines and whose
    name does not begin with an underscore.

    Raises:
        DataError: the file cannot be read or run, has no such function, or one that does not take one example.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"{path}: there is no such file. Give a Python file with labelling functions.")
    module = _run(path)
    listed = getattr(module, LISTED, None)
    if listed is None:
        found = [item for item in vars(module).values() if inspect.isfunction(item)]
        own = [item for item in found if item.__module__ == module.__name__ and not item.__name__.startswith("_")]
        functions: dict[str, LabelFunction] = {item.__name__: item for item in own}
    else:
        functions = _named(listed, path)
    if not functions:
        raise DataError(
            f"{path}: defines no function. A labelling function is `def name(example): return a label or None`."
        )
    for name, function in functions.items():
        if not _takes_one(function):
            raise DataError(
                f"{path}: {name}{_signature(function)} does not take one example. Change it, begin its name with an "
                f"underscore if it is no labelling function, or name the others in a list {LISTED}."
            )
    return functions


def votes_of(examples: Sequence[Example], functions: Mapping[str, LabelFunction], labels: Sequence[str] = ()) -> Votes:
    """Returns the vote of every function on every example.

    `Ballot` does the same for examples that come in chunks.
    """
    ballot = Ballot(functions, labels)
    ballot.add(examples)
    return ballot.votes()


class Ballot:
    """Takes the vote of every function on examples that come in chunks, and keeps four bytes an example.

    A function that raises, that returns something else than text or None, or a label that is not among `labels`,
    abstains on that row, and the row is counted among its faults. Without `labels`, they are those that occur as votes
    and on the examples themselves, sorted.
    """

    def __init__(self, functions: Mapping[str, LabelFunction], labels: Sequence[str] = ()) -> None:
        self._functions = list(functions.values())
        self._labels = tuple(labels)
        self._seen: set[str | None] = {None}
        self._patterns: dict[tuple[str | None, ...], int] = {}
        self._row_of = array("i")
        self._counts: list[Counter[str]] = [Counter() for _ in self._functions]
        self._first = ["" for _ in self._functions]

    def add(self, examples: Iterable[Example]) -> list[int]:
        """Takes the votes on some examples, and returns for each the number of its pattern in `Votes`.

        Raises:
            DataError: there are more than `MOST_LABELS` different labels.
        """
        allowed = set(self._labels) or None
        start = len(self._row_of)
        for example in examples:
            found: list[str | None] = []
            for number, function in enumerate(self._functions):
                vote, fault = _vote(function, example, allowed)
                found.append(vote)
                if fault:
                    kind, _, detail = fault.partition("\n")
                    place = example.source or example.id or "first row"
                    self._first[number] = self._first[number] or f"{place}: {detail or kind}"
                    self._counts[number][kind] += 1
            self._row_of.append(self._patterns.setdefault((*found, example.label), len(self._patterns)))
            self._seen.update((*found, example.label))
            if len(self._seen) > MOST_LABELS + 1:
                raise DataError(
                    f"The labelling functions and the rows give more than {MOST_LABELS:,} different labels, such as "
                    f"{(example.label or next(filter(None, found)))[:60]!r}. Return one of a few labels, or None."
                )
        return self._row_of[start:].tolist()

    def votes(self) -> Votes:
        """Returns all votes taken so far.

        Raises:
            DataError: an example came with a label that is not among `labels`.
        """
        given = {pattern[-1] for pattern in self._patterns}
        other = sorted(label for label in given if label is not None and self._labels and label not in self._labels)
        if other:
            raise DataError(f"Some rows have the label {other[0]!r}, which is not among `labels`. Add it there.")
        order = self._labels or tuple(sorted(label for label in self._seen if label is not None))
        index: dict[str | None, int] = {label: number for number, label in enumerate(order)}
        codes = np.array([[index.get(vote, ABSTAIN) for vote in pattern] for pattern in self._patterns], np.int64)
        codes = codes.reshape(len(self._patterns), len(self._functions) + 1)
        row_of = np.array(self._row_of, np.int32)
        counts = np.bincount(row_of, minlength=len(codes))
        told = zip(self._counts, self._first, strict=True)
        faults = tuple(Faults(dict(kinds.most_common()), first) for kinds, first in told)
        return Votes(order, codes[:, :-1], codes[:, -1], row_of, counts, faults)


def _vote(function: LabelFunction, example: Example, allowed: set[str] | None) -> tuple[str | None, str]:
    """The vote and, where there is none because of a fault, its kind and (behind a line break) what happened."""
    try:
        vote = function(example)
    except Exception as error:  # noqa: BLE001 - the user's own code may raise anything
        return None, f"raises {type(error).__name__}\nraises {type(error).__name__}: {error}"
    if vote is None:
        return None, ""
    if not isinstance(vote, str):
        return None, f"returns {type(vote).__name__} instead of text or None"
    if not vote.strip():
        return None, "returns empty text instead of a label or None"
    if allowed is not None and vote not in allowed:
        return None, f"votes {vote[:60]!r}, which is not among the labels"
    return vote, ""


def _run(path: Path) -> ModuleType:
    name = f"holdfast_label_functions_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path}: is not a Python file. Its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DataError(f"{path}{_line_of(error, path)}: {_said(error)}. Correct the file.") from error
    return module


def _line_of(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "ends the program when it is loaded"
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"cannot be loaded, {type(error).__name__}: {message}"


def _named(listed: object, path: Path) -> dict[str, LabelFunction]:
    if not isinstance(listed, list | tuple) or not all(callable(item) for item in listed):
        raise DataError(f"{path}: {LISTED} must be a list of functions, such as [mentions_money, is_short].")
    names = [str(getattr(item, "__name__", f"function {number}")) for number, item in enumerate(listed, start=1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path}: {LISTED} has {twice[0]} more than once. Give every function a name of its own.")
    return dict(zip(names, listed, strict=True))


def _takes_one(function: LabelFunction) -> bool:
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _signature(function: LabelFunction) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "()"
