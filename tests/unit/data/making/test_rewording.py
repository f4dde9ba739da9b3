"""Rules: what they make of requests, what they leave alone, and what another wording must keep."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.making.fixed_parts import lost_part, names, outside_fixed, verbatim_parts
from holdfast.data.making.rewording import RULES, contraction, please, polite, reworded, typo


def forms(rule, text):
    return {rule(text, random.Random(seed)) for seed in range(30)}


def test_polite_asks_for_the_same():
    assert forms(polite, "Write a poem about rain.") == {
        "Could you write a poem about rain?",
        "Can you write a poem about rain, please?",
        "I would like you to write a poem about rain.",
        "Would you write a poem about rain?",
    }


@pytest.mark.parametrize(
    "text",
    [
        "What is rain?",
        "Rain falls.",
        "Write a poem. Make it short.",
        "Correct this: rain fall.",
        "Correct this:",
        "Tell me what rain is?",
        "Please write a poem.",
        "write",
        "",
        "Schreibe ein Gedicht.",
    ],
)
def test_polite_leaves_other_texts_alone(text):
    assert forms(polite, text) == {None}


def test_please_is_put_in_moved_or_taken_out():
    assert forms(please, "Write a poem. Make it short.") == {"Please write a poem. Make it short."}
    assert forms(please, "Please write a poem.") == {"Write a poem, please.", "Write a poem."}
    assert forms(please, "What is rain?") == {None}
    assert forms(please, "Please see below. Then answer.") == {None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Do not use it.", "Don't use it."),
        ("Don't use it.", "Do not use it."),
        ("I can\u2019t see it.", "I cannot see it."),
        ("What is rain?", "What's rain?"),
        ("Explain what it is.", None),
        ("Explain where it is used.", None),
        ("Why don't you answer?", None),
        ("Run `do not` now.", None),
        ('Say "it is late" now.', None),
        ("Correct this: I do not know.", None),
        ("Rain.", None),
    ],
)
def test_contractions_are_written_out_or_made(text, expected):
    assert contraction(text, random.Random(0)) == expected


def test_a_typo_swaps_two_letters_of_one_word_that_is_no_name_and_no_code():
    for slipped in forms(typo, "Ask Berlin on `parser` weather"):
        assert slipped.startswith("Ask Berlin on `parser` ")
        word = slipped.split()[-1]
        assert sorted(word) == sorted("weather")
        assert word != "weather"
        assert (word[0], word[-1]) == ("w", "r")
    assert typo("Ask it now", random.Random(0)) is None
    assert typo("Fix: weather", random.Random(0)) is None


def test_the_seed_and_the_key_draw_between_forms():
    drawn = {(seed, key): reworded("Write a poem.", "polite", seed, key) for seed in range(6) for key in "ab"}
    assert drawn[0, "a"] == reworded("Write a poem.", "polite", 0, "a")
    assert len(set(drawn.values())) > 1


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80) | st.text(alphabet="Write do not's`\"{}:.\n", max_size=60), st.sampled_from(sorted(RULES)))
def test_a_rule_keeps_code_and_numbers_whatever_the_text(text, rule):
    changed = reworded(text, rule, 0, "key")
    if changed is not None and rule != "polite":
        assert verbatim_parts(changed) == verbatim_parts(text)


@pytest.mark.parametrize(
    ("original", "other", "lost"),
    [
        ("Pay 20 euros to Anna Li.", "To Anna Li, please pay 20 euros.", ""),
        ("Pay 20 euros.", "Pay twenty euros.", "the number 20"),
        ("Pay 20 euros.", "Pay 20 euros by 5 May.", "the number 5"),
        ("Pay 1,000 euros.", "Pay 1000 euros.", ""),
        ("Ask Anna about it.", "Ask her about it.", "the name Anna"),
        ("Ask Anna's boss.", "Question the boss of Anna.", ""),
        ("Run `ls -l` there.", "Run ls there.", "`ls -l`"),
        ("See https://a.b/c?d=1 now.", "See https://a.b now.", "https://a.b/c?d=1"),
        ("Mail a@b.org", "Mail c@b.org", "a@b.org"),
        ('Translate "good day".', "Translate good day.", '"good day"'),
        ("Fill {name} in.", "Fill the name in.", "{name}"),
        ("Greet <PERSON_1>.", "Greet the person.", "<PERSON_1>"),
        ("Use parse_json here.", "Use the parser here.", "the name parse_json"),
        ("Is NATO big?", "Is it big?", "the name NATO"),
        ("Say hi.", 'Say "hi".', '"hi"'),
        ("چند روز؟ ۳۰", "چند شب؟ 31", "the number 30"),
    ],
)
def test_what_another_wording_loses_or_adds_is_named(original, other, lost):
    assert lost_part(original, other) == lost


def test_names_are_words_with_a_capital_that_begins_no_sentence():
    text = "Ask Anna. Berlin is big; I saw iOS, x2 and NATO there. - Ok: Then go"
    assert set(names(text)) == {"Anna", "iOS", "x2", "NATO"}


def test_parts_between_fixed_ones_can_be_changed():
    assert outside_fixed("a `a` a", str.upper) == "A `a` A"
    assert outside_fixed("", str.upper) == ""
    assert outside_fixed("a", str.upper) == "A"


@pytest.mark.parametrize("text", ["`" * 30_000, "{" * 30_000, '"' * 30_000, "<" * 30_000, "a." * 15_000, "A@" * 15_000])
def test_hostile_text_ends_in_time(text):
    assert lost_part(text, text) == ""
