"""Which pictures a report shows, made from the figures of a preparation; what was not measured has no picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.output.pictures import Bar, bars, columns
from holdfast.data.output.rendering import number_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from holdfast.data.output.prepared import Bin, Figures, PreparedData
    from holdfast.data.output.version import DataVersion

_MOST_BARS = 10
_SIZES = ((2, 2), (3, 3), (4, 4), (5, 9), (10, 49), (50, None))


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with its title, what its colours stand for, and a remark."""

    title: str
    drawing: Markup
    keys: tuple[str, ...] = ()
    note: str = ""


def pictures(data: PreparedData, version: DataVersion) -> list[Picture]:
    """Returns the pictures of all figures that there are, in the order in which a reader asks."""
    figures = data.figures
    labels = figures.labels or {name: part.labels for name, part in version.parts.items() if part.labels}
    drawn = [
        _dropped(data.counts.rejected),
        _lengths(figures),
        _tokens(figures, version),
        _languages(figures.languages),
        _labels(labels),
        _duplicates(figures),
        _clusters(figures.cluster_sizes),
    ]
    return [picture for picture in drawn if picture is not None]


def _dropped(rejected: Mapping[str, int]) -> Picture | None:
    found = {kind: count for kind, count in rejected.items() if count}
    if not found:
        return None
    note = "The number of rows of each kind; rejected.jsonl holds each row with its own reason."
    return Picture("Dropped, and why", bars(_top(found), name="Rejected rows by kind", styles=("s4",)), note=note)


def _lengths(figures: Figures) -> Picture | None:
    bins = figures.lengths
    if not any(each.count for each in bins):
        return None
    edges = [_edge(each.low) for each in bins] + [_edge(bins[-1].high)]
    limit = _limit(bins, figures.max_tokens)
    by = f" of {figures.tokenizer}" if figures.tokenizer else ""
    drawing = columns(edges, [each.count for each in bins], name="Rows by length", under=f"tokens{by}", limit=limit)
    longest = max((tokens.longest for tokens in figures.tokens.values()), default=0)
    note = _as_found(sum(each.count for each in bins))
    if longest:
        note += f" The longest row that is kept has {longest:,} tokens"
        note += f"; at most {figures.max_tokens:,} fit." if figures.max_tokens else "."
    return Picture("Lengths", drawing, note=note)


def _edge(value: int) -> str:
    return f"{value:,}"


def _limit(bins: Sequence[Bin], limit: int | None) -> tuple[float, str] | None:
    """Where the limit lies, in columns from the left; None where it lies beyond the picture."""
    for index, each in enumerate(bins):
        if limit is not None and each.low < limit <= each.high:
            return index + (limit - each.low) / (each.high - each.low), f"limit {limit:,}"
    return None


def _tokens(figures: Figures, version: DataVersion) -> Picture | None:
    if not figures.tokens:
        return None
    rows = [
        Bar(f"{name}: {_mean(tokens.context + tokens.learned, name, version)}", (tokens.learned, tokens.context))
        for name, tokens in figures.tokens.items()
    ]
    train = figures.tokens.get("train")
    note = ""
    if train is not None:
        note = (
            f"Rows as they are written. One epoch reads {train.context + train.learned:,} tokens and learns "
            f"{train.learned:,} of them; the cost of a training grows with the first."
        )
    return Picture("Token cost", bars(rows, name="Tokens by part"), ("learned", "only read"), note)


def _mean(tokens: int, part: str, version: DataVersion) -> str:
    num_rows = version.parts[part].num_rows if part in version.parts else 0
    return f"{tokens / num_rows:,.0f} tokens a row" if num_rows else "no rows"


def _languages(languages: Mapping[str, int]) -> Picture | None:
    if not any(languages.values()):
        return None
    named = {("not identified" if code == "und" else code): count for code, count in languages.items() if count}
    note = _as_found(sum(languages.values()))
    return Picture("Languages", bars(_top(named, shares=True, most=7), name="Rows by language"), note=note)


def _as_found(num_rows: int) -> str:
    """Says what a picture counts whose numbers were taken on the way, so that they need not be those of the parts."""
    return f"{number_of(num_rows, 'row')} as they came to this check, before later ones dropped any."


def _labels(labels: Mapping[str, Mapping[str, int]]) -> Picture | None:
    total: Counter[str] = Counter()
    for counts in labels.values():
        total.update(counts)
    if not total:
        return None
    parts = [name for name, counts in labels.items() if counts]
    all_rows = total.total()
    shown = total.most_common(_MOST_BARS if len(total) <= _MOST_BARS else _MOST_BARS - 1)
    rows = [
        Bar(label, tuple(labels[part].get(label, 0) for part in parts), _with_share(count, all_rows))
        for label, count in shown
    ]
    others = {label for label in total if label not in dict(shown)}
    if others:
        values = tuple(sum(labels[part].get(label, 0) for label in others) for part in parts)
        rows.append(Bar(f"{len(others):,} other labels", values, _with_share(sum(values), all_rows)))
    majority = shown[0][1] / all_rows
    note = (
        f"Rows as they are written. Always saying the most frequent of {len(total):,} labels is right in "
        f"{100 * majority:.1f} % of the rows."
    )
    return Picture("Label balance", bars(rows, name="Rows by label"), tuple(parts), note)


def _duplicates(figures: Figures) -> Picture | None:
    found = {kind: count for kind, count in figures.duplicates.items() if count}
    if not found:
        return None
    note = "Rows that say what another says, as they were found; the findings below say how many of them were dropped."
    return Picture("Duplicates", bars(_top(found), name="Duplicates by level", styles=("s4",)), note=note)


def _clusters(sizes: Mapping[int, int]) -> Picture | None:
    counts = [
        sum(n for size, n in sizes.items() if low <= size and (high is None or size <= high)) for low, high in _SIZES
    ]
    if not any(counts):
        return None
    names = [str(low) if low == high else f"{low} to {high}" if high else f"{low}+" for low, high in _SIZES]
    largest = max(size for size, count in sizes.items() if count)
    return Picture(
        "Groups of duplicates",
        columns(names, counts, name="Groups of duplicates by their size", under="rows in a group"),
        note=f"As they were found. The largest group has {largest:,} rows.",
    )


def _top(counts: Mapping[str, int], *, shares: bool = False, most: int = _MOST_BARS) -> list[Bar]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    total = sum(counts.values())
    shown = ordered if len(ordered) <= most else ordered[: most - 1]
    rest = sum(count for _, count in ordered[len(shown) :])
    rows = [Bar(name, (count,), _with_share(count, total) if shares else "") for name, count in shown]
    if rest:
        said = _with_share(rest, total) if shares else ""
        rows.append(Bar(f"{len(ordered) - len(shown):,} others", (rest,), said))
    return rows


def _with_share(count: int, total: int) -> str:
    share = 100 * count / total
    return f"{count:,} · {'< 0.1' if 0 < share < 0.1 else f'{share:.1f}'} %"
