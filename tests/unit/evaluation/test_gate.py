"""The gate decides soundly and says what it decided."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigError, DataError
from holdfast.evaluation.bound import lower_bound, p_value
from holdfast.evaluation.gate import Pair, decide, pair

RANK = {"accept": 0, "inconclusive": 1, "reject": 2}
LEARNED = {"new": Pair([0.0] * 40, [1.0] * 40)}


def changed(lost, won, same):
    return Pair([1.0] * lost + [0.0] * won + [1.0] * same, [0.0] * lost + [1.0] * won + [1.0] * same)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=149, max_size=400))
@settings(max_examples=10, deadline=None)
def test_a_candidate_equal_to_current_keeps_every_skill_with_149_items(values):
    verdict = decide({"add": Pair(values, values)}, LEARNED)
    assert verdict.decision == "accept"
    assert verdict.more_items_needed == 0


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 260), st.data())
@settings(max_examples=12, deadline=None)
def test_more_harm_never_moves_a_verdict_towards_accept(lost, won, same, data):
    before = changed(lost, won, same + 1)
    harmed = list(before.candidate)
    for index in data.draw(st.lists(st.integers(0, len(harmed) - 1), max_size=20)):
        harmed[index] = 0.0
    for role in ("earlier", "new"):
        first = decide(**_as(role, before)).decision
        second = decide(**_as(role, Pair(before.current, harmed))).decision
        assert RANK[second] >= RANK[first]


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.integers(0, 39), st.floats(0, 2), st.floats(-0.5, 0.5))
@settings(max_examples=100, deadline=None)
def test_lowering_one_difference_never_lowers_a_p_value(differences, index, harm, mean):
    worse = list(differences)
    worse[index % len(worse)] = max(-1.0, worse[index % len(worse)] - harm)
    assert p_value(worse, mean) >= p_value(differences, mean) - 1e-9


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30),
    st.integers(0, 29),
    st.floats(0, 1),
)
@settings(max_examples=15, deadline=None)
def test_lowering_one_graded_value_never_raises_a_bound(values, index, lower):
    current, candidate = [c for c, _ in values], [a for _, a in values]
    worse = list(candidate)
    worse[index % len(worse)] = min(worse[index % len(worse)], lower)
    first = decide({"s": Pair(current, candidate)}, {}).per_skill["s"]
    second = decide({"s": Pair(current, worse)}, {}).per_skill["s"]
    assert second.lower <= first.lower + 1e-6
    assert second.upper <= first.upper + 1e-6
    assert first.lower - 1e-6 <= first.difference <= first.upper + 1e-6


def _as(role, values):
    return {"earlier": {"s": values}, "new": {}} if role == "earlier" else {"earlier": {}, "new": {"s": values}}


@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 150))
@settings(max_examples=12, deadline=None)
def test_the_items_that_are_said_to_decide_do_decide(lost, won, same):
    verdict = decide({"s": changed(lost, won, same)}, {})
    more, items = verdict.more_items_needed, lost + won + same
    if verdict.decision == "inconclusive" and more is not None and more % items == 0:
        times = more // items + 1
        again = decide({"s": changed(lost * times, won * times, same * times)}, {})
        assert again.decision != "inconclusive"


def test_100_unchanged_items_need_49_more():
    verdict = decide({"add": changed(0, 0, 100)}, LEARNED)
    assert verdict.decision == "inconclusive"
    assert verdict.more_items_needed == 49
    assert "About 49 more test items would decide" in verdict.words


def test_a_change_of_exactly_the_margin_cannot_be_decided_by_any_test():
    verdict = decide({"add": changed(2, 0, 98)}, {})
    assert (verdict.decision, verdict.more_items_needed) == ("inconclusive", None)
    assert "No feasible number" in verdict.words


def test_a_skill_that_is_surely_lost_rejects_whatever_was_learned():
    verdict = decide({"add": changed(15, 0, 135), "sort": changed(0, 0, 150)}, LEARNED)
    assert verdict.decision == "reject"
    assert verdict.words == "Rejected: add would be lost. The version is stored but never becomes current."
    assert verdict.per_skill["add"].words.startswith("add: 100.0 % -> 90.0 % on 150 items (15 lost, 0 won). Lost:")


def test_a_new_skill_that_did_not_move_rejects():
    verdict = decide({"add": changed(0, 0, 150)}, {"new": Pair([0.0, 1.0], [0.0, 1.0])})
    assert verdict.decision == "reject"
    assert "new not learned" in verdict.words


def test_a_skill_that_was_perfect_before_says_that_there_was_nothing_to_gain():
    assert "nothing to gain" in decide({}, {"new": Pair([1.0] * 9, [1.0] * 9)}).per_skill["new"].words


def test_a_gain_that_could_be_chance_is_undecided_and_says_how_many_items_would_tell():
    verdict = decide({}, {"new": Pair([0.0] * 50, [1.0] * 3 + [0.0] * 47)})
    assert verdict.decision == "inconclusive"
    # Five gains are enough: 3 * N / 50 >= 4.32 (the shares continue) first holds for N = 73.
    assert verdict.more_items_needed is not None
    assert 20 <= verdict.more_items_needed <= 34


def test_a_required_gain_is_required():
    values = {"new": Pair([0.0] * 100, [1.0] * 30 + [0.0] * 70)}
    assert decide({}, values).decision == "accept"
    assert decide({}, values, min_gain=0.2).decision == "accept"
    assert decide({}, values, min_gain=0.25).decision == "inconclusive"
    assert decide({}, values, min_gain=0.35).decision == "reject"


def test_a_wider_margin_and_a_lower_confidence_accept_more():
    values = {"add": changed(3, 0, 147)}
    assert decide(values, {}).decision == "inconclusive"
    assert decide(values, {}, margin=0.06).decision == "accept"
    assert decide(values, {}, margin=0.045, confidence=0.8).decision == "accept"


def test_an_answer_without_a_grade_counts_at_its_worst_in_both_bounds():
    clean, one = decide({"s": changed(0, 0, 149)}, {}), decide({"s": Pair([1.0] * 149, [1.0] * 149, ungraded=1)}, {})
    assert (clean.decision, one.decision) == ("accept", "inconclusive")
    finding = one.per_skill["s"]
    assert finding.lower < clean.per_skill["s"].lower < 0 < clean.per_skill["s"].upper < finding.upper
    assert "1 item more could not be graded" in finding.words


def test_a_skill_that_got_better_for_sure_is_said_not_to_have_got_worse():
    verdict = decide({"add": changed(0, 30, 120), "sort": changed(0, 0, 150)}, {})
    assert verdict.words == "Accepted: add and sort kept."
    assert "with 95 % confidence it did not get worse" in verdict.per_skill["add"].words


def test_at_even_odds_the_bound_never_passes_the_mean():
    skewed = [-1.0] + [0.1] * 60
    assert lower_bound(skewed, 0.5) <= sum(skewed) / len(skewed)
    assert lower_bound([-1.0] * 5, 0.5) == -1.0


def test_intervals_for_reading_stand_beside_the_bound():
    finding = decide({"s": changed(2, 1, 147)}, {}).per_skill["s"]
    assert finding.current_wilson is not None
    assert finding.current_wilson.lower < finding.current < finding.current_wilson.upper
    assert finding.bootstrap.lower <= finding.difference <= finding.bootstrap.upper
    assert decide({"s": Pair([0.5, 1.0], [0.5, 1.0])}, {}).per_skill["s"].current_wilson is None


def test_a_verdict_is_plain_json():
    verdict = decide({"add": changed(1, 0, 100)}, LEARNED)
    again = json.loads(json.dumps(verdict.to_json()))
    assert again["decision"] == "inconclusive"
    assert again["per_skill"]["add"]["lost"] == 1
    assert again["per_skill"]["new"]["candidate_wilson"]["upper"] == 1.0


def test_the_same_question_gets_the_same_answer():
    values = {"add": changed(3, 2, 200)}
    assert decide(values, LEARNED) == decide(values, LEARNED)


@dataclass
class Result:
    item_id: str
    value: float
    error_type: str | None = None


def test_results_are_paired_by_item_whatever_their_order():
    before = [Result("a", 1.0), Result("b", 0.0), Result("c", 1.0, "unparsable")]
    after = [Result("c", 1.0), Result("b", 0.5), Result("a", 0.0)]
    assert pair(before, after) == Pair([1.0, 0.0], [0.0, 0.5], ungraded=1)


def test_results_on_different_items_are_not_compared():
    with pytest.raises(DataError, match="different items"):
        pair([Result("a", 1.0)], [Result("b", 1.0)])
    with pytest.raises(DataError, match="different items"):
        pair([Result("a", 1.0), Result("a", 1.0)], [Result("a", 1.0)])


@pytest.mark.parametrize(
    "setting", [{"margin": 0.0}, {"margin": 1.0}, {"confidence": 1.0}, {"confidence": 0.4}, {"min_gain": -0.1}]
)
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} = "):
        decide({"s": changed(0, 0, 5)}, {}, **setting)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="no skill"):
        decide({}, {})
    with pytest.raises(ConfigError, match="both as"):
        decide(LEARNED, LEARNED)
    with pytest.raises(DataError, match="2 values of current, 1"):
        decide({"s": Pair([1.0, 1.0], [1.0])}, {})
    with pytest.raises(DataError, match="no graded item"):
        decide({"s": Pair([], [], ungraded=4)}, {})
    with pytest.raises(DataError, match="outside 0 to 1"):
        decide({"s": Pair([1.5], [1.0])}, {})
