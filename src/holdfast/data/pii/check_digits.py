"""The arithmetic of numbers that check themselves: one function each, on plain digits, with its standard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERHOEFF_PRODUCT = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_PERMUTED = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def digits_of(text: str) -> str:
    r"""Returns the decimal digits of a text as ASCII, whatever their script.

    >>> digits_of("\u06f0\u06f0\u06f1-\u06f3\u06f5")
    '00135'
    """
    return "".join(str(int(letter)) for letter in text if letter.isdecimal())


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1, annex B).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def mod_97_10(text: str) -> bool:
    """Whether digits and capital letters (A = 10 … Z = 35), read as one number, leave 1 by 97 (ISO/IEC 7064)."""
    return int("".join(str(int(letter, 36)) for letter in text)) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7064 MOD 11,10."""
    product = 10
    for digit in digits[:-1]:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return (11 - product) % 10 == int(digits[-1])


def mod_11_2(text: str) -> bool:
    """Whether the last character (X = 10) is the check character of ISO/IEC 7064 MOD 11-2."""
    remainder = 0
    for letter in text:
        remainder = (2 * remainder + (10 if letter in "xX" else int(letter))) % 11
    return remainder == 1


def verhoeff(digits: str) -> bool:
    """Whether the last digit is the check digit of Verhoeff (1969), in the dihedral group of order 10."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(_VERHOEFF_PRODUCT[check][int(_VERHOEFF_PERMUTED[place % 8][int(digit)])])
    return check == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """Returns the sum of digit times weight, place by place, as far as both go.

    >>> weighted("123", (3, 2, 1))
    10
    """
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))
