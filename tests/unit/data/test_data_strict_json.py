"""What counts as JSON, and what is said when it is not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import MAX_DEPTH, dump, parse

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=80)
@given(JSON_VALUES)
def test_what_is_dumped_is_parsed_again(value):
    assert parse(dump(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("{} x", "not JSON: text after the end of the value (character 4)"),
        ('{"a": 1, "a": 2}', 'the key "a" stands twice'),
        ('{"x": {"a": 1, "a": 1}}', 'the key "a" stands twice'),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": ' + "1" * 5000 + "}", "not usable JSON"),
        ("[" * 100_000, "nested more than"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested more than 100 deep"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(text, reason):
    with pytest.raises(RowError) as caught:
        parse(text)
    assert caught.value.reason.startswith(reason)
    assert caught.value.kind == "json"


def test_json_within_the_depth_limit_is_read():
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse(text) == json.loads(text)
    assert parse('  {"a": {"b": [1, 2.5, null]}}\n') == {"a": {"b": [1, 2.5, None]}}
