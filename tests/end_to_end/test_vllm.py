"""vLLM itself, where $HOLDFAST_VLLM_PYTHON names an interpreter that has it: the same answers as from the other engine.

    HOLDFAST_VLLM_PYTHON=vllm-env/bin/python make test ARGS="tests/end_to_end/test_vllm.py"

It starts several servers, of about a minute each on a CPU. vLLM's results differ in their last bits, which greedy
choices of these models and prompts survive.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from openai import OpenAI, OpenAIError

from holdfast.errors import BusyError
from holdfast.jobs.workspace import create
from holdfast.models.adapter_config import AdapterConfig
from holdfast.models.learner import Learner
from holdfast.models.load import TINY_FOLDER, load, load_tokenizer
from holdfast.models.render import render_prompt
from holdfast.models.sampling import Sampling
from holdfast.serving.engine import Ask, Rules
from holdfast.serving.in_process import InProcessEngine
from holdfast.serving.vllm import VllmEngine
from holdfast.serving.vllm_options import VllmOptions
from holdfast.store.workspace import Workspace
from holdfast.types import Message, Version

PYTHON = os.environ.get("HOLDFAST_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs an interpreter with vLLM in $HOLDFAST_VLLM_PYTHON"),
]
ADAPTER = AdapterConfig(rank=16, alpha=32)
QUESTIONS = ("Repeat: blue river", "Tell me about the old tower.", "Name a colour.", "Count to five: one, two")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module", autouse=True)
def _small_cache():
    patch = pytest.MonkeyPatch()
    patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    yield
    patch.undo()


def adapter(folder, seed, scale=0.05):
    """An adapter with random weights that changes what is said."""
    learner = Learner.create(load("holdfast:tiny"), ADAPTER, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in learner.trainable():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * scale)
    learner.save(folder)
    return folder


class Answer:
    """Takes pieces, and can be waited for."""

    def __init__(self, engine, ask):
        self.all, self._done = [], threading.Event()
        self.number = engine.submit(ask, self)

    def __call__(self, piece):
        self.all.append(piece)
        if piece.end is not None:
            self._done.set()

    def wait(self):
        assert self._done.wait(120)
        return [piece.id for piece in self.all], "".join(piece.text for piece in self.all), self.all[-1].end


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("holdfast:tiny")


@pytest.fixture(scope="module")
def engines(tokenizer, tmp_path_factory):
    """vLLM and the engine of this process, with the same two adapters."""
    folder = tmp_path_factory.mktemp("vllm")
    options = VllmOptions(Path(PYTHON), {}, "float32", rank=16)
    made = [
        VllmEngine(str(TINY_FOLDER), tokenizer, options, folder / "log"),
        InProcessEngine(load("holdfast:tiny").model, tokenizer),
    ]
    for name in ("one", "two"):
        path = adapter(folder / name, seed=len(name) + ord(name[0]))
        for engine in made:
            engine.load(name, path)
    yield made
    for engine in made:
        engine.close(timeout=5)


@pytest.fixture
def prompt(tokenizer):
    def make(text):
        return tuple(render_prompt(tokenizer, (Message("user", text),), ()))

    return make


def greedy(num=40, **given):
    return Sampling(max_new_tokens=num, temperature=0, **given)


def test_base_and_adapters_say_the_same_side_by_side_in_both_engines(engines, prompt):
    asks = [Ask(prompt(text), greedy(), name) for text in QUESTIONS for name in (None, "one", "two")]
    ours, theirs = ([one.wait() for one in [Answer(engine, ask) for ask in asks]] for engine in engines[::-1])
    assert theirs == ours
    assert len({text for _, text, _ in ours[:3]}) == 3


def test_the_pieces_are_the_same_with_their_log_probabilities(engines, prompt):
    ask = Ask(prompt(QUESTIONS[0]), greedy(20), "one", top_logprobs=4)
    theirs, ours = [Answer(engine, ask) for engine in engines]
    assert theirs.wait() == ours.wait()
    for one, other in zip(theirs.all, ours.all, strict=True):
        assert (one.text, one.id, one.end) == (other.text, other.id, other.end)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert [token for token, _ in one.top] == [token for token, _ in other.top]


@pytest.mark.parametrize(
    ("stop", "rules"),
    [
        (("e",), Rules()),
        ((), Rules(frequency_penalty=0.7, presence_penalty=0.3)),
        ((), Rules(logit_bias={500: 12.0, 317: -100.0})),
        ((), Rules(schema=SCHEMA)),
    ],
)
def test_stops_penalties_biases_and_schemas_do_the_same(engines, prompt, stop, rules):
    ask = Ask(prompt(QUESTIONS[1]), greedy(60, stop=stop), rules=rules)
    theirs, ours = [Answer(engine, ask).wait() for engine in engines]
    assert theirs == ours
    if rules.schema is not None:
        told = json.loads(theirs[1])
        assert told["city"] in ("Rome", "Oslo")
        assert 1 <= told["days"] <= 9


def test_a_seed_gives_the_same_again_and_samples_differ(engines, prompt):
    sampling = Sampling(max_new_tokens=30, temperature=1.5, top_p=0.95, top_k=200, seed=7)
    said = [Answer(engines[0], Ask(prompt(QUESTIONS[0]), sampling, sample=number)).wait() for number in (0, 1, 0)]
    assert said[0] == said[2] != said[1]


def test_a_cancelled_request_frees_its_place(engines, prompt):
    answer = Answer(engines[0], Ask(prompt(QUESTIONS[0]), greedy(3000), rules=Rules(logit_bias={2: -100.0})))
    while len(answer.all) < 3:
        time.sleep(0.01)
    engines[0].cancel(answer.number)
    assert answer.wait()[2] == "cancelled"
    assert engines[0].status().num_running == 0


def started_by(pid):
    """The processes that a process started, and those that they started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    for _ in range(8):
        found |= {child for child, parent in parents.items() if parent in found}
    return sorted(found - {pid})


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_vllm_whose_engine_is_killed_comes_back_with_its_adapters(engines, prompt):
    ask = Ask(prompt(QUESTIONS[1]), greedy(), "one")
    long = Answer(engines[0], Ask(prompt(QUESTIONS[0]), greedy(3000), rules=Rules(logit_bias={2: -100.0})))
    before = started_by(os.getpid())
    (core,) = [pid for pid in before if "EngineCore" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(core, signal.SIGKILL)
    assert long.wait()[2] == "error"
    end = time.monotonic() + 300
    answer = None
    while answer is None and time.monotonic() < end:
        with suppress(BusyError):
            answer = Answer(engines[0], ask)
            answer = answer if answer.wait()[2] != "error" else None
        time.sleep(0.5)
    assert answer.wait() == Answer(engines[1], ask).wait()
    assert not [pid for pid in before if is_alive(pid)]


def promoted(root, folder, recipe):
    """A new current version, as another process makes one."""
    with Workspace.open(root) as workspace:
        weights = workspace.files.put_folder(folder)
        made = workspace.add_version(Version("", "v1", "holdfast:tiny", weights, recipe, "candidate", skill="s"))
        workspace.accept(made.id)
        workspace.promote(made.id)
    return made.id


class Asking:
    """Clients that ask for the current version without a pause; who answered, and what failed."""

    def __init__(self, client, num):
        self.answers, self.failures = [], []
        self._client, self._stop = client, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(num)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        while not self._stop.is_set():
            try:
                chunks = list(
                    self._client.chat.completions.create(
                        model="current",
                        messages=[{"role": "user", "content": QUESTIONS[1]}],
                        max_tokens=30,
                        temperature=0,
                        stream=True,
                    )
                )
                assert chunks[-1].choices[0].finish_reason in ("stop", "length")
                self.answers.append(
                    (chunks[0].system_fingerprint, "".join(c.choices[0].delta.content or "" for c in chunks))
                )
            except (OpenAIError, AssertionError) as error:
                self.failures.append(error)

    def until(self, version, seconds=300):
        end = time.monotonic() + seconds
        while not any(who == version for who, _ in self.answers) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.5)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(120)


