"""The engine that vLLM is, against a stand-in: its pieces, and what happens when it dies, hangs or talks nonsense."""

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.errors import BusyError, ConfigError, ContextLengthError, EngineError, InvalidStateError, NotFoundError
from holdfast.models.sampling import Sampling
from holdfast.serving.engine import Ask, Rules
from holdfast.serving.vllm import VllmEngine
from holdfast.serving.vllm_options import VllmOptions

SLOWLY, DIES, SILENT, GARBAGE, ERROR, ENDS, REFUSED, HANGS, TWO = range(101, 110)


@pytest.fixture
def make_engine(stand_in, tokenizer):
    engines = []

    def make(options=None, model="some/model", **given):
        vllm = VllmOptions(stand_in.python, options or {}, rank=4)
        engines.append(VllmEngine(str(model), tokenizer, vllm, stand_in.log, **{"start_seconds": 30, **given}))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close(timeout=0)


class Answer:
    """Takes pieces, and can be waited for."""

    def __init__(self):
        self._begun, self._done, self.all = threading.Event(), threading.Event(), []

    def __call__(self, piece):
        self.all.append(piece)
        self._begun.set()
        if piece.end is not None:
            self._done.set()

    def begin(self):
        assert self._begun.wait(30)
        return self

    def wait(self):
        assert self._done.wait(30)
        return "".join(piece.text for piece in self.all), self.all[-1].end

    @property
    def ids(self):
        return [piece.id for piece in self.all if piece.id is not None]

    @property
    def problem(self):
        return self.all[-1].problem


def ask(first=100, num=6, **given):
    sampling = given.pop("sampling", None) or Sampling(max_new_tokens=num, temperature=0)
    return Ask((first, 300), sampling, **given)


def written(engine, *args, **given):
    engine.submit(ask(*args, **given), answer := Answer())
    answer.wait()
    return answer


def waited(look, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_token_is_a_piece_with_its_text_and_log_probabilities(make_engine, tokenizer):
    engine = make_engine()
    for first in (100, TWO):
        answer = written(engine, first, top_logprobs=2)
        assert answer.ids == [301, 302, 303, 304, 305, 306]
        assert answer.wait() == (tokenizer.decode(answer.ids), "length")
        assert [piece.end for piece in answer.all] == [None] * 5 + ["length"]
        assert answer.all[0].logprob == -0.301
        assert answer.all[0].top == ((1, -0.0005), (2, -0.001))
    assert written(engine).all[0].top == ()
    assert (engine.context, engine.status().num_running, engine.status().num_waiting) == (200, 0, 0)


def test_a_request_says_all_that_was_asked_for(make_engine, stand_in, tokenizer):
    sampling = Sampling(
        max_new_tokens=5, temperature=0.7, top_p=0.9, top_k=8, seed=3, stop=("zz",), stop_token_ids=(9,)
    )
    rules = Rules(0.5, 0.25, {7: -100.0}, {"type": "object"})
    engine = make_engine()
    for sample in (0, 1, 0):
        written(engine, sampling=sampling, rules=rules, sample=sample)
    bodies = [one["body"] for one in stand_in.asked("/v1/completions")]
    told = {key: bodies[0][key] for key in ("model", "prompt", "max_tokens", "temperature", "top_p", "top_k")}
    assert told == {
        "model": ":base", "prompt": [100, 300], "max_tokens": 5, "temperature": 0.7, "top_p": 0.9, "top_k": 8,
    }  # fmt: skip
    assert (bodies[0]["presence_penalty"], bodies[0]["frequency_penalty"]) == (0.5, 0.25)
    assert bodies[0]["logit_bias"] == {"7": -100.0}
    schema = {"type": "object", "x-guidance": {"whitespace_flexible": False}}
    assert bodies[0]["structured_outputs"] == {"json": schema}
    assert bodies[0]["stop_token_ids"] == sorted({9, tokenizer.eos_token_id})
    assert bodies[0]["seed"] != bodies[1]["seed"]
    assert bodies[0] == bodies[2]


def test_a_stop_string_ends_the_answer_and_the_stream(make_engine, stand_in, tokenizer):
    whole = tokenizer.decode(list(range(301, 331)))
    stop = whole[5:8]
    engine = make_engine()
    answer = written(engine, SLOWLY, sampling=Sampling(max_new_tokens=100, temperature=0, stop=(stop,)))
    assert answer.wait() == (whole[: whole.find(stop)], "stop")
    waited(lambda: stand_in.asked("closed"))
    assert engine.status().num_running == 0


def test_the_token_that_ends_a_turn_has_no_text(make_engine, stand_in):
    engine = make_engine()
    engine.load("stops", stand_in.adapter("stops"))
    answer = written(engine, adapter="stops")
    assert answer.wait()[1] == "stop"
    assert (answer.all[-1].id, answer.all[-1].text) == (2, "")


def test_a_cancelled_request_ends_at_once_and_vllm_is_told(make_engine, stand_in):
    engine = make_engine()
    number = engine.submit(ask(SLOWLY, 150), answer := Answer())
    engine.submit(ask(SLOWLY, 10), other := Answer())
    answer.begin()
    engine.cancel(number)
    engine.cancel(number)
    engine.cancel(12345)
    assert answer.wait()[1] == "cancelled"
    assert len(answer.ids) < 150
    assert other.wait()[1] == "length"
    waited(lambda: stand_in.asked("closed"))
    number = engine.submit(ask(SLOWLY, 150), at_once := Answer())
    engine.cancel(number)
    assert at_once.wait()[1] == "cancelled"


def test_a_deadline_ends_with_what_is_there(make_engine):
    engine = make_engine()
    answer = written(engine, SILENT, deadline=time.monotonic() + 0.5)
    assert answer.wait()[1] == "deadline"
    assert answer.ids == [301, 302]


def test_beyond_what_may_wait_a_request_is_refused_at_once(make_engine):
    engine = make_engine(max_running=1, max_waiting=1)
    numbers = [engine.submit(ask(SILENT), Answer()) for _ in range(2)]
    with pytest.raises(BusyError, match="2 requests run or wait already"):
        engine.submit(ask(), Answer())
    for number in numbers:
        engine.cancel(number)
    waited(lambda: not engine.status().num_running + engine.status().num_waiting)
    assert written(engine).wait()[1] == "length"


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (GARBAGE, "no part of a completion: data: {never mind"),
        (ERROR, "vLLM: out of memory"),
        (ENDS, "ended the stream before the completion"),
        (REFUSED, "vLLM: this cannot be asked"),
    ],
)
def test_what_goes_wrong_with_one_request_is_told_to_it_alone(make_engine, first, problem):
    engine = make_engine()
    engine.submit(ask(SLOWLY, 20), other := Answer())
    answer = written(engine, first)
    assert answer.wait()[1] == "error"
    assert problem in answer.problem
    assert other.wait()[1] == "length"


