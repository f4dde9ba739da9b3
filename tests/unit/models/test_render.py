import copy
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigError, ContextLengthError, DataError, ModelError
from holdfast.models.render import (
    end_of_turn,
    problem_of,
    render_example,
    render_prompt,
    render_teacher_prompt,
    show,
    teacher_messages,
)
from holdfast.types import Example, Message, ToolCall

CHAT = Example("chat", (Message("user", "what is {x}?"), Message("assistant", "it is 4.")), source="data.jsonl:3")
LONG = Example(
    "long",
    (
        Message("system", "be brief"),
        Message("user", "hi"),
        Message("assistant", "hello there"),
        Message("user", "again?"),
        Message("assistant", "second one."),
    ),
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TOOLS = Example(
    "tools",
    (
        Message("user", "weather in Paris?"),
        Message("assistant", "", (ToolCall("get_weather", '{"city": "Paris"}', "c1"),)),
        Message("tool", "sunny", tool_call_id="c1"),
        Message("assistant", "It is sunny."),
    ),
    (WEATHER,),
)
FAMILIES = ["ours", "qwen2.5", "smollm2", "minimind_6400", "gpt2 with chatml", "minimind_6400 with llama3"]


@pytest.fixture(params=FAMILIES, scope="module")
def any_tokenizer(request, tokenizer):
    if request.param == "ours":
        return tokenizer
    name, _, template = request.param.partition(" with ")
    found = request.getfixturevalue("real_tokenizer")(name)
    return request.getfixturevalue(template)(found) if template else found


def _trained(tokenizer, example):
    return [text for text, trained in show(tokenizer, example) if trained]


def test_what_is_trained_is_the_answer_and_the_end_of_its_turn(any_tokenizer):
    (end,) = end_of_turn(any_tokenizer)
    mark = any_tokenizer.convert_ids_to_tokens(end)
    assert _trained(any_tokenizer, CHAT) == [f"it is 4.{mark}"]
    assert _trained(any_tokenizer, LONG) == [f"hello there{mark}", f"second one.{mark}"]
    assert problem_of(any_tokenizer, LONG, 1000) is None


def test_a_turn_of_weight_0_stays_and_is_not_trained(any_tokenizer):
    quiet = Message("assistant", "hello there", weight=0)
    example = Example("w", (*LONG.messages[:2], quiet, *LONG.messages[3:]))
    assert render_example(any_tokenizer, example, max_tokens=999).input_ids == (
        render_example(any_tokenizer, LONG, max_tokens=999).input_ids
    )
    assert len(_trained(any_tokenizer, example)) == 1
    assert _trained(any_tokenizer, example)[0].startswith("second one.")


def test_an_example_begins_with_the_tokens_of_its_prompt(any_tokenizer):
    for example in (CHAT, LONG):
        prompt = render_prompt(any_tokenizer, example.prompt, example.tools)
        rendered = render_example(any_tokenizer, example, max_tokens=999)
        assert rendered.input_ids[: len(prompt)] == prompt
        assert rendered.completion_mask[len(prompt)]
        assert rendered.completion_mask.count(True) > 0


def test_the_pieces_shown_are_the_whole_text(any_tokenizer):
    rendered = render_example(any_tokenizer, LONG, max_tokens=999)
    assert "".join(text for text, _ in show(any_tokenizer, LONG)) == any_tokenizer.decode(rendered.input_ids)


@pytest.mark.parametrize("name", ["ours", "qwen2.5", "minimind_6400"])
def test_tool_calls_are_trained_where_the_template_writes_them(request, tokenizer, name):
    chosen = tokenizer if name == "ours" else request.getfixturevalue("real_tokenizer")(name)
    call, answer = _trained(chosen, TOOLS)
    assert '{"name": "get_weather", "arguments": {"city": "Paris"}}' in call
    assert answer.startswith("It is sunny.")
    assert "get_weather" in show(chosen, TOOLS)[0][0]


def test_a_template_that_leaves_tools_out_is_refused(real_tokenizer):
    smol = real_tokenizer("smollm2")
    assert "does not write tool calls ('get_weather'" in problem_of(smol, TOOLS, 1000)
    with pytest.raises(ModelError, match="does not write tools"):
        render_prompt(smol, [Message("user", "hi")], [WEATHER])


def test_every_collected_template_is_rendered_right_or_refused_with_a_reason(shared_data, real_tokenizer, llama3):
    specials = ("</s>", "<|end|>", "<end_of_turn>", "<|end_of_turn|>", "<|im_end|>", "<end_message>", "<|EOT|>")
    chosen = llama3(real_tokenizer("minimind_6400"), specials)
    rendered, refused = set(), {}
    packed = (shared_data / "chat_templates" / "ollama_templates.jsonl.gz").read_bytes()
    for line in gzip.decompress(packed).splitlines():
        entry = json.loads(line)
        chosen.chat_template = entry["template"]
        for example in (CHAT, Example("turns", LONG.messages[1:])):
            problem = problem_of(chosen, example, 1000)
            if problem is not None:
                refused[entry["name"]] = problem
                continue
            rendered.add(entry["name"])
            answers = [m.content for m in example.messages if m.role == "assistant"]
            found = _trained(chosen, example)
            assert [a in text for a, text in zip(answers, found, strict=True)] == [True] * len(answers)
            assert not any(m.content in text for m in example.messages if m.role == "user" for text in found)
    assert rendered >= {"chatml", "zephyr", "llama3-instruct", "llama2-chat", "gemma-instruct", "phi-3", "alpaca"}
    reasons = {name: refused[name] for name in set(refused) - rendered}
    assert "opens an assistant's turn in a prompt otherwise" in reasons.pop("codellama-70b-instruct")
    assert set(reasons) == {"granite-instruct", "solar-instruct", "falcon-instruct"}
    assert all("ends the assistant's turn with no special token" in reason for reason in reasons.values())


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_round_trips_through_our_template(tokenizer, texts):
    turns = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(texts)]
    turns += [Message("assistant", "ok")] if len(turns) % 2 else []
    example = Example("h", tuple(turns))
    wanted = [f"{turn.content}<|end|>" for turn in turns if turn.role == "assistant"]
    if not any("<|" in text for text in texts):
        assert _trained(tokenizer, example) == wanted


