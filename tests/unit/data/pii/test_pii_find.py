"""What is found in texts, what is not, and which of two overlapping places counts."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.pii import contacts, dates, national_ids, payment, secrets
from holdfast.data.pii.find import find
from holdfast.data.pii.kinds import DEFAULT_GROUPS, GROUPS, KINDS, expand
from holdfast.data.pii.people import persons
from holdfast.data.pii.spans import Span, without_overlap
from holdfast.errors import ConfigError

EVERYTHING = expand(GROUPS)


def found(text, kind):
    return [span.text for span in find(text, kinds={kind})]


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        (
            "email",
            "Mail ann.lee+x@mail.example.co.uk, or <bo@example.org>.",
            ["ann.lee+x@mail.example.co.uk", "bo@example.org"],
        ),
        ("email", "jörg@bücher.de und not@an@email.com", ["jörg@bücher.de"]),
        ("email", "ann (at) example (dot) org", ["ann (at) example (dot) org"]),
        ("ip", "from 41.173.96.26 and 2001:db8::1, not 127.0.0.1, 1.2.3 or 12:30", ["41.173.96.26", "2001:db8::1"]),
        ("mac", "00:1b:44:11:3a:b7 and 00-1B-44-11-3A-B8", ["00:1b:44:11:3a:b7", "00-1B-44-11-3A-B8"]),
        ("url_login", "postgres://bob:s3cret@db.example.org/x", ["bob:s3cret"]),
        ("url", "see https://example.org/a?b=c.", ["https://example.org/a?b=c"]),
        ("birth_date", "She was born on 2/8/1935, died 3/9/1999", ["2/8/1935"]),
        ("birth_date", "DOB: 12 March 1980", ["12 March 1980"]),
        ("birth_date", "geboren am 17.01.1970", ["17.01.1970"]),
        ("driver_licence", "My driver's license number is 2270-66-1551", ["2270-66-1551"]),
        ("passport", "passport no. C01X00T47", ["C01X00T47"]),
        ("age", "a 79 year old woman, aged 12, 31 y/o", ["79", "12", "31"]),
        ("date", "on 2007-01-17 23:08:55, in 1977", ["2007-01-17 23:08:55", "1977"]),
        ("postcode", "ZIP: 3520, postcode SW1A 1AA", ["3520", "SW1A 1AA"]),
        ("nationality", "I am cambodian", ["cambodian"]),
        ("place", "I live in Utrecht, not Germany", ["Utrecht", "Germany"]),
        ("organisation", "I work for Acme Rockets Inc", ["Acme Rockets Inc"]),
        ("title", "Mr. Lee", ["Mr."]),
    ],
)
def test_the_kinds_that_have_a_form(kind, text, values):
    assert found(text, kind) == values


@pytest.mark.parametrize(
    "address",
    [
        "742 Evergreen Terrace, Springfield, IL 62704",
        "1600 Pennsylvania Avenue",
        "10 Downing Street, London SW1A 2AA",
        "P.O. Box 287",
        "PSC 0272, Box 1651\nAPO AA 94530",
        "Hauptstraße 5, 10115 Berlin",
        "12 rue de la Paix",
        "Calle Mayor 5",
        "Kiannonkatu 98",
    ],
)
def test_a_street_address_is_found_whole(address):
    assert found(f"Send it to {address}.", "address") == [address]


@pytest.mark.parametrize(
    "text", ["In 2024 the 5 best drives", "Chapter 12 Section 5", "the street was 5 miles long", "scoring 105 points"]
)
def test_numbers_beside_words_are_no_addresses(text):
    assert not found(text, "address")


REACT = """Use the following format:
Thought: you should always think about what to do
Action: the action to take, should be one of the tool names.
Action Input: the input to the action, must be in JSON format.

