"""Every known shape of row becomes the Example it means, and every other row is refused with the reason."""

import json
from dataclasses import replace

import pytest

from holdfast.data.example_json import example_id
from holdfast.data.formats import FORMATS, convert, recognise
from holdfast.data.rejected import RowError
from holdfast.data.unlabelled import as_unlabelled
from holdfast.types import Message, ToolCall

TOOL = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}
ASKED = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "time", "arguments": '{"zone": "utc"}'}}


def example_of(row, **kwargs):
    return convert(row, "x.jsonl:1", **kwargs).example


def reason_of(row, **kwargs):
    with pytest.raises(RowError) as caught:
        convert(row, "x.jsonl:1", **kwargs)
    return f"{caught.value.kind}: {caught.value.reason}"


def turns(example):
    return [(message.role, message.content) for message in example.messages]


def test_openai_chat_keeps_tools_weights_and_calls():
    rows = [
        {"role": "developer", "content": "be brief"},
        ASKED,
        SAID | {"weight": 0},
        ASKED,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "noon", "tool_call_id": "c1"},
        SAID | {"weight": 1},
    ]
    example = example_of({"messages": rows, "tools": [TOOL]})
    assert example.messages == (
        Message("system", "be brief"),
        Message("user", "hi"),
        Message("assistant", "hello", weight=0.0),
        Message("user", "hi"),
        Message("assistant", "", (ToolCall("time", '{"zone": "utc"}', "c1"),)),
        Message("tool", "noon", tool_call_id="c1"),
        Message("assistant", "hello"),
    )
    assert example.tools == (TOOL,)
    assert example.source == "x.jsonl:1"
    assert len(example.id) == 16


def test_a_berkeley_row_is_a_request_with_functions_whose_types_are_those_of_json():
    schema = {"type": "dict", "properties": {"a": {"type": "float"}, "b": {"type": "any"}, "type": {"type": "tuple"}}}
    row = {"id": "simple_0", "question": [[ASKED]], "function": [{"name": "f", "parameters": schema}]}
    row["ground_truth"] = [{"f": {"a": [1.0]}}]
    found = convert(row, "x.jsonl:1", need_demonstration=False, keep={"ground_truth"})
    assert found.format == "Berkeley function calling"
    assert not found.unused
    assert turns(found.example) == [("user", "hi")]
    assert found.example.columns == {"ground_truth": row["ground_truth"]}
    (tool,) = found.example.tools
    properties = {"a": {"type": "number"}, "b": {}, "type": {"type": "array"}}
    assert tool["function"]["parameters"] == {"type": "object", "properties": properties}
    assert "not one list of turns" in reason_of({**row, "question": [[ASKED], [ASKED]]}, need_demonstration=False)
    assert "tools is not a list" in reason_of({**row, "function": {"name": "f"}}, need_demonstration=False)


def test_messages_and_tools_may_be_json_text_as_in_csv_cells():
    plain = example_of({"messages": [ASKED, SAID], "tools": [TOOL]})
    assert example_of({"messages": json.dumps([ASKED, SAID]), "tools": json.dumps([TOOL])}) == plain
    assert example_of({"messages": [ASKED, SAID], "tools": ""}).tools == ()


def test_a_tool_without_its_wrapper_gets_one():
    assert example_of({"messages": [ASKED, SAID], "tools": [TOOL["function"]]}).tools == (TOOL,)
    assert example_of({"messages": [ASKED, SAID], "functions": [TOOL["function"]]}).tools == (TOOL,)
    assert example_of({"messages": [ASKED, SAID], "tools": [json.dumps(TOOL)]}).tools == (TOOL,)


def test_content_parts_are_joined():
    said = {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "value": "b"}]}
    assert turns(example_of({"messages": [ASKED, said]})) == [("user", "hi"), ("assistant", "ab")]


def test_a_tool_call_part_is_a_tool_call():
    part = {"type": "tool_call", "value": '{"name": "f", "arguments": {"a": 1}}'}
    example = example_of({"messages": [ASKED, {"role": "assistant", "content": [part]}]})
    assert example.messages[1].tool_calls == (ToolCall("f", '{"a": 1}'),)


def test_the_legacy_function_call_is_a_tool_call():
    said = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}
    assert example_of({"messages": [ASKED, said]}).messages[1].tool_calls == (ToolCall("f", "{}"),)


def test_llama_calls_its_arguments_parameters():
    said = {"role": "assistant", "tool_calls": [{"name": "f", "parameters": {"a": "ب"}}]}
    assert example_of({"messages": [ASKED, said]}).messages[1].tool_calls == (ToolCall("f", '{"a": "ب"}'),)


