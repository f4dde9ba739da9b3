"""Small pictures of data as inline SVG: columns of a histogram, bars with their numbers, and one bar of all rows.

Colours are CSS variables of the page, so that every picture follows light and dark mode. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from holdfast.data.output.rendering import cut, plain

_WIDTH = 420
_HEIGHT, _LEFT, _TOP, _BOTTOM = 190, 44, 14, 30
_BAR_STEP, _BAR_TOP, _BAR_HEIGHT = 34, 18, 8
_LABEL_LENGTH = 44
_MOST_NAMED = 100  # columns; more are too thin to point at
_LEAST_WIDTH = 1.5  # pixels of a bar that stands for anything at all


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, the parts it is made of, and what is written at its end (their sum where empty)."""

    label: str
    values: tuple[int, ...]
    said: str = ""

    @property
    def total(self) -> int:
        """The sum of its parts."""
        return sum(self.values)


def bars(rows: Sequence[Bar], *, name: str, styles: Sequence[str] = ("s1", "s2", "s3")) -> Markup:
    """Returns horizontal bars, each under its label, the parts of each side by side in `styles`."""
    most = max((row.total for row in rows), default=0) or 1
    height = _BAR_STEP * len(rows)
    drawn = [_start(_WIDTH, height, name)]
    for index, row in enumerate(rows):
        y = _BAR_STEP * index
        label = row.label or "(empty)"
        drawn.append(_text(0, y + 12, cut(label, _LABEL_LENGTH), "start", full=label))
        drawn.append(_text(_WIDTH, y + 12, row.said or f"{row.total:,}", "small end"))
        x = 0.0
        drawn.append(_rect(0, y + _BAR_TOP, _WIDTH, _BAR_HEIGHT, "back"))
        for value, style in zip(row.values, styles, strict=False):
            width = max(_WIDTH * value / most, _LEAST_WIDTH) if value else 0.0
            if width:
                drawn.append(_rect(min(x, _WIDTH - width), y + _BAR_TOP, width, _BAR_HEIGHT, style))
            x += width
    return _end(drawn)


def columns(
    edges: Sequence[str], counts: Sequence[int], *, name: str, under: str = "", limit: tuple[float, str] | None = None
) -> Markup:
    """Returns a histogram: one column a count, of equal width, with `edges` written below.

    There are as many edges as columns (each under its column) or one more (each between two). `limit` is a dashed
    line at a position in columns from the left, with what it is called.
    """
    between = len(edges) > len(counts)
    ticks = _ticks(max(counts, default=0))
    width = (_WIDTH - _LEFT) / max(1, len(counts))
    floor = _HEIGHT - _BOTTOM
    drawn = [_start(_WIDTH, _HEIGHT + (14 if under else 0), name)]
    for tick in ticks:
        y = floor - (floor - _TOP) * tick / ticks[-1]
        drawn.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        drawn.append(_text(_LEFT - 8, y + 4, _short(tick), "small end"))
    for index, value in enumerate(counts):
        if value:
            tall = max((floor - _TOP) * value / ticks[-1], _LEAST_WIDTH)
            gap = min(2.0, width / 6)
            place = (_LEFT + width * index + gap / 2, floor - tall, width - gap, tall)
            drawn.append(
                _rect(
                    *place, "s1", full=_span(edges, index, value, between=between) if len(counts) <= _MOST_NAMED else ""
                )
            )
    every = math.ceil(len(edges) * 44 / (_WIDTH - _LEFT)) or 1
    for index, edge in enumerate(edges[::every]):
        x = _LEFT + width * (index * every + (0 if between else 0.5))
        drawn.append(_text(min(x, _WIDTH - 4), floor + 17, edge, "small end" if x > _WIDTH - 12 else "small"))
    if under:
        drawn.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT + 8, under, "small"))
    if limit is not None:
        x = _LEFT + width * limit[0]
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{floor}" class="threshold"/>')
        right = x > _WIDTH / 2
        drawn.append(_text(x - 6 if right else x + 6, 12, limit[1], "small end" if right else "small start"))
    return _end(drawn)


def whole(values: Sequence[int], *, name: str, styles: Sequence[str]) -> Markup:
    """Returns one bar of full width whose parts are the shares of `values`; it stretches to the page's width."""
    total, x = sum(values) or 1, 0.0
    name = escape(plain(name), quote=True)
    drawn = [f'<svg viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label="{name}">']
    drawn.append(_rect(0, 0, 1000, 14, "back"))
    for value, style in zip(values, styles, strict=True):
        width = 1000 * value / total
        if width:
            drawn.append(_rect(x, 0, max(width, 2.0), 14, style))
        x += width
    return _end(drawn)


def _span(edges: Sequence[str], index: int, value: int, *, between: bool) -> str:
    place = f"{edges[index]} to {edges[index + 1]}" if between else edges[index]
    return f"{place}: {value:,}"


def _start(width: float, height: float, name: str) -> str:
    label = escape(plain(name), quote=True)
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return f'<svg {size} role="img" aria-label="{label}">'


def _end(drawn: list[str]) -> Markup:
    return Markup("".join([*drawn, "</svg>"]))  # noqa: S704 - every text in it went through `escape`


def _text(x: float, y: float, text: str, style: str, *, full: str = "") -> str:
    title = f"<title>{escape(plain(cut(full, 200)))}</title>" if full and full != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(plain(text))}{title}</text>'


def _rect(x: float, y: float, width: float, height: float, style: str, *, full: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}"'
    title = f"<title>{escape(plain(cut(full, 200)))}</title>" if full else ""
    return f'<rect {place} class="{style}">{title}</rect>' if title else f'<rect {place} class="{style}"/>'


def _short(value: float) -> str:
    """Returns a number in at most five characters.

    >>> _short(200.0), _short(1500.0), _short(20000.0), _short(1500000.0)
    ('200', '1.5k', '20k', '1.5M')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _ticks(most: float) -> list[float]:
    """Returns round whole numbers from 0, three to six of them, the last not below `most`.

    >>> _ticks(37)
    [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    rough = max(most, 3) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = max(1.0, size * next(factor for factor in (1, 2, 5, 10) if factor * size >= rough))
    return [step * index for index in range(math.ceil(max(most, 1) / step - 1e-9) + 1)]
