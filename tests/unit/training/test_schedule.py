"""The learning-rate factor: no update is wasted on a rate of zero."""

from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigError
from holdfast.training.schedule import warmup_cosine


def test_it_climbs_in_equal_steps_and_falls_as_half_a_cosine():
    factors = [warmup_cosine(step, 6, 2) for step in range(6)]
    expected = [0.5, 1.0] + [0.5 * (1 + cos(pi * quarter / 4)) for quarter in range(4)]
    assert factors == pytest.approx(expected)


def test_it_may_end_above_zero_or_stay_constant():
    assert warmup_cosine(2, 4, 0, final_share=0.1) == pytest.approx(0.1 + 0.9 * 0.5)
    assert [warmup_cosine(step, 4, 2, final_share=1.0) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_a_warm_up_longer_than_the_run_ends_with_it():
    assert [warmup_cosine(step, 2, 10) for step in range(2)] == [0.5, 1.0]


@given(num_steps=st.integers(1, 200), warmup=st.integers(0, 250))
def test_every_factor_is_above_zero_and_at_most_one_and_the_peak_is_reached(num_steps, warmup):
    factors = [warmup_cosine(step, num_steps, warmup) for step in range(num_steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, 5), "outside"), ((-1, 5), "outside"), ((0, 5, -1), "warmup_steps")],
)
def test_a_step_outside_the_run_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        warmup_cosine(*arguments)


def test_a_final_share_outside_zero_to_one_is_refused():
    with pytest.raises(ConfigError, match="final_share"):
        warmup_cosine(0, 5, final_share=1.5)
