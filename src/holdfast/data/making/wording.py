"""What two texts share besides their wording: content words, numbers, and the parts that must not change.

Words are compared without English endings ("refunds", "refunded" and "refund" are one), numbers by their value ("1,000"
and "1000" are one, in whatever digits). Scripts without spaces between words are compared by pairs of signs.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_STOP = (
    "a about after again all also am an and any are as at be because been before being both but by can cannot could "
    "did do does doing done during each either else ever every few for from had has have having he her here hers him "
    "his how i if in into is it its itself just let like may me might more most much must my no nor not of off on "
    "once one only or other our out over own per please put quite rather s same say says shall she should so some "
    "such t than that the their them then there these they this those through to too under until up upon us very was "
    "we were what when where whether which while who whom whose why will with within without would yes yet you your "
)
STOP_WORDS = frozenset(_STOP.split())
_WORD = re.compile(r"[^\W\d_]+(?:[\u200c'\u2019-][^\W\d_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,\u066b\u066c\u2019'\u00a0\u202f]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:[,\u066c\u2019'\u00a0\u202f]\d{3})+")
_NO_SPACES = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
_COUNTED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_TENS = {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100"}
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_COUNTED.split())} | _TENS
MIN_STEM = 3
_ENDINGS = (("ies", "es", "s"), ("ations", "ation", "ment", "ing", "ed", "ly", "al", "er"), ("e", "y"))


def normalised(text: str) -> str:
    """Returns a text as it is compared: one Unicode form, lower case, signs and spaces between words as one space.

    >>> normalised("  What's  THIS? ")
    'what s this'
    """
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def content_words(text: str) -> set[str]:
    """Returns the words of a text that say what it is about, without their endings.

    >>> sorted(content_words("The refunds are paid within 30 days."))
    ['day', 'paid', 'refund']
    """
    found: set[str] = set()
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        for run in _NO_SPACES.findall(word):
            found.update(run[i : i + 2] for i in range(max(len(run) - 1, 1)))
        rest = _NO_SPACES.sub("", word).replace("\u2019", "'")
        rest = rest[:-2] if rest.endswith("'s") else rest
        if rest and rest not in STOP_WORDS and rest not in _NUMBER_WORDS:
            found.add(stem(rest))
    return found


def stem(word: str) -> str:
    """Returns a word without its English endings, which leaves at least three letters.

    >>> [stem(word) for word in ("refunded", "approval", "approve", "planned", "plan", "days", "carries")]
    ['refund', 'approv', 'approv', 'plan', 'plan', 'day', 'car']
    """
    for endings in _ENDINGS:
        for ending in endings:
            if word.endswith(ending) and len(word) - len(ending) >= MIN_STEM and not word.endswith("ss"):
                word = word[: -len(ending)]
                break
    return word[:-1] if len(word) > MIN_STEM and word[-1] == word[-2] and word.isascii() else word


def numbers(text: str, *, words: bool = True) -> Counter[str]:
    """Returns the numbers in a text by value, and how often each stands there; English number words count too.

    >>> dict(numbers("1,000 or 3.50 or two"))
    {'1000': 1, '3.5': 1, '2': 1}
    """
    text = unicodedata.normalize("NFKC", text)
    found = Counter(_value(match) for match in _NUMBER.findall(text))
    if words:
        found.update(_NUMBER_WORDS[word] for word in _WORD.findall(text.casefold()) if word in _NUMBER_WORDS)
    return found


def _value(written: str) -> str:
    digits = "".join(str(unicodedata.digit(sign, -1)) if sign.isdigit() else sign for sign in written)
    if _GROUPED.fullmatch(digits):
        digits = re.sub(r"\D", "", digits)
    digits = digits.replace("\u066b", ".").replace(",", ".")
    if digits.count(".") == 1:
        digits = digits.rstrip("0").rstrip(".") if not digits.endswith(".") else digits[:-1]
    return digits.lstrip("0") or "0"


def share_found(words: Iterable[str], text_words: set[str]) -> float:
    """Returns the share of `words` that are among `text_words`; 1 where there are none."""
    wanted = list(words)
    return sum(word in text_words for word in wanted) / len(wanted) if wanted else 1.0
