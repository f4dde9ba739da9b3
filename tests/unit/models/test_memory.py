"""Estimates of memory: how many sequences may run side by side."""

import pytest

from holdfast.models import memory
from holdfast.models.load import load


@pytest.fixture(scope="module")
def model():
    return load("holdfast:tiny", dtype="float32", device="cpu").model


def test_the_keys_and_values_of_all_rows_fit_a_quarter_of_the_free_memory(model, monkeypatch):
    config = model.config
    row = 2 * config.num_hidden_layers * config.hidden_size * 4 * 1000  # keys and values, float32, 1,000 tokens
    for free in (4 * row, 11 * row, 80 * row):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        rows = memory.rows_that_fit(model, 1000)
        assert rows * row <= free // 4 < (rows + 1) * row


def test_there_is_always_one_row_and_on_a_cpu_never_more_than_128(model, monkeypatch):
    for free, rows in ((0, 1), (2**50, 128)):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        assert memory.rows_that_fit(model, 1000) == rows


def test_longer_sequences_take_as_many_times_the_memory_as_they_are_longer(model, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**32)
    assert memory.rows_that_fit(model, 2_000) == 83
    assert memory.rows_that_fit(model, 4_000) == 41
