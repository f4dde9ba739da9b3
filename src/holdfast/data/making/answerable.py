"""Whether a question can be answered from its text, and from nothing less.

What is checked, in this order:

1. The question and the answer say something, and are not longer than `MAX_QUESTION` and `MAX_ANSWER` characters.
2. The answer does not decline ("not mentioned in the text", "I do not know").
3. The question stands alone: it does not point at "the text", "this section" or "above", which a reader without the
   text cannot follow (a question that names the section it asks about does).
4. Supported: every number of the answer stands in the text or in the question, and at least `SUPPORT` of the answer's
   content words stand in the text.
5. About the text: at least half of the question's content words stand in the text for a direct question, one of them
   for an indirect one; and every number of the question does.
6. Not given away: the answer says a content word or a number that the question does not.

Content words and numbers are those of `wording`. Nothing here understands the text: a wrong answer made of the text's
own words passes. It removes what is invented, not what is confused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from holdfast.data.making.wording import content_words, numbers, share_found

if TYPE_CHECKING:
    from typing import TypeAlias

    Manner: TypeAlias = Literal["direct", "indirect", "section"]

MAX_QUESTION = 300
MAX_ANSWER = 2000
SUPPORT = 0.8
ABOUT = 0.5
_DECLINES = re.compile(
    r"\b(?:not|n't|never)\s+(?:\w+\s+){0,2}(?:mentioned|stated|specified|provided|given|say|know|clear|answer)\b"
    r"|\bno information\b|\bcannot be (?:determined|answered)\b|\bi(?:'m| am) (?:sorry|not sure)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"\b(?:the|this|that|given|provided|above)\s+"
    r"(?:text|passage|document|excerpt|context|section|paragraph|article|page|chunk|sentence|author|information)s?\b"
    r"|\b(?:according to|based on|as (?:mentioned|stated|described)(?: above)?|mentioned above|described above)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a question and its answer cannot be used; `kind` groups reasons in reports."""

    kind: str
    reason: str


def fault_of(question: str, answer: str, text: str, manner: Manner = "direct") -> Fault | None:
    """Returns the first check that a question and its answer on `text` fail, or None.

    >>> fault_of("How long may refunds take?", "They take 14 days.", "Refunds take 30 days.").reason
    'the answer says 14, which is not in the text'
    """
    return (
        _size(question, answer)
        or _wording(question, answer, manner)
        or _support(question, answer, text)
        or (None if manner == "section" else _about(question, text, manner))
        or _given_away(question, answer)
    )


def _size(question: str, answer: str) -> Fault | None:
    if not content_words(question) and not numbers(question):
        return Fault("empty", "the question says nothing")
    if not answer.strip():
        return Fault("empty", "the answer is empty")
    for name, said, most in (("question", question, MAX_QUESTION), ("answer", answer, MAX_ANSWER)):
        if len(said) > most:
            return Fault("long", f"the {name} has {len(said)} characters, more than {most}")
    return None


def _wording(question: str, answer: str, manner: Manner) -> Fault | None:
    declined = _DECLINES.search(answer) if len(answer) < MAX_QUESTION else None
    if declined and manner == "direct" and not re.search(r"\bmust|\bmay|\bcan", answer):
        return Fault("declined", f"the answer declines ({declined.group()!r})")
    points = None if manner == "section" else _POINTS.search(question)
    if points:
        return Fault("points", f"the question points at what its reader does not see ({points.group()!r})")
    return None


def _support(question: str, answer: str, text: str) -> Fault | None:
    unknown = set(numbers(answer)) - set(numbers(text)) - set(numbers(question))
    if unknown:
        return Fault("unsupported", f"the answer says {sorted(unknown)[0]}, which is not in the text")
    words, in_text = content_words(answer), content_words(text)
    share = share_found(words, in_text)
    if share < SUPPORT:
        missing = ", ".join(sorted(words - in_text)[:3])
        return Fault("unsupported", f"only {share:.0%} of the answer's words are in the text (not: {missing})")
    return None


def _about(question: str, text: str, manner: Manner) -> Fault | None:
    unknown = set(numbers(question)) - set(numbers(text))
    if unknown:
        return Fault("elsewhere", f"the question says {sorted(unknown)[0]}, which is not in the text")
    share = share_found(content_words(question), content_words(text))
    if share < ABOUT if manner == "direct" else share == 0:
        return Fault("elsewhere", f"only {share:.0%} of the question's words are in the text")
    return None


def _given_away(question: str, answer: str) -> Fault | None:
    new = (content_words(answer) - content_words(question)) or (set(numbers(answer)) - set(numbers(question)))
    return None if new else Fault("given_away", "the answer says nothing that the question does not")
