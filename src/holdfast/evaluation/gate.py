"""Decide whether a candidate may replace `current`: nothing earlier lost, the new skill learned. Pure functions.

Every earlier skill is compared item by item: d_i = candidate's value - current's value on held-out item i. With the
lower one-sided bound L and the upper one-sided bound U of the mean difference (see `bound`) the skill is

    kept          L > -margin     the loss is smaller than the margin, with the stated confidence
    lost          U < -margin     the loss is larger than the margin, with the stated confidence
    undecided     otherwise       more items would tell

and the new skill is learned when its L > min_gain, not learned when the candidate is no better than `current` plus
min_gain on these very items, and undecided in between.

Choices made here
- The candidate is accepted only if *every* test passes, so each may be made at the full confidence: the chance of
  accepting a candidate that truly loses more than the margin on some skill is at most 1 - confidence, however many
  skills there are (intersection-union test, Berger 1982). No correction for the number of skills is needed.
- Any lost skill, or a new skill that was not learned, rejects; otherwise any undecided one makes the verdict
  inconclusive. Harm only ever moves a verdict from accept towards reject.
- An answer that could not be graded is neither right nor wrong. It counts as lost in the lower bound and as won in the
  upper one, so that a grader that fails can make a verdict inconclusive but never better.
- How many more items would decide is found by letting the items seen so far repeat in the same shares.
- Wilson and paired-bootstrap intervals are reported beside the bound, for reading; they decide nothing.
- The bounds speak about new items of the same kind, so they need test items drawn as the skill's users draw them.

What it does not control
- Each candidate is judged at full confidence. When k candidates in a row are tried on the same items, as the remedies
  do, a harmful one passes with a chance of at most k * (1 - confidence).
- A candidate is compared with `current`, not with the best version ever: losses below the margin can add up over
  stages. The accuracy matrix shows the sum; `forgetting` measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from holdfast.errors import ConfigError, DataError
from holdfast.evaluation.bound import lower_bound, p_value, upper_bound
from holdfast.evaluation.metrics import Interval, accuracy, paired_bootstrap, wilson
from holdfast.evaluation.verdict import Decision, Finding, Verdict, finding_words, verdict_words

_MOST_ITEMS = 1_000_000  # a test of more items than this will not be made


class Scored(Protocol):
    """One item's result, whoever stored it."""

    @property
    def item_id(self) -> str:
        """The item's content hash."""
        ...

    @property
    def value(self) -> float:
        """The grade in [0, 1]."""
        ...

    @property
    def error_type(self) -> str | None:
        """Why the answer could not be graded, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """Both versions' values on the same items in the same order, and how many more items lack a value from either."""

    current: Sequence[float]
    candidate: Sequence[float]
    ungraded: int = 0


def pair(current: Sequence[Scored], candidate: Sequence[Scored]) -> Pair:
    """Returns both versions' values item by item; items without a value from either version count as ungraded."""
    after = {result.item_id: result for result in candidate}
    if {result.item_id for result in current} != set(after) or len(current) != len(candidate):
        raise DataError(
            f"The two versions were measured on different items ({len(current)} and {len(candidate)}), so they cannot "
            "be compared item by item. Evaluate both on the same held-out test."
        )
    both = [
        (result.value, after[result.item_id].value)
        for result in current
        if result.error_type is None and after[result.item_id].error_type is None
    ]
    return Pair([b for b, _ in both], [a for _, a in both], len(current) - len(both))


def decide(
    earlier: Mapping[str, Pair],
    new: Mapping[str, Pair],
    *,
    margin: float = 0.02,
    confidence: float = 0.95,
    min_gain: float = 0.0,
) -> Verdict:
    """Returns accept, reject or inconclusive, with one finding per skill and the reasons in words."""
    _check(earlier, new, margin, confidence, min_gain)
    findings = {skill: _judge_earlier(skill, values, margin, confidence) for skill, values in earlier.items()}
    findings |= {skill: _judge_new(skill, values, min_gain, confidence) for skill, values in new.items()}
    decisions = {finding.decision for finding in findings.values()}
    decision: Decision = (
        "reject" if "reject" in decisions else "inconclusive" if "inconclusive" in decisions else "accept"
    )
    more = _more_needed(list(findings.values())) if decision == "inconclusive" else 0
    return Verdict(decision, findings, more, verdict_words(decision, list(findings.values()), more))


