"""Payment cards (ISO/IEC 7812: issuer's prefix, length, Luhn) and IBANs (ISO 13616: length of the country, mod 97).

Prefixes are those of the networks' own tables: Visa 4; Mastercard 51-55 and 2221-2720; American Express 34, 37;
Discover 6011, 644-649, 65; Diners 300-305, 36, 38; JCB 3528-3589 (old: 1800, 2131); UnionPay 62. Others (Maestro 50,
56-69 with 12 to 19 digits, Shetab) count beside a word like "card" only.
"""

from __future__ import annotations

import re

from holdfast.data.pii.check_digits import digits_of, luhn, mod_97_10
from holdfast.data.pii.spans import LIKELY, SURE, Recogniser, words

_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|(?:1800|2131)\d{11}"
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|62\d{14,17}"
)
_OTHER = re.compile(r"[2-6]\d{11,18}")
_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IR": 26, "IS": 26, "IT": 27, "JO": 30, "KW": 30,
    "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22,
    "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28,
    "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20, "YE": 30,
}  # fmt: skip
"""Length of an IBAN by country, from the SWIFT IBAN registry, release 99."""


def is_card(text: str) -> bool:
    """Whether the digits are a network's prefix and length and pass Luhn's test."""
    number = digits_of(text)
    return _CARD.fullmatch(number) is not None and luhn(number)


def may_be_card(text: str) -> bool:
    """Whether 12 to 19 digits begin as cards do and pass Luhn's test: Maestro, Shetab, and prefixes not listed here."""
    number = digits_of(text)
    return _OTHER.fullmatch(number) is not None and luhn(number)


def is_iban(text: str) -> bool:
    """Whether the country is known, the length is the country's, and the number leaves 1 by 97.

    >>> is_iban("GB82 WEST 1234 5698 7654 32")
    True
    """
    compact = re.sub(r"[\s-]", "", text).upper()
    return _LENGTHS.get(compact[:2]) == len(compact) and mod_97_10(compact[4:] + compact[:4])


_FORMS = (
    r"\d{12,19}",
    r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}",
    r"\d{4}([ -])\d{6}\1\d{4,5}",
    r"\d{4}([ -])(?:\d{4}\1){3}\d{3}",
)
_BESIDE = words("cards?", "cc", "visa", "mastercard", "maestro", "amex", "credit", "debit", "karte", "carte", "کارت")


def _card(form: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.+\-]){form}(?!\w|[.-]\d)")


def _iban() -> re.Pattern[str]:
    """Returns a pattern that takes as many characters as the country has, so that a word behind is left out."""
    by_length: dict[int, list[str]] = {}
    for country, length in _LENGTHS.items():
        by_length.setdefault(length, []).append(country)
    forms = (rf"(?:{'|'.join(names)})\d\d(?:[ -]?[a-z0-9]){{{length - 4}}}" for length, names in by_length.items())
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(forms)})(?![a-z0-9])", re.IGNORECASE | re.ASCII)


RECOGNISERS = (
    *(Recogniser("card", _card(form), LIKELY, is_card, _BESIDE, digits=12) for form in _FORMS),
    *(Recogniser("card", _card(form), 0.3, may_be_card, _BESIDE, LIKELY, digits=12) for form in _FORMS),
    Recogniser("iban", _iban(), SURE, is_iban, digits=2),
)
