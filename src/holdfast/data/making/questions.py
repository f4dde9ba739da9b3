"""Questions on English sentences without any model: one pattern for each kind of fact that can be asked for correctly.

A sentence that fits no pattern makes no question; most do not. The answer is always the whole sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from holdfast.data.making.chunks import sentences
from holdfast.data.making.subjects import SUBJECT, acts, casing, stands_alone, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from re import Match

FactKind: TypeAlias = Literal["definition", "duty", "number", "date"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence that can be asked for.

    `question` asks directly; `clause` is the same as part of a sentence ("how long refunds take"); `short` is the part
    of the sentence that answers, where it is known.
    """

    kind: FactKind
    sentence: str
    question: str
    clause: str
    short: str = ""


_COUNTED = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty)"
_NUMBER = rf"(?:\d[\d.,]*\d|\d|{_COUNTED})"
_LIMIT = r"(?:(?:about|around|approximately|at least|at most|up to|exactly|no more than|no less than|not more than) )?"
_PERIOD = rf"{_NUMBER} (?:(?:business|working|calendar|consecutive|full) )?(?:second|minute|hour|day|week|month|year)s?"
_MONEY = rf"(?:[$\u20ac\u00a3\u00a5] ?{_NUMBER}|{_NUMBER} ?(?:euros?|dollars?|pounds?|cents?|USD|EUR|GBP|CHF)\b)"
_PERCENT = rf"{_NUMBER} ?(?:%|percent|per cent)"
_AT = r"(?:in|at|of|to|for|from|on|per|after|before|during|with|by|until|into|under|a|an|each|every)"
_TAIL = rf"(?P<tail>(?: {_AT} [^,;:]+)?)"
_NOUN = rf"(?:(?!{_AT} |and |or )[a-z-]+ ){{0,2}}(?!euros|dollars|pounds|cents|times)[a-z-]*[a-rt-z]s"
_COUNT = rf"(?P<short>{_LIMIT}{_NUMBER}) (?P<noun>{_NOUN})"
_MODAL = r"(?P<m>must|shall|may|can|should)"
_VERBS = r"(?P<vp>(?!not |never |only |also |have to )[a-z][^,;:\d]*?)"
_DAY = (
    r"(?:\d{1,2}(?::\d\d)?(?: ?[ap]\.?m\.?)?|noon|midnight|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?|"
    r"(?:the )?(?:first|last|second|third|\d{1,2}(?:st|nd|rd|th)?) |\d{4}|"
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)\b)"
)
_PAST = (
    "founded|established|introduced|created|built|opened|signed|published|launched|invented|adopted|closed|elected|"
    "approved|registered|acquired|completed|renovated"
)
_LONG = re.compile(r"\b(?:period|time|term|duration|notice|leave|warranty|break|trial|wait|window|phase|delay)$")
_MUCH = re.compile(r"\b(?:fee|price|charge|fine|rent|deposit|budget|salary|allowance|premium|surcharge|discount)$")
_OPINION = (
    r"(?:same|case|must|only|very|good|great|major|common|incredibly|highly|most|best|biggest|important|effective|popular|"
    r"top|key|main|perfect|ideal|big|small|large|bit|lot|matter|result|reason|problem|place to|way to) "
)
_VAGUE_WORDS = (
    "result problem reason goal aim idea point fact answer opposite example question difference thing rest key focus "
    "consider overcome"
)
_VAGUE = frozenset(_VAGUE_WORDS.split())
_PERSON = re.compile(
    r"\b(?:who|whose|man|woman|person|scientist|singer|player|expert|actor|actress|author|god|goddess|hero|character|king|"
    r"queen|president|politician|native|widow|wife|husband|son|daughter)\b"
)
_BASE = {"closes": "close", "lasts": "last", "takes": "take", "costs": "cost", "opens": "open", "starts": "start",
         "begins": "begin", "ends": "end", "means": "mean", "refers to": "refer to", "stands for": "stand for",
         "has": "have"}  # fmt: skip

Asked: TypeAlias = "tuple[str, str, str]"
"""The question, the clause and the short answer."""


def facts(text: str, seen: Mapping[str, bool] | None = None) -> Iterator[Fact]:
    """Yields a fact for each sentence of `text` that fits a pattern, by its first one.

    `seen` is the casing of the whole document, by which names are told; without it, that of `text`.

    >>> [fact.question for fact in facts("Refunds take 30 days. They are free. Travel costs must be approved.")]
    ['How long do refunds take?']
    """
    seen = casing(text) if seen is None else seen
    for sentence in sentences(text):
        if stands_alone(sentence):
            fact = _fact(sentence, seen)
            if fact is not None:
                yield fact


def _fact(sentence: str, seen: Mapping[str, bool]) -> Fact | None:
    for kind, pattern, ask in _PATTERNS:
        found = pattern.fullmatch(sentence[:-1])
        subject = subject_of(found["s"], seen) if found else None
        if found and subject:
            question, clause, short = ask(found, subject)
            if question:
                return Fact(kind, sentence, question, clause, short)
    return None


def _do(verb: str) -> tuple[str, str]:
    """The auxiliary and the plain form of a verb in the third person, which shows the number of its subject."""
    return ("does", _BASE[verb]) if verb in _BASE else ("do", verb)


