"""A model's code in one process and its tests in another: only values cross, so no code can touch its own exam.

`serve` runs in the process of the code: it executes it, tells which names there are, and does what the tests ask
(call, look up, compare). `Judge` runs in the process of the tests, where every function and object of the code is a
`FarObject`. That process holds no line of the code, and the other one neither the tests nor the way to
report; so searching frames, replacing built-ins or answering with an object that equals everything is in vain.

Choices made here. A list, set or dictionary that the code changes is changed for the tests too. Errors come as the
nearest one that Python itself has. Names of built-ins are not taken from the code. `FarObject`s equal one
another where the code says so, and equal nothing else; they do not add, and they have no order.
"""

from __future__ import annotations

import builtins
import json
import operator
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import islice
from types import ModuleType
from typing import Any, TypeAlias

from holdfast.graders.sandbox.values import MAX_ITEMS, MAX_TEXT, packed, text_of, unpacked, words

Said: TypeAlias = "dict[str, Any]"

MAX_LINE = 16 * 2**20
"""Bytes that the code may answer at once."""


def _call(function: Callable[..., Any], given: list[Any], named: dict[str, Any]) -> object:
    return function(*given, **named)


_DEEDS: Mapping[str, Callable[..., Any]] = {
    "call": _call,
    "get": getattr,
    "set": setattr,
    "item": operator.getitem,
    "put": operator.setitem,
    "holds": operator.contains,
    "items": lambda value: list(islice(value, MAX_ITEMS)),
    "length": len,
    "true": bool,
    "text": str,
    "equal": lambda one, other: bool(one == other),
    "is_a": lambda kind, value: isinstance(value, kind),
}
"""What the tests can ask for, by name."""


def serve(code: str, asking: int, answering: int) -> None:
    """Runs `code`, says what it defines and then does what is asked until nothing more is asked."""
    held: list[Any] = []

    def number(value: object) -> int:
        held.append(value)
        return len(held) - 1

    def pack(value: object) -> Any:  # noqa: ANN401 - JSON
        return ["module", value.__name__] if isinstance(value, ModuleType) else packed(value, number)

    with os.fdopen(asking, "rb") as requests, os.fdopen(answering, "wb") as answers:
        scope: dict[str, Any] = {"__name__": "answer"}
        try:
            exec(compile(code, "answer.py", "exec"), scope)  # noqa: S102 - that is what this process is for
            first: Said = {"names": {name: pack(value) for name, value in scope.items() if name[:2] != "__"}}
        except BaseException as error:  # noqa: BLE001 - a model's code may raise anything
            first = {"failed": words("the code failed", error)}
        answers.write((json.dumps(first) + "\n").encode())
        answers.flush()
        for line in requests:
            answers.write((json.dumps(_done(line, held, number)) + "\n").encode())
            answers.flush()


def _done(line: bytes, held: list[Any], number: Callable[[object], int]) -> list[Any]:
    """Does one thing that the tests ask for; returns its value with the arguments as they are now, or its error."""
    try:
        deed, *given = json.loads(line)
        given = [unpacked(part, held.__getitem__) for part in given]
        value = _DEEDS[deed](*given)
        return ["value", packed(value, number), packed(given[1], number) if deed == "call" else None]
    except BaseException as error:  # noqa: BLE001 - a model's code may raise anything
        return ["raised", [kind.__name__ for kind in type(error).__mro__], text_of(error)[:MAX_TEXT]]


class CodeEndedError(BaseException):
    """The process of the code is gone. No `except Exception` of a test may swallow that."""


class NotPlainError(BaseException):
    """The tests hand the code something that cannot leave their process."""


