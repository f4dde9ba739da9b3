"""Dates of birth, ages and other dates; numbers of passports and driving licences, which have a form only by a word.

A date counts as one of birth where a word before it says so. `date` and `age` are looked for only where asked for.
"""

from __future__ import annotations

import re

from holdfast.data.pii.spans import FAIR, LIKELY, SURE, Recogniser

_MONTH = (
    r"(?:jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|f[ée]v(?:rier)?|mar(?:ch|s)?|m[äa]rz|apr(?:il)?|avr(?:il)?|may|mai"
    r"|june?|juni|juin"
    r"|july?|juli|juillet|aug(?:ust)?|ao[ûu]t|sep(?:t(?:ember|embre)?)?|o[ck]t(?:ober|obre)?|nov(?:ember|embre)?"
    r"|de[cz](?:ember|embre)?"
    r"|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)\.?"
)
_TIME = r"(?:[ T]\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]\.?m\b)?(?:Z|[+\-]\d\d:?\d\d)?)?"
_DATE = (
    rf"(?:(?:1[4-9]|20)\d\d[-/.](?:1[0-2]|0?[1-9])[-/.](?:3[01]|[12]\d|0?[1-9]){_TIME}"
    rf"|(?:3[01]|[12]\d|0?[1-9])[-/.](?:3[01]|[12]\d|0?[1-9])[-/.](?:(?:1[3-9]|20)\d\d|\d\d){_TIME}"
    rf"|(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th|\.)? (?:of |de )?{_MONTH},? (?:de )?(?:1[4-9]|20)\d\d"
    rf"|{_MONTH} (?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?,? (?:1[4-9]|20)\d\d)"
)
_ANY_DATE = re.compile(rf"(?<![\w/.\-]){_DATE}(?![\w/]|[.\-]\d)", re.IGNORECASE)
_BORN = re.compile(
    r"(?<!\w)(?:born|birth ?(?:date|day)?|d\.?o\.?b\.?|geboren|geburts(?:datum|tag)|n[ée]e? le|naissance|nacid[oa]"
    r"|nacimiento"
    r"|nat[oa]|nascita|nascid[oa]|nascimento|geboortedatum|متولد|تاریخ تولد)(?!\w)[^\d\n]{0,24}\Z",
    re.IGNORECASE,
)
_YEAR = re.compile(
    r"(?<!\w)(?:in|since|of|a|an|the|until|from|by|before|after|during|year|and|to|late|early|around|circa)"
    r" (?P<value>(?:1[5-9]|20)\d\d)s?(?![\w/\-]|[.,]\d)",
    re.IGNORECASE,
)
_SHORT_DATE = re.compile(
    rf"(?<![\w/.\-])(?:{_MONTH} (?:1[4-9]|20)\d\d|{_MONTH} (?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
    rf"|(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)? (?:of )?{_MONTH}|(?:[01]?\d|2[0-3]):[0-5]\d(?: ?[ap]\.?m)?"
    rf"|(?:1[0-2]|[1-9]) ?[ap]m)"
    r"(?![\w/:]|[.\-]\d)",
    re.IGNORECASE,
)
_AGE = re.compile(
    r"(?<![\w.,$€£\-])(?P<value>1[0-1]\d|[1-9]?\d)(?=[ \-]?(?:years?|yrs?)[ \-](?:old|of age)\b|[ \-]?y/?\.?o\b"
    r"|[ \-](?:jahre alt|ans\b|años\b|anni\b|jaar\b|ساله))",
    re.IGNORECASE,
)
_AGED = re.compile(
    r"(?<!\w)(?:aged?(?: is| of|:)?|turn(?:ed|s|ing)|(?:was|is|were) (?:only |just |about |almost |nearly )?|i'?m |i"
    r" am )\s?"
    r"(?P<value>1[0-1]\d|[1-9]\d)(?=[.,;!?]?(?:\s|$)(?!(?:%|percent|minutes?|hours?|days?|miles?|km|kg|dollars?"
    r"|degrees?|items?|points?)\b))",
    re.IGNORECASE,
)
_DOCUMENT = r"(?:\s?(?:number|no\.?|nr\.?|num\.?|#|id))?\s?(?:is|:|=|#)?\s?"
_LICENCE = re.compile(
    rf"(?<!\w)(?:driv(?:er'?s?|ers['\u2019]|ing) ?licen[cs]e|driver\u2019s licen[cs]e|dl|f[üu]hrerschein\w*|permis"
    rf" de conduire){_DOCUMENT}"
    r"(?P<value>(?=[a-z\-]{0,6}\d)[a-z\d](?:[ \-]?[a-z\d]){4,17}(?<=\d)[a-z]{0,3})(?!\w)",
    re.IGNORECASE,
)
_PASSPORT = re.compile(
    rf"(?<!\w)(?:passport|passnummer|reisepass\w*|passeport|pasaporte"
    rf"|گذرنامه){_DOCUMENT}(?P<value>(?=[a-z]{{0,3}}\d)[a-z\d]{{6,10}})(?!\w)",
    re.IGNORECASE,
)
_POSTCODE = re.compile(
    r"(?<!\w)(?:zip(?: ?codes?)?|post(?:al)? ?codes?|plz|c[oó]digo postal|code postal|cap)(?: ?code)?(?: is|:"
    r"|=| of| in| for)?\s?(?P<value>\d{3,6}(?:-\d{3,4})?|[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}|[a-z]\d[a-z]"
    r" ?\d[a-z]\d)(?!\w)",
    re.IGNORECASE,
)
_BARE_POSTCODE = re.compile(
    r"(?<!\w)(?:(?<=\b[A-Z]{2} )\d{5}|(?:[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2})"
    r"|\d{5}-\d{4})(?!\w)"
)

RECOGNISERS = (
    Recogniser("birth_date", _ANY_DATE, 0.1, context=_BORN, in_context=SURE, digits=4),
    Recogniser("driver_licence", _LICENCE, LIKELY, digits=1),
    Recogniser("passport", _PASSPORT, LIKELY, digits=1),
    Recogniser("postcode", _POSTCODE, LIKELY, digits=1),
    Recogniser("postcode", _BARE_POSTCODE, FAIR, digits=1),
    Recogniser("date", _ANY_DATE, LIKELY, digits=4),
    Recogniser("date", _SHORT_DATE, FAIR, digits=1),
    Recogniser("date", _YEAR, FAIR, digits=4),
    Recogniser("age", _AGE, LIKELY, digits=1),
    Recogniser("age", _AGED, FAIR, digits=1),
)
