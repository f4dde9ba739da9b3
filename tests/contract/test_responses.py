"""Responses through the stock client: whole, event by event, parsed, gone on from, kept and deleted."""

import asyncio
import json
from typing import Literal

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from pydantic import BaseModel

MODEL = "holdfast:tiny"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "get_weather", "description": "Weather of a city", "parameters": SCHEMA,
        "strict": True}  # fmt: skip


class Trip(BaseModel):
    city: Literal["Rome", "Oslo"]
    days: Literal[1, 2, 3]


def ask(client, given="Repeat: blue river", **more):
    return client.responses.create(
        **{"model": MODEL, "input": given, "max_output_tokens": 12, "temperature": 0, **more}
    )


def chat(client, *turns, **more):
    messages = [{"role": role, "content": text} for role, text in turns]
    asked = {"model": MODEL, "messages": messages, "max_tokens": 12, "temperature": 0, **more}
    return client.chat.completions.create(**asked)


def kinds(events):
    """The types of events, with runs of deltas as one."""
    found = [event.type.removeprefix("response.") for event in events]
    return [kind for place, kind in enumerate(found) if not place or kind != found[place - 1]]


def test_a_response_is_the_chat_completion_with_every_field_that_the_client_reads(client):
    answer = ask(client, instructions="Be kind.", metadata={"k": "v"}, user="ann")
    same = chat(client, ("system", "Be kind."), ("user", "Repeat: blue river"))
    assert answer.output_text == same.choices[0].message.content
    assert (answer.object, answer.model, answer.status) in (
        ("response", MODEL, "completed"),
        ("response", MODEL, "incomplete"),
    )
    assert answer.id.startswith("resp_")
    (item,) = answer.output
    assert (item.type, item.role, item.status) == ("message", "assistant", answer.status)
    assert (item.content[0].type, item.content[0].annotations) == ("output_text", [])
    assert (answer.instructions, answer.metadata, answer.user) == ("Be kind.", {"k": "v"}, "ann")
    assert (answer.temperature, answer.top_p, answer.max_output_tokens) == (0.0, 1.0, 12)
    assert (answer.error, answer.previous_response_id, answer.tool_choice, answer.tools) == (None, None, "auto", [])
    assert (answer.parallel_tool_calls, answer.truncation, answer.text.format.type) == (True, "disabled", "text")
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens) == (same.usage.prompt_tokens, same.usage.completion_tokens)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (0, 0)


def test_an_answer_that_is_cut_off_is_incomplete(client):
    answer = ask(client, max_output_tokens=2)
    assert (answer.status, answer.incomplete_details.reason, answer.completed_at) == (
        "incomplete",
        "max_output_tokens",
        None,
    )
    assert answer.usage.output_tokens == 2


def test_a_stream_tells_its_events_in_order_and_is_the_whole_answer(client):
    whole = ask(client, max_output_tokens=40)
    events = list(ask(client, max_output_tokens=40, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", whole.status,
    ]  # fmt: skip
    created, _, added, part, *_ = events
    assert (created.response.status, created.response.output, created.response.usage) == ("in_progress", [], None)
    assert (added.item.status, added.item.content, part.part.text) == ("in_progress", [], "")
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in deltas) == whole.output_text
    assert {(event.item_id, event.output_index, event.content_index) for event in deltas} == {(added.item.id, 0, 0)}
    text, filled, done, last = events[-4:]
    assert text.text == filled.part.text == done.item.content[0].text == last.response.output_text == whole.output_text
    assert last.response.id == created.response.id
    assert last.response.output[0].to_dict() == done.item.to_dict()
    assert last.response.usage == whole.usage
    assert client.responses.retrieve(last.response.id).output_text == whole.output_text


def test_the_clients_stream_helper_follows(client):
    with client.responses.stream(model=MODEL, input="Repeat: blue river", temperature=0) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert final.status == "completed"
    assert snapshots[-1] == final.output_text == ask(client, max_output_tokens=None).output_text


