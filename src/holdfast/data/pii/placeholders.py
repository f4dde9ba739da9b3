"""One placeholder for one value: `[EMAIL_1]`, numbered by first appearance, the same whatever the spelling.

Values are kept as 16 bytes of a hash each and not as text.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re

from holdfast.data.pii.check_digits import digits_of
from holdfast.data.pii.kinds import GROUPS

_EXACT = frozenset(GROUPS["secret"])
_DIGITS = frozenset({"card", "phone"})


def normalised(kind: str, value: str) -> str:
    """Returns what two spellings of one value have in common; secrets are what they are, letter by letter.

    >>> normalised("phone", "+49 (30) 1234-567"), normalised("person", "Ann  LEE"), normalised("iban", "gb82 west 12")
    ('+49301234567', 'ann lee', 'GB82WEST12')
    """
    if kind in _EXACT:
        return value
    if kind in _DIGITS:
        sign = "+" if value.lstrip("( ").startswith(("+", "00")) else ""
        return sign + (digits_of(value).removeprefix("00") if sign else digits_of(value))
    if kind == "ip":
        try:
            return ipaddress.ip_address(value).compressed
        except ValueError:
            return value.casefold()
    if kind in ("email", "url"):
        return value.casefold()
    if kind in ("person", "address", "organisation", "place", "nationality", "title"):
        return " ".join(re.findall(r"[^\W_]+", value.casefold()))
    return re.sub(r"[\W_]", "", value).upper()


class Placeholders:
    """Numbers of values, kind by kind, in the order in which `number` was first asked for them."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[bytes, int]] = {}

    def number(self, kind: str, value: str) -> int:
        """Returns the number of a value, from 1 on; a new one where it was not there yet."""
        numbers = self._numbers.setdefault(kind, {})
        return numbers.setdefault(_key(value), len(numbers) + 1)

    def text(self, kind: str, value: str) -> str:
        """Returns the placeholder of a value that has a number; raises KeyError for another one."""
        return f"[{kind.upper()}_{self._numbers[kind][_key(value)]}]"

    def distinct(self) -> dict[str, int]:
        """Returns how many different values each kind has."""
        return {kind: len(numbers) for kind, numbers in self._numbers.items()}


def _key(value: str) -> bytes:
    return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()
