"""What an English sentence is about: its subject, as it is written in the middle of a question.

Rules and lists, no parser: a subject that is not surely one is refused, and its sentence makes no question.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBJECT = r"(?P<s>[A-Z0-9][\w'\u2019&/-]*(?: [\w'\u2019&/-]+){0,6}?)"
"""A regular expression of up to seven words that may be a subject."""

_DETERMINERS_WORDS = "the a an our your each every all any some both "
_PREPOSITIONS_WORDS = (
    "in on at for with during after before from to by under within without upon until per of about over through "
    "across between against among towards toward via into onto regarding concerning unlike like besides beyond beside "
    "due outside "
)
_IMPERATIVES_WORDS = (
    "make ensure check note remember see use add keep send ask call click open close press enter select choose "
    "contact please do let go read write give take put set start stop submit complete sign return report follow avoid "
    "never always find get provide include consider confirm verify attach upload download save print wait try tell "
    "show fill list describe explain create delete remove update change turn hold pay book request "
)
_NEVER_WORDS = (
    "it this that these those they them he she him her his hers its their today we us you i me one there here who "
    "whom whose which what whoever whatever if when whenever while because although though as unless but or nor so "
    "than whether since and is are was were be been being am must shall may can could should will would might cannot "
    "has have had do does did not no none neither also only always usually often however therefore otherwise then "
    "thus now still even just hence moreover furthermore instead finally first second third next last such same above "
    "below following former latter according how why where "
)
_AGENTS_WORDS = (
    "agent applicant assistant auditor author bank board bidder borrower buyer candidate carrier client committee "
    "company consumer contractor controller council counsellor customer department dealer developer director doctor "
    "driver editor employee employer engineer everybody everyone guest head holder institution insurer inspector "
    "intern landlord lawyer leader learner lender lessee lessor librarian licensee licensor manager management member "
    "merchant moderator nurse office officer operator organisation organization owner parent participant partner "
    "party passenger patient pedestrian people personnel person pilot player processor professor provider pupil "
    "purchaser reader recipient representative researcher resident reviewer secretary seller sender speaker staff "
    "student subscriber supervisor supplier teacher team technician tenant traveller trainee trainer treasurer "
    "trustee tutor user vendor visitor volunteer winner worker workers "
)
_AGENTS = frozenset(_AGENTS_WORDS.split())
_DETERMINERS = frozenset(_DETERMINERS_WORDS.split())
_PREPOSITIONS = frozenset(_PREPOSITIONS_WORDS.split())
_IMPERATIVES = frozenset(_IMPERATIVES_WORDS.split())
_NEVER = frozenset(_NEVER_WORDS.split())
_DANGLING = re.compile(
    r"\b(?:this|these|those|it|they|them|he|she|him|such|above|below|following|former|latter|herein|thereof|hereby|also|"
    r"however|therefore|otherwise|instead|thus|hence|moreover|furthermore|respectively|aforementioned|i|we|me|us|my)\b",
    re.IGNORECASE,
)
_GLUED = re.compile(r"[a-z)][.:;][A-Z]")
MIN_SENTENCE, MAX_SENTENCE = 20, 400


def stands_alone(sentence: str) -> bool:
    """Tells whether a sentence can be understood by itself: a full one, that refers to nothing outside of it."""
    return (
        MIN_SENTENCE <= len(sentence) <= MAX_SENTENCE
        and sentence.endswith(".")
        and not sentence.endswith("..")
        and sentence[0].isupper()
        and not any(sign in sentence for sign in "?!\t|{}<>[]\u2022\u2026")
        and sentence.count('"') % 2 == 0
        and sentence.count("(") == sentence.count(")")
        and not _DANGLING.search(sentence)
        and not _GLUED.search(sentence)
    )


def casing(text: str) -> dict[str, bool]:
    """Returns for words of a text (in small letters) whether they are seen written small; False where they are names.

    >>> casing("Employees of Siemens ask. All employees do.")["siemens"]
    False
    """
    names = {name.lower(): False for name in re.findall(r"(?<=[a-z,;] )[A-Z][a-z]+", text)}
    return names | dict.fromkeys(re.findall(r"(?<![\w'\u2019])[a-z][a-z-]*(?![\w-])", text), True)


def subject_of(written: str, seen: Mapping[str, bool]) -> str | None:
    """Returns a subject as it stands in the middle of a sentence, or None where it is not surely a subject.

    `seen` is the `casing` of its document.

    >>> subject_of("The refund period", {}), subject_of("Siemens AG", {}), subject_of("If the fee", {})
    ('the refund period', 'Siemens AG', None)
    """
    words = written.split()
    lower = [word.lower().replace("\u2019", "'") for word in words]
    if any(word in _NEVER or ("'" in word and not word.endswith(("'s", "s'"))) for word in lower):
        return None
    if lower[0] in _PREPOSITIONS or lower[0] in _IMPERATIVES or (lower[0].endswith("ing") and len(words) > 1):
        return None
    if lower[-1] in _DETERMINERS or lower[-1] in _PREPOSITIONS or lower[-1].endswith("ly"):
        return None
    if lower[0].endswith("ly") and lower[0] not in (
        "daily",
        "early",
        "family",
        "hourly",
        "monthly",
        "weekly",
        "yearly",
    ):
        return None
    inner = [n for n, word in enumerate(lower) if n and word in _DETERMINERS]
    if any(lower[n - 1] not in _PREPOSITIONS for n in inner):
        return None
    first = words[0]
    if not first[0].isupper() or (len(first) > 1 and not first[1:].islower()):
        return written
    common = seen.get(lower[0].removesuffix("'s"))
    title = any(word[:1].isupper() for word in words[1:])
    if lower[0] in _DETERMINERS or (not title and (common or (common is None and _looks_common(words)))):
        return " ".join([first.lower(), *words[1:]])
    return written


def acts(subject: str) -> bool:
    """Tells whether a subject is people or bodies of people, of which one can ask what they must do."""
    head = re.split(r" (?:of|in|at|with|from|on|for|to|under) ", subject)[0].split()
    return any(word.lower() in _AGENTS or word.lower().removesuffix("s") in _AGENTS for word in head[-1:])


def _looks_common(words: list[str]) -> bool:
    """Whether a first word that is nowhere else in its document is more probably a plain noun than a name."""
    if len(words) > 1 and words[1] not in _PREPOSITIONS:
        return words[1].islower() and not words[0].endswith(("'s", "\u2019s", "s'"))
    return words[0].endswith("s") and not words[0].endswith(("ss", "as", "is", "os", "us", "les", "nes"))
