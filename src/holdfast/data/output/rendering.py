"""The templates of documents and pages, and what makes any text safe inside them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, TypedDict

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.types import JSONValue


class _Shared(TypedDict):
    loader: PackageLoader
    undefined: type[StrictUndefined]
    trim_blocks: bool
    lstrip_blocks: bool


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#+!|~$]|(?<=\])\()")  # a parenthesis does something only behind a bracket


@functools.cache
def html_environment() -> Environment:
    """Returns the environment of pages: all text is escaped, and its control characters are made visible."""
    return _with_filters(Environment(autoescape=True, finalize=_finalize, **_shared()))


@functools.cache
def markdown_environment() -> Environment:
    """Returns the environment of Markdown documents, where each text goes through the filter `markdown`."""
    return _with_filters(Environment(autoescape=False, **_shared()))  # noqa: S701 - Markdown is no HTML


def _shared() -> _Shared:
    return {
        "loader": PackageLoader("holdfast.data.output", "templates"),
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }


def _with_filters(made: Environment) -> Environment:
    made.filters.update(
        {"count": count, "markdown": plain_markdown, "cut": cut, "number_of": number_of, "sentence": sentence}
    )
    return made


def plain(text: str) -> str:
    r"""Returns text whose control characters can be seen and do nothing: no NUL, no change of direction.

    >>> plain("a\x00b\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    return _CONTROL.sub(lambda match: _seen(match[0]), text)


def plain_markdown(text: object) -> str:
    """Returns text as one line that Markdown shows as it is."""
    line = " ".join(plain(str(text)).split())
    return _MARKDOWN.sub(r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def count(value: int) -> str:
    """Returns a whole number with its thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def number_of(value: int, noun: str) -> str:
    """Returns a whole number with what it counts.

    >>> number_of(1, "row"), number_of(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def sentence(text: str) -> str:
    """Returns text with a full stop, unless it ends in a mark of its own.

    >>> sentence("2 rows are empty"), sentence("Why?")
    ('2 rows are empty.', 'Why?')
    """
    return text if text.endswith((".", "!", "?", "…", ":")) else f"{text}."


def cut(text: str, length: int) -> str:
    """Returns a text of at most `length` characters; the last is … where something was left out."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def flatten(settings: Mapping[str, JSONValue], prefix: str = "") -> list[tuple[str, str]]:
    """Returns nested settings as lines with dotted names.

    >>> flatten({"split": {"share": 0.2, "column": None}, "seed": 0, "on": True, "names": {}})
    [('split.share', '0.2'), ('split.column', 'not set'), ('seed', '0'), ('on', 'true'), ('names', 'none')]
    """
    lines: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            lines += flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            lines.append((prefix + name, ", ".join(_spelled(entry) for entry in value) or "none"))
        else:
            lines.append((prefix + name, _spelled(value)))
    return lines


def _spelled(value: JSONValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "not set"
    if value == {}:
        return "none"
    return "empty" if value == "" else str(value)


def _finalize(value: object) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _seen(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