def test_a_schema_is_followed_and_parsed(client):
    form = {"type": "json_schema", "name": "trip", "schema": SCHEMA, "strict": True}
    answer = ask(client, text={"format": form}, max_output_tokens=60)
    assert json.loads(answer.output_text)["city"] in ("Rome", "Oslo")
    assert (answer.text.format.type, answer.text.format.name, answer.text.format.schema_) == (
        "json_schema",
        "trip",
        SCHEMA,
    )
    parsed = client.responses.parse(model=MODEL, input="A trip", text_format=Trip, max_output_tokens=200)
    assert parsed.status == "completed"
    assert isinstance(parsed.output_parsed, Trip)
    with client.responses.stream(model=MODEL, input="A trip", text_format=Trip, temperature=0) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Trip)
    loose = ask(client, text={"format": {"type": "json_object"}}, max_output_tokens=None)
    assert isinstance(json.loads(loose.output_text), dict)


def test_a_function_is_called_and_its_outcome_answered(client):
    asked = {"tools": [TOOL], "tool_choice": "required", "max_output_tokens": 80}
    answer = ask(client, "How is the weather in Rome?", **asked)
    (call,) = answer.output
    assert (call.type, call.name, call.status, answer.status) == (
        "function_call",
        "get_weather",
        "completed",
        "completed",
    )
    assert json.loads(call.arguments)["city"] in ("Rome", "Oslo")
    assert call.call_id.startswith("call_")
    assert answer.tools[0].name == "get_weather"
    outcome = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    going_on = ask(client, [outcome], previous_response_id=answer.id, tools=[TOOL], tool_choice="none")
    assert going_on.output[0].type == "message"
    items = [{"role": "user", "content": "How is the weather in Rome?"}, call.to_dict(), outcome]
    assert ask(client, items, tools=[TOOL], tool_choice="none").output_text == going_on.output_text
    named = ask(client, "x", **{**asked, "tool_choice": {"type": "function", "name": "get_weather"}})
    assert named.output[0].name == "get_weather"
    assert named.tool_choice.name == "get_weather"
    events = list(ask(client, "How is the weather in Rome?", stream=True, **asked))
    assert kinds(events) == [
        "created", "in_progress", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done", "completed",
    ]  # fmt: skip
    assert events[2].item.arguments == ""
    assert events[3].delta == events[4].arguments == events[5].item.arguments == call.arguments


def test_with_tools_a_text_is_told_at_its_end(client):
    whole = ask(client, tools=[TOOL])
    if whole.output[0].type != "message":
        pytest.skip("the model chose to call")
    events = list(ask(client, tools=[TOOL], stream=True))
    assert kinds(events)[2:] == [
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done", whole.status,
    ]  # fmt: skip
    assert events[4].delta == whole.output_text


def test_a_conversation_goes_on_without_the_instructions_before(client):
    first = ask(client, "Repeat: blue river", instructions="Be kind.")
    second = ask(client, "Repeat: red lamp", previous_response_id=first.id, instructions="Be short.")
    third = ask(client, [{"role": "user", "content": [{"type": "input_text", "text": "And now?"}]}],
                previous_response_id=second.id)  # fmt: skip
    turns = [("user", "Repeat: blue river"), ("assistant", first.output_text), ("user", "Repeat: red lamp")]
    same = chat(client, ("system", "Be short."), *turns)
    assert second.output_text == same.choices[0].message.content
    assert second.previous_response_id == first.id
    assert (
        third.output_text
        == chat(client, *turns, ("assistant", second.output_text), ("user", "And now?")).choices[0].message.content
    )
    client.responses.delete(first.id)
    with pytest.raises(BadRequestError, match=f"the response '{first.id}' is not there") as error:
        ask(client, "x", previous_response_id=third.id)
    assert error.value.param == "previous_response_id"


def test_items_are_read_as_the_chat_that_they_are(client):
    items = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
         "content": [{"type": "output_text", "text": "c", "annotations": []}]},
        {"role": "user", "content": "d"},
    ]  # fmt: skip
    answer = ask(client, items, instructions="First.")
    same = chat(client, ("system", "First.\n\nBe kind."), ("user", "a\nb"), ("assistant", "c"), ("user", "d"))
    assert answer.output_text == same.choices[0].message.content
    assert answer.usage.input_tokens == same.usage.prompt_tokens
    kept = list(client.responses.input_items.list(answer.id, order="asc", limit=2))
    assert [item.role for item in kept] == ["developer", "user", "assistant", "user"]
    assert [part.text for part in kept[1].content] == ["a", "b"]
    assert (kept[2].id, kept[2].content[0].type) == ("msg_1", "output_text")
    assert [item.id for item in client.responses.input_items.list(answer.id)] == [item.id for item in reversed(kept)]


