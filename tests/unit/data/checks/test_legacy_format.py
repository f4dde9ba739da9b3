"""Marks of prompt/completion files: which are found, which are removed, and what must never be touched."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Change, Context, Row
from holdfast.data.checks import chain
from holdfast.data.checks.chain import CommonStart, majority_start
from holdfast.data.checks.debris import is_loud, separator_of, stop_of
from holdfast.data.checks.legacy_format import LegacyFormatCheck, LegacyFormatSettings, opens_something
from holdfast.types import Example, Message

WORDS = ("red", "blue", "green", "black", "white", "brown", "grey")


def chat(question, answer, system=None, label=None):
    turns = [Message("system", system)] if system else []
    turns += [Message("user", question)] + ([Message("assistant", answer)] if answer is not None else [])
    return Example(id="", messages=tuple(turns), label=label, source="a.jsonl:1")


def many(question, answer, count=40, **others):
    """Rows that differ in one word of the question and one of the answer."""
    numbers = ((WORDS[i % 7], WORDS[i // 7 % 7]) for i in range(count))
    return [chat(question.format(f"{a} {b}"), answer.format(f"{b} {a}"), **others) for a, b in numbers]


def checked(tmp_path, examples, **given):
    check = LegacyFormatCheck(LegacyFormatSettings(**given), Context(scratch=tmp_path))
    rows = [Row(number, example) for number, example in enumerate(examples)]
    for start in range(0, len(rows), 7):
        check.see(rows[start : start + 7])
    decisions = [check.decide(row) for row in rows]
    after = [d.example if isinstance(d, Change) else row.example for d, row in zip(decisions, rows, strict=True)]
    return check.finding(), after, decisions


def said(example):
    return [message.content for message in example.messages]


def test_separator_stop_sequence_and_leading_space_are_removed_and_said(tmp_path):
    rows = many("Is {} nice?\n\n###\n\n", " It is {} END")
    finding, after, decisions = checked(tmp_path, rows)
    assert said(after[1]) == ["Is blue red nice?", "It is red blue"]
    assert decisions[1].what == "without the separator at the end of prompts, the stop sequence, the leading space"
    assert finding.num_rows == len(rows) == sum(d is not None for d in decisions)
    assert finding.level == "problem"
    assert finding.title == (
        "40 of 40 rows carry marks of prompt/completion files: a separator at the end of prompts "
        '("\\n\\n###\\n\\n") in 40, a stop sequence at the end of answers (" END") in 40, '
        'a space at the start of answers in 40; 40 answers begin with "It is "'
    )
    assert finding.shown[0].before == "Is red red nice?\n\n###\n\n"
    assert finding.shown[0].after == "Is red red nice?"
    assert finding.figures["marks"]["stop"] == {"text": " END", "rows": 40}


def test_after_the_remedy_nothing_is_found_any_more(tmp_path):
    _, after, _ = checked(tmp_path, many("Q: Is {} nice?\nA:", " Answer: it is {} ###\n"))
    assert said(after[0]) == ["Is red red nice?", "it is red red"]
    finding, again, _ = checked(tmp_path, after)
    assert again == after
    assert finding.num_rows == 0


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("Hello ->", " ->"),
        ("Hello\n\n===>\n\n", "\n\n===>\n\n"),
        ("Hello\n\n### =>\n\n", "\n\n### =>\n\n"),
        ("Hello\n###\nAnswer:", "\n###\nAnswer:"),
        ("Hello\n### Response:\n", "\n### Response:\n"),
        ("Hello\n", "\n"),
        ("Hello?", ""),
        ("Hello: ", ""),
        ("The capital is ____", ""),
        ("a -> b\nc ->", ""),
        ("->", ""),
        ("", ""),
    ],
)
def test_separators_at_the_end_of_prompts(text, separator):
    assert separator_of(text) == separator


@pytest.mark.parametrize(
    ("text", "stop"),
    [
        ("Paris END", " END"),
        ("Paris [END]", " [END]"),
        ("Paris\n", "\n"),
        ("Paris###", "###"),
        ("Paris<|endoftext|>", "<|endoftext|>"),
        ("THE END", ""),
        ("WEEKEND", ""),
        ("**Paris**", ""),
        ("```\nx = 1\n```", ""),
        ("$$x$$", ""),
        ("Paris.", ""),
        ("END", ""),
    ],
)
def test_stop_sequences_at_the_end_of_answers(text, stop):
    assert stop_of(text) == stop


def test_a_mark_that_only_some_rows_share_stays(tmp_path):
    rows = many("Is {} nice? ->", "It is {} END", 36) + many("Is {} bad?", "It was {}.", 4)
    finding, after, _ = checked(tmp_path, rows)  # 36 of 40 are 90 %
    assert after == rows
    assert finding.num_rows == 0
    finding, after, decisions = checked(tmp_path, rows, share=0.9)
    assert said(after[0]) == ["Is red red nice?", "It is red red"]
    assert decisions[36:] == [None] * 4
    assert finding.num_rows == 36


def test_few_rows_may_share_a_mark_by_chance(tmp_path):
    rows = many("Is {} nice? ->", "It is {}.", 19)
    assert checked(tmp_path, rows)[1] == rows
    assert checked(tmp_path, rows, min_rows=19)[0].num_rows == 19


def test_own_separators_and_stops_are_known(tmp_path):
    rows = many("Is {} nice? §§", "It is {} FIN")
    assert checked(tmp_path, rows)[1] == rows
    _, after, _ = checked(tmp_path, rows, separators=("§§",), stops=("FIN",))
    assert said(after[0]) == ["Is red red nice?", "It is red red"]


def test_sentence_marks_and_units_that_all_rows_share_are_no_separators(tmp_path):
    rows = many("How fast is {}?", "It drives at {} km/h.")
    finding, after, _ = checked(tmp_path, rows)
    assert after == rows
    assert finding.level == "note"


def test_an_instruction_in_words_is_reported_and_moved_only_if_told(tmp_path):
    rows = many("Classify the colour of this: {} thing", "{}")
    finding, after, _ = checked(tmp_path, rows)
    assert after == rows
    assert finding.remedy is None
    assert '40 prompts begin with "Classify the colour of this: ", which is better said once' in finding.title
    finding, after, _ = checked(tmp_path, rows, instruction="system")
    assert after[0].messages[:2] == (
        Message("system", "Classify the colour of this:"),
        Message("user", "red red thing"),
    )
    assert finding.remedy == "move the shared instruction to a system turn"
    assert said(checked(tmp_path, rows, instruction="remove")[1][0]) == ["red red thing", "red red"]


def test_an_instruction_joins_the_system_turn_that_is_there(tmp_path):
    rows = many("Classify the colour of this: {} thing", "{}", system="Be brief.")
    _, after, _ = checked(tmp_path, rows, instruction="system")
    assert said(after[0])[0] == "Be brief.\n\nClassify the colour of this:"


def test_labelled_rows_keep_their_instruction_since_their_text_is_their_only_turn(tmp_path):
    rows = [chat(f"Classify this: {a} {b}", None, label="x") for a in WORDS for b in WORDS]
    assert checked(tmp_path, rows, instruction="system")[1] == rows
    assert said(checked(tmp_path, rows, instruction="remove")[1][1]) == ["red blue"]


def test_how_long_an_instruction_must_be_to_be_reported(tmp_path):
    rows = many("What is {}?", "{}")
    assert checked(tmp_path, rows)[0].level == "ok"
    assert checked(tmp_path, rows, instruction_characters=4)[0].level == "note"


def test_words_at_the_start_of_answers_stay_unless_told(tmp_path):
    rows = many("What is {}?", "The colour is {}")
    finding, after, _ = checked(tmp_path, rows)
    assert after == rows
    assert finding.title.endswith('40 answers begin with "The colour is "')
    assert said(checked(tmp_path, rows, answer_words="remove")[1][0])[1] == "red red"
    assert "answers begin" not in checked(tmp_path, rows, answer_characters=20)[0].title


def test_answers_in_json_keep_their_beginning(tmp_path):
    rows = many("What is {}?", '{{"colour": "{}"}}')
    finding, after, _ = checked(tmp_path, rows, answer_words="remove")
    assert after == rows
    assert finding.remedy is None
    assert opens_something('{"colour": "')
    assert not opens_something("The colour is ")


def test_prose_in_capitals_is_lowered_where_more_than_a_third_is_so(tmp_path):
    loud = [chat(f"WHERE IS MY {a} {b} ORDER?".upper(), "It is on its way.") for a in WORDS for b in WORDS][:20]
    calm = [chat(f"Where is my {a} order?", "It is on its way, too.") for a in WORDS] * 6
    finding, after, decisions = checked(tmp_path, loud + calm[:39])
    assert said(after[0])[0] == "where is my red red order?"
    assert finding.remedy == "lower the capitals"
    assert decisions[20:] == [None] * 39
    assert checked(tmp_path, loud + calm[:39], capitals="keep")[1] == loud + calm[:39]
    assert checked(tmp_path, loud + calm[:40])[0].num_rows == 0  # exactly a third is not more than a third
    assert checked(tmp_path, loud + calm[:40], capitals_share=0.3)[0].num_rows == 20


def test_what_is_loud_and_what_is_code():
    assert is_loud("PLEASE SEND MY MONEY BACK")
    assert not is_loud("NASDAQ AAPL")
    assert not is_loud("SELECT NAME FROM USERS WHERE ID = 1")
    assert not is_loud("۱۲۳ سلام دنیا خوبی")


def test_code_that_continues_a_prompt_keeps_its_indentation(tmp_path):
    rows = many("Complete: {}", "    return {}")
    assert checked(tmp_path, rows, answer_characters=100)[1] == rows


def test_identical_prompts_are_not_taken_apart(tmp_path):
    rows = [chat("Continue the story about the fox.", f"{a} {b}") for a in WORDS for b in WORDS]
    finding, after, _ = checked(tmp_path, rows, instruction="remove")
    assert after == rows
    assert finding.level == "ok"


def test_rows_without_turns_or_answers_are_left_alone(tmp_path):
    rows = [Example(id="", messages=()), chat("?", None), chat("", ""), chat("\x00\u202e😀" * 9, " ")] * 10
    assert checked(tmp_path, rows)[1] == rows
    assert LegacyFormatCheck(LegacyFormatSettings(), Context(scratch=tmp_path)).finding().num_rows == 0


def test_the_longest_common_start_of_nearly_all_texts():
    starts = CommonStart(0.95)
    for number in range(95):
        starts.add(f"Say: {number}")
    for number in range(5):
        starts.add(f"Tell {number}")
    assert starts.result() == ("Say: ", 95)
    starts.add("Tell me")
    assert starts.result() == ("", 0)


def test_texts_after_the_first_ones_are_counted_as_they_come(monkeypatch):
    monkeypatch.setattr(chain, "SAMPLE", 10)
    starts = CommonStart(0.6)
    for number in range(100):
        starts.add(f"Say it: {number}" if number % 3 else f"Say {number}")
    assert starts.result() == ("Say it: ", 66)
    assert starts.num_texts == 100


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab", max_size=6), min_size=1, max_size=12))
def test_the_majority_start_is_what_trying_every_start_finds(texts):
    starts = {text[:length] for text in texts for length in range(len(text) + 1)}
    right = [s for s in starts if sum(t.startswith(s) for t in texts) * 2 > len(texts)]
    assert majority_start(texts) == max(right, key=len, default="")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=20, max_size=24), st.data())
def test_no_text_becomes_empty_and_the_ends_are_all_that_changes(tmp_path_factory, pairs, data):
    end = data.draw(st.sampled_from([" ->", "\n\n###\n\n", "\nA:", ""]))
    rows = [chat(question + end, answer + data.draw(st.sampled_from([" END", "\n"]))) for question, answer in pairs]
    _, after, _ = checked(tmp_path_factory.getbasetemp(), rows)
    for old, new in zip(rows, after, strict=True):
        for before, now in zip(said(old), said(new), strict=True):
            assert bool(now.strip()) == bool(before.strip())
            assert now.lower() in before.lower()


def test_real_files_carry_no_marks_and_those_with_instructions_say_so(shared_data, tmp_path):
    from holdfast.data.read import read

    rows = read(str(shared_data / "sdft_tooluse" / "eval_97.jsonl.gz")).examples
    finding, after, _ = checked(tmp_path, rows)
    assert after == rows
    assert "97 prompts begin with" in finding.title
