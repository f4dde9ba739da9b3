"""Small pictures as inline SVG: the accuracy matrix, curves, and a bound beside its threshold.

Colours are CSS variables of the page, so that every picture follows light and dark mode. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

_CELL_WIDTH, _CELL_HEIGHT, _HEAD_HEIGHT = 92, 46, 46
_CHART_WIDTH, _CHART_HEIGHT = 520, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 12, 30
_MOST_POINTS = 400
_CHARACTER = 6.6  # width of one letter of a 12-pixel label, in pixels


def heat_map(
    versions: Sequence[str],
    skills: Sequence[str],
    values: Sequence[Sequence[float | None]],
    items: Sequence[Sequence[int]] | None = None,
    *,
    marked: str | None = None,
) -> Markup:
    """Returns the matrix R as a picture: one row a version, one column a skill, accuracies in percent.

    Below each number stands the change, in points, since the row above that was measured. `marked` is framed.
    """
    label_width = max(60, 14 + round(_CHARACTER * max((len(version) for version in versions), default=0)))
    width, height = label_width + _CELL_WIDTH * len(skills) + 2, _HEAD_HEIGHT + _CELL_HEIGHT * len(versions) + 2
    parts = [_svg_start(width, height, "Accuracy of every version on every skill")]
    for column, skill in enumerate(skills):
        x = label_width + _CELL_WIDTH * (column + 0.5)
        count = max((row[column] for row in items), default=0) if items else 0
        parts.append(_text(x, 18, _shorten(skill, 13), "head", full=skill))
        parts.append(_text(x, 34, f"{count} items" if count else "", "small"))
    for row, version in enumerate(versions):
        y = _HEAD_HEIGHT + _CELL_HEIGHT * row
        parts.append(_text(label_width - 12, y + _CELL_HEIGHT / 2 + 4, version, "head end"))
        for column, value in enumerate(values[row]):
            x = label_width + _CELL_WIDTH * column
            parts.append(_cell(x, y, value, _measured_above(values, row, column), f"{version}, {skills[column]}"))
        if version == marked:
            frame = f'x="{label_width + 1}" y="{y + 1}" width="{_CELL_WIDTH * len(skills) - 2}"'
            parts.append(f'<rect {frame} height="{_CELL_HEIGHT - 2}" rx="6" class="frame"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - every text in it went through `escape`


def line_chart(steps: Sequence[int], values: Sequence[float], *, name: str, noisy: bool = True) -> Markup:
    """Returns a curve over steps: of noisy values each thin and the running mean thick, of others the values."""
    points = [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
    points = points[:: max(1, math.ceil(len(points) / _MOST_POINTS))]
    parts = [_svg_start(_CHART_WIDTH, _CHART_HEIGHT, f"{name} over steps")]
    if not points:
        parts.append(_text(_CHART_WIDTH / 2, _CHART_HEIGHT / 2, "nothing was recorded", "small"))
        return Markup("".join([*parts, "</svg>"]))  # noqa: S704
    ys = _ticks(min(0.0, *(value for _, value in points)), max(value for _, value in points))
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)

    def place(step: float, value: float) -> tuple[float, float]:
        x = _LEFT + (_CHART_WIDTH - _LEFT - _RIGHT) * (step - first) / (last - first)
        y = _CHART_HEIGHT - _BOTTOM - (_CHART_HEIGHT - _TOP - _BOTTOM) * (value - ys[0]) / (ys[-1] - ys[0])
        return x, y

    for value in ys:
        _, y = place(first, value)
        parts.append(f'<line x1="{_LEFT}" x2="{_CHART_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{value:g}", "small end"))
    for step in sorted({first, round((first + last) / 2), last}):
        x, _ = place(step, ys[0])
        anchor = "small end" if step == last else "small"
        parts.append(_text(x, _CHART_HEIGHT - 10, f"step {step}" if step == last else str(step), anchor))
    if noisy and len(points) > 20:
        parts.append(_path([place(step, value) for step, value in points], "raw"))
    parts.append(_path([place(step, value) for step, value in (_smooth(points) if noisy else points)], "curve"))
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def bound_bar(lower: float, upper: float, difference: float, threshold: float, *, span: float, decision: str) -> Markup:
    """Returns a bar from the lower to the upper bound with a dot at the difference and a line at the threshold.

    The picture shows -span to +span, so bars with the same span can be compared.
    """
    width, height = 200, 26

    def x(value: float) -> float:
        return width * (min(1.0, max(-1.0, value / span)) + 1) / 2

    label = f"change between {100 * lower:+.1f} and {100 * upper:+.1f} points"
    return Markup(  # noqa: S704
        "".join(
            [
                _svg_start(width, height, label),
                f'<line x1="0" x2="{width}" y1="13" y2="13" class="grid"/>',
                f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="3" y2="23" class="axis"/>',
                f'<line x1="{x(threshold):.1f}" x2="{x(threshold):.1f}" y1="1" y2="25" class="threshold"/>',
                f'<line x1="{x(lower):.1f}" x2="{x(upper):.1f}" y1="13" y2="13" class="bar {escape(decision)}"/>',
                f'<circle cx="{x(difference):.1f}" cy="13" r="4.5" class="dot {escape(decision)}"/></svg>',
            ]
        )
    )


def _cell(x: float, y: float, value: float | None, before: float | None, what: str) -> str:
    middle = x + _CELL_WIDTH / 2
    box = f'x="{x + 2}" y="{y + 2}" width="{_CELL_WIDTH - 4}" height="{_CELL_HEIGHT - 4}" rx="5"'
    if value is None:
        return f'<rect {box} class="unmeasured"/>' + _text(middle, y + 28, "-", "small", full=f"{what}: not measured")
    strength = 0.06 + 0.86 * value
    tone = "strong" if strength > 0.55 else "weak"
    change = None if before is None else 100 * (value - before)
    moved = change is not None and abs(change) >= 0.05
    parts = [
        f'<rect {box} class="cell" fill-opacity="{strength:.2f}"/>',
        _text(middle, y + (22 if moved else 28), f"{100 * value:.1f}", f"number {tone}", full=f"{what}: {value:.4f}"),
    ]
    if moved:
        parts.append(_text(middle, y + 36, f"{change:+.1f}", f"change {tone}"))
    return "".join(parts)


def _measured_above(values: Sequence[Sequence[float | None]], row: int, column: int) -> float | None:
    above = [values[index][column] for index in range(row)]
    return next((value for value in reversed(above) if value is not None), None)


def _svg_start(width: float, height: float, label: str) -> str:
    name = escape(label, quote=True)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" aria-label="{name}">'
    )


def _text(x: float, y: float, text: str, style: str, *, full: str | None = None) -> str:
    title = f"<title>{escape(full)}</title>" if full else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(text)}{title}</text>'


def _path(points: Sequence[tuple[float, float]], style: str) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{line}" class="{style}"/>'


def _smooth(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Returns the running mean over a twentieth of the points to each side."""
    reach = len(points) // 20
    smooth: list[tuple[int, float]] = []
    for index, (step, _) in enumerate(points):
        near = points[max(0, index - reach) : index + reach + 1]
        smooth.append((step, math.fsum(value for _, value in near) / len(near)))
    return smooth


def _ticks(low: float, high: float) -> list[float]:
    """Returns round numbers, three to seven of them, that span low to high.

    >>> _ticks(0.0, 2.3)
    [0.0, 1.0, 2.0, 3.0]
    """
    if high <= low:
        high = low + 1.0
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(factor for factor in (1, 2, 5, 10) if factor * size >= rough)
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * index, 12) for index in range(start, max(stop, start + 1) + 1)]


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