def test_a_new_current_version_of_either_kind_is_served_and_no_request_is_dropped(tmp_path):
    root = create(tmp_path / "w", base="holdfast:tiny").path
    command = [
        sys.executable,
        "-m",
        "holdfast",
        "serve",
        "--port",
        "0",
        "--json",
        "--no-worker",
        "--workspace",
        str(root),
    ]
    command += ["--engine", "vllm", "--vllm-python", PYTHON, "--vllm-option", "max-model-len=1024"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        asking = Asking(OpenAI(base_url=told["url"], api_key="none", max_retries=0, timeout=300), 4)
        asking.until("v1")
        second = promoted(root, adapter(tmp_path / "adapter", seed=1), {"adapter": ADAPTER.model_dump(mode="json")})
        asking.until(second)
        whole = Learner.create(load("holdfast:tiny"), None)
        with torch.no_grad():
            for _, parameter in whole.trainable():
                parameter.mul_(1.01)
        whole.save(tmp_path / "whole")
        third = promoted(root, tmp_path / "whole", {"adapter": "none"})
        asking.until(third)
        asking.stop()
        assert not asking.failures
        versions = [who for who, _ in asking.answers]
        assert set(versions) == {"v1", second, third}
        assert len({text for _, text in asking.answers}) == 3
        started = started_by(process.pid)
        assert started
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert not [pid for pid in started if is_alive(pid)]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
