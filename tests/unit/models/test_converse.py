import re
from dataclasses import replace

import pytest

from holdfast.errors import ContextLengthError, ModelError
from holdfast.models.generate import Request, Sampling, converse, generate
from holdfast.models.load import load
from holdfast.models.render import render_prompt
from holdfast.types import Message

SETTINGS = Sampling(max_new_tokens=12, seed=5)


def chat(tokenizer, opening, turns, sampling=SETTINGS):
    """Asks, is answered, quotes the answer and asks again; returns all answers."""
    messages, answers = [Message("user", opening)], []
    for _ in range(turns):
        answer = yield Request(tuple(render_prompt(tokenizer, messages)), sampling)
        answers.append(answer)
        messages += [Message("assistant", answer.text or "-"), Message("user", "and?")]
    return answers


@pytest.fixture(scope="module")
def tiny():
    return load("holdfast:tiny", dtype="float32", device="cpu")


@pytest.fixture
def talks(tokenizer):
    """Makes the same talks as often as they are asked for: a talk can be held once."""
    plans = [("hi", 1), ("hi", 3), ("a longer opening than the others have", 2), ("", 0), ("b", 3), ("c", 1)]
    return lambda: [chat(tokenizer, opening, turns) for opening, turns in plans]


def test_a_talk_hears_what_the_model_says_to_each_of_its_prompts(any_model, tokenizer, talks):
    answers = converse(any_model, tokenizer, talks(), longest=100)
    assert [len(each) for each in answers] == [1, 3, 2, 0, 3, 1]
    messages = [Message("user", "a longer opening than the others have")]
    for answer in answers[2]:
        samples = Sampling(max_new_tokens=12, seed=5, num_samples=3)
        alone = generate(any_model, tokenizer, [render_prompt(tokenizer, messages)], samples)
        assert answer == alone[0][2], "the talk's number is the index of its sample"
        messages += [Message("assistant", answer.text or "-"), Message("user", "and?")]


def test_a_talk_gets_the_same_bits_whatever_runs_beside_it(any_model, tokenizer, talks):
    together = converse(any_model, tokenizer, talks(), longest=100)
    assert together == converse(any_model, tokenizer, talks(), longest=100, max_batch=2)
    assert together[:2] == converse(any_model, tokenizer, talks()[:2], longest=100)


def test_talks_with_the_same_prompt_get_samples_of_their_own(make_model, tokenizer):
    answers = converse(make_model(), tokenizer, [chat(tokenizer, "hi", 1) for _ in range(20)], longest=100)
    assert len({each[0].token_ids for each in answers}) > 15


def test_a_talk_goes_on_while_others_are_still_at_their_first_turn(make_model, tokenizer):
    model, rows = make_model(), []
    model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    short, long = Sampling(max_new_tokens=2, seed=1), Sampling(max_new_tokens=30, seed=1)
    quick = [chat(tokenizer, f"quick {n}", 10, short) for n in range(4)]
    slow = [chat(tokenizer, f"slow {n}", 1, long) for n in range(12)]
    converse(model, tokenizer, [*quick, *slow], longest=100)
    decodes = sum(width == 1 for _, width in rows)
    assert decodes < 33, f"{decodes} steps, where turn after turn they would be 29 + 9"


def test_each_request_keeps_its_own_bounds_and_stops(make_model, tokenizer):
    model, prompt = make_model(), render_prompt(tokenizer, [Message("user", "hi")])
    (plain,) = generate(model, tokenizer, [prompt], Sampling(max_new_tokens=30, seed=5, num_samples=3))
    token, text = plain[0].token_ids[2], re.findall("[a-z0-9]", plain[2].text)[0]
    by_token = Sampling(max_new_tokens=30, seed=5, stop_token_ids=(token,))
    by_text = Sampling(max_new_tokens=30, seed=5, stop=(text,))
    talks = [chat(tokenizer, "hi", 1, each) for each in (by_token, SETTINGS, by_text)]
    (first,), (second,), (third,) = converse(model, tokenizer, talks, longest=100)
    assert first.token_ids == plain[0].token_ids[: plain[0].token_ids.index(token) + 1]
    assert second.token_ids == plain[1].token_ids[:12]
    assert third.text == plain[2].text[: plain[2].text.index(text)]
    assert third.finish_reason == "stop"
    assert len(third.token_ids) < len(plain[2].token_ids)


