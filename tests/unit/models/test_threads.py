import itertools

import pytest
import torch

from holdfast.models import threads
from holdfast.models.threads import available_cores, choose_threads


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class FakeModel:
    """Takes as long as the clock says for the number of threads that is set."""

    device = torch.device("cpu")

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 0.0

    def __call__(self, input_ids, *, use_cache):
        self.now += self.seconds[torch.get_num_threads()]

    def clock(self):
        return self.now


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        ({1: 1.0, 2: 2.0}, 1),
        ({1: 1.0, 2: 0.6}, 2),
        ({1: 1.0, 2: 0.95}, 1),
        ({1: 1.0, 2: 0.6, 3: 0.4}, 3),
        ({1: 1.0, 2: 0.6, 4: 0.58}, 2),
    ],
)
def test_the_fastest_number_wins_if_it_wins_by_a_tenth(seconds, wanted):
    model = FakeModel(seconds)
    choice = choose_threads(model, most=max(seconds), clock=model.clock)
    assert choice.threads == wanted == torch.get_num_threads()
    assert f"threads {wanted}: fastest of a short probe" in choice.reason


def test_one_slow_round_does_not_decide():
    model = FakeModel({1: 1.0, 2: 0.5})
    delays = itertools.chain([0.0, 0.0, 0.0, 0.0, 50.0], itertools.repeat(0.0))
    choice = choose_threads(model, most=2, clock=lambda: model.clock() + next(delays))
    assert choice.threads == 2


def test_a_small_model_is_probed_for_as_long_as_a_neighbour_may_be_busy():
    class Busy(FakeModel):
        def __call__(self, input_ids, *, use_cache):
            busy = self.now < 0.8 and torch.get_num_threads() == 2
            self.now += 0.05 if busy else self.seconds[torch.get_num_threads()]

    model = Busy({1: 0.03, 2: 0.02})
    assert choose_threads(model, most=2, clock=model.clock).threads == 2
    assert model.now < 2 * threads.LONGEST_PROBE


def test_a_large_model_is_probed_three_times():
    model = FakeModel({1: 10.0, 2: 6.0})
    assert choose_threads(model, most=2, clock=model.clock).threads == 2
    assert model.now == pytest.approx(3 * 16.0)


def test_one_core_needs_no_probe():
    assert choose_threads(FakeModel({}), most=1).reason == "threads 1: this process may use one core"


@pytest.fixture(autouse=True)
def nothing_is_said(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_what_the_environment_says_is_done_without_a_probe(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        assert choose_threads(FakeModel({})).reason == "threads 1: as OMP_NUM_THREADS says"
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_real_model_is_probed(make_model, monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 2)
    assert choose_threads(make_model()).threads in (1, 2)


def test_there_is_at_least_one_core():
    assert available_cores() >= 1