def test_a_server_that_dies_is_started_again_with_its_adapters(make_engine, stand_in):
    engine = make_engine()
    engine.load("a", stand_in.adapter("a"))
    engine.submit(ask(SILENT), other := Answer())
    other.begin()
    answer = written(engine, DIES)
    assert (answer.wait()[1], other.wait()[1]) == ("error", "error")
    assert "connection to vLLM broke" in answer.problem

    def is_refused():
        try:
            engine.submit(ask(), Answer())
        except BusyError as error:
            return "is being started again" in error.message

    assert waited(is_refused)
    first, second = waited(lambda: (found := stand_in.asked("start"))[1:] and found)

    def again():
        try:
            return written(engine, adapter="a")
        except BusyError:
            return None

    assert waited(again).wait()[1] == "length"
    assert [one["pid"] for one in stand_in.asked("/v1/load_lora_adapter")] == [first["pid"], second["pid"]]


def test_a_server_that_hangs_is_killed_and_started_again(make_engine, stand_in):
    engine = make_engine(hang_seconds=1.5)
    assert written(engine, HANGS).wait()[1] == "error"
    waited(lambda: len(stand_in.asked("start")) == 2)
    assert not is_alive(stand_in.asked("start")[0]["pid"])


def test_adapters_come_and_go_while_others_are_written(make_engine, stand_in):
    engine = make_engine()
    with pytest.raises(NotFoundError, match="'a' is not loaded"):
        engine.submit(ask(adapter="a"), Answer())
    engine.submit(ask(SLOWLY, 40), bare := Answer())
    folder = stand_in.adapter("a")
    engine.load("a", folder)
    engine.load("a", folder)
    engine.submit(ask(SLOWLY, 10, adapter="a"), adapted := Answer())
    engine.unload("a")
    assert not stand_in.asked("/v1/unload_lora_adapter")
    assert adapted.wait()[1] == "length"
    waited(lambda: stand_in.asked("/v1/unload_lora_adapter"))
    assert bare.wait()[1] == "length"
    assert len(stand_in.asked("/v1/load_lora_adapter")) == 1
    with pytest.raises(NotFoundError):
        engine.submit(ask(adapter="a"), Answer())
    engine.unload("a")


