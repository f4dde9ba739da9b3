"""The engine of this process: requests side by side, back-pressure, cancelling, deadlines, adapters come and go."""

import threading
import time
from queue import SimpleQueue

import pytest

from holdfast.errors import BusyError, ContextLengthError, InvalidStateError, NotFoundError
from holdfast.models.generate import generate
from holdfast.models.kv_cache import RowCache
from holdfast.models.sampling import Sampling
from holdfast.serving.engine import Ask
from holdfast.serving.in_process import InProcessEngine

PROMPT = (5, 6, 7)


@pytest.fixture
def make_engine(make_model, tokenizer):
    engines = []

    def make(**given):
        engines.append(InProcessEngine(make_model(), tokenizer, **given))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close(timeout=0)


class Answer:
    """Takes pieces, and can be waited for."""

    def __init__(self):
        self.pieces, self._done = SimpleQueue(), threading.Event()
        self.all = []

    def __call__(self, piece):
        self.all.append(piece)
        if piece.end is not None:
            self._done.set()

    def wait(self):
        assert self._done.wait(30)
        return "".join(piece.text for piece in self.all), self.all[-1].end


def ask(max_new_tokens=8, prompt=PROMPT, **given):
    sampling = given.pop("sampling", None) or Sampling(max_new_tokens=max_new_tokens, temperature=0)
    return Ask(prompt, sampling, **given)


def test_what_comes_out_is_what_generate_writes(make_engine, make_model, tokenizer):
    engine = make_engine(max_running=4)
    answers = [Answer() for _ in range(9)]
    prompts = [(5, 6, 7 + number) for number in range(9)]
    sampling = Sampling(max_new_tokens=10, temperature=0.8, seed=5)
    for prompt, answer in zip(prompts, answers, strict=True):
        engine.submit(ask(prompt=prompt, sampling=sampling), answer)
    for prompt, answer in zip(prompts, answers, strict=True):
        completion = generate(make_model(), tokenizer, [prompt], sampling)[0][0]
        assert answer.wait() == (completion.text, completion.finish_reason)
        assert [piece.id for piece in answer.all] == list(completion.token_ids)
    assert (engine.status().num_running, engine.status().num_waiting) == (0, 0)


def test_a_stop_string_ends_the_answer_and_frees_its_row(make_engine, make_model, tokenizer):
    engine = make_engine()
    whole = generate(make_model(), tokenizer, [PROMPT], Sampling(max_new_tokens=30, temperature=0))[0][0].text
    stop = whole[4:7]
    answer = Answer()
    engine.submit(ask(sampling=Sampling(max_new_tokens=30, temperature=0, stop=(stop,))), answer)
    assert answer.wait() == (whole[: whole.find(stop)], "stop")
    assert engine.status().num_running == 0


def test_beyond_what_may_wait_a_request_is_refused_at_once(make_engine):
    engine = make_engine(max_running=1, max_waiting=1)
    first, second = Answer(), Answer()
    engine.submit(ask(200), first)
    engine.submit(ask(200), second)
    with pytest.raises(BusyError, match="2 requests run or wait already"):
        engine.submit(ask(), Answer())
    first.wait()
    second.wait()
    engine.submit(ask(), third := Answer())
    third.wait()


def test_a_cancelled_request_ends_and_the_others_go_on(make_engine):
    engine = make_engine()
    long, other = Answer(), Answer()
    number = engine.submit(ask(200), long)
    engine.submit(ask(20), other)
    engine.cancel(number)
    engine.cancel(number)
    engine.cancel(12345)
    assert long.wait()[1] == "cancelled"
    assert other.wait()[1] in ("length", "stop")


def test_a_deadline_ends_with_what_is_there(make_engine):
    answer = Answer()
    make_engine().submit(ask(240, deadline=time.monotonic() + 0.05), answer)
    text, end = answer.wait()
    assert end == "deadline"
    assert len(answer.all) < 240
    assert text == "".join(piece.text for piece in answer.all)


def test_adapters_come_and_go_while_others_are_written(make_engine, make_adapter):
    engine = make_engine()
    folder, learner = make_adapter(1)
    with pytest.raises(NotFoundError, match="'a' is not loaded"):
        engine.submit(ask(adapter="a"), Answer())
    bare, adapted = Answer(), Answer()
    engine.submit(ask(150), bare)
    engine.load("a", folder)
    engine.submit(ask(30, adapter="a"), adapted)
    engine.unload("a")  # still in use: it goes when the answer is there
    wanted = learner.generate([PROMPT], Sampling(max_new_tokens=30, temperature=0))[0][0]
    assert adapted.wait()[0] == wanted.text
    assert bare.wait()[1] in ("length", "stop")
    with pytest.raises(NotFoundError):
        engine.submit(ask(adapter="a"), Answer())


def test_closing_finishes_what_runs_and_takes_nothing_in(make_engine):
    engine = make_engine()
    answer = Answer()
    engine.submit(ask(40), answer)
    engine.close(timeout=30)
    assert answer.wait()[1] in ("length", "stop")
    with pytest.raises(BusyError, match="shutting down"):
        engine.submit(ask(), Answer())
    with pytest.raises(InvalidStateError, match="stopped"):
        engine.unload("a")


def test_a_client_whose_sink_fails_and_a_step_that_fails_stop_nothing(make_engine, monkeypatch):
    engine = make_engine()

    def fails(piece):
        raise RuntimeError("gone")

    engine.submit(ask(5), fails)
    engine.submit(ask(5), answer := Answer())
    assert answer.wait()[1] in ("length", "stop")
    step, told = engine._batch.step, []

    def breaks():
        if not told:
            told.append(True)
            raise RuntimeError("out of memory")
        return step()

    monkeypatch.setattr(engine._batch, "step", breaks)
    engine.submit(ask(5), broken := Answer())
    assert broken.wait()[1] == "error"
    assert broken.all[-1].problem == "out of memory"
    engine.submit(ask(5), after := Answer())
    assert after.wait()[1] in ("length", "stop")


def test_a_prompt_that_does_not_fit_is_refused(make_engine):
    with pytest.raises(ContextLengthError):
        make_engine().submit(ask(prompt=tuple([9] * 300)), Answer())


def test_a_step_that_fails_midway_leaves_nothing_half_made(make_engine, make_model, tokenizer, monkeypatch):
    engine = make_engine(max_running=1)
    engine.submit(ask(), answer := Answer())
    answer.wait()
    made, empty = [], RowCache._empty

    def no_memory(self, num_rows, like):
        made.append(num_rows)
        if len(made) == 2:  # the first of a layer's two stores is larger by now
            raise RuntimeError("no memory")
        return empty(self, num_rows, like)

    long = tuple(range(5, 105))
    monkeypatch.setattr(RowCache, "_empty", no_memory)
    engine.submit(ask(prompt=long), failed := Answer())
    assert failed.wait() == ("", "error")
    engine.submit(ask(prompt=long), answer := Answer())
    completion = generate(make_model(), tokenizer, [long], Sampling(max_new_tokens=8, temperature=0))[0][0]
    assert answer.wait() == (completion.text, completion.finish_reason)


def test_a_request_that_comes_just_as_the_engine_closes_is_told_its_end(make_engine, closes_behind):
    engine, answer = make_engine(), Answer()
    engine._lock = closes_behind(engine)
    engine.submit(ask(200), answer)
    assert answer.wait()[1] == "cancelled"
