"""Batches and packs hold every sequence once, within the budget."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigError
from holdfast.training.packing import least_padding_batches, pack, token_budget_batches

LENGTHS = st.lists(st.integers(1, 100), max_size=60)


def test_batches_are_filled_with_the_longest_first():
    # 9 alone (2 x 9 > 9); 4 and 3 padded to 4 take 8; a third row would take 12; 2 is left
    assert token_budget_batches([3, 9, 4, 2], budget=9) == [[1], [2, 0], [3]]


def test_a_sequence_longer_than_the_budget_is_neither_cut_nor_dropped():
    assert token_budget_batches([50, 3], budget=10) == [[0], [1]]


@given(lengths=LENGTHS, budget=st.integers(1, 300))
def test_every_sequence_is_in_one_batch_and_every_batch_of_two_fits(lengths, budget):
    batches = token_budget_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= budget


def test_a_pack_is_the_tightest_that_fits():
    # 6 | 5 | 4 joins 6 exactly | 3 joins 5 | 2 joins those
    assert pack([6, 5, 4, 3, 2], capacity=10) == [[0, 2], [1, 3, 4]]
    # 7, then 5; 3 fits both and goes to 7, where less is left over
    assert pack([7, 5, 3], capacity=10) == [[0, 2], [1]]


@given(lengths=LENGTHS, capacity=st.integers(100, 300))
def test_packs_hold_every_sequence_once_and_no_two_could_be_one(lengths, capacity):
    bins = pack(lengths, capacity)
    assert sorted(index for one in bins for index in one) == list(range(len(lengths)))
    fill = sorted(sum(lengths[index] for index in one) for one in bins)
    assert all(tokens <= capacity for tokens in fill)
    if len(fill) > 1:
        assert fill[0] + fill[1] > capacity


def test_a_sequence_that_fits_no_pack_is_named():
    with pytest.raises(ConfigError, match="sequence 1 has 12 tokens"):
        pack([3, 12], capacity=10)


@pytest.mark.parametrize("make", [pack, token_budget_batches])
def test_an_empty_sequence_is_refused_and_no_sequences_make_no_batch(make):
    with pytest.raises(ConfigError, match="sequence 1 has 0 tokens"):
        make([1, 0], 10)
    assert make([], 10) == []


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        token_budget_batches([1], 0)


def test_padding_is_traded_against_calls_exactly_as_the_cheapest_of_all_cuts():
    lengths, call_cost = [9, 8, 3, 3, 1], 4
    # Sorted longest first; every way to cut five sequences into runs, by hand from the bits of 0..15.
    cheapest = min(
        sum(lengths[start] * (end - start) + call_cost for start, end in itertools.pairwise(cuts))
        for bits in range(16)
        for cuts in [[0, *[i + 1 for i in range(4) if bits >> i & 1], 5]]
    )
    found = least_padding_batches(lengths, 1000, call_cost)
    assert sum(max(lengths[i] for i in batch) * len(batch) + call_cost for batch in found) == cheapest == 35


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 100))
def test_least_padding_keeps_every_sequence_once_and_within_the_budget(lengths, budget, call_cost):
    batches = least_padding_batches(lengths, budget, call_cost)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or max(lengths[i] for i in b) * len(b) <= budget for b in batches)
