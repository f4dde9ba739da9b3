"""What prompt/completion files put around texts: separators, turn labels, stop sequences, a leading space, capitals.

A base model of the completions era needed to be told where the prompt ends (` ->`, `###`) and where the answer ends
(` END`). A chat template and its end-of-turn token do both, so in chat data these are texts to be learned by mistake.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.types import Example

_ANSWER_LABELS = "A|Answer|Response|Completion|Output|Assistant|AI|Agent|Bot"
_PROMPT_LABELS = "Q|Question|Human|User|Prompt|Instruction|Input|Customer"
_SYMBOLS = r"(?:[#=~+-]{3,}|\*{3,}|\|{3,}|[-=~#]*[-=~]+>+|\u2192|\u21d2|>>+)"
_STOPS = (
    r"(?:\[END\]|\[STOP\]|(?<!THE )(?<!the )(?<!The )(?<=\s)END|\*{3,}|\+{3,}|&{3,}|\${3,}|@{3,}|%{3,}|#{3,}"
    r"|<\|(?:endoftext|im_end|eot_id|end_of_text|end|END)\|>|</s>|<eos>)"
)
_LABEL_LINE = r"(?:(?<=\n)|(?<=\A))(?:#{{1,4}}[ ]*)?(?:{labels})[ ]*:"
_PROMPT_START = re.compile(rf"\A\s*(?:(?:#{{1,4}}[ ]*)?(?:{_PROMPT_LABELS})[ ]*:|{_SYMBOLS}(?=\s))\s*")
_ANSWER_START = re.compile(rf"\A\s*(?:#{{1,4}}[ ]*)?(?:{_ANSWER_LABELS})[ ]*:\s*")
_TAIL_LENGTH = 80
_LOUD_LENGTH = 200
_SEPARATOR_LAST = "#=~+-*|>\u2192\u21d2:"
_STOP_LAST = "]D*+&$@%#>"
_PROSE_WORDS = 4
_CODE = re.compile(r"```|https?://|[{}<>\\]|\w_\w|::|\bSELECT\b")


class Debris(NamedTuple):
    """What stands around the texts of one row; "" where a part is missing or its turns differ.

    `asks` and `answers` say whether the row has such turns; a row shares a part only if all its turns do.
    """

    asks: bool = False
    answers: bool = False
    separator: str = ""
    stop: str = ""
    prompt_start: str = ""
    answer_start: str = ""
    space: str = ""
    loud_prompt: str = ""
    loud_answer: str = ""


def _own(further: tuple[str, ...]) -> str:
    return "".join(f"|{re.escape(each.strip())}" for each in further if each.strip())


@lru_cache(maxsize=16)
def _separator_end(further: tuple[str, ...]) -> re.Pattern[str]:
    own = _own(further)
    label = _LABEL_LINE.format(labels=_ANSWER_LABELS)
    return re.compile(rf"(?:\s*(?:{_SYMBOLS}|{label}{own}))+\s*\Z|\n\s*\Z")


@lru_cache(maxsize=16)
def _stop_end(further: tuple[str, ...]) -> re.Pattern[str]:
    own = _own(further)
    return re.compile(rf"(?:\s*(?:{_STOPS}{own}))+\s*\Z|\n\s*\Z")


def separator_of(text: str, further: tuple[str, ...] = ()) -> str:
    """Returns the separator at the end of a prompt, with the white space around it, or "".

    >>> separator_of("I want my money back ->")
    ' ->'
    """
    return _end(text, _separator_end(further), _SEPARATOR_LAST, further)


def stop_of(text: str, further: tuple[str, ...] = ()) -> str:
    """Returns the stop sequence at the end of an answer, with the white space before it, or "".

    >>> stop_of("Paris END"), stop_of("And they lived happily. THE END")
    (' END', '')
    """
    return _end(text, _stop_end(further), _STOP_LAST, further)


def _end(text: str, pattern: re.Pattern[str], last: str, further: tuple[str, ...]) -> str:
    tail = text[-_TAIL_LENGTH:]
    said = tail.rstrip()
    own = any(each.strip() and said.endswith(each.strip()) for each in further)
    if said[-1:] not in last and not own and "\n" not in tail[len(said) :]:
        return ""  # a search is a hundred times as slow
    for match in pattern.finditer(tail):
        found = match[0]
        rest = text[: len(text) - len(found)]
        # What also stands within the text is part of what it says (a list of "a -> b"), not its end.
        if rest.strip() and (not found.strip() or found.strip() not in rest):
            return found
    return ""


def _start(text: str, pattern: re.Pattern[str]) -> str:
    match = pattern.match(text)
    return match[0] if match is not None and text[match.end() :].strip() else ""


def is_loud(text: str) -> bool:
    """Whether a text is prose of four words and more, most letters of its beginning capitals; code is not prose."""
    start = text[:_LOUD_LENGTH]
    if start == start.lower():
        return False
    loud = sum(map(str.isupper, start))
    return loud > sum(map(str.islower, start)) and len(start.split()) >= _PROSE_WORDS and _CODE.search(text) is None


def prompt_start_of(text: str) -> str:
    """Returns the turn label or rule at the start of a prompt, with the white space around it, or "".

    >>> prompt_start_of("Q: What is the capital of France?")
    'Q: '
    """
    return _start(text, _PROMPT_START)


def answer_start_of(text: str) -> str:
    """Returns the turn label at the start of an answer, with the white space around it, or ""."""
    return _start(text, _ANSWER_START)


def debris_of(example: Example, separators: tuple[str, ...] = (), stops: tuple[str, ...] = ()) -> Debris:
    """Returns what stands around the texts of one row."""
    asked = [turn.content for turn in example.messages if turn.role == "user" and turn.content]
    answered = [turn.content for turn in example.messages if turn.role == "assistant" and turn.content]
    return Debris(
        asks=bool(asked),
        answers=bool(answered),
        separator=_same([separator_of(text, separators) for text in asked]),
        stop=_same([stop_of(text, stops) for text in answered]),
        prompt_start=_same([prompt_start_of(text) for text in asked]),
        answer_start=_same([answer_start_of(text) for text in answered]),
        space=_same([" " if text[:1] == " " and text[1:2].strip() else "" for text in answered]),
        loud_prompt="loud" if any(map(is_loud, asked)) else "",
        loud_answer="loud" if any(map(is_loud, answered)) else "",
    )


def _same(parts: Sequence[str]) -> str:
    return parts[0] if parts and parts.count(parts[0]) == len(parts) else ""