def test_an_over_long_example_is_refused_with_both_numbers(tokenizer):
    num = len(render_example(tokenizer, CHAT, max_tokens=999).input_ids)
    render_example(tokenizer, CHAT, max_tokens=num)
    with pytest.raises(ContextLengthError, match=f"data.jsonl:3: {num} tokens, and at most {num - 1} fit"):
        render_example(tokenizer, CHAT, max_tokens=num - 1)
    assert f"{num} tokens" in problem_of(tokenizer, CHAT, num - 1)


def test_an_example_without_an_answer_has_no_trainable_token(tokenizer):
    assert "no trainable token" in problem_of(tokenizer, Example("p", CHAT.messages[:1]), 99)
    silent = Example("s", (CHAT.messages[0], Message("assistant", "x", weight=0)))
    assert "no trainable token" in problem_of(tokenizer, silent, 99)


def test_a_weight_between_0_and_1_is_refused(tokenizer):
    half = Example("s", (CHAT.messages[0], Message("assistant", "x", weight=0.5)), source="a.jsonl:1")
    assert problem_of(tokenizer, half, 99) == "weight 0.5 of an assistant turn; it must be 0 or 1."


def test_markers_that_leave_out_the_end_of_the_turn_are_found(tokenizer):
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = changed.chat_template.replace(
        "{{ '<|end|>' }}{% endgeneration %}", "{% endgeneration %}{{ '<|end|>' }}"
    )
    assert "the end of the turn ('<|end|>') is not trained" in problem_of(changed, CHAT, 99)


def test_an_answer_that_would_begin_inside_a_token_is_refused(real_tokenizer):
    example = Example("n", (CHAT.messages[0], Message("assistant", "\nfirst a new line")))
    assert "begins inside the token" in problem_of(real_tokenizer("qwen2.5"), example, 999)


def test_a_template_that_rewrites_earlier_turns_is_refused(real_tokenizer, chatml):
    forgetful = chatml(real_tokenizer("gpt2"))
    forgetful.chat_template = forgetful.chat_template.replace(
        "message['content']", "('-' if message['role'] == 'assistant' and not loop.last else message['content'])"
    )
    assert "turn 3: this chat template writes the turn otherwise inside" in problem_of(forgetful, LONG, 999)
    last_only = [Message(m.role, m.content, weight=float(i == 4)) for i, m in enumerate(LONG.messages)]
    assert problem_of(forgetful, Example("q", tuple(last_only)), 999) is None


