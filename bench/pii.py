"""Personal data found in Presidio's own evaluation texts: precision, recall and F1 by type, of ours, Presidio, both.

    python bench/pii.py --data ../shared/data --write docs/personal-data.md

750 synthetic texts made from 201 templates. Patterns and thresholds were chosen on the templates of even number only
(`--part tuning`); the tables are of those of odd number. A place is right `exactly` where start, end and type agree,
and `partly` where it overlaps one of the same type. `covered` is the share of places whose every letter and digit is
in some place found, of whatever type: what masking would take away. Presidio has no language model (blank spaCy), as
it is installed without one.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from beside import write_between_markers
from holdfast.data.pii.engines import finder_of
from holdfast.data.pii.kinds import KINDS

TYPES = {
    "PERSON": "person",
    "STREET_ADDRESS": "address",
    "GPE": "place",
    "ORGANIZATION": "organisation",
    "CREDIT_CARD": "card",
    "DATE_TIME": "date",
    "PHONE_NUMBER": "phone",
    "TITLE": "title",
    "AGE": "age",
    "EMAIL_ADDRESS": "email",
    "NRP": "nationality",
    "ZIP_CODE": "postcode",
    "DOMAIN_NAME": "url",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip",
    "US_DRIVER_LICENSE": "driver_licence",
}
SAME = {"birth_date": "date"}
"""Kinds of ours that the set calls otherwise."""
ARMS = ("builtin", "presidio", "both")

Place = tuple[int, int, str]


@dataclass(frozen=True)
class Item:
    text: str
    places: frozenset[Place]


@dataclass
class Tally:
    gold: int = 0
    found: int = 0
    exact: int = 0
    part_gold: int = 0
    part_found: int = 0
    covered: int = 0

    def rates(self) -> tuple[float, ...]:
        exact = rate(self.exact, self.found), rate(self.exact, self.gold)
        part = rate(self.part_found, self.found), rate(self.part_gold, self.gold)
        return (*exact, f1(*exact), *part, f1(*part), rate(self.covered, self.gold))


def rate(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def f1(precision: float, recall: float) -> float:
    if precision != precision:
        return 0.0 if recall == 0 else float("nan")
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def items(data: Path, part: str) -> list[Item]:
    with gzip.open(data / "pii_presidio" / "synth_v2_1500.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    wanted = 0 if part == "tuning" else 1
    return [
        Item(
            row["full_text"],
            frozenset((s["start_position"], s["end_position"], TYPES[s["entity_type"]]) for s in row["spans"]),
        )
        for row in rows
        if row["template_id"] % 2 == wanted
    ]


def finder(arm: str, min_confidence: float) -> Callable[[str], set[Place]]:
    look = finder_of(
        SimpleNamespace(
            kinds=KINDS,
            allow=(),
            engine=arm,
            spacy_model="",
            languages=("en", "de", "fr", "es", "it", "nl", "pt", "fa"),
            min_confidence=min_confidence,
        )
    )
    return lambda text: {(s.start, s.end, SAME.get(s.kind, s.kind)) for s in look(text)}


def overlaps(one: Place, other: Place) -> bool:
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]


def is_covered(text: str, place: Place, found: set[Place]) -> bool:
    left = {at for at in range(place[0], place[1]) if text[at].isalnum()}
    for start, end, _ in found:
        left -= set(range(start, end))
    return not left


def measured(texts: Sequence[Item], look: Callable[[str], set[Place]]) -> tuple[dict[str, Tally], float, Counter[str]]:
    """Returns the tallies by type, texts a second, and what was found in texts without any place."""
    tallies = {kind: Tally() for kind in TYPES.values()}
    empty: Counter[str] = Counter()
    for item in texts[:20]:
        look(item.text)
    began = time.process_time()
    results = [look(item.text) for item in texts]
    speed = len(texts) / (time.process_time() - began)
    for item, found in zip(texts, results, strict=True):
        if not item.places:
            empty.update(kind for _, _, kind in found)
        for place in item.places:
            tally = tallies[place[2]]
            tally.gold += 1
            tally.exact += place in found
            tally.part_gold += any(overlaps(place, other) for other in found)
            tally.covered += is_covered(item.text, place, found)
        for place in found:
            tally = tallies.setdefault(place[2], Tally())
            tally.found += 1
            tally.part_found += any(overlaps(place, other) for other in item.places)
    return tallies, speed, empty


def total(tallies: Mapping[str, Tally]) -> Tally:
    whole = Tally()
    for tally in tallies.values():
        for name, value in vars(tally).items():
            setattr(whole, name, getattr(whole, name) + value)
    return whole


def shown(values: Sequence[float]) -> str:
    return " | ".join("-" if value != value else f"{100 * value:.0f}" for value in values)


def tables(texts: Sequence[Item], arms: Mapping[str, tuple[str, float]]) -> str:
    results = {name: measured(texts, finder(*arm)) for name, arm in arms.items()}
    without = sum(not item.places for item in texts)
    lines = []
    for name, (tallies, speed, empty) in results.items():
        lines += [
            f"`{name}`: {speed:.0f} texts a second on one core; {empty.total()} places found in the {without} texts"
            " that have none"
            + (f" ({', '.join(f'{kind} {count}' for kind, count in empty.most_common())})." if empty else "."),
            "",
            "| type | places | exact: precision | recall | F1 | partly: precision | recall | F1 | covered |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for kind, tally in sorted(tallies.items(), key=lambda pair: (-pair[1].gold, pair[0])):
            if tally.gold or tally.found:
                lines.append(f"| {kind} | {tally.gold} | {shown(tally.rates())} |")
        whole = total(tallies)
        lines += [f"| all | {whole.gold} | {shown(whole.rates())} |", ""]
    return "\n".join(lines).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--part", choices=["measured", "tuning"], default="measured")
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, "builtin at 0.4"], default=[*ARMS, "builtin at 0.4"])
    parser.add_argument("--confidence", type=float, default=0.5)
    parser.add_argument("--write", type=Path, help="page whose measured block is replaced")
    given = parser.parse_args()
    texts = items(given.data, given.part)
    arms = {name: (name.split(" at ")[0], 0.4 if " at " in name else given.confidence) for name in given.arms}
    text = tables(texts, arms)
    print(text)
    if given.write:
        write_between_markers(given.write, "bench-pii", text)


if __name__ == "__main__":
    main()
