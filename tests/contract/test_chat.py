"""Chat completions through the stock client: whole and streamed, sampled as asked, and refused as it knows how."""

import asyncio
import json

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError

ASKED = [{"role": "user", "content": "Repeat: blue river"}]
MODEL = "holdfast:tiny"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather of a city", "parameters": SCHEMA},
}


def ask(client, **given):
    return client.chat.completions.create(**{"model": MODEL, "messages": ASKED, "max_tokens": 12, **given})


def streamed(client, **given):
    return list(ask(client, stream=True, **given))


def test_an_answer_has_every_field_that_the_client_reads(client):
    answer = ask(client, temperature=0)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    (choice,) = answer.choices
    assert (choice.index, choice.message.role, choice.message.tool_calls) == (0, "assistant", None)
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens <= 12


def test_a_stream_is_the_whole_answer_in_pieces(client):
    for given in ({"temperature": 0}, {"temperature": 1.0, "seed": 5}, {"temperature": 1.2, "seed": 1, "top_p": 0.8}):
        whole = ask(client, **given)
        chunks = streamed(client, stream_options={"include_usage": True}, **given)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[
            0
        ].finish_reason
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        assert all(chunk.usage is None for chunk in chunks[:-1])
        assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in streamed(client))


def test_a_seed_gives_the_same_again_and_several_choices_differ(client):
    first, again = (ask(client, temperature=1.5, seed=7, n=4, max_tokens=24) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(set(texts)) > 1
    assert [choice.index for choice in first.choices] == [0, 1, 2, 3]
    chunks = streamed(client, temperature=1.5, seed=7, n=4, max_tokens=24)
    pieces = ["", "", "", ""]
    for chunk in chunks:
        pieces[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert pieces == texts


def test_a_stop_string_ends_the_answer_and_is_not_in_it(client):
    whole = ask(client, temperature=0, max_tokens=40).choices[0].message.content
    stop = whole[3:6]
    answer = ask(client, temperature=0, max_tokens=40, stop=[stop, "@@"])
    assert answer.choices[0].message.content == whole[: whole.find(stop)]
    assert answer.choices[0].finish_reason == "stop"
    pieces = streamed(client, temperature=0, max_tokens=40, stop=stop)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == whole[: whole.find(stop)]


def test_log_probabilities_are_those_of_the_tokens_and_the_likeliest_ones(client):
    choice = ask(client, temperature=0, logprobs=True, top_logprobs=3).choices[0]
    content = choice.logprobs.content
    assert "".join(one.token for one in content).startswith(choice.message.content)
    for one in content:
        assert one.logprob <= 0
        assert len(one.top_logprobs) == 3
        assert one.top_logprobs[0].token == one.token  # greedy
        assert one.top_logprobs[0].logprob == pytest.approx(one.logprob)
        assert bytes(one.bytes).decode() == one.token
    chunks = streamed(client, temperature=0, logprobs=True, top_logprobs=3)
    pieces = [one for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
    assert [one.token for one in pieces] == [one.token for one in content]
    assert ask(client).choices[0].logprobs is None


def test_biases_and_penalties_change_what_is_written(shared, client):
    opened = shared.served.open(shared.served.version(MODEL))
    plain = ask(client, temperature=0, logprobs=True).choices[0]
    first = opened.tokenizer.encode(plain.logprobs.content[0].token, add_special_tokens=False)[0]
    without = ask(client, temperature=0, logprobs=True, logit_bias={str(first): -100}).choices[0]
    assert without.logprobs.content[0].token != plain.logprobs.content[0].token
    only = ask(client, temperature=0, logit_bias={"80": 100}, max_tokens=3, logprobs=True).choices[0]
    assert len({one.token for one in only.logprobs.content}) == 1
    forced = {"80": 100, "81": 99}
    mixed = ask(client, temperature=0, logit_bias=forced, frequency_penalty=2, max_tokens=6, logprobs=True).choices[0]
    assert len({one.token for one in mixed.logprobs.content}) == 2


@pytest.mark.parametrize("seed", range(3))
def test_a_json_schema_is_followed_to_the_letter(client, seed):
    form = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}
    answer = ask(client, response_format=form, temperature=1.5, seed=seed, max_tokens=60)
    found = json.loads(answer.choices[0].message.content)
    assert found["city"] in ("Rome", "Oslo")
    assert 1 <= found["days"] <= 9
    assert answer.choices[0].finish_reason == "stop"


def test_a_tool_that_must_be_called_is_called(client):
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        answer = ask(client, tools=[TOOL], tool_choice=choice, max_tokens=80).choices[0]
        assert answer.finish_reason == "tool_calls"
        (call,) = answer.message.tool_calls
        assert call.function.name == "get_weather"
        assert set(json.loads(call.function.arguments)) == {"city", "days"}
    chunks = streamed(client, tools=[TOOL], tool_choice="required", max_tokens=80)
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [call.index for call in calls] == [0]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    turns = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function":
         {"name": "get_weather", "arguments": '{"city": "Rome", "days": 2}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]  # fmt: skip
    assert ask(client, messages=turns, tools=[TOOL]).choices[0].message.role == "assistant"
    for more in ({}, {"parameters": {}}, {"parameters": {"type": "object"}}):
        bare = {"type": "function", "function": {"name": "ping", **more}}
        (call,) = ask(client, tools=[bare], tool_choice="required", max_tokens=80).choices[0].message.tool_calls
        assert call.function.name == "ping"


def test_an_alias_answers_as_what_it_stands_for(client):
    answers = [ask(client, model=name, temperature=0) for name in ("gpt-4o", "current", MODEL, "v1")]
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert answers[0].model == "gpt-4o"
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


@pytest.mark.parametrize(
    ("given", "kind", "param", "words"),
    [
        ({"model": "gpt-9"}, NotFoundError, "model", "does not exist"),
        ({"temperature": 3}, BadRequestError, "temperature", "less than or equal to 2"),
        ({"top_logprobs": 21}, BadRequestError, "top_logprobs", "20"),
        ({"messages": []}, BadRequestError, "messages", "at least 1"),
        ({"messages": [{"role": "boss", "content": "x"}]}, BadRequestError, "messages", "turn 1 has the role 'boss'"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, BadRequestError, "messages", "."),
        ({"messages": [{"role": "user", "content": "a<|end|>b"}]}, BadRequestError, "messages", "control token"),
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, BadRequestError, "messages", "the model reads"),
        ({"stop": ["a", "b", "c", "d", "e"]}, BadRequestError, "stop", "at most 4"),
        ({"n": 17}, BadRequestError, "n", "at most 16"),
        ({"logit_bias": {"x": 1}}, BadRequestError, "logit_bias", "not a token id"),
        ({"response_format": {"type": "yaml"}}, BadRequestError, "response_format", "json_schema"),
        ({"tool_choice": "required"}, BadRequestError, "tool_choice", "no such tool"),
        ({"extra_body": {"audio": {}}}, BadRequestError, "audio", "not permitted"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_400_and_names_its_parameter(client, given, kind, param, words):
    with pytest.raises(kind, match=words) as error:
        ask(client, **given)
    assert error.value.param == param
    assert error.value.type in ("invalid_request_error", "not_found_error")
    assert error.value.request_id


def test_a_client_that_goes_away_frees_its_place(shared, client):
    opened = shared.served.open(shared.served.version(MODEL))
    stream = ask(client, stream=True, max_tokens=3000, logit_bias={"80": 100})
    next(iter(stream))
    stream.close()

    async def leave():
        async with AsyncOpenAI(base_url=shared.url, api_key="none", max_retries=0) as fast:
            long = fast.chat.completions.create(
                model=MODEL, messages=ASKED, max_tokens=3000, logit_bias={"80": 100}, timeout=0.5
            )
            with pytest.raises(Exception, match="timed out"):
                await long

    asyncio.run(leave())
    for _ in range(200):
        if opened.engine.status().num_running == 0:
            break
        asyncio.run(asyncio.sleep(0.05))
    assert opened.engine.status().num_running == 0


def test_many_at_once_are_each_answered_as_alone(shared, client):
    prompts = [[{"role": "user", "content": f"Repeat: word {number}"}] for number in range(12)]
    alone = [ask(client, messages=prompt, temperature=0).choices[0].message.content for prompt in prompts]

    async def together():
        async with AsyncOpenAI(base_url=shared.url, api_key="none", max_retries=0) as fast:
            asked = [
                fast.chat.completions.create(model=MODEL, messages=prompt, temperature=0, max_tokens=12)
                for prompt in prompts
            ]
            return await asyncio.gather(*asked)

    assert [answer.choices[0].message.content for answer in asyncio.run(together())] == alone


def test_beyond_what_may_wait_a_request_is_429(make_server):
    server = make_server(max_running=1, max_waiting=0)

    async def crowd():
        async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as fast:
            asked = [
                fast.chat.completions.create(model=MODEL, messages=ASKED, max_tokens=400, logit_bias={"80": 100})
                for _ in range(4)
            ]
            return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(crowd())
    refused = [one for one in found if isinstance(one, RateLimitError)]
    assert len(refused) == 3
    assert float(refused[0].response.headers["retry-after"]) > 0
    assert refused[0].code == "rate_limit_exceeded"