def test_a_template_without_an_end_is_refused(tokenizer):
    endless = copy.deepcopy(tokenizer)
    endless.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}" + (
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    assert end_of_turn(endless) == []
    assert "ends the assistant's turn with no special token" in problem_of(endless, CHAT, 99)


def test_a_conversation_that_the_template_forbids_is_refused_in_its_words(tokenizer):
    strict = copy.deepcopy(tokenizer)
    strict.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ModelError, match="cannot write this conversation: roles must alternate"):
        render_prompt(strict, CHAT.prompt)


def test_a_tokenizer_without_a_template_is_refused(real_tokenizer):
    with pytest.raises(ModelError, match="no chat template"):
        render_prompt(real_tokenizer("gpt2"), CHAT.prompt)
    assert end_of_turn(real_tokenizer("gpt2")) == []


def test_the_teacher_reads_the_question_the_demonstration_and_the_instruction(tokenizer):
    text = tokenizer.decode(render_teacher_prompt(tokenizer, CHAT))
    assert text == (
        "<|bos|><|user|>\nwhat is {x}?\n\nThis is an example for a response to the question:\nit is 4.\n\n"
        "Now answer with a response of your own, including the thinking process.\n<|end|><|assistant|>"
    )


def test_in_every_template_the_teacher_opens_its_turn_as_the_student_does_and_reads_the_demonstration(any_tokenizer):
    taught = any_tokenizer.decode(render_teacher_prompt(any_tokenizer, CHAT))
    bare = any_tokenizer.decode(render_prompt(any_tokenizer, CHAT.prompt))
    before, question, opening = bare.partition("what is {x}?")
    assert taught.startswith(before)
    assert taught.endswith(opening)
    middle = taught.removeprefix(before).removesuffix(opening)
    assert middle.strip().startswith(f"{question}\n\nThis is an example for a response to the question:\nit is 4.")


def test_a_document_stands_before_the_question(tokenizer):
    example = Example("d", CHAT.messages, document="x is four.")
    text = tokenizer.decode(render_teacher_prompt(tokenizer, example))
    assert "<|user|>\nx is four.\n\nwhat is {x}?\n\nThis is an example" in text
    bare = Example("d", CHAT.messages[:1], document="x is four.")
    assert teacher_messages(bare) == (Message("user", "x is four.\n\nwhat is {x}?"),)


def test_privileged_context_stands_in_the_demonstrations_place(tokenizer):
    example = Example("d", CHAT.messages, privileged_context="a hint")
    text = tokenizer.decode(render_teacher_prompt(tokenizer, example))
    assert "question:\na hint\n\nNow" in text
    assert "it is 4." not in text


def test_only_the_last_user_turn_is_rewritten(tokenizer):
    turns = teacher_messages(LONG)
    assert turns[:3] == LONG.messages[:3]
    assert turns[3].content.startswith("\nagain?\n\nThis is an example")
    assert len(turns) == 4


def test_a_demonstration_of_a_tool_call_is_shown_as_json(tokenizer):
    example = Example("t", TOOLS.messages[:2], TOOLS.tools)
    assert (
        'question:\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n\n' in teacher_messages(example)[0].content
    )


def test_another_teacher_template_can_be_given(tokenizer):
    turns = teacher_messages(CHAT, template="{demonstration} answers {question}")
    assert turns[0].content == "it is 4. answers what is {x}?"
    with pytest.raises(ConfigError, match=r"no \{demonstration\}"):
        teacher_messages(CHAT, template="{question}")


def test_placeholders_inside_the_texts_stay_as_they_are():
    turns = (Message("user", "what is {demonstration}?"), Message("assistant", "see {question}"))
    assert teacher_messages(Example("b", turns))[0].content.startswith(
        "\nwhat is {demonstration}?\n\nThis is an example for a response to the question:\nsee {question}\n\n"
    )


def test_a_teacher_that_would_see_no_more_than_the_student_is_refused():
    with pytest.raises(DataError, match="no demonstration, privileged context or document"):
        teacher_messages(Example("p", CHAT.messages[:1]))


def test_a_teacher_needs_a_user_turn():
    with pytest.raises(DataError, match="no user turn"):
        teacher_messages(Example("p", (Message("system", "s"), Message("assistant", "a"))))
