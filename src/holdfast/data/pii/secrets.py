"""Keys, tokens and passwords: by the forms that their issuers document, or as a value assigned to such a name.

A value assigned to `password`, `api_key` and the like counts where it looks made up: at least `MIN_ENTROPY` bits a
character (Shannon, of the value's own letters) and letters of two classes, or quoted and long. Words of a sentence,
names of variables, calls and placeholders (`${KEY}`, `<your key>`, `****`) do not.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from holdfast.data.pii.spans import LIKELY, SURE, Recogniser, Span, words

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_ENTROPY = 2.5
"""Bits a character; "hunter2" has 2.81, "aaaaaa1" 0.59, a random key of 20 letters and digits about 4.1."""
_PLACEHOLDER = re.compile(
    r"[\[<{$*%#]|x{4,}|\.{3}|(?:your|my|the|some|any|new|old|example|sample|test|dummy|fake|changeme|replace|enter)[\w\-]*$"
    r"|(?:null|none|true|false|undefined|required|optional|string|str|bool|int|env|os|process|self|this|config)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"[A-Za-z_][A-Za-z_\d]*(?:\.[A-Za-z_][\w]*)+|[A-Za-z_][\w.]*[\(\[].*|[A-Za-z_\-]+")


def entropy(text: str) -> float:
    """Returns the Shannon entropy of a text's characters in bits a character.

    >>> entropy("abcd"), entropy("aaaa")
    (2.0, 0.0)
    """
    return sum(-count / len(text) * math.log2(count / len(text)) for count in Counter(text).values()) + 0.0


def looks_secret(value: str) -> bool:
    """Whether a value assigned to a secret's name is one itself, and not a word, a variable or a placeholder.

    >>> looks_secret("hunter2!x"), looks_secret("your_password"), looks_secret("getpass.getpass()")
    (True, False, False)
    """
    if len(value) < 6 or _PLACEHOLDER.match(value) or _CODE.fullmatch(value):
        return False
    classes = [str.islower, str.isupper, str.isdecimal, lambda letter: not letter.isalnum()]
    num_classes = sum(any(holds(letter) for letter in value) for holds in classes)
    return num_classes > 1 and entropy(value) >= MIN_ENTROPY


def is_jwt(text: str) -> bool:
    """Whether the first part is a JSON object that names an algorithm (RFC 7515)."""
    head = text.split(".", 1)[0]
    try:
        fields = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and "alg" in fields


def private_keys(text: str) -> Iterator[Span]:
    """Yields every PEM block of a private key (RFC 7468), to its end or, where it is cut off, as far as it goes."""
    begins = re.compile(r"-----BEGIN ((?:[A-Z]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?)-----")
    body = re.compile(r"(?:[A-Za-z0-9+/=\s]|\\[nr])*+")
    place = 0
    while match := begins.search(text, place):
        place = match.end()
        end = body.match(text, place)
        if end is None:  # never: the body may be empty
            continue
        place = end.end()
        closing = f"-----END {match[1]}-----"
        place += len(closing) if text.startswith(closing, place) else 0
        yield Span(match.start(), place, "private_key", text[match.start() : place], SURE)


def _key(kind: str, form: str, needs: str, confidence: float = SURE, *, digits: int = 0) -> Recogniser:
    pattern = re.compile(rf"(?<![A-Za-z0-9_\-]){form}(?![A-Za-z0-9_])", re.ASCII)
    return Recogniser(kind, pattern, confidence, needs=needs, digits=digits)


_NAMES = (
    r"pass(?:word|wd|phrase|code)?|pwd|pin|secret(?:[_\- ]?(?:access[_\- ]?)?key)?|api[_\- ]?(?:key|secret|token)"
    r"|(?:access|auth|bearer|refresh|client|private|encryption|signing)[_\- ]?(?:key|token|secret)|token|credentials?"
    r"|passwort|kennwort|mot de passe|contrase[ñn]a|wachtwoord|رمز(?: عبور)?|گذرواژه"
)
_ASSIGNED = re.compile(
    rf"(?<![^\W_])(?:{_NAMES})[\"'`]?(?:\s{{0,3}}(?:[:=]=?>?|:=)|\s(?:is|ist|est|es|is:))\s{{0,3}}"
    r"(?:(?P<quote>[\"'`])(?P<quoted>[^\"'`\r\n]{6,400})(?P=quote)|(?P<bare>[^\s\"'`,;<>{}\[\]()]{6,400}))",
    re.IGNORECASE,
)


def assigned(text: str) -> Iterator[Span]:
    """Yields every value that a text assigns to the name of a secret and that looks like one."""
    for match in _ASSIGNED.finditer(text):
        group = "quoted" if match["quoted"] is not None else "bare"
        value = match[group]
        if group == "bare":
            value = value.rstrip(".:")
        if looks_secret(value):
            yield Span(match.start(group), match.start(group) + len(value), "password", value, LIKELY)


_AWS = words("aws", r"\w*secret_?access_?key", "amazon")
RECOGNISERS = (
    _key("aws_key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}", "A"),
    Recogniser(
        "aws_key",
        re.compile(r"(?<![A-Za-z0-9/+])(?=[A-Za-z/+]{0,39}\d)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])", re.ASCII),
        0.2,
        context=_AWS,
        digits=1,
    ),
    _key("azure_key", r"[A-Za-z0-9/+]{86}==", "==", LIKELY),
    _key("azure_key", r"[A-Za-z0-9_\-.]{3}\dQ~[A-Za-z0-9_\-.~]{31,34}", "Q~"),
    Recogniser(
        "azure_key", re.compile(r"[?&]sig=(?P<value>[A-Za-z0-9%/+]{40,100}={0,2})", re.ASCII), SURE, needs="sig="
    ),
    _key("gcp_key", r"AIza[0-9A-Za-z_\-]{35}", "AIza"),
    _key("gcp_key", r"ya29\.[0-9A-Za-z_\-]{20,400}", "ya29."),
    _key("gcp_key", r"GOCSPX-[0-9A-Za-z_\-]{28}", "GOCSPX-"),
    _key("github_token", r"gh[pousr]_[A-Za-z0-9]{36,251}", "gh"),
    _key("github_token", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", "github_pat_"),
    _key("gitlab_token", r"gl(?:pat|rt|dt|ptt|cbt|soat|oas|ft|imt|agent)-[A-Za-z0-9_\-]{20,100}", "gl"),
    _key("slack_token", r"xox[abceoprs]-[A-Za-z0-9\-]{10,250}", "xox"),
    _key("slack_token", r"xapp-\d-[A-Z0-9]{5,20}-\d{5,20}-[a-f0-9]{20,100}", "xapp-"),
    Recogniser(
        "slack_token",
        re.compile(r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,120}", re.ASCII),
        SURE,
        needs="hooks.slack",
    ),
    _key("stripe_key", r"(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{16,250}", "k_"),
    _key("stripe_key", r"whsec_[0-9A-Za-z+/=]{24,100}", "whsec_"),
    _key(
        "openai_key",
        r"sk-(?:(?:proj|svcacct|admin|ant|or|None)-)?(?=[A-Za-z_\-]{0,200}\d)[A-Za-z0-9_\-]{20,250}",
        "sk-",
    ),
    _key("service_token", r"hf_[A-Za-z]{34}", "hf_"),
    _key("service_token", r"npm_[A-Za-z0-9]{36}", "npm_"),
    _key("service_token", r"pypi-AgE[A-Za-z0-9_\-]{50,250}", "pypi-"),
    _key("service_token", r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}", "SG."),
    _key("service_token", r"(?:SK|AC)[a-f0-9]{32}", "", LIKELY, digits=1),
    _key("service_token", r"\d{8,10}:AA[A-Za-z0-9_\-]{33}", ":AA"),
    _key("service_token", r"do[oprt]_v1_[a-f0-9]{64}", "_v1_"),
    _key("service_token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", "shp"),
    Recogniser(
        "jwt",
        re.compile(
            r"(?<![A-Za-z0-9_\-.])eyJ[A-Za-z0-9_\-]{8,2000}\.[A-Za-z0-9_\-]{8,8000}\.[A-Za-z0-9_\-]{0,2000}", re.ASCII
        ),
        SURE,
        is_jwt,
        needs="eyJ",
    ),
    Recogniser(
        "url_login",
        re.compile(
            r"(?<![a-z0-9+.\-])[a-z][a-z0-9+.\-]{1,20}+://(?P<value>[^\s/:@?#\"'<>]{1,200}:[^\s/@\"'<>]{1,200})@",
            re.IGNORECASE | re.ASCII,
        ),
        SURE,
        needs="://",
    ),
)
