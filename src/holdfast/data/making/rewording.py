"""Other wordings of English requests by rule: more polite or less, with and without contractions, with a typo.

Each rule gives a text or None where it does not apply; none touches code, addresses, quotations or names.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from holdfast.data.making.fixed_parts import names, outside_fixed
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Rule: TypeAlias = Literal["polite", "please", "contraction", "typo"]

_ASKS_WORDS = (
    "add analyse analyze answer arrange assess brainstorm build calculate categorise categorize check choose classify "
    "combine compare complete compose compute construct convert correct count create critique decide define derive "
    "describe design determine develop discuss draft edit elaborate estimate evaluate examine expand explain explore "
    "extract fill find fix format generate give help identify imagine improve infer insert list make mention modify "
    "name organise organize outline paraphrase plan predict prepare produce propose prove provide rank read recommend "
    "remove rephrase replace restate rewrite search select send show simplify solve sort spell state suggest "
    "summarise summarize tell transform translate turn update use verify write "
)
_ASKS = frozenset(_ASKS_WORDS.split())
_NOT_SHORT = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't", "are not": "aren't",
    "was not": "wasn't", "cannot": "can't", "could not": "couldn't", "should not": "shouldn't",
    "would not": "wouldn't", "will not": "won't", "have not": "haven't", "has not": "hasn't",
}  # fmt: skip
_IS_SHORT = {
    "I am": "I'm", "I will": "I'll", "what is": "what's", "that is": "that's", "it is": "it's", "you are": "you're",
    "we are": "we're", "they are": "they're",
}  # fmt: skip
_AMBIGUOUS = ("what's", "that's", "it's")  # "has" as well as "is"
_LONG = {short: long for long, short in (_NOT_SHORT | _IS_SHORT).items() if short not in _AMBIGUOUS}
# "Why don't you" has no long form with its words in this order.
_BEFORE_SUBJECT = r"(?! (?:I|you|we|they|he|she|it|the|this|that|these|those|a|an|any|there)\b)"
_WITHIN = r"(?= \w)"
_NOT_ASKED = r"(?<!what )(?<!who )(?<!where )(?<!how )(?<!which )(?<!when )(?<!why )"
_CONTRACTIONS = (
    (_LONG, "", _BEFORE_SUBJECT),
    (_NOT_SHORT, "", ""),
    (_IS_SHORT, _NOT_ASKED, _WITHIN),
)
_SLIP = re.compile(r"(?<![\w'\u2019-])[a-z]{5,}(?![\w'\u2019-])")


def polite(text: str, draw: random.Random) -> str | None:
    """Returns a request ("Write a poem.") as a question or with a polite frame; only for a text of one sentence."""
    body = _request(text)
    if body is None or "\n" in body or re.search(r"[.!?;:]\s|[^\w.!)\"'`]$|\?", body):
        return None
    inner = body.rstrip(".! ")
    forms = (f"Could you {inner}?", f"Can you {inner}, please?", f"I would like you to {inner}.", f"Would you {inner}?")
    return draw.choice(forms)


def please(text: str, draw: random.Random) -> str | None:
    """Returns a request with "please" put in, or moved to the other end, or taken out."""
    stripped = text.strip()
    moved = re.fullmatch(r"[Pp]lease,? (\w[^\n.!?]*)([.!]?)", stripped)
    if moved and moved[1].split()[0].lower() in _ASKS:
        first = moved[1][0].upper() + moved[1][1:]
        return draw.choice((f"{first}, please{moved[2]}", first + moved[2]))
    body = _request(text)
    return None if body is None else f"Please {body}"


def contraction(text: str, draw: random.Random) -> str | None:
    """Returns a text with its contractions written out, or with contractions where it has none."""
    del draw
    asked, material = _split(text)
    for table, before, behind in _CONTRACTIONS:
        changed = outside_fixed(asked, lambda part, table=table, b=before, e=behind: _replaced(part, table, b, e))
        if changed != asked:
            return changed + material
    return None


def typo(text: str, draw: random.Random) -> str | None:
    """Returns a text with two neighbouring inner letters of one word swapped, as fast fingers do."""
    kept = {name.lower() for name in names(text)}
    asked, material = _split(text)
    places: list[str] = []
    outside_fixed(asked, lambda part: places.extend(_SLIP.findall(part)) or part)
    words = [word for word in dict.fromkeys(places) if word not in kept and _swaps(word)]
    if not words:
        return None
    word = draw.choice(words)
    at = draw.choice(_swaps(word))
    slipped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    first = re.compile(rf"(?<![\w'\u2019-]){word}(?![\w'\u2019-])")
    return outside_fixed(asked, lambda part: first.sub(slipped, part, count=1)) + material


RULES: Mapping[Rule, Callable[[str, random.Random], str | None]] = {
    "polite": polite,
    "please": please,
    "contraction": contraction,
    "typo": typo,
}


def reworded(text: str, rule: Rule, seed: int, key: str) -> str | None:
    """Returns `text` reworded by a rule, or None where the rule does not apply; `key` and `seed` draw between forms."""
    return RULES[rule](text, random.Random(derive_seed(seed, f"reword {rule} {key}")))


def _split(text: str) -> tuple[str, str]:
    """What is asked, and the material behind a colon or below, whose wording the answer may depend on."""
    end = re.search(r":\s|\n", text)
    return (text[: end.start()], text[end.start() :]) if end else (text, "")


def _request(text: str) -> str | None:
    """A request with a small first letter ("write a poem."), or None where the text does not begin with one."""
    first = re.match(r"\s*([A-Z][a-z]+)(?= )", text)
    if first is None or first[1].lower() not in _ASKS or re.search(r"\bplease\b", text, re.IGNORECASE):
        return None
    return text.strip()[0].lower() + text.strip()[1:]


def _swaps(word: str) -> list[int]:
    return [at for at in range(1, len(word) - 2) if word[at] != word[at + 1]]


def _replaced(text: str, table: Mapping[str, str], before: str, behind: str) -> str:
    for old, new in table.items():
        written = re.escape(old).replace("'", "['\u2019]")
        pattern = re.compile(rf"{before}(?<![\w'\u2019-]){written}(?![\w'\u2019-]){behind}", re.IGNORECASE)
        text = pattern.sub(lambda found, new=new: new[0].upper() + new[1:] if found.group()[0].isupper() else new, text)
    return text