Begin!
Question: can you show me a wild axolotl?
Thought: I look for images.
Action: searchAxolotlImages
Action Input: {"color": "wild"}
Observation: 3 images
Action: getAxolotlFacts
Action Input: {}
"""


@pytest.mark.parametrize(
    "text",
    [
        REACT,
        'Action: searchAxolotlImages\nAction Input: {"color": "wild"}\nAction: getAxolotlFacts\nAction Input: {}',
        "Action: search\nAction Input: wild axolotl\nAction: search\nFinal Answer: none",
        "Thoughts: it is a cat\nVerdict: yes\nThoughts: it is a dog\nVerdict: no",
        "Rationally: one\nRationally Put: two\nRationally: three",  # the words of one stand in the other
        "Gist: a\nPlea: the gist of it\nGist: b",  # an everyday word in the same text
        "Alpha: {}\nBeta: {}\nAlpha: {}",
        "Person A: hi\nPerson B: hello\nPerson A: bye",
        "PROBLEM: a\nSOLUTION: b\nTASK DEFINITION: c\nPROBLEM: d\nSOLUTION: e",
        "Accommodation: tent\nTransportation: bus\nActivities: rest\nAccommodation: hut\nActivities: walk",
        "Teacher: Sit down.\nStudents: Yes!\nTeacher: Well.",
    ],
)
def test_labels_of_a_format_are_no_speakers(text):
    assert not found(text, "person")


def test_a_name_described_on_the_next_line_is_a_thing_s():
    assert not found("Tools:\nName: Apache Superset\nDescription: charts\n", "person")
    assert found("Name: Ann Lee\nAge: 34\n", "person") == ["Ann Lee"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ann: hi\nBob: hello\nAnn: how are you?", ["Ann", "Bob", "Ann"]),
        ("Ann Lee: hi\nBetty White: hello\nAnn Lee: bye", ["Ann Lee", "Betty White", "Ann Lee"]),
        ("Ann: hi\nJürgen: hallo\nAnn: I asked Jürgen.", ["Ann", "Jürgen", "Ann", "Jürgen"]),
    ],
)
def test_the_speakers_of_a_dialogue_are_persons(text, names):
    assert found(text, "person") == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("My name is Ann Lee but everyone calls me Ann", ["Ann Lee", "Ann"]),
        ("please change it to Mr. Fábio Barros?", ["Fábio Barros"]),
        ("Dr. O'Brien met Jean-Pierre van der Berg, 34, there", ["O'Brien", "Jean-Pierre van der Berg"]),
        ("Dear Maria,\nthe box came.\n\nBest regards,\nTom Wolf", ["Maria", "Tom Wolf"]),
        ("my name is john.", ["john"]),
        ("Ann: What now?\nBo: Nothing.\nAnn: Well.", ["Ann", "Bo", "Ann"]),
        ("written by Zoë Young. Later Young said no.", ["Zoë Young", "Young"]),
        ("Ich heiße Jürgen Groß und Frau Weiß ist da", ["Jürgen Groß", "Weiß"]),
        ("Me llamo Inés Ávalos.", ["Inés Ávalos"]),
        ("نام من سارا احمدی است", ["سارا احمدی"]),
        ("Меня зовут. Name: Юрий Булгаков", ["Юрий Булгаков"]),
    ],
)
def test_names_are_told_by_what_stands_beside_them(text, names):
    assert found(text, "person") == names


@pytest.mark.parametrize(
    "text",
    [
        "The United Nations met in New York on Monday.",
        "Dear Customer, Hello World, Best Regards",
        "I am American. I'm Christian.",
        "He works at Machine Learning Solutions Inc.",
        "Note: this\nWarning: that",
        "Yes, can you help?",
        "Thanks, Team",
    ],
)
def test_capitalised_words_are_no_names_by_themselves(text):
    assert not found(text, "person")


def test_a_name_that_is_an_everyday_word_is_found_again_within_a_sentence_only():
    text = "My name is Will Smith. Will you come? Ask Will."
    assert [(span.start, span.text) for span in find(text, kinds={"person"})] == [(11, "Will Smith"), (42, "Will")]


def test_two_capitalised_words_count_only_below_the_default_threshold():
    text = "We saw something at Olga Krylova yesterday"
    assert not find(text, kinds={"person"})
    assert [span.text for span in find(text, kinds={"person"}, min_confidence=0.4)] == ["Olga Krylova"]


def test_languages_decide_whose_introductions_count():
    text = "Ich heiße Jürgen Groß."
    assert find(text, kinds={"person"}, languages=("de",))
    assert not find(text, kinds={"person"}, languages=("en",))
    assert not list(persons("نام من سارا احمدی است", ("en",)))


def test_the_surer_of_two_overlapping_places_stays_and_of_equals_the_longer():
    weak, sure, long = Span(0, 9, "a", "x" * 9, 0.5), Span(4, 6, "b", "xx", 0.9), Span(6, 12, "c", "x" * 6, 0.5)
    assert without_overlap([weak, long, sure]) == [sure, long]
    assert without_overlap([Span(0, 3, "a", "xxx", 0.5), Span(0, 5, "b", "xxxxx", 0.5)])[0].kind == "b"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from([0.5, 0.7, 0.9])), max_size=12))
def test_no_two_places_overlap_and_none_is_left_out_without_a_better_one(drawn):
    spans = [Span(start, start + length, "k", "", sure) for start, length, sure in drawn]
    kept = without_overlap(spans)
    assert all(a.end <= b.start for a, b in pairwise(kept))
    for span in spans:
        assert any(k.start < span.end and span.start < k.end and k.confidence >= span.confidence for k in kept)


def test_groups_and_kinds_expand_and_an_unknown_one_is_refused():
    assert expand(["payment", "email"]) == {"card", "iban", "email"}
    assert set(KINDS) == EVERYTHING
    assert not expand(DEFAULT_GROUPS) & set(GROUPS["indirect"])
    with pytest.raises(ConfigError, match="emails"):
        expand(["emails"])


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_searched_and_places_lie_where_they_say(text):
    for span in find(text, kinds=EVERYTHING, min_confidence=0.0):
        assert text[span.start : span.end] == span.text != ""


COUNTED = [
    one
    for table in (contacts, dates, national_ids, payment, secrets)
    for one in table.RECOGNISERS
    if one.digits > 1 and isinstance(one.pattern, re.Pattern)
]


@pytest.mark.parametrize("recogniser", COUNTED, ids=lambda one: one.kind)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_nothing_that_counts_has_fewer_digits_than_its_pattern_is_run_for(recogniser, data):
    text = data.draw(st.from_regex(recogniser.pattern))
    for match in recogniser.pattern.finditer(text):
        counts = recogniser.test is None or recogniser.test(match[0])
        assert len(re.findall(r"\d", match[0])) >= recogniser.digits or not counts


@pytest.mark.parametrize(
    "text", ["", "\0", "\u200f\u202e", "😀😀", "\n" * 50, "@", "://:@", "[EMAIL_1] and [PERSON_2]"]
)
def test_odd_texts_hold_nothing(text):
    assert not find(text, kinds=EVERYTHING)
