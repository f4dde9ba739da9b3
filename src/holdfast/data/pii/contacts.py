"""Ways to reach a person or a machine: e-mail addresses, telephone numbers, IP and MAC addresses, URLs.

Telephone numbers have no check digit. International forms (+ or 00) and national ones with separators that little
else has (NANP 905-674-3793, French 04 90 75 40 81) count alone; any other digits in groups count where a word before
them says so ("call me at"). The length is that of ITU-T E.164, at most 15 digits.
"""

from __future__ import annotations

import ipaddress
import re

from holdfast.data.pii.check_digits import digits_of
from holdfast.data.pii.spans import FAIR, LIKELY, SURE, Recogniser, words

_EMAIL = re.compile(
    r"(?<![\w.+%@\-])[\w+%\-][\w+%'\-]{0,63}+(?:\.[\w+%'\-]{1,64}+){0,8}@"
    r"(?:[^\W_](?:[\w\-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w@])"
)
_SPOKEN_EMAIL = re.compile(
    r"(?<![\w.])[\w+.\-]{1,64}+ ?[\[(] ?at ?[\])] ?[\w\-]{1,63}+(?: ?[\[(] ?dot ?[\])] ?|\.)[a-z]{2,24}(?!\w)", re.I
)

_SEPARATOR = r"[ .\-/\u00a0]"
_EXTENSION = r"(?: ?(?:x|ext\.? ?|#) ?\d{1,6})?"
_BEFORE = r"(?<![\w.+\-/$€£#:])(?<!\d )"
_AFTER = r"(?!\w|[.\-/:]\d|%|[€$£])"
_INTERNATIONAL = re.compile(
    rf"(?<![\w.+])(?:\+|00)[1-9]\d{{0,2}}(?:{_SEPARATOR}?\(?\d{{1,5}}\)?){{1,7}}{_EXTENSION}(?!\w)"
)
_NANP = re.compile(
    rf"{_BEFORE}(?:1[ .\-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .\-/])[2-9]\d\d[ .\-]\d{{4}}{_EXTENSION}{_AFTER}"
)
_NATIONAL = re.compile(
    rf"{_BEFORE}(?:0\d(?:[ .\-]\d\d){{4}}|04\d\d(?:[ .]\d\d){{3}}"  # France; Belgium
    rf"|\(0\d{{2,5}}\) ?\d{{3,8}}(?:[ \-]\d{{2,4}})?|0\d{{2,4}}[ /\-]\d{{3,4}}[ \-]\d{{3,4}}"  # United Kingdom, Germany
    rf"|07\d{{3}} ?\d{{6}}|0\d{{2,4}}[/\-]\d{{5,8}}|09\d{{2}}[ \-]?\d{{3}}[ \-]?\d{{4}})"  # and Iran
    rf"{_EXTENSION}{_AFTER}"
)
_GROUPS = re.compile(rf"{_BEFORE}\(?\d{{1,4}}\)?(?:{_SEPARATOR}{{1,2}}\(?\d{{2,8}}\)?){{1,5}}{_EXTENSION}{_AFTER}")
_PLAIN = re.compile(rf"{_BEFORE}\d{{7,12}}{_EXTENSION}{_AFTER}")
_CALL = words(
    r"(?:tele)?(?:phone|fon)s?(?: ?(?:number|no|nr)\.?)?",
    r"tel[eé]?fono",
    r"t[eé]l[eé]phone",
    "tel",
    "mobile",
    "cell(?:phone)?",
    "handy",
    "m[oó]vil",
    "portable",
    "fax",
    r"number(?: is|:)?",
    "desk",
    "landline",
    "call(?:ed|ing)?",
    "dial",
    "sms",
    "text(?: me)?",
    "reach(?:ed)?",
    "ring",
    "whats ?app",
    "messages? (?:to|at|on)",
    "answering(?: at)?",
    "hotline",
    "contact(?: number)?",
    "registered",
    "rufnummer",
    "anrufen",
    "appel[ez]*",
    "تلفن",
    "موبایل",
    "شماره(?: تماس)?",
    "همراه",
)


def is_phone(text: str) -> bool:
    """Whether there are 7 to 15 digits of three kinds at least that are no date.

    >>> is_phone("467 3395"), is_phone("2007-01-17"), is_phone("000 0000")
    (True, False, False)
    """
    number = digits_of(re.split(r"x|ext|#", text)[0])
    if re.fullmatch(r"(?:19|20)\d\d[-./ ][01]?\d[-./ ][0-3]?\d|[0-3]?\d[-./ ][0-3]?\d[-./ ](?:19|20)\d\d", text):
        return False
    return 7 <= len(number) <= 15 and len(set(number)) > 2


def is_international(text: str) -> bool:
    """Whether there are 8 to 15 digits after the sign, and brackets close."""
    number = digits_of(re.split(r"x|ext|#", text)[0]).removeprefix("00")
    return 8 <= len(number) <= 15 and text.count("(") == text.count(")")


def is_public_ip(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address that can be somebody's: not loopback, unspecified or a mask.

    >>> is_public_ip("41.173.96.26"), is_public_ip("127.0.0.1"), is_public_ip("::")
    (True, False, False)
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or text.startswith("255."))


def is_mac(text: str) -> bool:
    """Whether the address is neither nobody's nor everybody's."""
    return len(set(re.sub(r"[:\-.]", "", text.lower()))) > 1


def _phone(pattern: re.Pattern[str], alone: float) -> Recogniser:
    return Recogniser("phone", pattern, alone, is_phone, _CALL, LIKELY, digits=7)


RECOGNISERS = (
    Recogniser("email", _EMAIL, SURE, needs="@"),
    Recogniser("email", _SPOKEN_EMAIL, FAIR, needs="at"),
    Recogniser("phone", _INTERNATIONAL, LIKELY, is_international, _CALL, SURE, digits=8),
    _phone(_NANP, 0.7),
    _phone(_NATIONAL, FAIR),
    _phone(_GROUPS, 0.3),
    _phone(_PLAIN, 0.1),
    Recogniser(
        "ip", re.compile(r"(?<![\w.])(?<!v )(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"), LIKELY, is_public_ip, digits=4
    ),
    Recogniser(
        "ip",
        re.compile(r"(?<![\w:.])(?=[\da-f]{0,4}:)[\da-f:]{3,39}(?![\w:])", re.IGNORECASE),
        LIKELY,
        is_public_ip,
        needs=":",
    ),
    Recogniser(
        "mac",
        re.compile(r"(?<![\w:\-])(?:[\da-f]{2}([:\-]))(?:[\da-f]{2}\1){4}[\da-f]{2}(?![\w:\-])", re.IGNORECASE),
        SURE,
        is_mac,
        digits=1,
    ),
    Recogniser(
        "url",
        re.compile(r"(?<!\w)(?:https?|ftp)://[^\s<>\"'()\[\]{}]{1,2000}(?<![.,;:!?])", re.IGNORECASE),
        LIKELY,
        needs="://",
    ),
    Recogniser(
        "url",
        re.compile(
            r"(?<![\w@./\-])(?:www\.)?(?:[a-z\d](?:[a-z\d\-]{0,61}[a-z\d])?\.){1,4}(?:com|org|net|edu|gov|info|biz"
            r"|eu|de|fr|uk|it|es|nl|be|se|no|dk|fi|at|ch|pl|cz|pt|ca|au|br|in|jp|ir)(?![\w\-@]|\.\w)",
            re.IGNORECASE | re.ASCII,
        ),
        FAIR,
        needs=".",
    ),
)
