"""Preference pairs: in which forms they are read, why some are refused, and that nothing on the way loses an answer."""

import dataclasses
import json

import pytest

from holdfast.data.check import text_of
from holdfast.data.checks.lengths import num_tokens
from holdfast.data.checks.repair import RepairSettings
from holdfast.data.checks.text_repair import repaired_example
from holdfast.data.dedup.compared import compared, whole
from holdfast.data.example_json import content_hash, example_id, from_json, prompt_id, to_json
from holdfast.data.formats import convert
from holdfast.data.output.parquet import read_part, write_part
from holdfast.data.output.prepared import PreparedRow
from holdfast.data.pii.rewrite import hide
from holdfast.data.prepare import prepare, split
from holdfast.data.read import read
from holdfast.data.rejected import RowError
from holdfast.types import Example, Message, ToolCall

HI = {"role": "user", "content": "hi"}
YES, NO = ({"role": "assistant", "content": said} for said in ("yes", "no"))
HUMAN = {"from": "human", "value": "hi"}
CALL = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
FORMS = {
    "OpenAI": {"input": {"messages": [HI]}, "preferred_output": [YES], "non_preferred_output": [NO]},
    "OpenAI, older": {"input": {"messages": [HI]}, "preferred_completion": [YES], "non_preferred_completion": [NO]},
    "TRL, texts": {"prompt": "hi", "chosen": "yes", "rejected": "no"},
    "TRL, turns": {"prompt": [HI], "chosen": [YES], "rejected": [NO]},
    "TRL, turns in cells": {"prompt": json.dumps([HI]), "chosen": json.dumps([YES]), "rejected": json.dumps([NO])},
    "TRL, the prompt repeated": {"prompt": "hi", "chosen": [HI, YES], "rejected": [HI, NO]},
    "TRL, no prompt": {"chosen": [HI, YES], "rejected": [HI, NO]},
    "messages": {"chosen_messages": [HI, YES], "rejected_messages": [HI, NO]},
    "ShareGPT": {"conversations": [HUMAN], "chosen": {"from": "gpt", "value": "yes"}, "rejected": NO},
    "chat": {"messages": [HI, YES], "rejected": "no"},
    "chat, a turn": {"messages": [HI, YES], "rejected": NO},
}


def example_of(row, **rules):
    return convert(row, "data.jsonl:1", **rules).example


def reason_of(row):
    with pytest.raises(RowError) as caught:
        convert(row, "data.jsonl:1")
    return f"{caught.value.kind}: {caught.value.reason}"


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_every_form_of_a_pair_is_the_same_example(row):
    found = convert(row, "data.jsonl:1")
    assert [(turn.role, turn.content) for turn in found.example.messages] == [("user", "hi"), ("assistant", "yes")]
    assert found.example.rejected == Message("assistant", "no")
    assert found.example.id == example_of(FORMS["OpenAI"]).id
    assert not found.unused


def test_openais_tools_are_read_and_what_is_not_read_is_named():
    given = {"messages": [HI], "tools": TOOLS, "parallel_tool_calls": True}
    found = convert({"input": given, "preferred_output": [CALL], "non_preferred_output": [NO]}, "data.jsonl:1")
    assert found.example.tools == tuple(TOOLS)
    assert found.example.demonstration.tool_calls == (ToolCall("f", '{"a": 1}'),)
    assert found.unused == {"input.parallel_tool_calls"}


def test_earlier_answers_in_the_prompt_are_context():
    turns = [HI, NO, {"role": "user", "content": "please"}]
    for row in (
        {"input": {"messages": turns}, "preferred_output": [YES], "non_preferred_output": [NO]},
        {"prompt": turns, "chosen": [*turns, YES], "rejected": [*turns, NO]},
        {"chosen": [*turns, YES], "rejected": [*turns, NO]},
    ):
        assert [turn.weight for turn in example_of(row).messages] == [1, 0, 1, 1]


def test_a_label_beside_a_pair_is_no_class_to_learn():
    found = convert({**FORMS["TRL, texts"], "label": "1"}, "data.jsonl:1")
    assert (found.example.label, found.unused) == (None, {"label"})


def test_a_system_column_comes_before_the_prompt():
    row = {"system": "be kind", "prompt": "hi", "chosen": [HI, YES], "rejected": [HI, NO]}
    assert [turn.role for turn in example_of(row).messages] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "hi", "chosen": "yes", "rejected": "yes"}, "preference: the preferred and the rejected answer are"),
        ({"prompt": "hi", "chosen": "yes", "rejected": " "}, "empty: rejected is empty"),
        ({"prompt": "hi", "chosen": None, "rejected": "no"}, "empty: chosen is empty"),
        ({"prompt": "hi", "chosen": [YES], "rejected": [NO, HI]}, "preference: rejected is not one turn of the assist"),
        ({"prompt": "hi", "chosen": [HI], "rejected": [NO]}, "preference: chosen is not one turn of the assistant"),
        ({"chosen": "yes", "rejected": "no"}, "preference: chosen is not a list of turns, and there is no prompt"),
        (
            {"chosen": [HI, YES], "rejected": [{**HI, "content": "ho"}, NO]},
            "preference: chosen and rejected differ before",
        ),
        ({"input": "hi", "preferred_output": [YES], "non_preferred_output": [NO]}, "json: input: not JSON"),
        (
            {"input": {"messages": [HI]}, "preferred_output": [YES], "non_preferred_output": [{**NO, "content": ""}]},
            "empty: the rejected answer: turn 2 (assistant) is empty",
        ),
        ({"messages": [HI], "rejected": "no"}, "preference: has a rejected answer and no preferred one"),
    ],
)
def test_a_pair_that_cannot_be_learned_from_is_refused_with_the_reason(row, reason):
    assert reason_of(row).startswith(reason)


