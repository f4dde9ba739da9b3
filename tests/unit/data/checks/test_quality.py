"""Flaws of single rows, each shown on a text that has it and on one that only looks so."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Change, Context, Drop, Row
from holdfast.data.checks.phrases import is_cut_off
from holdfast.data.checks.quality import QualityCheck, QualitySettings, symbol_share, with_fields
from holdfast.data.checks.repetition import (
    line_repetition,
    repeated_lines,
    repeated_share,
    top_gram,
    word_repetition,
    words_of,
)
from holdfast.types import Example, Message

SENTENCE = "The quick brown fox jumps over the lazy dog near the old river bank today. "
WORDS = [f"{a}{b}{c}{d}" for a in "bdfg" for b in "aeiou" for c in "klmn" for d in "aeiou"]
PROSE = " ".join(word + ("." if number % 8 == 7 else "") for number, word in enumerate(WORDS))
"""400 words, each of them once, in sentences."""


def chat(question, answer, **others):
    return Example(id="", messages=(Message("user", question), Message("assistant", answer)), source="a:1", **others)


def judged(tmp_path, *examples, **given):
    check = QualityCheck(QualitySettings(**given), Context(scratch=tmp_path))
    rows = [Row(number, example) for number, example in enumerate(examples)]
    check.see(rows)
    return check.finding(), [check.decide(row) for row in rows]


def flags(tmp_path, answer, question="What?", **given):
    finding, _ = judged(tmp_path, chat(question, answer), **given)
    return {kind for kind, count in finding.figures["flags"].items() if count}


@pytest.mark.parametrize(
    ("answer", "flag"),
    [
        (SENTENCE * 20, {"loop", "repeated_words"}),
        ("\n".join(["Again and again the same line."] * 30), {"loop", "repeated_lines", "repeated_words"}),
        ("Lorem ipsum dolor sit amet.", {"lorem_ipsum"}),
        ("Accept all cookies to go on.", {"web_boilerplate"}),
        ("As an AI language model, I have no taste.", {"assistant_talk"}),
        ("به عنوان یک مدل زبانی نظری ندارم.", {"assistant_talk"}),
        ("I'm sorry, but I can't help with that.", {"refusal"}),
        ("Lo siento, no puedo ayudar.", {"refusal"}),
        ("I am {{name}} of {{ company }}.", {"placeholder"}),
        ("Dear [Your Name], see [INSERT DATE].", {"placeholder"}),
        ("What?", {"same_as_question"}),
        ("what", {"same_as_question"}),
        ("#### ---- @@@@ ++++ %%%% ok", {"symbols"}),
        (SENTENCE * 3 + "After that the quick brown fox was so tired that it", {"cut_off"}),
        ("Paris.", set()),
        ("I am sorry for your loss.", set()),
        ("Websites ask to accept cookies because of a law.", set()),
        ("Use `{{name}}` in the template.", set()),
        ("```\n{{name}} lorem ipsum\n```", set()),
        ("{{{HUGS}}}", set()),
        ("See [your profile](https://example.org).", set()),
        ("A language model predicts the next word.", set()),
        (PROSE, set()),
        ("```python\n" + "x = x + 1  # the same again\n" * 50 + "```", set()),
        ('{"a": "' + SENTENCE * 20 + '"}', set()),
        ("", set()),
        ("\x00", set()),
    ],
)
def test_flaws_and_what_only_looks_so(tmp_path, answer, flag):
    assert flags(tmp_path, answer) == flag


def test_only_the_stated_flaws_are_dropped(tmp_path):
    rows = [
        chat("What?", text) for text in (SENTENCE * 20, "Lorem ipsum", "What?", "I cannot help with that.", "Fine.")
    ]
    finding, decisions = judged(tmp_path, *rows)
    assert [decision and decision.kind for decision in decisions] == [
        "loop",
        "lorem_ipsum",
        "same_as_question",
        None,
        None,
    ]
    assert decisions[2] == Drop("same_as_question", "answers with the question itself")
    assert finding.title.startswith("4 of 5 rows have flaws: answers that go in circles 1, answers that repeat")
    assert finding.remedy == (
        "drop 3 rows (answers that go in circles 1, answers that repeat the question 1, lorem ipsum 1), "
        "leave the other 1 for a person to judge"
    )
    assert (finding.level, finding.num_rows) == ("problem", 4)
    _, decisions = judged(tmp_path, *rows, drop=("refusal",))
    assert [decision and decision.kind for decision in decisions] == [None, None, None, "refusal", None]


def test_answers_that_were_cut_off_cannot_be_dropped():
    with pytest.raises(ValueError, match="drop"):
        QualitySettings(drop=("cut_off",))


def test_fields_are_filled_where_a_text_is_given(tmp_path):
    rows = [chat("Who is {{name}}?", "I am {{ name }} by {{author}}."), chat("a", "b")]
    finding, decisions = judged(tmp_path, *rows, fill={"name": "Holdfast", "author": "us"})
    assert decisions == [Change(chat("Who is Holdfast?", "I am Holdfast by us."), "filled in name, author"), None]
    assert finding.remedy == "fill the fields of 1 row"
    assert finding.num_rows == 1
    finding, decisions = judged(tmp_path, *rows, fill={"name": "Holdfast"})
    assert isinstance(decisions[0], Change)
    assert finding.figures["flags"]["placeholder"] == 1
    assert with_fields(rows[0], {}) == (rows[0], ())
    _, decisions = judged(tmp_path, *rows, fill={"name": "Holdfast"}, drop=("placeholder",))
    assert decisions[0] == Drop("placeholder", 'holds the field "{{author}}"')


def test_how_much_repetition_is_too_much_can_be_told(tmp_path):
    text = PROSE + " " + " ".join(WORDS[:80])  # a sixth of it stands there before
    assert "loop" not in flags(tmp_path, text)
    assert "loop" in flags(tmp_path, text, loop_share=0.1)
    assert "repeated_words" in flags(tmp_path, text)
    assert "repeated_words" not in flags(tmp_path, text, strictness=0.1)
    assert "repeated_words" not in flags(tmp_path, text, min_words=10_000)


def test_the_share_of_symbols_can_be_told(tmp_path):
    text = "a+b=c; d-e=f; g*h=i; j/k=l"
    assert symbol_share(text) == pytest.approx(11 / 23)
    assert symbol_share("a+b") == 0.0
    assert symbol_share("नमस्ते दुनिया नमस्ते दुनिया") == 0.0
    assert flags(tmp_path, text) == set()
    assert flags(tmp_path, text, symbol_share=0.4) == {"symbols"}


def test_own_phrases_are_flagged(tmp_path):
    assert flags(tmp_path, "Call us on our HOTLINE.") == set()
    assert flags(tmp_path, "Call us on our HOTLINE.", phrases=("hotline", " ")) == {"phrase"}


def test_only_what_is_learned_is_judged(tmp_path):
    context = Message("assistant", "As an AI language model, I cannot.", weight=0.0)
    turns = (Message("user", "Lorem ipsum?"), context, Message("user", "a"), Message("assistant", "b"))
    assert judged(tmp_path, Example(id="", messages=turns))[0].level == "ok"
    assert judged(tmp_path, Example(id="", messages=(Message("user", "lorem ipsum"),), label="x"))[0].level == "ok"
    document = chat("a", "b", document="We use cookies. Lorem ipsum.")
    assert judged(tmp_path, document)[0].figures["flags"]["web_boilerplate"] == 1


def test_repetition_by_hand():
    assert words_of("It's 中文, ok") == ["it", "s", "中", "文", "ok"]
    # "ab" three times: six of ten characters.
    assert top_gram(list("abcdabefab"), 2) == ("a b", pytest.approx(0.6))
    assert top_gram(list("abc"), 2) == ("", 0.0)
    # The second "a b c" stands there before, and the "d" after it does not.
    assert repeated_share(list("abcabcd"), 3) == pytest.approx(3 / 7)
    assert repeated_share([], 3) == 0.0
    assert repeated_lines("aa\nbb\n\naa\ncccc") == (pytest.approx(1 / 4), pytest.approx(2 / 10))
    assert repeated_lines("") == (0.0, 0.0)
    assert line_repetition("aa\naa\nbb") == "33% of its lines, with 33% of its characters, stand there before"
    assert line_repetition("aa\naa\nbb\ncc\ndd\nee\nff\ngg") is None
    assert word_repetition(words_of(PROSE)) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(2, 6))
def test_longer_sequences_repeat_no_more_than_shorter_ones(words, size):
    assert repeated_share(words, size + 1) <= repeated_share(words, size)


@pytest.mark.parametrize(
    ("end", "cut"),
    [
        ("and then the quick brown fox went to the old river bank,", True),
        ("and then the quick brown fox went to the old river bank.", False),
        ("and then the quick brown fox went to the old river bank؟", False),
        ("- and then the quick brown fox went to the old river bank", False),
        ("\nSincerely,\nYour fox", False),
        ("and then the quick brown fox went to the old river #bank", False),
        ("the end of it is `code that the fox wrote near the river`", False),
    ],
)
def test_what_is_cut_off(end, cut):
    assert is_cut_off(SENTENCE * 3 + "\n" + end) is cut


def test_real_answers_are_not_dropped_for_repeating_themselves(shared_data, tmp_path):
    from holdfast.data.read import read

    rows = [
        *read(str(shared_data / "gsm8k" / "test.jsonl.gz#150")).examples,
        *read(str(shared_data / "chat_oasst" / "threads.jsonl.gz#100")).examples,
    ]
    _, decisions = judged(tmp_path, *rows)
    assert decisions == [None] * 250
