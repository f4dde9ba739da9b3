"""A plan is written as TOML that reads back to equal values."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.output.toml_text import to_toml
from holdfast.errors import DataError

text = st.text(st.characters(exclude_categories=["Cs"]))
leaf = st.booleans() | st.integers() | st.floats(allow_nan=False) | text
value = st.recursive(leaf, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=15)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(text, value))
def test_any_values_are_read_back_equal(values):
    assert tomllib.loads(to_toml(values)) == values


def test_a_plan_is_laid_out_as_a_person_would():
    plan = {"seed": 7, "pii": {"names": ["a", "b"], "deep": {"on": True}}, "steps": [{"x": 1}, {"x": 2.5}], "s": {}}
    assert to_toml(plan) == (
        'seed = 7\n\n[pii]\nnames = ["a", "b"]\n\n[pii.deep]\non = true\n\n'
        "[[steps]]\nx = 1\n\n[[steps]]\nx = 2.5\n\n[s]\n"
    )


def test_a_key_without_a_value_is_left_out():
    assert tomllib.loads(to_toml({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}


def test_nothing_at_a_place_in_a_list_is_refused():
    with pytest.raises(DataError, match=r"pii\.names: holds None"):
        to_toml({"pii": {"names": ["a", None]}})


def test_control_characters_and_quotes_do_not_break_out():
    hostile = {'a"]\n[b': 'x"\n[evil]\ny = 1\x7f\x00\\'}
    assert tomllib.loads(to_toml(hostile)) == hostile