def pair(**more):
    messages = (Message("user", "Who is it?"), Message("assistant", "It is Ada."))
    return Example("", messages, rejected=Message("assistant", "Ask ada@example.org."), **more)


def test_a_pair_as_json_is_read_back_as_it_was(tmp_path):
    example = dataclasses.replace(pair(), id=example_id(pair()), source="a.jsonl:1")
    assert from_json(to_json(example)) == example
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(to_json(example)) + "\n")
    (found,) = read(str(path)).examples
    assert (found.messages, found.rejected, found.id) == (example.messages, example.rejected, example.id)


def test_the_rejected_answer_is_part_of_what_an_example_is_called_by_and_not_of_what_it_asks():
    one, other = pair(), dataclasses.replace(pair(), rejected=Message("assistant", "No."))
    bare = dataclasses.replace(pair(), rejected=None)
    assert len({example_id(each) for each in (one, other, bare)}) == 3
    assert len({content_hash([each]) for each in (one, other, bare)}) == 3
    assert len({prompt_id(each) for each in (one, other, bare)}) == 1


def test_two_pairs_of_one_prompt_are_both_kept_on_one_side():
    pairs = [
        dataclasses.replace(pair(), rejected=Message("assistant", f"No {n}."), source=f"a.jsonl:{n}") for n in range(4)
    ]
    kept = prepare([*pairs, pairs[0]])
    assert (len(kept.kept), [row.kind for row in kept.rejected]) == (4, ["duplicate"])
    train, test = split(kept.kept, test_share=0.5)
    assert {len(train), len(test)} == {0, 4}


def test_a_prepared_file_holds_the_rejected_answer(tmp_path):
    called = dataclasses.replace(pair(), rejected=Message("assistant", "", (ToolCall("f", "{}", "c1"),)))
    rows = [PreparedRow(each) for each in (pair(), called, dataclasses.replace(pair(), rejected=None))]
    summary = write_part(tmp_path / "train.parquet", rows)
    found = [row.example for row in read_part(tmp_path / "train.parquet")]
    assert [each.rejected for each in found] == [row.example.rejected for row in rows]
    assert summary.content_hash == content_hash(found)
    again = read(str(tmp_path / "train.parquet")).examples
    assert [each.rejected for each in again] == [each.rejected for each in found]


def test_what_looks_at_texts_looks_at_the_rejected_answer_too():
    example = pair()
    assert "ada@example.org" in text_of(example)
    hidden = hide(example)
    assert (hidden.rejected.content, hidden.messages) == ("Ask [EMAIL].", example.messages)
    broken = dataclasses.replace(example, rejected=Message("assistant", "cafÃ©"))
    assert repaired_example(broken, RepairSettings()).example.rejected.content == "café"
    other = dataclasses.replace(example, rejected=Message("assistant", "No."))
    assert compared(example).answer != compared(other).answer
    assert whole(example) != whole(other)
    assert compared(example, "prompt") == compared(other, "prompt")


def test_the_longer_of_two_answers_is_what_a_row_costs():
    def count(text):
        return len(text.split())

    longer = dataclasses.replace(pair(), rejected=Message("assistant", "No."))
    assert num_tokens(longer, count) == (3, 3)
    assert num_tokens(dataclasses.replace(pair(), rejected=None), count) == (3, 3)
    longer = dataclasses.replace(pair(), rejected=Message("assistant", "a b c d e f"))
    assert num_tokens(longer, count) == (3, 6)


def test_debris_is_taken_from_both_answers():
    from holdfast.data.checks.debris import debris_of
    from holdfast.data.checks.rewrite import Rewrite, rewritten

    messages = (Message("user", "hi\n\n###\n\n"), Message("assistant", " yes END"))
    example = Example("", messages, rejected=Message("assistant", " no END"))
    found = debris_of(example, ("\n\n###\n\n",), (" END",))
    after, _ = rewritten(example, found, Rewrite(found))
    assert [turn.content for turn in after.turns] == ["hi", "yes", "no"]


def test_instead_stands_the_rejected_answer_in_the_preferred_one_s_place():
    example = pair()
    assert [turn.content for turn in example.instead.messages] == ["Who is it?", "Ask ada@example.org."]
    assert (example.instead.rejected, example.instead.instead) == (None, example.instead)
    assert [turn.content for turn in example.turns] == ["Who is it?", "It is Ada.", "Ask ada@example.org."]