def test_a_response_is_kept_unless_it_is_not_to_be(client):
    kept, loose = ask(client), ask(client, store=False)
    found = client.responses.retrieve(kept.id)
    assert found.to_dict() == kept.to_dict()
    assert (kept.store, loose.store) == (True, False)
    with pytest.raises(NotFoundError, match="There is no response"):
        client.responses.retrieve(loose.id)
    with pytest.raises(BadRequestError, match="not stored"):
        ask(client, "x", previous_response_id=loose.id)
    assert client.responses.delete(kept.id) is None
    for gone in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(NotFoundError):
            gone(kept.id)
    with pytest.raises(NotFoundError):
        list(client.responses.input_items.list(kept.id))


def test_logprobs_are_those_of_chat(client):
    told = ask(client, include=["message.output_text.logprobs"], top_logprobs=2)
    same = chat(client, ("user", "Repeat: blue river"), logprobs=True, top_logprobs=2)
    found = told.output[0].content[0].logprobs
    assert [(one.token, len(one.top_logprobs)) for one in found] == [
        (one.token, 2) for one in same.choices[0].logprobs.content
    ]
    assert [one.logprob for one in found] == pytest.approx([one.logprob for one in same.choices[0].logprobs.content])
    events = list(ask(client, include=["message.output_text.logprobs"], top_logprobs=2, stream=True))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert sum(len(event.logprobs) for event in deltas) == len(found)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"background": True}, "background"),
        ({"reasoning": {"summary": "auto"}}, "reasoning"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "function", "parameters": {}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"truncation": "auto"}, "truncation"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_tool_calls": 1}, "max_tool_calls"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "odd"}}}}, "text.format"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input"),
        ({"input": [{"role": "assistant", "content": "x"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input"),
        ({"input": [{"type": ["x"], "content": "x"}]}, "input"),
        ({"input": [{"role": "user", "content": "x", "name": "ann"}]}, "input"),
        ({"input": [{"role": "user", "content": "x"}, {"role": "developer", "content": "y"}]}, "input"),
        ({"input": "a<|end|>b"}, "input"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(client, more, param):
    with pytest.raises(BadRequestError) as error:
        ask(client, **{"given": more.pop("input", "hi"), **more})
    assert error.value.param.startswith(param)
    assert param.split(".")[0] in error.value.message


def test_a_model_that_is_not_there_is_404_and_a_stored_response_is_not_streamed(client):
    with pytest.raises(NotFoundError, match="'gpt-9' does not exist") as error:
        ask(client, model="gpt-9")
    assert error.value.code == "model_not_found"
    kept = ask(client)
    with pytest.raises(BadRequestError, match="read whole"):
        client.responses.retrieve(kept.id, stream=True)
    with pytest.raises(BadRequestError, match="include"):
        client.responses.retrieve(kept.id, include=["reasoning.encrypted_content"])


def test_a_stream_is_named_events_without_an_end_mark(shared):
    asked = {"model": MODEL, "input": "hi", "max_output_tokens": 2, "stream": True, "store": False}
    lines = httpx2.post(f"{shared.url}/responses", json=asked).text.split("\n\n")
    assert lines[0].startswith("event: response.created\ndata: {")
    assert lines[-1] == ""
    assert "[DONE]" not in "".join(lines)


def test_what_json_cannot_hold_is_refused(shared):
    for text in ('{"a": NaN}', '{"a": "\\ud800"}', '{"a":' * 200 + "1" + "}" * 200):
        tool = f'{{"type": "function", "name": "f", "parameters": {text}}}'
        body = f'{{"model": "{MODEL}", "input": "hi", "tools": [{tool}]}}'
        found = httpx2.post(f"{shared.url}/responses", content=body, headers={"content-type": "application/json"})
        assert found.status_code == 400
        assert "The body" in found.json()["error"]["message"]


def test_a_model_that_fails_ends_the_stream_with_that(make_server, monkeypatch):
    from holdfast.api.writing import Writing
    from holdfast.errors import HoldfastError

    server = make_server()

    async def broken(self):
        raise HoldfastError("The model could not write this: no memory")
        yield

    monkeypatch.setattr(Writing, "pieces", broken)
    events = list(ask(server.client(), stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.message == "The model could not write this: no memory"
    assert not server.workspace.responses()


def test_the_same_in_an_async_client(shared):
    async def go():
        async with AsyncOpenAI(base_url=shared.url, api_key="none", max_retries=0) as client:
            asked = {"model": MODEL, "input": "Repeat: blue river", "temperature": 0, "max_output_tokens": 8}
            whole = await client.responses.create(**asked)
            events = [event async for event in await client.responses.create(**asked, stream=True)]
            assert events[-1].response.output_text == whole.output_text
            async with client.responses.stream(**asked) as stream:
                async for _ in stream:
                    pass
            parsed = await client.responses.parse(model=MODEL, input="A trip", text_format=Trip, temperature=0)
            assert isinstance(parsed.output_parsed, Trip)
            assert (await client.responses.retrieve(whole.id)).output_text == whole.output_text
            assert len([item async for item in client.responses.input_items.list(whole.id)]) == 1
            await client.responses.delete(whole.id)

    asyncio.run(go())


def test_many_streams_at_once_each_tell_their_own_answer(shared):
    async def go():
        async with AsyncOpenAI(base_url=shared.url, api_key="none", max_retries=0) as client:

            async def one(number):
                asked = {"model": MODEL, "input": f"Repeat: {number} rivers", "temperature": 0, "max_output_tokens": 8}
                events = [event async for event in await client.responses.create(**asked, stream=True)]
                text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
                assert text == events[-1].response.output_text == (await client.responses.create(**asked)).output_text

            await asyncio.gather(*(one(number) for number in range(6)))

    asyncio.run(go())


def test_evals_read_responses_that_were_kept_and_ask_in_their_words(make_server):
    client = make_server().client()
    first = ask(client, "Repeat: a", instructions="Be kind.", metadata={"use": "a"}, tools=[TOOL], tool_choice="none")
    ask(client, "Repeat: b", metadata={"use": "b"}, user="ann")
    ask(client, "Repeat: c", previous_response_id=first.id, metadata={"use": "a"}, user="bob")
    said = {"type": "string_check", "name": "said", "operation": "ne", "input": "{{ sample.output_text }}",
            "reference": "{{ item.input[0].content }}"}  # fmt: skip
    record = client.evals.create(data_source_config={"type": "logs"}, testing_criteria=[said])

    def ran(source, **more):
        order = {"type": "responses", "source": {"type": "responses", **source}, **more}
        run = client.evals.runs.create(record.id, data_source=order)
        while run.status in ("queued", "in_progress"):
            run = client.evals.runs.retrieve(run.id, eval_id=record.id)
        assert run.status == "completed"
        return list(client.evals.runs.output_items.list(run.id, eval_id=record.id))

    items = ran({})
    assert [len(item.datasource_item["input"]) for item in items] == [2, 1, 3]
    assert items[0].sample.output[0].content == first.output_text
    for source, found in (
        ({"metadata": {"use": "a"}}, [0, 2]),
        ({"instructions_search": "kind"}, [0]),
        ({"tools": ["get_weather"]}, [0]),
        ({"users": ["ann", "bob"]}, [1, 2]),
        ({"temperature": 0.0, "model": MODEL}, [0, 1, 2]),
    ):
        assert [item.datasource_item["id"] for item in ran(source)] == [
            items[one].datasource_item["id"] for one in found
        ]
    form = {"type": "json_schema", "name": "trip", "schema": SCHEMA}
    sampling = {"text": {"format": form}, "tools": [TOOL], "max_completion_tokens": 60}
    (anew,) = ran({"users": ["ann"]}, model=MODEL, sampling_params=sampling)
    assert json.loads(anew.sample.output[0].content)["city"] in ("Rome", "Oslo")
    for wrong, told in (
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"text": {"format": {"type": "x"}}}, "text"),
    ):
        with pytest.raises(BadRequestError, match=told):
            ran({}, model=MODEL, sampling_params=wrong)