def _define(found: Match[str], s: str) -> Asked:
    words = s.split()
    if words[0] == "the" and (len(words) == 2 or words[-1] in _VAGUE):
        return "", "", ""  # "the facility" is one of its document, not a thing to know
    name = len(words) > 1 and all(word[:1].isupper() for word in words)
    if name or words[0] in ("another", "other") or words[-1] in _VAGUE or _PERSON.search(found["o"]):
        return "", "", ""
    return f"What {found['v']} {s}?", f"what {s} {found['v']}", ""


def _mean(found: Match[str], s: str) -> Asked:
    do, verb = _do(found["v"])
    if len(s.split()) > 3 or re.search(r"\bas\b", found["short"]):
        return "", "", ""
    return f"What {do} {s} {verb}?", f"what {s} {found['v']}", found["short"]


def _duty(found: Match[str], s: str) -> Asked:
    if re.match(r"(?:be|have|become|remain|only|also|never|not|still|either|neither)\b", found["vp"]) or not acts(s):
        return "", "", ""
    if found["m"] == "can" and not found["no"]:
        return "", "", ""
    no = " not" if found["no"] else ""
    return f"What {found['m']} {s}{no} do?", f"what {s} {found['m']}{found['no']} do", ""


def _how_soon(found: Match[str], s: str) -> Asked:
    return f"How soon {found['m']} {s} {found['vp']}?", f"how soon {s} {found['m']} {found['vp']}", found["short"]


def _for_how_long(found: Match[str], s: str) -> Asked:
    asked = f"{found['m']} {s} {found['vp']}"
    return f"For how long {asked}?", f"for how long {s} {found['m']} {found['vp']}", found["short"]


def _how_many_may(found: Match[str], s: str) -> Asked:
    if re.search(rf"\b(?:{_AT}|within|than|and|or|that|be|[a-z]+[a-rt-z]s)$", found["vp"]):
        return "", "", ""
    rest = f"{found['vp']}{found['tail']}"
    many = f"how many {found['noun']}"
    short = f"{found['short']} {found['noun']}"
    return f"H{many[1:]} {found['m']} {s} {rest}?", f"{many} {s} {found['m']} {rest}", short


def _how_many_has(found: Match[str], s: str) -> Asked:
    do, verb = _do(found["v"])
    many = f"how many {found['noun']}"
    return f"H{many[1:]} {do} {s} {verb}?", f"{many} {s} {found['v']}", f"{found['short']} {found['noun']}"


def _how_long(found: Match[str], s: str) -> Asked:
    do, verb = _do(found["v"])
    return f"How long {do} {s} {verb}?", f"how long {s} {found['v']}", found["short"]


def _how_much(found: Match[str], s: str) -> Asked:
    do, verb = _do(found["v"])
    return f"How much {do} {s} {verb}?", f"how much {s} {found['v']}", found["short"]


def _amount(found: Match[str], s: str) -> Asked:
    word = "long" if _LONG.search(s) and found["period"] else "much" if _MUCH.search(s) and not found["period"] else ""
    if word:
        return f"How {word} {found['v']} {s}?", f"how {word} {s} {found['v']}", found["short"]
    return f"What {found['v']} {s}?", f"what {s} {found['v']}", found["short"]


def _when(found: Match[str], s: str) -> Asked:
    do, verb = _do(found["v"])
    return f"When {do} {s} {verb}?", f"when {s} {found['v']}", found["short"]


def _when_was(found: Match[str], s: str) -> Asked:
    return f"When {found['v']} {s} {found['vp']}?", f"when {s} {found['v']} {found['vp']}", found["short"]


def _pattern(rest: str) -> re.Pattern[str]:
    return re.compile(f"{SUBJECT} {rest}")


_PATTERNS: tuple[tuple[FactKind, re.Pattern[str], Callable[[Match[str], str], Asked]], ...] = (
    ("number", _pattern(rf"{_MODAL} {_VERBS} (?P<short>within {_PERIOD}){_TAIL}"), _how_soon),
    ("number", _pattern(rf"{_MODAL} {_VERBS} for (?P<short>{_LIMIT}{_PERIOD})"), _for_how_long),
    ("number", _pattern(rf"{_MODAL} {_VERBS} {_COUNT}{_TAIL}"), _how_many_may),
    ("number", _pattern(rf"(?P<v>has|have) {_COUNT}"), _how_many_has),
    ("number", _pattern(rf"(?P<v>takes?|lasts?) (?P<short>{_LIMIT}{_PERIOD}){_TAIL}"), _how_long),
    ("number", _pattern(rf"(?P<v>costs?) (?P<short>{_LIMIT}{_MONEY}){_TAIL}"), _how_much),
    (
        "number",
        _pattern(rf"(?P<v>is|are) (?P<short>{_LIMIT}(?:(?P<period>{_PERIOD})|{_MONEY}|{_PERCENT})){_TAIL}"),
        _amount,
    ),
    ("date", _pattern(rf"(?P<v>opens?|closes?|starts?|begins?|ends?) (?P<short>(?:at|on|in) {_DAY}[^,;:]*)"), _when),
    ("date", _pattern(rf"(?P<v>was|were) (?P<vp>{_PAST}) (?P<short>(?:in|on) {_DAY}[^,;:]*)"), _when_was),
    ("definition", _pattern(r"(?P<v>means|refers to|stands for) (?P<short>(?!that )[^;:]+)"), _mean),
    ("definition", _pattern(rf"(?P<v>is|are) (?P<o>(?:an?|the|any|short for) (?!{_OPINION})[^;:]+)"), _define),
    ("duty", _pattern(r"(?P<m>must|shall|may|can|should)(?P<no> not|not|) (?P<vp>[a-z][^;:]+)"), _duty),
)
