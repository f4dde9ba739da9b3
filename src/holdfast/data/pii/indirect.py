"""What names nobody alone and may with the rest: organisations, places, nationalities, titles. Only where asked for.

Organisations are told by their legal form or a word like it, by "works for", and as names in a row ("Davis, Reynolds
and Williamson"); places are countries, and what follows "based in" and the like. Cities alone, and organisations with
nothing beside them, need a model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import regex

from holdfast.data.pii.name_words import NOT_NAMES
from holdfast.data.pii.place_words import COUNTRIES, NATIONALITIES
from holdfast.data.pii.spans import FAIR, LIKELY, Recogniser

if TYPE_CHECKING:
    from collections.abc import Callable

_CAP = r"\p{Lu}[\p{L}\p{M}\p{N}&]{1,30}+(?:[-'\u2019]\p{L}{1,30}+)?"
_FORM = (
    r"(?:Inc(?:orporated)?|LLC|L\.L\.C|Ltd|Limited|Corp(?:oration)?|Compan(?:y|ies)|GmbH|AG|S\.A|SpA|B\.?V|N\.?V|Oy"
    r"|AB|ApS|PLC|LLP|Group|Holdings?|Partners"
    r"|Solutions|Systems|Technologies|Software|Labs|Bank|Insurance|Investments?|Capital|Ventures|Media|Studios"
    r"|Records|University|College|Institute"
    r"|Hospital|Foundation|Association|Services|Consulting|Industries|International|Airlines|Motors|Energy|Networks"
    r"|Analytics|Advisors|Associates"
    r"|Realty|Agency|Club|Council|Orchestra|Enterprises|Logistics|Pharma(?:ceuticals)?|Communications)"
)
_WORKS = (
    r"(?:works?|worked|working|employed|job|year|years|employee|intern(?:ship)?|interviewed|CEO|founder|president"
    r"|director|engineer|manager|customer)"
    r" (?:for|at|of|with|by)|joined|founded|acquired by|bought by"
)
_TITLES = (
    r"Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Dame|Lord|Lady|Rev|Capt|Captain|Lt|Sgt"
    r"|Herr|Frau|Mme|Mlle|Monsieur|Madame|Sra?|Srta|Sig"
)
_SURNAMES = rf"{_CAP}, {_CAP},? and {_CAP}|{_CAP} (?:and|&) {_CAP}(?= {_FORM}\b)"


def _named(
    kind: str, pattern: str, confidence: float, *, flags: int = 0, test: Callable[[str], bool] | None = None
) -> Recogniser:
    return Recogniser(kind, regex.compile(pattern, flags), confidence, test)  # pyright: ignore[reportArgumentType]


def _may_be_place(text: str) -> bool:
    """Whether a place may begin with the first word: not a month, a language, a word of a sentence."""
    return text.split()[0].lower() not in NOT_NAMES - {"new", "san", "santa", "los", "las", "saint", "mount", "lake"}


RECOGNISERS = (
    _named(
        "organisation",
        rf"(?<!\p{{L}})(?!The )(?P<value>(?:{_CAP}, (?={_CAP},? and ))?(?:{_CAP} (?:and |& |of"
        rf" )?){{1,4}}{_FORM})\.?(?!\p{{L}})",
        FAIR,
    ),
    _named("organisation", rf"\b(?:{_WORKS}) (?:the )?(?P<value>{_CAP}(?: (?:and |& )?{_CAP}){{0,3}})", FAIR - 0.05),
    _named("organisation", rf"(?<![\p{{L}}:] )(?<!\p{{L}})(?P<value>{_SURNAMES})(?!\p{{L}})", 0.57),
    _named(
        "organisation",
        rf"(?:^|\bthe |\bat |\bfor |\bfrom |\bfrom the )(?i:the )?(?P<value>{_CAP}(?: {_CAP}){{0,3}}) (?:office"
        rf"|website|headquarters|employees?|branch|store|stock|shares|is (?:a|an|the)"
        rf" (?:\p{{L}}+ )?(?:agency|company|firm|startup|start-up|bank|business|organi[sz]ation"
        rf"|corporation))\b",
        FAIR,
        flags=regex.MULTILINE,
    ),
    _named("place", rf"(?<!\p{{L}})(?:the )?(?P<value>{COUNTRIES})(?!\p{{L}})", 0.62),
    _named(
        "place",
        rf"\b(?:(?:based|located|born|live|lives|lived|living|am|is|are|was|were|arrived|stay|staying|raised|grew up"
        rf"|street|office|been|working|works) (?:in|at|to)|(?:originally|moved here|is|am|are|comes?|flying|flew"
        rf"|back) from|travel(?:l?ing)? to|trip to|fly(?:ing)? to|move[ds]? to|visit(?:ed|ing)?|return(?:ed|ing)? to"
        rf"|[\p{{L}}\d]{{2,20}} in) (?:the )?(?P<value>{_CAP}(?: (?:(?:de|del|di|am|an der|sur|la|le|of)"
        rf" )?{_CAP}){{0,2}})",
        0.52,
        test=_may_be_place,
    ),
    Recogniser("nationality", re.compile(rf"(?<!\w)(?:{NATIONALITIES})s?(?!\w)", re.IGNORECASE), FAIR),
    _named("title", rf"(?<!\p{{L}})(?i:{_TITLES})(?:\.|(?= \p{{Lu}}))(?= \p{{L}})", LIKELY),
    _named("title", r"(?<=\p{L}), the (?P<value>\p{Lu}\p{L}+(?: \p{L}+){0,5})(?:,|$)", FAIR, flags=regex.MULTILINE),
    _named(
        "title",
        r"\b(?i:title|position|job|occupation|profession|role)\s?[:=]\s?(?P<value>\p{L}[\p{L} ,/&\-]{2,60})",
        FAIR,
    ),
    _named(
        "title",
        rf"^{_CAP}(?: (?:{_CAP}|\p{{Lu}}\.?)){{1,3}}\n{{1,2}}(?P<value>\p{{L}}[\p{{L}}, \-]{{3,50}}(?:er|or|ist|ian"
        rf"|ant|man|nurse|clerk))$",
        FAIR,
        flags=regex.MULTILINE,
    ),
    _named(
        "title",
        r"\b(?i:work(?:s|ed|ing)? as an?) (?P<value>\p{L}+(?: \p{Ll}+){0,3}(?:er|or|ist|ian|ant|man|nurse|chef))\b",
        FAIR,
    ),
)
