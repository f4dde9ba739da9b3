"""Persian text as Persian readers and tokenizers expect it: its own yeh and kaf, its joiners in order.

Two spellings of one word are two words to a model, and Arabic keyboards, old code pages and PDF files spell Persian
with Arabic letters. What is done is what Persian normalisers (hazm, parsivar) agree on; vowel signs and hamza stay.
"""
# ruff: noqa: RUF001, RUF002 - the letters that look like Latin ones are what this file is about

from __future__ import annotations

import re
import unicodedata
from typing import Literal, TypeAlias

Digits: TypeAlias = Literal["keep", "ascii", "persian"]

ZWNJ = "\u200c"
"""The zero-width non-joiner, which stands between the parts of one Persian word."""

_LETTER = "\u0620-\u063f\u0641-\u064a\u066e-\u06d3\u06d5\u06fa-\u06ff\u0750-\u077f"
_MARK = "\u064b-\u065f\u0670"
_WORD = re.compile(f"[{_LETTER}{_MARK}]+")
_ARTICLE = re.compile(f"(?<![{_LETTER}{_MARK}])ال[{_LETTER}]{{3}}")
_INNER_JOINER = re.compile(f"(?<=[{_LETTER}]){ZWNJ}(?=[{_LETTER}])")
_SCRIPT = re.compile(f"[{_LETTER}\ufb50-\ufbff\ufe80-\ufefc]")
_JUDGED_LENGTH = 500

_PERSIAN_LETTER = re.compile("[پچژگکیۀ]")
_OTHER_LETTER = re.compile("[ةأإٱٹڈڑںھہۃےټډړږښګڼېۍڵۆێڕ]")  # of Arabic, Urdu, Pashto and Kurdish
_PERSIAN_WORDS = frozenset({
    "از", "در", "را", "با", "است", "بود", "شد", "برای", "که", "این", "می", "یک", "آن", "هر", "تا", "شود", "شما",
    "های", "هستند", "نیست", "کرد", "کرده",
})  # fmt: skip
_ARABIC_WORDS = frozenset(("في", "على", "الى", "عن", "هذا", "هذه", "التي", "الذي", "ذلك", "كان", "قال", "هي"))

_ARABIC_LETTERS = str.maketrans({"ي": "ی", "ى": "ی", "ك": "ک"})
_ARABIC_LETTER = re.compile("[يىك]")
_VOWEL = re.compile("[\u064b-\u0652\u0670]")
_FORMS = re.compile("[\ufb50-\ufbb1\ufbd3-\ufbff\ufe80-\ufefc]")
_TATWEEL = re.compile(f"(?<=[{_LETTER}{_MARK}])\u0640+")
_OLD_JOINER = re.compile(f"(?<=[{_LETTER}])\u00ac(?=[{_LETTER}])")
_EDGE = r"\s.,;:!?()\[\]{}\"'«»،؛؟…/|-"
_STRAY_JOINER = re.compile(
    f"{ZWNJ}+(?=[{_EDGE}]|\\Z)|(?<=[{_EDGE}]){ZWNJ}+|\\A{ZWNJ}+|(?<=[A-Za-z0-9]){ZWNJ}+(?=[A-Za-z0-9])"
    f"|(?<={ZWNJ}){ZWNJ}+"
)
_TO_ASCII = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩", "01234567890123456789")
_TO_PERSIAN = str.maketrans("0123456789٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹۰۱۲۳۴۵۶۷۸۹")
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.,:/+#@-])[0-9]+(?:[.,:/-][0-9]+)*(?![A-Za-z0-9_/+#@-])|[٠-٩]+")


def has_arabic_script(text: str) -> bool:
    """Whether a text holds any letter of the Arabic script."""
    return not text.isascii() and _SCRIPT.search(text) is not None


def is_persian(text: str) -> bool | None:
    """Returns whether a text in Arabic script is Persian rather than Arabic or another language; None = cannot tell.

    Letters and frequent words of either side are counted in the first 500 characters. Persian written with Arabic
    yeh and kaf is Persian still.

    >>> is_persian("كتاب را به علي داد"), is_persian("ذهبت إلى المدرسة في الصباح"), is_persian("كتاب")
    (True, False, None)
    """
    text = text[:_JUDGED_LENGTH]
    words = _WORD.findall(text.translate(_ARABIC_LETTERS))
    persian = len(_PERSIAN_LETTER.findall(text)) + sum(map(_PERSIAN_WORDS.__contains__, words))
    persian += len(_INNER_JOINER.findall(text))
    other = len(_OTHER_LETTER.findall(text)) + sum(map(_ARABIC_WORDS.__contains__, _WORD.findall(text)))
    other += len(_ARTICLE.findall(text))
    return None if persian == other else persian > other


def persian_letters(text: str) -> str:
    """Returns a text with Arabic yeh, alef maksura and kaf as the Persian letters.

    Words with two vowel signs and more are quoted Arabic, as of a prayer, and keep theirs.

    >>> persian_letters("كتابي"), persian_letters("إِيَّاكَ")
    ('کتابی', 'إِيَّاكَ')
    """
    if _ARABIC_LETTER.search(text) is None:
        return text
    return _WORD.sub(lambda match: match[0] if _is_vowelled(match[0]) else match[0].translate(_ARABIC_LETTERS), text)


def _is_vowelled(word: str) -> bool:
    return len(_VOWEL.findall(word)) > 1


def without_tatweel(text: str) -> str:
    """Returns a text without the strokes that only stretch a word.

    >>> without_tatweel("سلامـــت")
    'سلامت'
    """
    return _TATWEEL.sub("", text)


def plain_forms(text: str) -> str:
    """Returns a text whose letters are letters, not the shapes (initial, medial …) that old files and PDFs store.

    >>> plain_forms("ﺳﻼم") == "سلام"
    True
    """
    return _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def joiners_in_order(text: str) -> str:
    r"""Returns a text whose zero-width non-joiners stand once, and only within words.

    Those at the edge of a word, doubled, or between Latin letters do nothing; the not sign that stood for them in old
    Persian fonts becomes one.

    >>> joiners_in_order("می\u200c\u200cشود \u200cکه") == "می\u200cشود که"
    True
    """
    return _STRAY_JOINER.sub("", _OLD_JOINER.sub(ZWNJ, text))


def with_digits(text: str, digits: Digits) -> str:
    """Returns a Persian text with its digits in one script; numbers that are part of Latin words or codes stay.

    >>> with_digits("سال 1402 و ٣ مدل GPT4", "persian"), with_digits("سال ۱۴۰۲ و ٣", "ascii")
    ('سال ۱۴۰۲ و ۳ مدل GPT4', 'سال 1402 و 3')
    """
    if digits == "keep":
        return text
    if digits == "ascii":
        return text.translate(_TO_ASCII)
    return _NUMBER.sub(lambda match: match[0].translate(_TO_PERSIAN), text)
