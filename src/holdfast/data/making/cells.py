"""Cells of a spreadsheet file that no spreadsheet takes for a formula, and the texts they stand for.

A cell that begins with = + - @ (or their full-width forms, a tab or a line break) is run as a formula. Where a program
splits a line at other signs than the one meant, a cell can also begin after ; , | a tab or a line break within a text.
At each such place `'` is put in, which spreadsheets show as it is. Where the text has `'` there already it gets one
more, so that `plain` takes away exactly what `safe` put in.
"""

from __future__ import annotations

import re

_START = r"(?:(?<![\s\S])|(?<=[;,|\t\r\n]))"
_FORMULA = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_AHEAD = rf"(?=[ \u00a0']*{_FORMULA})"
_FIRST = r"(?='*[\t\r\n])"
_UNSAFE = re.compile(rf"(?<![\s\S]){_FIRST}|{_START}{_AHEAD}")
_MADE_SAFE = re.compile(rf"(?<![\s\S])'{_FIRST}|{_START}'{_AHEAD}")


def safe(text: str) -> str:
    """Returns `text` as a cell that is no formula.

    >>> safe("=HYPERLINK(A1)"), safe("'=1"), safe("a, b"), safe("a;=1")
    ("'=HYPERLINK(A1)", "''=1", 'a, b', "a;'=1")
    """
    return _UNSAFE.sub("'", text)


def plain(cell: str) -> str:
    """Returns the text that `safe` made `cell` of.

    >>> plain(safe("'=1"))
    "'=1"
    """
    return _MADE_SAFE.sub("", cell)