def test_sharegpt_with_calls_observations_and_a_system_column():
    example = example_of(
        {
            "conversations": [
                {"from": "human", "value": "time?"},
                {"from": "function_call", "value": '{"name": "time", "arguments": {}}'},
                {"from": "observation", "value": ""},
                {"from": "gpt", "value": "noon"},
            ],
            "system": "be brief",
            "tools": json.dumps([TOOL["function"]]),
        }
    )
    assert turns(example) == [
        ("system", "be brief"),
        ("user", "time?"),
        ("assistant", ""),
        ("tool", ""),
        ("assistant", "noon"),
    ]
    assert example.messages[2].tool_calls == (ToolCall("time", "{}"),)
    assert example.tools == (TOOL,)


def test_prompt_and_completion_as_text_or_as_turns():
    plain = example_of({"prompt": "hi", "completion": "hello"})
    assert example_of({"prompt": [ASKED], "completion": [SAID]}).id == plain.id
    assert example_of({"prompt": json.dumps([ASKED]), "completion": json.dumps([SAID])}).id == plain.id
    assert example_of({"prompt": [ASKED], "completion": SAID}).id == plain.id
    assert turns(example_of({"prompt": "hi", "completion": "hello", "system": "s"}))[0] == ("system", "s")


def test_a_prompt_that_only_looks_like_turns_stays_text():
    for text in ('[{"a": 1}] sum this', '[{"a": 1}]'):
        assert turns(example_of({"prompt": text, "completion": "1"}))[0] == ("user", text)


def test_earlier_answers_in_a_prompt_are_context_and_not_learned():
    example = example_of({"prompt": [ASKED, SAID, ASKED], "completion": [SAID]})
    assert [message.weight for message in example.messages] == [1.0, 0.0, 1.0, 1.0]


def test_alpaca_with_input_system_and_history():
    example = example_of({"instruction": "add", "input": "1 2", "output": "3", "system": "s", "history": [["q", "a"]]})
    assert turns(example) == [
        ("system", "s"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "add\n\n1 2"),
        ("assistant", "3"),
    ]
    assert turns(example_of({"instruction": "add", "input": "", "output": "3"}))[0] == ("user", "add")


@pytest.mark.parametrize(
    ("label", "text"),
    [("sad ", "sad"), (3, "3"), (3.0, "3"), (True, "true"), (False, "false"), (0, "0"), ("none", "none")],
)
def test_a_label_is_text_whatever_its_type(label, text):
    example = example_of({"text": "so tired", "label": label})
    assert (example.label, turns(example)) == (text, [("user", "so tired")])


@pytest.mark.parametrize("label", [None, "", " ", "nan", float("nan"), float("inf"), 2.5, [1], {}])
def test_a_missing_or_fractional_label_is_refused(label):
    assert reason_of({"text": "so tired", "label": label}).startswith("label: the label")


def test_sdft_columns():
    example = example_of({"prompt": "hi", "privileged_context": "the answer is hello"})
    assert (turns(example), example.privileged_context) == ([("user", "hi")], "the answer is hello")
    example = example_of({"prompt": [ASKED], "privileged_context": [SAID], "completion": "hello"})
    assert (example.demonstration, example.privileged_context) == (Message("assistant", "hello"), "hello")
    example = example_of({"messages": [ASKED], "output_text": "hello"})
    assert turns(example) == [("user", "hi"), ("assistant", "hello")]


def test_an_earlier_answer_in_an_sdft_prompt_is_no_obstacle():
    example = example_of({"prompt": [ASKED, SAID, ASKED], "privileged_context": "c"})
    assert example.demonstration is None


def test_a_document_with_question_and_answer():
    example = example_of({"context": "Rome is old.", "question": "What is old?", "answer": "Rome"})
    assert (example.document, turns(example)) == ("Rome is old.", [("user", "What is old?"), ("assistant", "Rome")])
    for answers in ({"text": ["Rome", "rome"], "answer_start": [0]}, ["Rome"], [{"text": "Rome"}]):
        assert example_of({"context": "Rome is old.", "question": "What is old?", "answers": answers}).id == example.id
    assert example_of({"context": "", "question": "What is old?", "answer": "Rome"}).document is None


