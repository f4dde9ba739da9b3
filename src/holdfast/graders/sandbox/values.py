"""What crosses between the process of the tests and that of the code: values as copies in JSON, errors in words.

Plain values (numbers, texts, bytes, lists, tuples, sets, dictionaries, ranges, iterators of the standard library)
become what they are on the other side, and never more: an object that claims to equal everything does not
cross. An object of the code's own stays where it is, and only its number goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

MAX_TEXT = 300
MAX_ITEMS = 100_000
"""An iterator is read this far before it crosses."""
_LONG_INTEGER = 10_000
"""Bits beyond which an integer goes in hexadecimal: Python refuses to read long decimal ones."""
_COLLECTIONS: dict[str, Callable[[Any], Any]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": lambda items: iter(list(items)),
}  # fmt: skip


def packed(value: Any, number: Callable[[Any], int]) -> Any:  # noqa: ANN401 - any value at all
    """Returns `value` as JSON; what is not plain becomes an object, whose number `number` gives or refuses."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()  # NumPy's numbers are meant as numbers
    if value is None or isinstance(value, bool):
        return value
    for kind in (float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() < _LONG_INTEGER else ["int", hex(value)]
    if isinstance(value, dict):
        return ["dict", [[packed(key, number), packed(item, number)] for key, item in value.items()]]
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, [packed(item, number) for item in value]]
    if isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools"):
        return ["iterator", [packed(item, number) for item in islice(value, MAX_ITEMS)]]
    return _parts(value) or ["object", number(value)]


def _parts(value: object) -> list[Any]:
    """Returns a rarer plain value as its parts; empty for what is none."""
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, bytes | bytearray):
        return ["bytearray" if isinstance(value, bytearray) else "bytes", value.hex()]
    if isinstance(value, range):
        return ["range", value.start, value.stop, value.step]
    return []


def unpacked(found: Any, at: Callable[[int], Any]) -> Any:  # noqa: ANN401 - any value at all
    """Returns the value that `packed` packed; `at` gives what stands for an object. Believes nothing.

    Raises:
        ValueError: nothing packs like that.
    """
    if isinstance(found, dict):
        raise ValueError("no value is packed like that")
    if not isinstance(found, list):
        return found
    kind, *parts = found
    if kind in _COLLECTIONS:
        return _COLLECTIONS[kind](unpacked(item, at) for item in parts[0])
    if kind == "dict":
        return {unpacked(key, at): unpacked(item, at) for key, item in parts[0]}
    if kind == "object":
        return at(int(parts[0]))
    if kind == "int":
        return int(parts[0], 16)
    if kind in ("bytes", "bytearray"):
        data = bytes.fromhex(parts[0])
        return data if kind == "bytes" else bytearray(data)
    if kind in ("complex", "range"):
        return complex(*parts) if kind == "complex" else range(*parts)
    raise ValueError("no value is packed like that")


def words(what: str, error: BaseException) -> str:
    """Returns what happened and the error that says why."""
    said = text_of(error)
    return f"{what}: {type(error).__name__}{': ' if said else ''}{said}"[:MAX_TEXT]


def text_of(error: BaseException) -> str:
    """Returns what an error says, whatever its `__str__` does."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - whatever __str__ does
        return ""