class Judge:
    """The side of the tests: runs each against the code on the other side of two pipes."""

    def __init__(self, asking: int, answering: int) -> None:
        self._requests, self._answers = os.fdopen(asking, "wb"), os.fdopen(answering, "rb")

    def run(self, sample: Mapping[str, Any]) -> Said:
        """Returns the share of the sample's tests that pass, or why that cannot be said."""
        passed, first = 0, ""
        try:
            start = self._read()
            if "failed" in start:
                return {"value": 0.0, "text": str(start["failed"])[:MAX_TEXT]}
            scope = {"__name__": "tests", **self._names(start)}
            for place, test in enumerate(sample["tests"], 1):
                try:
                    exec(compile(test, f"test_{place}.py", "exec"), scope)  # noqa: S102 - the item's own tests
                    passed += 1
                except (CodeEndedError, NotPlainError):
                    raise
                except BaseException as error:  # noqa: BLE001 - a failed test is a raised exception
                    first = first or words(f"test {place} failed", error)
        except CodeEndedError:
            return {"value": 0.0, "text": "the process of the code ended"}
        except NotPlainError as error:
            return {"error": "tests_need_objects", "text": str(error)}
        return {"value": passed / len(sample["tests"]), "text": first or f"passes all {passed}"}

    def ask(self, deed: str, *given: object) -> Any:  # noqa: ANN401 - any value at all
        """Returns what the code makes of it, or raises what it raises."""
        line = json.dumps([deed, *(packed(part, _number) for part in given)])
        try:
            self._requests.write((line + "\n").encode())
            self._requests.flush()
        except BrokenPipeError:
            raise CodeEndedError from None
        kind, found, more = self._read()
        if kind == "raised":
            raise _error(found, str(more))
        if deed == "call":
            for mine, theirs in zip(given[1], unpacked(more, self._far), strict=True):  # type: ignore[call-overload]
                _become(mine, theirs)
        return unpacked(found, self._far)

    def _names(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the code defines, under its names; built-ins stay what they are."""
        names: dict[str, Any] = {}
        try:
            for name, value in start["names"].items():
                if name[:2] == "__" or hasattr(builtins, name):
                    continue
                is_module = isinstance(value, list) and value[:1] == ["module"]
                names[name] = import_module(value[1]) if is_module else unpacked(value, self._far)
        except BaseException:  # noqa: BLE001 - the code is free to say anything
            raise CodeEndedError from None
        return names

    def _far(self, number: int) -> FarObject:
        return FarObject(self, number)

    def _read(self) -> Any:  # noqa: ANN401 - JSON
        line = self._answers.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise CodeEndedError
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise CodeEndedError from None


class FarObject:
    """A function, class or object that stays in the process of the code."""

    def __init__(self, judge: Judge, number: int) -> None:
        self.__dict__["_far"] = judge, number

    def _ask(self, deed: str, *given: object) -> Any:  # noqa: ANN401 - any value at all
        return self._far[0].ask(deed, self, *given)

    def __call__(self, *given: object, **named: object) -> Any:  # noqa: ANN401
        """Returns what the code returns."""
        return self._ask("call", list(given), named)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name[:2] == "__" and name != "__name__":
            raise AttributeError(name)
        return self._ask("get", name)

    def __setattr__(self, name: str, value: object) -> None:
        self._ask("set", name, value)

    def __getitem__(self, key: object) -> Any:  # noqa: ANN401
        return self._ask("item", key)

    def __setitem__(self, key: object, value: object) -> None:
        self._ask("put", key, value)

    def __contains__(self, value: object) -> bool:
        return self._ask("holds", value) is True

    def __iter__(self) -> Any:  # noqa: ANN401
        return iter(self._ask("items"))

    def __len__(self) -> int:
        return self._ask("length")

    def __bool__(self) -> bool:
        return self._ask("true") is True

    def __str__(self) -> str:
        return self._ask("text")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FarObject) and self._ask("equal", other) is True

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, FarObject) and self._ask("is_a", value) is True

    def __hash__(self) -> int:
        return hash(self._far[1])


def _number(value: object) -> int:
    """Returns the number of a far object; nothing else that is not plain can be handed to the code."""
    if isinstance(value, FarObject):
        return value._far[1]
    raise NotPlainError(
        f"the tests hand the code a {type(value).__name__}, which cannot leave their process: "
        'run both in one with "together": true'
    )


def _become(mine: object, theirs: object) -> None:
    """Changes an argument of the tests as the code changed its copy."""
    if type(mine) is not type(theirs):
        return
    if isinstance(mine, list | bytearray):
        mine[:] = theirs  # type: ignore[call-overload, assignment]
    elif isinstance(mine, dict | set):
        mine.clear()
        mine.update(theirs)  # type: ignore[arg-type]


def _error(kinds: list[str], text: str) -> Exception:
    """Returns the nearest error that Python itself has; never one that ends a loop quietly."""
    for name in kinds:
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (StopIteration, StopAsyncIteration):
            try:
                return kind(text)
            except TypeError:
                break  # some need more than a text
    return RuntimeError(text)