def test_an_adapter_that_does_not_fit_says_why(make_engine, stand_in, tmp_path):
    engine = make_engine()
    with pytest.raises(EngineError, match="has rank 9, and vLLM was started with room for 8"):
        engine.load("big", stand_in.adapter("big", rank=9))
    with pytest.raises(EngineError, match="vLLM cannot use this adapter: no such LoRA"):
        engine.load("odd", stand_in.adapter("odd", broken=True))
    with pytest.raises(EngineError, match=r"no adapter_config\.json"):
        engine.load("none", tmp_path)
    with pytest.raises(EngineError, match="started without any"):
        make_engine({"enable-lora": "false"}).load("a", stand_in.adapter("a"))


def test_a_prompt_that_does_not_fit_is_refused(make_engine):
    with pytest.raises(ContextLengthError, match="200 tokens and the model reads 200"):
        make_engine().submit(Ask(tuple([9] * 200), Sampling()), Answer())


def test_closing_finishes_what_runs_and_leaves_nothing_behind(make_engine, stand_in):
    engine = make_engine()
    engine.submit(ask(SLOWLY, 20), answer := Answer())
    engine.close(timeout=30)
    assert answer.wait()[1] == "length"
    assert not is_alive(stand_in.asked("start")[0]["pid"])
    with pytest.raises(BusyError, match="shutting down"):
        engine.submit(ask(), Answer())
    with pytest.raises(InvalidStateError, match="stopped"):
        engine.load("a", stand_in.adapter("a"))
    late = make_engine()
    late.submit(ask(SILENT), left := Answer())
    left.begin()
    late.close(timeout=0)
    assert left.wait()[1] == "cancelled"


def test_a_request_that_comes_just_as_the_engine_closes_is_told_its_end(make_engine, closes_behind):
    engine, answer = make_engine(), Answer()
    engine._lock = closes_behind(engine)
    engine.submit(ask(), answer)
    assert answer.wait()[1] == "cancelled"


def test_a_client_whose_sink_fails_stops_nothing(make_engine):
    engine = make_engine()

    def fails(piece):
        raise RuntimeError("gone")

    engine.submit(ask(), fails)
    assert written(engine).wait()[1] == "length"


def test_a_server_that_does_not_come_up_is_an_error_with_the_end_of_its_log(make_engine, stand_in):
    with pytest.raises(EngineError, match=r"did not come up: the process ended(.|\n)*CUDA out of memory"):
        make_engine(model=stand_in.adapter("model", broken=True))
    (stand_in.folder / "late").touch()
    with pytest.raises(EngineError, match="no answer within 1 s"):
        make_engine(start_seconds=1)
    assert not any(is_alive(one["pid"]) for one in stand_in.asked("start"))


def test_what_the_operator_sets_is_what_vllm_is_started_with(make_engine, stand_in):
    engine = make_engine({"max-lora-rank": "64", "max-model-len": "1024", "enforce-eager": "true"}, max_running=5)
    engine.load("a", stand_in.adapter("a", rank=64))
    (start,) = stand_in.asked("start")
    said = start["arguments"]
    pairs = dict(pairwise(said))
    assert (start["model"], pairs["--max-num-seqs"], pairs["--max-model-len"]) == ("some/model", "5", "1024")
    assert (pairs["--max-lora-rank"], pairs["--max-loras"], pairs["--max-cpu-loras"]) == ("64", "8", "32")
    assert {"--enforce-eager", "--enable-lora", "--generation-config"} <= set(said)
    assert start["python_path"] == str(stand_in.folder)
    for key, told in (("port", "Holdfast sets it"), ("max-num-seqs", "--max-running says it")):
        with pytest.raises(ConfigError, match=told):
            VllmOptions(stand_in.python, {key: "1"})


def test_without_vllm_the_error_says_how_to_make_the_environment(tokenizer, tmp_path):
    for python, told in ((sys.executable, "has no vLLM"), (tmp_path / "nothing", "cannot be started")):
        with pytest.raises(ConfigError, match=rf"{told}(.|\n)*pip install vllm"):
            VllmEngine("some/model", tokenizer, VllmOptions(Path(python)), tmp_path / "log")


def test_vllm_does_not_outlive_a_process_that_is_killed(stand_in):
    code = f"""
import sys, time
from pathlib import Path
from holdfast.serving.vllm_options import VllmOptions
from holdfast.serving.vllm_process import VllmProcess
options = VllmOptions(Path({str(stand_in.python)!r}))
VllmProcess(lambda port: options.command("m", port, 1), Path({str(stand_in.log)!r}), ready=lambda client: None).start()
print("up", flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "up\n"
        (server,) = stand_in.asked("start")
        assert is_alive(server["pid"])
        os.kill(parent.pid, signal.SIGKILL)
        waited(lambda: not is_alive(server["pid"]))
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
