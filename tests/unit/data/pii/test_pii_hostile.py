"""Hostile texts of a megabyte: no pattern runs away. What is counted is growth, never seconds."""

import time

import pytest

from holdfast.data.pii.find import find
from holdfast.data.pii.kinds import GROUPS, expand

UNITS = ["a", "a@a.", "A\n", "eyJa.", "-----BEGIN PRIVATE KEY-----\n"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_one_thing_is_read_through(unit):
    find(unit * (1_000_000 // len(unit)), kinds=expand(["contact", "payment", "secret", "network"]))


MIXED = [
    "1 ",
    "Aa ",
    "Aa Bb 1 ",
    "12 Aa Bb ",
    "Aa, ",
    "1 Aa 2 Apt. 3\n",
    "Aa: b\nBb: c\n",
    "name: Aa Bb\n",
    "4111 1111 1111 1111 ",
    '{["',
    "Best regards,\n",
    "aws Ab1/",
]


@pytest.mark.parametrize("unit", MIXED)
def test_time_grows_with_the_length_and_not_with_its_square(unit):
    def seconds(length):
        text = unit * (length // len(unit))
        began = time.process_time()
        find(text, kinds=expand(GROUPS))
        return time.process_time() - began

    seconds(1_000)
    short, long = seconds(3_000), seconds(24_000)
    assert long < 0.1 or long / short < 40  # eight times the length; a square would take 64 times as long
