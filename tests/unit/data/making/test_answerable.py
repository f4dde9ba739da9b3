"""The checks of a question and its answer, each by an item that fails it and one that just passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.making.answerable import MAX_ANSWER, MAX_QUESTION, fault_of
from holdfast.data.making.wording import content_words, normalised, numbers

TEXT = "Refunds take 30 days. The express fee is 1,000 euros. Employees submit receipts to their manager."


def kind(question, answer, text=TEXT, manner="direct"):
    fault = fault_of(question, answer, text, manner)
    return fault.kind if fault else ""


def test_a_good_item_passes():
    assert kind("How long do refunds take?", "Refunds take 30 days.") == ""
    assert kind("How much is the express fee?", "It is 1000 euros.") == ""
    assert kind("How long is a refund?", "Thirty days.") == ""


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("What?", "Refunds take 30 days.", "empty"),
        ("How long do refunds take?", "  ", "empty"),
        ("How long do refunds take? " * 20, "Refunds take 30 days.", "long"),
        ("How long do refunds take?", "Refunds take 30 days. " * 200, "long"),
        ("How long do refunds take?", "That is not mentioned.", "declined"),
        ("How long do refunds take?", "I'm sorry, refunds take 30 days.", "declined"),
        ("How long do refunds take according to the text?", "Refunds take 30 days.", "points"),
        ("What does this section say on refunds?", "Refunds take 30 days.", "points"),
        ("How long do refunds take?", "Refunds take 31 days.", "unsupported"),
        ("How long do refunds take?", "Refunds take 30 days, or longer around Christmas time.", "unsupported"),
        ("Who founded the company in Bonn?", "Employees submit receipts.", "elsewhere"),
        ("How long do refunds of 50 euros take?", "Refunds take 30 days.", "elsewhere"),
        ("Do refunds take 30 days?", "Refunds take 30 days.", "given_away"),
        ("Do refunds take 30 days?", "Yes.", "given_away"),
    ],
)
def test_an_item_fails_with_its_reason(question, answer, expected):
    assert kind(question, answer) == expected


def test_an_indirect_question_needs_one_word_of_the_text_and_a_direct_one_half():
    question = "My sister sent back shoes yesterday and waits for refunds, so when will money arrive?"
    assert kind(question, "Refunds take 30 days.") == "elsewhere"
    assert kind(question, "Refunds take 30 days.", manner="indirect") == ""
    assert kind("When will her money arrive?", "Refunds take 30 days.", manner="indirect") == "elsewhere"


def test_a_question_on_a_section_may_name_it():
    assert kind('What does the section "Refunds" say?', TEXT, manner="section") == ""


def test_support_is_four_fifths_of_the_words():
    text = "alpha beta gamma delta"
    assert kind("What of alpha?", "alpha beta gamma delta epsilon", text) == ""
    assert kind("What of alpha?", "alpha beta gamma epsilon", text) == "unsupported"


def test_limits_are_exact():
    question = "refunds " * 37
    assert len(question) == 296 <= MAX_QUESTION
    assert kind(question, "Refunds take 30 days.") == ""
    answer = ("Refunds take 30 days. " * 100)[:MAX_ANSWER]
    assert kind("How long do refunds take?", answer) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,000 and 1.000,50 and 2.50", {"1000": 1, "1.000.50": 1, "2.5": 1}),
        ("۱۲۳ or 123", {"123": 2}),
        ("two of 2", {"2": 2}),
        ("007 and 0", {"7": 1, "0": 1}),
        ("none", {}),
    ],
)
def test_numbers_are_compared_by_value(text, expected):
    assert dict(numbers(text)) == expected


def test_words_are_compared_without_endings_and_in_every_script():
    assert content_words("The refunds were refunded") == content_words("a refund")
    assert content_words("کتاب‌ها را می‌خوانم") & content_words("می‌خوانم")
    assert content_words("東京都") == {"東京", "京都"}
    assert normalised("What's THIS?!") == "what s this"


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_checked_without_an_error(question, answer, text):
    fault = fault_of(question, answer, text)
    assert fault is None or fault.reason
    assert fault_of(answer, answer, answer) is not None, "an answer that is the question is given away"
