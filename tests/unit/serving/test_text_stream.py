"""Text comes in whole characters, nothing of a stop string is given, and all pieces are the decoded text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.models.load import load_tokenizer
from holdfast.serving.text_stream import TextStream

TOKENIZER = load_tokenizer("holdfast:tiny")


def pieces_of(text, stop=()):
    """The pieces of a text that is written token by token, the last one at its end."""
    stream = TextStream(TOKENIZER, stop)
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    return [*(stream.push(token) for token in ids), stream.end()], stream


@given(st.text(max_size=60))
def test_all_pieces_together_are_the_text(text):
    pieces, stream = pieces_of(text)
    decoded = TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False), skip_special_tokens=True)
    assert "".join(pieces) == decoded == stream.text


def test_a_character_of_several_tokens_comes_with_its_last_one():
    pieces, _ = pieces_of("😀")
    assert pieces[-2:] == ["😀", ""]
    assert set(pieces[:-2]) == {""}


def test_a_character_that_breaks_off_is_shown_as_such():
    stream = TextStream(TOKENIZER)
    ids = TOKENIZER.encode("😀", add_special_tokens=False)
    assert len(ids) > 1
    assert [stream.push(token) for token in ids[:-1]] == [""] * (len(ids) - 1)
    assert stream.end() == TOKENIZER.decode(ids[:-1])


@pytest.mark.parametrize(
    ("text", "stop", "left"),
    [
        ("one END two", ["END"], "one "),
        ("one EN two", ["END"], "one EN two"),
        ("one EN", ["END"], "one EN"),
        ("abcabd and", ["abd"], "abc"),
        ("x\n\nHuman: y", ["\nHuman:", "\n\n"], "x"),
        ("aaaa", ["a"], ""),
        ("سلام دنیا", ["دن"], "سلام "),
    ],
)
def test_what_may_become_a_stop_string_waits_and_a_stop_string_is_cut(text, stop, left):
    pieces, stream = pieces_of(text, stop)
    assert "".join(pieces) == left
    assert stream.is_stopped == (left != text)


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3))
def test_any_stop_strings_cut_where_the_first_of_them_is_complete(text, stop):
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    left = text
    for number in range(1, len(ids) + 1):
        written = TOKENIZER.decode(ids[:number])
        places = [place for place in (written.find(one) for one in stop) if place >= 0]
        if places:
            left = written[: min(places)]
            break
    assert "".join(pieces_of(text, stop)[0]) == left