def test_sdft_tool_use_rows_take_the_response_else_the_actions():
    actions = [{"Action": "f", "Action_Input": '{"a": 1}'}, {"Action": "g", "Action_Input": {}}]
    notation = 'Action: f\nAction Input: {"a": 1}\nAction: g\nAction Input: {}'
    assert turns(example_of({"prompt": "p", "golden_answer": actions}))[1] == ("assistant", notation)
    assert turns(example_of({"prompt": "p", "golden_answer": json.dumps(actions)}))[1] == ("assistant", notation)
    row = {"prompt": "p", "golden_answer": actions, "golden_response": ["one", "two"]}
    assert turns(example_of(row))[1] == ("assistant", "one\ntwo")
    assert turns(example_of({"prompt": "p", "golden_response": "one"}))[1] == ("assistant", "one")


def test_kto_rows_to_imitate_are_kept_and_the_others_refused():
    assert example_of({"messages": [ASKED, SAID], "label": True}).label is None
    assert reason_of({"messages": [ASKED, SAID], "label": False}).startswith("preference: label is false")


def test_prompts_alone_are_for_those_who_ask_for_them():
    assert turns(example_of({"prompt": "hi"}, need_demonstration=False)) == [("user", "hi")]
    assert reason_of({"prompt": "hi"}) == (
        "roles: the last turn is user; it must be the assistant's, or there is nothing to learn from but a check "
        "(--method reflect --grader GRADER)"
    )


def later(row, source="s", **more):
    """A row whose label is given later."""
    return convert(as_unlabelled(row), source, unlabelled=True, **more)


@pytest.mark.parametrize(
    "row",
    [
        {"text": "hi"}, {"text": "hi", "label": None}, {"text": "hi", "label": " "}, {"prompt": "hi", "label": "nan"},
        {"prompt": "hi", "label": float("nan")}, {"messages": [ASKED | {"content": "hi"}]},
    ],
)  # fmt: skip
def test_rows_that_get_a_label_later_are_those_that_have_it_but_for_the_label(row):
    found = later(row, "x.jsonl:1").example
    assert found == replace(convert({"text": "hi", "label": "x"}, "x.jsonl:1").example, label=None, id=found.id)
    assert found.id == example_id(found)
    with pytest.raises(RowError):
        convert(row, "x.jsonl:1")


def test_where_labels_are_given_later_other_rows_are_read_as_ever():
    labelled = {"text": "hi", "label": "x"}
    assert later(labelled) == convert(labelled, "s")
    answered = {"prompt": "hi", "completion": "hello"}
    assert later(answered) == convert(answered, "s")
    assert later({"text": "hi", "kind": "mail"}, keep={"+"}).example.columns == {"kind": "mail"}
    bad = ({"text": ""}, {"text": 3}, {"text": "hi", "label": 0.5}, {"a": "b"})
    for row in bad:
        with pytest.raises(RowError):
            later(row)


def test_unused_columns_and_turn_keys_are_said():
    row = {"messages": [ASKED | {"name": "Ada", "refusal": None}, SAID], "id": 7, "empty": None}
    assert convert(row, "s").unused == {"id", "messages[].name"}
    assert convert(row | {"messages": json.dumps(row["messages"])}, "s").unused == {"id", "messages[].name"}


def test_columns_with_values_decide_before_empty_ones():
    row = {"messages": None, "prompt": "hi", "completion": "hello", "text": "", "label": ""}
    assert recognise(row).name == "prompt/completion"
    assert recognise({"text": None, "label": None}).name == "text + label"
    assert recognise({"text": "only text"}) is None


def test_every_format_is_the_first_for_its_own_columns():
    for known in FORMATS:
        found = recognise(dict.fromkeys(known.needs, "x"))
        assert found.convert is known.convert