def _judge_earlier(skill: str, values: Pair, margin: float, confidence: float) -> Finding:
    worst, best = _extremes(values)
    level = 1.0 - confidence

    def decision(times: float) -> Decision:
        if p_value(worst, -margin, times=times) <= level:
            return "accept"
        surely_lost = p_value([-d for d in best], margin, times=times) <= level
        return "reject" if surely_lost else "inconclusive"

    return _finding(skill, "earlier", values, -margin, confidence, decision)


def _judge_new(skill: str, values: Pair, min_gain: float, confidence: float) -> Finding:
    worst, best = _extremes(values)

    def decision(times: float) -> Decision:
        if p_value(worst, min_gain, times=times) <= 1.0 - confidence:
            return "accept"
        return "reject" if accuracy(best) <= min_gain else "inconclusive"

    return _finding(skill, "new", values, min_gain, confidence, decision)


def _finding(
    skill: str,
    role: Literal["earlier", "new"],
    values: Pair,
    threshold: float,
    confidence: float,
    decision: Callable[[float], Decision],
) -> Finding:
    worst, best = _extremes(values)
    differences = worst[: len(values.current)]
    found = decision(1.0)
    before, after = accuracy(values.current), accuracy(values.candidate)
    finding = Finding(
        skill=skill,
        role=role,
        decision=found,
        items=len(differences),
        ungraded=values.ungraded,
        current=before,
        candidate=after,
        difference=after - before,
        lower=lower_bound(worst, confidence),
        upper=upper_bound(best, confidence),
        threshold=threshold,
        confidence=confidence,
        lost=sum(d < 0 for d in differences),
        won=sum(d > 0 for d in differences),
        current_wilson=_wilson(values.current, confidence),
        candidate_wilson=_wilson(values.candidate, confidence),
        bootstrap=paired_bootstrap(values.current, values.candidate, confidence=confidence),
        more_items=_items_to_decide(len(worst), decision) if found == "inconclusive" else 0,
    )
    return replace(finding, words=finding_words(finding))


def _extremes(values: Pair) -> tuple[list[float], list[float]]:
    """Returns the differences with every ungraded item lost, and with every ungraded item won."""
    differences = [after - before for before, after in zip(values.current, values.candidate, strict=True)]
    return [*differences, *[-1.0] * values.ungraded], [*differences, *[1.0] * values.ungraded]


def _items_to_decide(items: int, decision: Callable[[float], Decision]) -> int | None:
    """Returns how many items beyond `items` would decide if the shares stayed the same."""
    enough = items
    while decision(enough / items) == "inconclusive":
        enough *= 2
        if enough > _MOST_ITEMS:
            return None
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if decision(middle / items) == "inconclusive":
            too_few = middle
        else:
            enough = middle
    return enough - items


def _more_needed(findings: Sequence[Finding]) -> int | None:
    needed = [finding.more_items for finding in findings]
    known = [count for count in needed if count is not None]
    return max(known) if len(known) == len(needed) else None


def _wilson(values: Sequence[float], confidence: float) -> Interval | None:
    if any(value not in (0.0, 1.0) for value in values):
        return None
    return wilson(round(sum(values)), len(values), confidence)


def _check(
    earlier: Mapping[str, Pair], new: Mapping[str, Pair], margin: float, confidence: float, min_gain: float
) -> None:
    if not 0.0 < margin < 1.0:
        raise ConfigError(
            f"margin = {margin} is out of range; it is a share between 0 and 1, e.g. 0.02 for two points."
        )
    if not 0.5 <= confidence < 1.0:
        raise ConfigError(f"confidence = {confidence} is out of range; it lies between 0.5 and 1, e.g. 0.95.")
    if not 0.0 <= min_gain < 1.0:
        raise ConfigError(f"min_gain = {min_gain} is out of range; it is a share from 0 up to, but not including, 1.")
    if not earlier and not new:
        raise ConfigError("The gate was given no skill to compare. Measure at least one skill on both versions.")
    both = set(earlier) & set(new)
    if both:
        raise ConfigError(f"Skill {min(both)!r} was given both as an earlier and as the new skill; it can be only one.")
    for skill, values in {**earlier, **new}.items():
        if len(values.current) != len(values.candidate):
            raise DataError(
                f"Skill {skill!r}: {len(values.current)} values of current, {len(values.candidate)} of the candidate."
            )
        if not values.current:
            raise DataError(
                f"Skill {skill!r} has no graded item, so nothing can be decided. Check its grader and test."
            )
        if any(not 0.0 <= value <= 1.0 for value in [*values.current, *values.candidate]):
            raise DataError(f"Skill {skill!r} holds a value outside 0 to 1, which the bounds do not cover.")
