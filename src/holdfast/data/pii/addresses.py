"""Street addresses by their shape: number and street with a street's word, units, post boxes, town, region, postcode.

Safe are the United States', Canada's and the United Kingdom's forms, and German, French, Spanish, Italian, Portuguese,
Dutch and Scandinavian streets that carry their word ("Hauptstraße 5", "12 rue de la Paix"). A street without such a
word counts where a unit ("Apt. 12") or number, town and postcode follow it. A place in words alone does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import regex

from holdfast.data.pii.spans import FAIR, LIKELY, Recogniser, words

if TYPE_CHECKING:
    import re

_WORD = r"(?:\p{Lu}\p{L}{0,2}\.|[\p{Lu}\p{M}][\p{L}\p{M}'\u2019\-]{0,30}+)"
_ANY = r"[\p{L}\p{M}'\u2019.\-]{1,30}+"
_STREET = (
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Drive|Dr|Lane|Ln|Way|Square|Sq|Plaza|Court|Ct|Terrace|Ter"
    r"|Place|Pl|Park|Parkway|Pkwy|Circle|Cir"
    r"|Crescent|Close|Grove|Gardens?|Highway|Hwy|Row|Mews|Walk|Hill|View|Trail|Alley|Loop|Point|Bridge|Crossing"
    r"|Green|Heights|Junction|Ridge|Quay|Wharf|Mall|Union"
    r"|Isle|Coves?|Parks|Squares|Streets|Rapids|Fort|Ports?|Roads|Harbors?|Meadows?|Mills?|Falls|Forge|Field|Fields"
    r"|Estates?|Extensions?|Expressway|Freeway|Turnpike|Villages?|Vista|Station|Stravenue|Shoals?|Springs?|Spurs?"
    r"|Summit|Track|Tunnel|Valleys?|Viaduct|Ways|Wells|Knolls?|Lakes?|Landing|Light|Locks?|Lodge|Manors?|Mission"
    r"|Motorway|Mountains?|Neck|Orchard|Oval|Overpass|Passage|Path|Pike|Pines?|Plains?|Prairie|Radial|Ramp|Ranch"
    r"|Rest|River|Route|Run|Shores?|Skyway|Throughway|Trace|Trafficway|Trailer|Underpass|Unions|Burgs?|Bypass|Camp"
    r"|Canyon|Cape|Causeway|Centers?|Cliffs?|Club|Common|Corners?|Course|Courts|Creek|Crest|Curve|Dale|Dam|Divide"
    r"|Flats?|Ford|Forest|Fork|Forks|Freeway|Gateway|Glens?|Greens|Groves|Haven|Hills|Hollow|Inlet|Island|Islands"
    r"|Keys?)"
)
_LOCAL = (
    r"(?:(?:\p{Lu}\p{L}{1,30}(?:str(?:a(?:ß|ss)e|\.|aat)|weg|platz|gasse|allee|damm|ufer|laan|gracht|plein|kade"
    r"|singel|hof|gat(?:a|an|e|en)|v[äe]gen|vei(?:en)?|vej|gade|plads|katu|tie|kuja|polku|tänav))"
    r"|(?:\p{Lu}[\p{L}\-]{1,30} ){1,3}(?:Straße|Strasse|Platz|Allee|Weg|Gasse|gatan|gate|gata|terrasse|ulica|cesta"
    r"|náměstí))"
)
_HUNGARIAN = r"(?:\p{Lu}[\p{L}\-]{1,30} ){1,3}(?:\p{Ll}{2,20} )?(?:u\.|utca|út(?:ja)?|körút|tér)"
_DOT = r"(?:(?<=\b(?:St|Ave|Av|Rd|Blvd|Dr|Ln|Sq|Ct|Pl|Hwy|Pkwy|Cir|Ter))\.)?"
_LEADING = (
    r"(?:(?:\d{1,4}(?: ?(?:bis|ter))?,? )?(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Pp]lace|[Cc]hemin|[Aa]llée|[Qq]uai"
    r"|[Ii]mpasse|Calle|C/|Avda\.?|Avenida|Paseo|Plaza|Carrer|Camino|Ronda|Via|Viale"
    r"|Piazza|Corso|Vicolo|Rua|Travessa|Praça|Largo|Estrada|Alameda|ul\.|ulica|Ulica|al\.|Trg)"
    rf" (?:(?:de|del|della|dei|degli|di|du|des|la|le|les|los|las|el|do|da|dos|das|l['\u2019]) ?){{0,3}}{_WORD}(?:"
    rf" (?:(?:de|del|di|du|da|do|la|y|e|et|i) )?{_WORD}){{0,4}})"
)
_UNIT = r"(?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Bldg|Building|No|#)\b\.? ?#?\d{1,5}[A-Za-z]?)"
_NUMBER = r"\d{1,5}[A-Za-z]?(?:[-/]\d{1,4})?"
_GAP = r"(?:,? |,?\s{0,2}\n\s{0,2}(?:, ?)?)"
_TOWN = rf"{_WORD}(?:[ /\-](?:(?:de|del|di|du|sur|am|an der|la|le|of|upon|der) )?\(?{_WORD}\)?){{0,4}}"
_ZIP = r"(?:\d{5}(?:-\d{4})?|\d{4} ?[A-Z]{2}|\d{3,6}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d)(?!\d)"
_REGION = rf"(?:[A-Z]{{2,3}}\b|\d{{2}}\b|nan|{_TOWN})"
_TAIL = (
    rf"(?:{_GAP}{_UNIT}){{0,2}}"
    rf"(?:{_GAP}{_ZIP} {_TOWN}|{_GAP}{_TOWN}(?:{_GAP}{_REGION}){{0,2}}(?:{_GAP}{_ZIP})"
    rf"|{_GAP}{_TOWN}{_GAP}{_REGION}(?={_GAP}?[?.!]|\s*$|[,;]))?"
)
_ENDS = r"(?![\p{L}\p{N}])"


_PART = rf"(?: ?(?:{_WORD}|{_NUMBER}))"
_AT = words(
    r"address(?: is|:)?",
    r"(?:live|lives|lived|living|located|stay|staying|office|send|sent|ship|deliver\w*|taxi|return|me|off"
    r"|it['\u2019]s|is) (?:at|on|in|to)",
)


def _form(
    pattern: str, confidence: float, *, flags: int = 0, digits: int = 1, context: re.Pattern[str] | None = None
) -> Recogniser:
    compiled = regex.compile(rf"(?<![\p{{L}}\p{{N}}_]){pattern}{_ENDS}", regex.MULTILINE | flags)
    return Recogniser("address", compiled, confidence, None, context, FAIR, digits=digits)  # pyright: ignore[reportArgumentType]


RECOGNISERS = (
    _form(rf"(?:{_NUMBER} )?{_NUMBER} (?:[NSEW]\.? )?(?:{_WORD} ){{1,4}}{_STREET}\b{_DOT}{_TAIL}", LIKELY),
    _form(rf"(?:{_NUMBER},? )?(?:{_LOCAL} {_NUMBER}|{_HUNGARIAN} {_NUMBER}\.?){_TAIL}", LIKELY),
    _form(rf"(?:{_NUMBER} )?{_LEADING}(?:,? {_NUMBER})?{_TAIL}", FAIR),
    _form(
        rf"(?:{_NUMBER} )?(?:P\.? ?O\.? ?Box|Postbox|Postfach|Apartado|Boîte postale|Postbus) \d{{1,6}}(?: (?:{_ANY}"
        rf" ){{0,3}}{_STREET})?{_TAIL}",
        LIKELY,
        flags=regex.IGNORECASE,
    ),
    _form(
        r"(?:PSC|Unit|CMR|USS|USNS|USCGC|USNV) (?:\d{1,5}|\p{L}{2,20}),?(?: Box \d{1,5})?\s{1,3}(?:APO|FPO|DPO)"
        r" (?:AA|AE|AP) \d{5}",
        LIKELY,
        flags=regex.IGNORECASE,
    ),
    _form(
        rf"{_NUMBER} (?:{_WORD} ){{1,6}}(?:{_NUMBER}\.?|(?={_UNIT}))(?:{_GAP}{_UNIT}){{0,1}}{_GAP}?{_UNIT}{_TAIL}",
        LIKELY,
    ),
    _form(rf"(?:{_NUMBER} )?(?:{_WORD} ){{1,5}}{_NUMBER}\.?{_GAP}{_UNIT}{_TAIL}", LIKELY),
    _form(rf"\d{{1,5}} (?:{_WORD} ){{1,5}}\d{{1,4}}(?! ?(?:%|times|years))(?![.,]\d){_TAIL}", 0.45, context=_AT),
    _form(rf"the corner of {_PART}{{1,5}} and {_PART}{{1,5}}", LIKELY + 0.02, digits=0),
)