BAD_TURNS = {
    "roles: messages is not a list of turns": [],
    "roles: turn 1 is not an object": ["hi"],
    "roles: turn 1 has the role 'bot'": [{"role": "bot", "content": "x"}],
    "roles: turn 1 has the role None": [{"content": "x"}],
    "roles: turn 1 (assistant) follows nothing": [SAID, ASKED],
    "roles: turn 2 (assistant) follows system": [{"role": "system", "content": "s"}, SAID],
    "roles: turn 2 (user) follows another user turn": [ASKED, ASKED, SAID],
    "roles: turn 3 (assistant) follows assistant": [ASKED, SAID, SAID],
    "roles: turn 2 (system) must be the first turn": [ASKED, {"role": "system", "content": "s"}, SAID],
    "roles: turn 2 (tool) follows user": [ASKED, {"role": "tool", "content": "x"}, SAID],
    "roles: turn 3 (tool) follows assistant": [ASKED, SAID, {"role": "tool", "content": "x"}],
    "roles: turn 4 (user) follows a tool result": [
        ASKED,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "content": "x"},
        ASKED,
        SAID,
    ],
    "roles: the last turn is user": [ASKED, SAID, ASKED],
    "empty: turn 2 (assistant) is empty": [ASKED, {"role": "assistant", "content": " \n"}],
    "empty: turn 1 (user) is empty": [{"role": "user", "content": ""}, SAID],
    "content: the content of turn 1 is 5, not text": [{"role": "user", "content": 5}, SAID],
    "content: turn 1 has a part of type 'image_url'": [{"role": "user", "content": [{"type": "image_url"}]}, SAID],
    "content: turn 2 has a part of type 'reasoning'; put": [
        ASKED,
        {"role": "assistant", "content": [{"type": "reasoning", "value": "x"}]},
    ],
    "content: turn 1 has a text part without text": [{"role": "user", "content": [{"type": "text"}]}, SAID],
    "content: turn 2 has reasoning_content": [ASKED, SAID | {"reasoning_content": "hm"}],
    "weight: turn 2 has the weight 0.5": [ASKED, SAID | {"weight": 0.5}],
    "weight: turn 2 has the weight nan": [ASKED, SAID | {"weight": float("nan")}],
    "weight: turn 2 has the weight 'x'": [ASKED, SAID | {"weight": "x"}],
    "weight: turn 1 (user) has weight 1": [ASKED | {"weight": 1}, SAID],
    "weight: every assistant turn has weight 0": [ASKED | {"weight": 0}, SAID | {"weight": 0}],
    "tool_calls: turn 1 (user) makes a tool call": [ASKED | {"tool_calls": [CALL]}, SAID],
    "tool_calls: call 1 of turn 2 has no name": [ASKED, {"role": "assistant", "tool_calls": [{"arguments": "{}"}]}],
    "tool_calls: call 1 of turn 2 is not an object": [ASKED, {"role": "assistant", "tool_calls": ["f"]}],
    "tool_calls: the arguments of call 1 of turn 2 (f) are not JSON": [
        ASKED,
        {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]},
    ],
    "tool_calls: the arguments of call 1 of turn 2 (f) are not a JSON object": [
        ASKED,
        {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]},
    ],
    "tool_calls: turn 3 (tool) answers c9": [
        ASKED,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "content": "x", "tool_call_id": "c9"},
        SAID,
    ],
    "encoding: has half of a surrogate pair": [ASKED, {"role": "assistant", "content": "\ud800"}],
}


@pytest.mark.parametrize("reason", BAD_TURNS)
def test_a_conversation_that_makes_no_sense_is_refused_with_the_turn(reason):
    assert reason_of({"messages": BAD_TURNS[reason]}).startswith(reason)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": "hello"}, "json: messages: not JSON: Expecting value (character 1)"),
        ({"messages": [ASKED, SAID], "tools": {"a": 1}}, "tools: tools is not a list"),
        ({"messages": [ASKED, SAID], "tools": [1]}, "tools: tool 1 is not an object"),
        ({"messages": [ASKED, SAID], "tools": [{"function": {}}]}, "tools: tool 1 has no name"),
        ({"messages": [ASKED, SAID], "tools": "[{]"}, "json: tools: not JSON"),
        ({"prompt": "hi", "completion": None}, "empty: completion is empty"),
        ({"prompt": "hi", "completion": 4}, "content: completion is a number, not text"),
        ({"instruction": " ", "output": "x"}, "empty: instruction is empty"),
        ({"instruction": "a", "output": "x", "history": ["q"]}, "content: history is not a list"),
        ({"context": "c", "question": "q", "answers": []}, "empty: answers holds no answer"),
        ({"prompt": "p", "golden_answer": []}, "empty: golden_answer has no action"),
        ({"prompt": "p", "golden_answer": [{"Action": "f"}]}, "tool_calls: an action of golden_answer lacks"),
        ({"prompt": "p", "golden_response": [1]}, "content: golden_response is not text"),
        ({"text": "", "label": "x"}, "empty: text is empty"),
        ({"story": "x"}, "columns: the columns (story) are of no known format"),
        ({}, "columns: the columns (none)"),
        ({"conversations": [{"from": "human", "value": "hi"}]}, "roles: the last turn is user"),
        ({"conversations": [{"from": "function_call", "value": "f()"}]}, "json: turn 1: not JSON"),
        ({"messages": '[{"role": "user", "role": "user"}]'}, 'json: messages: the key "role" stands twice'),
        ({"prompt": "p", "golden_answer": "f()"}, "json: golden_answer: not JSON"),
    ],
)
def test_a_row_that_lacks_something_is_refused_with_the_column(row, reason):
    assert reason_of(row).startswith(reason)
