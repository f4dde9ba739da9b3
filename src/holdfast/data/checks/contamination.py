"""Training rows that hold held-out items, and held-out items that earlier skills were trained on."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from holdfast.data.check import (
    MANY_SHOWN,
    Check,
    CheckSettings,
    Drop,
    Finding,
    Row,
    Shown,
    shortened,
    shown,
)
from holdfast.data.overlap.benchmarks import benchmark_items
from holdfast.data.overlap.contamination import (
    RULES,
    Hit,
    IndexBuilder,
    Item,
    OverlapIndex,
    OverlapSettings,
    Rule,
    Seen,
    chunks_of,
    held_out_seen,
)
from holdfast.data.overlap.word_grams import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.check import Context
    from holdfast.types import JSONValue

TRAINING_DATA = "training data of "
"""Names of other data that begin so are what earlier skills learned; all others are held out."""
TEMPLATE_SHARE = 0.5
"""Where more rows than this hold a held-out item, the items share a template with the rows, and nothing is dropped."""
OWN = "this test"
OWN_TEST = "its own test"
"""The name of the test that was split from the training rows, or given with them."""


class ContaminationSettings(CheckSettings, OverlapSettings):
    """What counts as a held-out item in a training row."""

    benchmarks: tuple[str, ...] = ()
    """Files of public benchmarks whose items training rows must not hold, besides the held-out data at hand."""


class Contamination(Check[ContaminationSettings]):
    """Training rows that hold an item of a test: their own, an earlier skill's, or a public benchmark's."""

    name: ClassVar[str] = "contamination"
    Settings: ClassVar[type[CheckSettings]] = ContaminationSettings
    training_only: ClassVar[bool] = True

    def __init__(self, settings: ContaminationSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._num_rows = 0
        self._numbers, self._items, self._rules = array("q"), array("i"), array("b")
        self._rows_by_source: Counter[str] = Counter()
        self._found: dict[str, set[int]] = {}
        self._shown: dict[str, list[Shown]] = {}

    @cached_property
    def _index(self) -> OverlapIndex:
        builder = IndexBuilder(self.settings)
        for name, examples in self.context.others.items():
            for chunk in chunks_of(examples() if not name.startswith(TRAINING_DATA) else ()):
                builder.add(name, chunk)
        for path in self.settings.benchmarks:
            for chunk in chunks_of(benchmark_items(path)):
                builder.add(path, chunk)
        if self.context.rows is not None:
            builder.leave_out_templates(OWN_TEST, self.context.rows())
        return builder.index()

    def see(self, rows: Sequence[Row]) -> None:
        """Notes which rows hold an item."""
        self._num_rows += len(rows)
        by_row: dict[int, list[Hit]] = {}
        for hit in self._index.hits([row.example for row in rows]):
            by_row.setdefault(hit.text, []).append(hit)
        for position, hits in by_row.items():
            self._note(rows[position], hits)

    def _note(self, row: Row, hits: list[Hit]) -> None:
        best = min(hits, key=lambda hit: (RULES.index(hit.rule), -hit.share, hit.item))
        self._numbers.append(row.number)
        self._items.append(best.item)
        self._rules.append(RULES.index(best.rule))
        for source in dict.fromkeys(self._index.items[hit.item].source for hit in hits):
            self._rows_by_source[source] += 1
            own = [hit for hit in hits if self._index.items[hit.item].source == source]
            self._found.setdefault(source, set()).update(hit.item for hit in own)
            pairs = self._shown.setdefault(source, [])
            if len(pairs) < MANY_SHOWN:
                item = self._index.items[own[0].item]
                note = f"{_named(item)}, by {self._by(own[0].rule, item, own[0].share)}: {shortened(item.text)}"
                pairs.append(shown(row, note=note))

    def finding(self) -> Finding:
        """Returns how many rows hold items, by source, with pairs."""
        num, index = len(self._numbers), self._index
        sizes = Counter(item.source for item in index.items)
        if not index.items:
            title = "There is no held-out data that training rows could be compared with"
            return Finding(self.name, title, "note", figures={"num_items": 0})
        per_source: dict[str, JSONValue] = {
            source: {
                "items": size,
                "items_found": len(self._found.get(source, ())),
                "rows": self._rows_by_source[source],
                "items_not_compared": index.skipped.get(source, 0),
            }
            for source, size in sizes.items()
        }
        rules: dict[str, JSONValue] = {rule: self._rules.count(code) for code, rule in enumerate(RULES)}
        figures: dict[str, JSONValue] = {"num_items": len(index.items), "sources": per_source, "rules": rules}
        template = num > TEMPLATE_SHARE * self._num_rows
        parts = [f"{self._rows_by_source[source]} of {source}" for source in sizes if self._rows_by_source[source]]
        title = f"{num} of {self._num_rows} training rows hold held-out items" + (": " if parts else "")
        title += ", ".join(parts) + _skipped(index)
        if template:
            title += "; so many share a template with the items, and none is dropped: give more held-out items"
        level = "problem" if num else "ok"
        remedy = "drop them from training" if num and not template else None
        return Finding(self.name, title, level, num, remedy, figures, _in_turn(self._shown))

    def decide(self, row: Row) -> Drop | None:
        """Drops a row that holds an item."""
        place = bisect_left(self._numbers, row.number)
        if place == len(self._numbers) or self._numbers[place] != row.number:
            return None
        rule = RULES[self._rules[place]]
        item = self._index.items[self._items[place]]
        return Drop("contamination", f"holds a held-out item ({_named(item)}; {self._by(rule, item)})")

    def _by(self, rule: Rule, item: Item, share: float | None = None) -> str:
        if rule == "same":
            return "the same words"
        if rule == "long run":
            return f"a run of {self.settings.long_run} words in common"
        if len(words(item.text)) < self.settings.short_run:
            return "all its words in a row"
        amount = f"{share:.0%}" if share is not None else f"at least {self.settings.min_share:.0%}"
        return f"{amount} of its runs of {self.settings.short_run} words"


class HeldOutSeenSettings(CheckSettings, OverlapSettings):
    """What counts as a test item in earlier training data."""


class HeldOutSeen(Check[HeldOutSeenSettings]):
    """Test rows that an earlier skill was trained on: they are easier than they look."""

    name: ClassVar[str] = "held_out_seen"
    Settings: ClassVar[type[CheckSettings]] = HeldOutSeenSettings

    def __init__(self, settings: HeldOutSeenSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._builder = IndexBuilder(settings)
        self._numbers, self._items = array("q"), array("i")

    def see(self, rows: Sequence[Row]) -> None:
        """Takes in test rows."""
        self._numbers.extend(row.number for row in rows)
        self._items.extend(self._builder.add(OWN, [row.example for row in rows]))

    @cached_property
    def _index(self) -> OverlapIndex:
        return self._builder.index()

    @cached_property
    def _seen(self) -> dict[int, Seen]:
        earlier = {name: read for name, read in self.context.others.items() if name.startswith(TRAINING_DATA)}
        return held_out_seen(self._index, earlier)

    def finding(self) -> Finding:
        """Compares with all earlier training data, and returns how many test rows it holds."""
        sources = [name for name in self.context.others if name.startswith(TRAINING_DATA)]
        if not sources:
            title = "There is no earlier training data that the test could be compared with"
            return Finding(self.name, title, "note", figures={"sources": {}})
        rows = Counter(self._seen[item].source for item in self._items if item in self._seen)
        num = rows.total()
        parts = ", ".join(f"{rows[name]} in the {name}" for name in sources if rows[name])
        title = f"{num} of {len(self._numbers)} test rows were trained on before" + (f": {parts}" if parts else "")
        pairs = tuple(self._shown(item) for item in sorted(self._seen)[:MANY_SHOWN])
        figures: dict[str, JSONValue] = {"sources": {name: rows[name] for name in sources}}
        remedy = "drop them from the test, which is easier by them than it looks" if num else None
        title += _skipped(self._index)
        return Finding(self.name, title, "warning" if num else "ok", num, remedy, figures, pairs)

    def _shown(self, item: int) -> Shown:
        own, seen = self._index.items[item], self._seen[item]
        return Shown(own.place, shortened(own.text), note=f"stands in the {_place(seen)}, by {seen.rule}")

    def decide(self, row: Row) -> Drop | None:
        """Drops a test row that was trained on before."""
        place = bisect_left(self._numbers, row.number)
        if place == len(self._numbers) or self._numbers[place] != row.number:
            return None
        seen = self._seen.get(self._items[place])
        return Drop("seen_in_training", f"was trained on before: it stands in the {_place(seen)}") if seen else None


def _place(seen: Seen) -> str:
    return f"{seen.source} ({seen.place})" if seen.place else seen.source


def _named(item: Item) -> str:
    return f"{item.source}: {item.place}" if item.place else item.source


def _skipped(index: OverlapIndex) -> str:
    parts = [f"{num} items of {source}" for source, num in index.skipped.items()]
    return f"; not compared, because there are too many: {', '.join(parts)}" if parts else ""


def _in_turn(by_source: dict[str, list[Shown]]) -> tuple[Shown, ...]:
    """Returns pairs of every source in turn, `MANY_SHOWN` in all."""
    pairs = [pair for rank in range(MANY_SHOWN) for own in by_source.values() for pair in own[rank : rank + 1]]
    return tuple(pairs[:MANY_SHOWN])
