"""Phrases that do not belong into data: filler text, web pages' own words, refusals, placeholders never filled.

Filler text and web pages' own words are those that C4 removes (Raffel et al. 2020, "Exploring the Limits of Transfer
Learning with a Unified Text-to-Text Transformer", section 2.2), as whole phrases, since people also ask about cookies.
"""
# ruff: noqa: RUF001 - Persian letters that look like Latin ones

from __future__ import annotations

import re

LOREM = re.compile(r"\blorem ipsum\b", re.IGNORECASE)
WEB = re.compile(
    r"\b(?:this (?:web)?site uses cookies|we use cookies|accept (?:all|our) cookies|(?:please )?enable javascript"
    r"|javascript (?:is|must be) (?:disabled|required|enabled)|subscribe to our newsletter|skip to (?:main )?content"
    r"|click here to (?:subscribe|read more|continue reading)|sign up for our newsletter)\b",
    re.IGNORECASE,
)
ASSISTANT_TALK = re.compile(
    r"\bas an? (?:ai|artificial intelligence|large language|language)(?: language)?(?: model| assistant)\b|\bas an ai,"
    r"|\bi(?:['\u2019]m| am) (?:just |only )?an? (?:ai |large )?language model\b"
    r"|\bmy (?:knowledge|training)(?: data)? cut-?off\b|\btrained by openai\b"
    r"|به عنوان یک (?:مدل زبانی|هوش مصنوعی)|\bals (?:ein )?(?:ki-)?sprachmodell\b"
    r"|\ben tant qu(?:e mod[eè]le de langage|['\u2019](?:ia|intelligence artificielle))\b"
    r"|\bcomo (?:un )?modelo de lenguaje\b",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\A\W*(?:(?:i(?:['\u2019]m| am) (?:very |so )?sorry|sorry|i apologi[sz]e|unfortunately)\b[,.;:]?\s*(?:but\s+)?"
    r"(?:as an ai[^,.]{0,40},\s*)?i\s*(?:can(?:not|['\u2019]t| not)"
    r"|(?:am|['\u2019]m) (?:not able|unable)|do(?:n['\u2019]t| not) have)"
    r"|i (?:can(?:not|['\u2019]t| not)|won['\u2019]t|am (?:not able|unable) to)\s+"
    r"(?:assist|help|provide|answer|fulfill?|comply|do that|create|generate|write|support|engage)"
    r"|متأ?سفم،?\s*(?:اما|ولی)?\s*نمی|(?:je suis )?d[ée]sol[ée]e?,?\s*(?:mais\s+)?je ne peux pas"
    r"|(?:es )?tut mir leid,?\s*(?:aber\s+)?(?:ich kann|das kann ich)|lo siento,?\s*(?:pero\s+)?no puedo)",
    re.IGNORECASE,
)
FIELD = re.compile(r"(?<!\{)\{\{[ \t]*([A-Za-z_][\w.-]{0,60})[ \t]*\}\}(?!\})")
"""A field of a template: {{name}}."""
BLANK = re.compile(
    r"\[(?:insert|your|enter|fill in)\b[^\]\n]{0,60}\](?!\()|<(?:insert|your)[ _-][^>\n]{1,60}>|\[INSERT_\w{1,60}\]",
    re.IGNORECASE,
)
"""A blank that somebody was to fill in: [Your Name], <insert date>."""
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,500}`", re.DOTALL)

_SENTENCE_END = re.compile(r"[.!?。！？؟۔…:][\"'”’»)\]*_]*(?:\s|\Z)")
_LIST_LINE = re.compile(r"\s*(?:[-*+•|#>]|(?:\d{1,3}|[A-Za-z])[.)]|https?://)")
_LONG_ANSWER = 200
_LONG_LINE = 40


def is_cut_off(text: str) -> bool:
    """Whether a long answer in sentences stops within one: no mark at its end, in a line that is no item of a list."""
    text = text.rstrip()
    if len(text) < _LONG_ANSWER or not (text[-1].isalpha() or text[-1] in ",،;-(") or text[-1] in "`}":
        return False
    last = text.rsplit("\n", 1)[-1]
    if len(last) < _LONG_LINE or _LIST_LINE.match(last) or last.rsplit(" ", 1)[-1].startswith(("#", "@", "http")):
        return False
    body = text[: -len(last)] if "\n" in text else text
    return len(_SENTENCE_END.findall(last)) > 0 or len(_SENTENCE_END.findall(body)) > 1


def plain(text: str) -> str:
    """Returns a text in lower case without punctuation and with single spaces, for comparing what is said."""
    return " ".join(re.findall(r"\w+", text.lower()))