def test_many_talks_of_different_lengths_and_stops_get_what_each_would_get_alone(make_model, tokenizer):
    model = make_model()
    kinds = [
        Sampling(max_new_tokens=bound, seed=5, stop_token_ids=stops)
        for bound, stops in [(3, ()), (40, tuple(range(10, 60))), (40, tuple(range(60, 160, 2))), (70, ())]
    ]
    many = [chat(tokenizer, "hi", 1, kinds[number % 4]) for number in range(40)]
    together = converse(model, tokenizer, many, longest=100, max_batch=33)
    prompt = render_prompt(tokenizer, [Message("user", "hi")])
    for kind in range(4):
        alone = generate(model, tokenizer, [prompt], replace(kinds[kind], num_samples=40))[0]
        assert [each[0] for each in together[kind::4]] == alone[kind::4]


def test_talks_that_have_begun_are_served_before_those_that_have_not(make_model, tokenizer):
    ended = []

    def named(name, turns):
        yield from chat(tokenizer, name, turns, Sampling(max_new_tokens=1, seed=1))
        ended.append(name)

    converse(make_model(), tokenizer, [named("a", 3), named("b", 1), named("c", 1)], longest=100, max_batch=1)
    assert ended == ["a", "b", "c"]


def test_a_long_prompt_gets_the_same_bits_beside_a_longer_one(tiny):
    prompts = [[index % 900 + 5 for index in range(length)] for length in (390, 700, 60)]
    sampling = Sampling(max_new_tokens=4, seed=1)
    together = generate(tiny.model, tiny.tokenizer, prompts, sampling)
    assert together == [generate(tiny.model, tiny.tokenizer, [prompt], sampling)[0] for prompt in prompts]


def test_the_last_one_that_waits_gets_a_place_before_the_batch_has_run_empty(make_model, tokenizer):
    model, rows = make_model(), []
    model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    bounds = [*range(2, 66), 20]
    talks = [chat(tokenizer, "hi", 1, Sampling(max_new_tokens=bound, seed=1)) for bound in bounds]
    converse(model, tokenizer, talks, longest=100, max_batch=64)
    assert sum(width == 1 for _, width in rows) <= 64, "the last one waited for the others to end"
    assert rows[-1][0] == 16, "the batch did not become smaller"


def test_requests_that_are_sampled_otherwise_are_refused(make_model, tokenizer):
    one, other = chat(tokenizer, "a", 1), chat(tokenizer, "b", 1, Sampling(temperature=0.5))
    with pytest.raises(ModelError, match="same temperature"):
        converse(make_model(), tokenizer, [one, other], longest=100)
    with pytest.raises(ModelError, match="for one completion"):
        Request((1, 2), Sampling(num_samples=2))


def test_a_prompt_that_fills_the_context_is_refused_in_the_middle_of_a_talk(make_model, tokenizer):
    def grow():
        yield Request((5,) * 60, SETTINGS)
        yield Request((5,) * 128, SETTINGS)

    with pytest.raises(ContextLengthError, match="128 tokens leaves no room"):
        converse(make_model(), tokenizer, [grow()], longest=100)


def test_progress_counts_every_talk_once(make_model, tokenizer, talks):
    seen = []
    converse(
        make_model(), tokenizer, talks(), longest=100, max_batch=2, progress=lambda done, of: seen.append((done, of))
    )
    assert seen == [(number, 6) for number in range(1, 7)]


def test_no_talks_end_at_once(make_model, tokenizer):
    assert converse(make_model(), tokenizer, [], longest=100) == []
