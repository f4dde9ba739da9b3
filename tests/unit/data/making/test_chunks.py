"""Chunks: nothing lost, nothing too long, and each knows where it is from."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.making.chunks import ChunkSettings, chunks, sentences
from holdfast.errors import DataError


@dataclass(frozen=True)
class Part:
    """What the reader of documents gives."""

    text: str
    source: str = "handbook.pdf"
    page: int | None = None
    section: str = ""


def cut(text, count_tokens=None, **values):
    return [chunk.text for chunk in chunks([Part(text)], ChunkSettings(**values), count_tokens)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "Dr. Who pays 3.50. See e.g. page 4 at 9 a.m. today.",
            ["Dr. Who pays 3.50.", "See e.g. page 4 at 9 a.m. today."],
        ),
        ('She said "Go." Then he went.', ['She said "Go."', "Then he went."]),
        ("Er ist da.\n\nSie\nauch.", ["Er ist da.", "Sie auch."]),
        ("چرا؟ چون خوب است. بله", ["چرا؟", "چون خوب است.", "بله"]),
        ("一。二！三", ["一。", "二！", "三"]),
        ("wait... what", ["wait... what"]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


def test_paragraphs_are_packed_up_to_the_limit():
    assert cut("aaaa\n\nbbbb\n\ncccc", max_size=10) == ["aaaa\n\nbbbb", "cccc"]
    assert cut("aaaa\n\nbbbb\n\ncccc", max_size=9) == ["aaaa", "bbbb", "cccc"]


def test_by_says_where_a_chunk_may_end():
    text = "One is here. Two is here.\n\nThree is here."
    assert cut(text, by="section", max_size=100) == [text]
    assert cut(text, by="paragraph", max_size=30) == ["One is here. Two is here.", "Three is here."]
    assert cut(text, by="sentence", max_size=30) == ["One is here. Two is here.", "Three is here."]
    assert cut(text, by="sentence", max_size=14) == ["One is here.", "Two is here.", "Three is here."]
    assert cut("One is here.\n\nTwo is here.", by="sentence", max_size=30) == ["One is here. Two is here."]


def test_what_is_too_long_is_cut_at_sentences_then_at_words_then_anywhere():
    assert cut("One is here. Two is here.", max_size=15) == ["One is here.", "Two is here."]
    assert cut("one two three four", max_size=9) == ["one two", "three", "four"]
    assert cut("abcdefgh", max_size=3) == ["abc", "def", "gh"]


def test_overlap_repeats_the_last_sentences():
    text = "\n\n".join(["First one. Second one.", "Third one here.", "Fourth one is here."])
    assert cut(text, max_size=40, overlap=12) == [
        "First one. Second one.\n\nThird one here.",
        "Fourth one is here.",
    ]
    assert cut(text, max_size=40, overlap=16)[1] == "Third one here.\n\nFourth one is here."
    with pytest.raises(DataError, match="overlap is 30; it must be from 0 to half"):
        cut("a", max_size=40, overlap=30)


def test_unit_counts_characters_or_tokens():
    text = "one two three four five six"
    assert cut(text, lambda part: len(part.split()), unit="tokens", max_size=4) == ["one two three four", "five six"]
    assert cut(text, lambda part: len(part.split()), unit="characters", max_size=30) == [text]
    with pytest.raises(DataError, match="no model was chosen to count"):
        cut(text, unit="tokens")


def test_a_chunk_knows_its_place_and_whether_it_is_whole():
    parts = [Part("a" * 5, page=3, section="Fees"), Part("b" * 20), Part("  \n")]
    made = list(chunks(parts, ChunkSettings(max_size=10)))
    assert [(chunk.place, chunk.section, chunk.whole) for chunk in made] == [
        ("handbook.pdf:3", "Fees", True),
        ("handbook.pdf", "", False),
        ("handbook.pdf", "", False),
    ]
    again = list(chunks([Part("a" * 5, source="other.pdf")]))
    assert again[0].id != made[0].id
    assert len({chunk.id for chunk in made}) == 2, "the same text of the same document is the same chunk"


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(["word", "a.", "Is it?", "\n\n", "x" * 25, "۱۲.", "漢字。", " "]), max_size=30).map(
        " ".join
    ),
    st.integers(4, 40),
    st.sampled_from(["section", "paragraph", "sentence"]),
)
def test_no_text_is_lost_and_no_chunk_is_too_long(text, size, by):
    made = cut(text, max_size=size, by=by)
    assert all(0 < len(chunk) <= size for chunk in made)
    assert "".join("".join(made).split()) == "".join(text.split())
    overlapping = cut(text, max_size=size, by=by, overlap=size // 2)
    assert all(0 < len(chunk) <= size for chunk in overlapping)
    assert Counter("".join("".join(overlapping).split())) >= Counter("".join(text.split()))


def test_long_text_without_spaces_or_ends_is_cut_in_time():
    assert sum(map(len, cut("x" * 300_000))) == 300_000
    assert len(cut("a b. " * 20_000, by="sentence")) > 60
