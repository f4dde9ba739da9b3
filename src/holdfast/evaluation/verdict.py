"""What the gate says: a finding per skill and the verdict, as records and in words. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from holdfast.evaluation.metrics import Interval
from holdfast.types import JSONValue

Decision = Literal["accept", "reject", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the gate found on one skill. `lower` and `upper` are one-sided bounds of the mean difference."""

    skill: str
    role: Literal["earlier", "new"]
    decision: Decision
    items: int
    ungraded: int
    current: float
    candidate: float
    difference: float
    lower: float
    upper: float
    threshold: float
    confidence: float
    lost: int
    won: int
    current_wilson: Interval | None
    candidate_wilson: Interval | None
    bootstrap: Interval
    more_items: int | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision. `more_items_needed`: 0 when decided, None when no feasible number of items would decide."""

    decision: Decision
    per_skill: Mapping[str, Finding]
    more_items_needed: int | None
    words: str

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the verdict as plain JSON values, for the store and for `--json`."""
        return {
            "decision": self.decision,
            "more_items_needed": self.more_items_needed,
            "words": self.words,
            "per_skill": {name: asdict(finding) for name, finding in self.per_skill.items()},
        }


def points(share: float) -> str:
    """Returns a difference of shares in signed points.

    >>> points(-0.0133), points(0.02)
    ('-1.3 points', '+2.0 points')
    """
    return f"{100 * share:+.1f} points"


def finding_words(finding: Finding) -> str:
    """Returns what was found on one skill, in two or three sentences."""
    change = (
        f"{finding.skill}: {100 * finding.current:.1f} % -> {100 * finding.candidate:.1f} % on {finding.items} items "
        f"({finding.lost} lost, {finding.won} won)."
    )
    say = _earlier_words if finding.role == "earlier" else _new_words
    parts = [change, say(finding)]
    if finding.ungraded:
        items = "item" if finding.ungraded == 1 else "items"
        parts.append(f"{finding.ungraded} {items} more could not be graded; each bound counts that at its worst.")
    return " ".join(parts)


def verdict_words(decision: Decision, findings: Sequence[Finding], more_items: int | None) -> str:
    """Returns the verdict in one or two sentences, naming the skills that decided it."""
    earlier = [finding.skill for finding in findings if finding.role == "earlier" and finding.decision == decision]
    new = [finding.skill for finding in findings if finding.role == "new" and finding.decision == decision]
    if decision == "accept":
        parts = [f"{_names(new)} learned"] if new else []
        parts += [f"{_names(earlier)} kept"] if earlier else []
        return f"Accepted: {'; '.join(parts)}."
    if decision == "reject":
        parts = [f"{_names(earlier)} would be lost"] if earlier else []
        parts += [f"{_names(new)} not learned"] if new else []
        return f"Rejected: {'; '.join(parts)}. The version is stored but never becomes current."
    return f"Inconclusive: the test items do not decide {_names(earlier + new)}. {_more_words(more_items)}"


def _names(skills: Sequence[str]) -> str:
    """Returns the skills as a list in words.

    >>> _names(["a"]), _names(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return skills[0] if len(skills) == 1 else f"{', '.join(skills[:-1])} and {skills[-1]}"


def _earlier_words(finding: Finding) -> str:
    sure = f"with {100 * finding.confidence:g} % confidence"
    margin = f"the margin of {-100 * finding.threshold:g} points"
    if finding.decision == "accept":
        if finding.lower >= 0:
            return f"Kept: {sure} it did not get worse."
        return f"Kept: {sure} the loss is below {-100 * finding.lower:.2f} points, inside {margin}."
    if finding.decision == "reject":
        return f"Lost: {sure} the loss is above {-100 * finding.upper:.2f} points, beyond {margin}."
    span = f"between {points(finding.lower)} and {points(finding.upper)}"
    return f"Undecided: the true change lies {span}; {margin} falls in between. {_more_words(finding.more_items)}"


def _new_words(finding: Finding) -> str:
    sure = f"with {100 * finding.confidence:g} % confidence"
    if finding.decision == "accept":
        return f"Learned: {sure} the gain is above {100 * finding.lower:.1f} points."
    if finding.decision == "reject":
        full = " There was nothing to gain: `current` already answers every item." if finding.current == 1.0 else ""
        return f"Not learned: the change is {points(finding.difference)}.{full}"
    return (
        f"Undecided: the gain of {points(finding.difference)} could be chance (lower bound {points(finding.lower)}). "
        f"{_more_words(finding.more_items)}"
    )


def _more_words(more_items: int | None) -> str:
    if more_items is None:
        return "No feasible number of further items would decide at these rates: widen the margin or train on."
    return f"About {more_items} more test items would decide, if they turn out like these."
