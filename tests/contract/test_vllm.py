"""A server whose engine is vLLM (a stand-in for it): the same API, and a new current version that drops nothing."""

import json
import threading
import time

import pytest
from openai import InternalServerError, OpenAIError

from holdfast.jobs.engines import Vllm
from holdfast.types import Version

ASKED = [{"role": "user", "content": "hi"}]
RECIPE = {"adapter": {"type": "lora", "rank": 4, "alpha": 8.0}}


@pytest.fixture
def server(make_server, stand_in):
    return make_server(vllm=Vllm(stand_in.python, {"dtype": "float32"}))


def accepted(server, folder, recipe):
    """A version with the weights in `folder`, which is the current one from now on."""
    weights = server.workspace.files.put_folder(folder)
    made = server.workspace.add_version(Version("", "v1", "holdfast:tiny", weights, recipe, "candidate", skill="s"))
    server.workspace.accept(made.id)
    server.workspace.promote(made.id)
    return made.id


def ask(client, **given):
    return client.chat.completions.create(**{"model": "current", "messages": ASKED, "max_tokens": 8, **given})


class Streams:
    """Answers that are being written, each on a thread of its own."""

    def __init__(self, client, num, **given):
        self.chunks, self.failures = [[] for _ in range(num)], []
        self._client, self._given = client, given
        self._begun = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._read, args=(chunks,)) for chunks in self.chunks]
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            assert self._begun.acquire(timeout=30)

    def _read(self, chunks):
        try:
            for chunk in ask(self._client, stream=True, **self._given):
                chunks.append(chunk)
                if len(chunks) == 3:
                    self._begun.release()
        except OpenAIError as error:
            self.failures.append(error)
            self._begun.release()

    def wait(self):
        for thread in self._threads:
            thread.join(60)
        assert not self.failures
        return self.chunks


def test_chat_and_completions_answer_as_from_the_other_engine(server, stand_in):
    client = server.client()
    answer = ask(client, n=2, logprobs=True, top_logprobs=2, frequency_penalty=0.5, logit_bias={"9": -5}, seed=4)
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert answer.usage.completion_tokens == 16
    (first, *_) = answer.choices[0].logprobs.content
    assert [one.logprob for one in first.top_logprobs] == [-0.0005, -0.001]
    plain = client.completions.create(model="holdfast:tiny", prompt="hi", max_tokens=3, logprobs=0)
    assert len(plain.choices[0].logprobs.tokens) == 3
    bodies = [one["body"] for one in stand_in.asked("/v1/completions")]
    assert bodies[0]["seed"] != bodies[1]["seed"]
    assert (bodies[0]["frequency_penalty"], bodies[0]["logit_bias"]) == (0.5, {"9": -5.0})
    (start,) = stand_in.asked("start")
    assert start["model"].endswith("weights")
    assert (server.workspace.root / "logs" / "vllm-base.log").exists()


def test_a_schema_or_a_tool_that_must_be_called_goes_to_vllm_as_a_schema(server, stand_in):
    client = server.client()
    ask(client, response_format={"type": "json_object"})
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    ask(client, tools=[tool], tool_choice="required")
    first, second = [one["body"]["structured_outputs"]["json"] for one in stand_in.asked("/v1/completions")]
    assert first["type"] == "object"
    assert second["anyOf"][0]["properties"]["name"] == {"const": "look"}


def test_a_new_current_adapter_answers_and_drops_no_request(server, stand_in):
    client = server.client()
    assert ask(client).system_fingerprint == "v1"
    (stand_in.folder / "slow").touch()
    before = Streams(client, 4, max_tokens=40)
    made = accepted(server, stand_in.adapter("one"), RECIPE)
    after = Streams(client, 4, max_tokens=10)
    for chunks, version in [*((one, "v1") for one in before.wait()), *((one, made) for one in after.wait())]:
        assert {chunk.system_fingerprint for chunk in chunks} == {version}
        assert chunks[-1].choices[0].finish_reason == "length"
    models = [one["body"]["model"] for one in stand_in.asked("/v1/completions")]
    assert models == [":base"] * 5 + [made] * 4
    assert len(stand_in.asked("start")) == 1


def test_while_an_engine_starts_for_a_new_current_the_one_before_answers(server, stand_in):
    client = server.client()
    server.served.warm()
    (stand_in.folder / "late").touch()
    (stand_in.folder / "slow").touch()
    before = Streams(client, 2, max_tokens=40)
    made = accepted(server, stand_in.adapter("whole"), {"adapter": "none"})
    assert ask(client).system_fingerprint == "v1"
    assert ask(client, model="v1").system_fingerprint == "v1"
    (stand_in.folder / "late").unlink()
    assert ask(client, model=made).system_fingerprint == made
    assert ask(client).system_fingerprint == made
    assert all(chunks[-1].choices[0].finish_reason == "length" for chunks in before.wait())
    first, second = stand_in.asked("start")
    assert second["model"] == str(server.workspace.files.path_of(server.served.version(made).weights_hash))
    assert "--enable-lora" in first["arguments"]
    assert "--enable-lora" not in second["arguments"]


def until_it_fails(client, seconds=30):
    """Asks the current version; as long as its engine is being started, the one before answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert ask(client).system_fingerprint == "v1"


def test_a_current_that_cannot_be_started_says_why_and_the_others_answer(server, stand_in):
    client = server.client()
    server.served.warm()
    made = accepted(server, stand_in.adapter("whole", broken=True), {"adapter": "none"})
    with pytest.raises(InternalServerError, match="CUDA out of memory"):
        ask(client, model=made)
    with pytest.raises(InternalServerError, match="CUDA out of memory"):
        until_it_fails(client)
    assert ask(client, model="v1").system_fingerprint == "v1"


def test_no_more_than_two_processes_are_kept_and_one_that_left_comes_back(server, stand_in):
    client = server.client()
    server.served.warm()
    names = [accepted(server, stand_in.adapter(f"whole-{number}"), {"adapter": "none"}) for number in range(3)]
    for name in names:
        assert ask(client, model=name).system_fingerprint == name
        assert len(server.served.engines()) <= 2
    assert ask(client, model=names[0]).system_fingerprint == names[0]
    assert ask(client, model="v1").system_fingerprint == "v1"
    first = str(server.workspace.files.path_of(server.served.version(names[0]).weights_hash))
    started = [one["model"] for one in stand_in.asked("start")]
    assert started.count(first) == 2
    assert sum(model.endswith("weights") for model in started) == 1  # what answers as current makes room for none


def test_room_is_made_for_the_greatest_rank_that_was_accepted(server, stand_in):
    wide = {"adapter": {"type": "lora", "rank": 20, "alpha": 8.0}}
    made = accepted(server, stand_in.adapter("wide", rank=20), wide)
    assert ask(server.client()).system_fingerprint == made
    said = stand_in.asked("start")[0]["arguments"]
    assert said[said.index("--max-lora-rank") + 1] == "32"
    accepted(server, stand_in.adapter("wider", rank=60), {"adapter": {"type": "lora", "rank": 60, "alpha": 8.0}})
    with pytest.raises(InternalServerError, match="has rank 60, and vLLM was started with room for 32"):
        ask(server.client())
    assert json.loads((stand_in.folder / "wider" / "adapter_config.json").read_text())["r"] == 60
