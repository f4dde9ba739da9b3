"""Persian letters, joiners and digits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data import persian


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("این کتاب را به علی داد", True),
        ("كتاب را به علي داد", True),
        ("پنجره", True),
        ("می\u200cخواهم", True),
        ("ذهبت إلى المدرسة في الصباح", False),
        ("هذا كتاب جيد", False),
        ("یہ ایک کتاب ہے اور میں نے اسے پڑھا ہے", False),
        ("كتاب", None),
        ("hello", None),
        ("", None),
        ("۱۲۳", None),
    ],
)
def test_persian_is_told_from_arabic_and_urdu(text, answer):
    assert persian.is_persian(text) is answer


def test_whether_there_is_any_arabic_script():
    assert persian.has_arabic_script("abc ب")
    assert not persian.has_arabic_script("abc é 中 ۱")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("می\u200cشود", "می\u200cشود"),
        ("می\u200c\u200cشود", "می\u200cشود"),
        ("می\u200c شود", "می شود"),
        ("می \u200cشود", "می شود"),
        ("\u200cمی", "می"),
        ("می\u200c", "می"),
        ("کتاب\u200c،", "کتاب،"),
        ("می¬شود", "می\u200cشود"),
        ("¬ not", "¬ not"),
        ("CD\u200cها", "CD\u200cها"),
        ("۵\u200cساله", "۵\u200cساله"),
        ("foo\u200cbar", "foobar"),
        ("\u200c\u200c\u200c", ""),
    ],
)
def test_joiners_stand_once_and_within_words(before, after):
    assert persian.joiners_in_order(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1402/05/12", "۱۴۰۲/۰۵/۱۲"),
        ("3.14 و 10:30", "۳.۱۴ و ۱۰:۳۰"),
        ("GPT4 mp3 4K x_1 a@1", "GPT4 mp3 4K x_1 a@1"),
        ("٣", "۳"),
    ],
)
def test_numbers_become_persian_outside_of_latin_words(before, after):
    assert persian.with_digits(before, "persian") == after


def test_tatweel_goes_only_where_it_stretches_a_word():
    assert persian.without_tatweel("گـــره ـ ـ") == "گره ـ ـ"


def test_shapes_become_letters_and_signs_stay():
    assert persian.plain_forms("\ufeb3\ufefc\ufee1 \ufdfc \ufdfa") == "سلام \ufdfc \ufdfa"


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("کيىك یمه\u200c\u200d¬ـ\u0654 .3٣۳aA،\n"), max_size=30))
def test_each_is_the_same_when_done_twice(text):
    for step in (persian.persian_letters, persian.without_tatweel, persian.plain_forms, persian.joiners_in_order):
        once = step(text)
        assert step(once) == once
    for digits in ("keep", "ascii", "persian"):
        once = persian.with_digits(text, digits)
        assert persian.with_digits(once, digits) == once
