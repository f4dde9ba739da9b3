import pytest
import torch

from holdfast.errors import ConfigError, ContextLengthError, ModelError
from holdfast.models.generate import Sampling, generate
from holdfast.models.kv_cache import STEP
from holdfast.models.render import render_prompt
from holdfast.types import Message

GREEDY = Sampling(max_new_tokens=24, temperature=0.0)
TEXTS = ("hi", "what is 12 plus 7?", "a", "sort these letters: k c a z", "x" * 40, "another one", "b c d", "y" * 70)


@pytest.fixture
def prompts(tokenizer):
    return [render_prompt(tokenizer, [Message("user", text)]) for text in TEXTS]


def _ids(completions):
    return [[c.token_ids for c in group] for group in completions]


def test_greedy_tokens_are_those_of_transformers(any_model, tokenizer, prompts):
    ours = generate(any_model, tokenizer, prompts, GREEDY)
    for prompt, (completion,) in zip(prompts, ours, strict=True):
        theirs = any_model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False, pad_token_id=0)
        assert list(completion.token_ids) == theirs[0, len(prompt) :].tolist()


def test_eager_attention_gives_the_same_tokens(make_model, tokenizer, prompts):
    model = make_model()
    wanted = _ids(generate(model, tokenizer, prompts, GREEDY))
    model.set_attn_implementation("eager")
    assert _ids(generate(model, tokenizer, prompts, GREEDY)) == wanted


def test_a_request_gives_the_same_bits_whatever_it_is_batched_with(any_model, tokenizer, prompts):
    sampling = Sampling(max_new_tokens=24, seed=3)
    together = generate(any_model, tokenizer, prompts, sampling)
    assert together == generate(any_model, tokenizer, prompts[::-1], sampling, max_batch=3)[::-1]
    for index in (0, 1, 7):
        assert [together[index]] == generate(any_model, tokenizer, [prompts[index]], sampling)


def test_a_sample_does_not_depend_on_how_many_others_are_drawn(make_model, tokenizer, prompts):
    few, many = (Sampling(max_new_tokens=20, num_samples=n) for n in (2, 21))
    model = make_model()
    all_many = generate(model, tokenizer, prompts[:3], many, max_batch=8)
    assert [group[:2] for group in all_many] == generate(model, tokenizer, prompts[:3], few)
    assert len({c.token_ids for c in all_many[0]}) > 15, "samples of one prompt differ"


def test_the_seed_changes_the_samples(make_model, tokenizer, prompts):
    one, two = (generate(make_model(), tokenizer, prompts, Sampling(seed=s, max_new_tokens=8)) for s in (1, 2))
    assert _ids(one) != _ids(two)


def test_equal_prompts_get_equal_completions(make_model, tokenizer, prompts):
    first, other, again = generate(make_model(), tokenizer, [prompts[0], prompts[1], prompts[0]], Sampling())
    assert first == again
    assert first != other


def test_logprobs_are_those_of_a_plain_forward_pass(any_model, tokenizer, prompts):
    sampling = Sampling(max_new_tokens=12, temperature=0.7)
    for prompt, (completion,) in zip(prompts, generate(any_model, tokenizer, prompts, sampling), strict=True):
        ids = torch.tensor([[*prompt, *completion.token_ids]])
        with torch.no_grad():
            logprobs = (any_model(input_ids=ids).logits[0].double() / 0.7).log_softmax(-1)
        wanted = [logprobs[len(prompt) + t - 1, token].item() for t, token in enumerate(completion.token_ids)]
        assert completion.logprobs == pytest.approx(wanted, abs=1e-5)


def test_the_first_token_is_drawn_from_the_models_distribution(make_model, tokenizer, prompts):
    model, n = make_model(), 1500
    (group,) = generate(model, tokenizer, prompts[:1], Sampling(max_new_tokens=1, num_samples=n))
    with torch.no_grad():
        probs = model(input_ids=torch.tensor([prompts[0]])).logits[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor([c.token_ids[0] for c in group]), minlength=len(probs))
    standard_errors = (probs * (1 - probs) / n).sqrt()
    assert ((counts / n - probs).abs() < 5 * standard_errors + 2 / n).all()


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-9}])
def test_the_narrowest_sampling_is_greedy(make_model, tokenizer, prompts, narrow):
    model = make_model()
    assert _ids(generate(model, tokenizer, prompts, Sampling(max_new_tokens=10, **narrow))) == _ids(
        generate(model, tokenizer, prompts, Sampling(max_new_tokens=10, temperature=0.0))
    )


def test_top_k_leaves_out_all_but_the_k_likeliest(make_model, tokenizer, prompts):
    model = make_model()
    (group,) = generate(model, tokenizer, prompts[:1], Sampling(max_new_tokens=1, num_samples=300, top_k=3))
    with torch.no_grad():
        best = model(input_ids=torch.tensor([prompts[0]])).logits[0, -1].topk(3).indices.tolist()
    assert {c.token_ids[0] for c in group} == set(best)


def test_a_prompt_is_read_once_however_many_samples_it_has(make_model, tokenizer, prompts):
    model, read = make_model(), []
    model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: read.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    generate(model, tokenizer, [prompts[1], prompts[1]], Sampling(max_new_tokens=4, num_samples=5), max_batch=2)
    assert [shape for shape in read if shape[1] > 1] == [(1, STEP)]


@pytest.fixture
def family(tokenizer):
    """Prompts that begin alike, one of another kind, and how many tokens each shares."""
    turns = [Message("user", "what is 12 plus 7?"), Message("assistant", "20"), Message("user", "why?")]
    begin = render_prompt(tokenizer, turns)
    more = [[*begin, *tokenizer.encode(text)] for text in ("a", "because of b", "z" * 50, "k c a z")]
    other = render_prompt(tokenizer, [Message("user", "hi")])
    return [*more, other], [len(begin)] * len(more) + [0]


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(max_new_tokens=24, temperature=1.0, num_samples=3, seed=5)])
def test_a_shared_beginning_changes_no_completion(any_model, tokenizer, family, sampling):
    prompts, shared = family
    apart, together = (generate(any_model, tokenizer, prompts, sampling, shared=given) for given in ((), shared))
    assert _ids(apart) == _ids(together)
    for one, other in zip(apart, together, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)


def test_what_shares_a_beginning_gives_the_same_bits_whatever_it_is_batched_with(any_model, tokenizer, family):
    prompts, shared = family
    sampling = Sampling(max_new_tokens=24, temperature=1.0, seed=3)
    whole = generate(any_model, tokenizer, prompts, sampling, shared=shared)
    for prompt, num, wanted in zip(prompts, shared, whole, strict=True):
        assert generate(any_model, tokenizer, [prompt], sampling, shared=[num]) == [wanted]
    few = generate(any_model, tokenizer, prompts, sampling, shared=shared, max_batch=2)
    assert few == whole


def test_a_shared_beginning_is_read_once(make_model, tokenizer, family):
    prompts, shared = family
    model, seen = make_model(), []
    forward = model.get_decoder().forward
    begin = prompts[0][: shared[0]]

    def watch(*args, **kwargs):
        seen.extend(ids[: len(begin)] == begin for ids in kwargs["input_ids"].tolist())
        return forward(*args, **kwargs)

    model.get_decoder().forward = watch
    sampling = Sampling(max_new_tokens=3, temperature=0.0)
    generate(model, tokenizer, prompts, sampling, max_batch=2)
    assert sum(seen) == 4
    seen.clear()
    generate(model, tokenizer, prompts, sampling, shared=shared, max_batch=2)
    assert sum(seen) == 1


def test_rows_leave_when_done_and_waiting_rows_take_their_place(make_model, tokenizer):
    model, batches = make_model(), []
    model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: batches.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    prompts = [render_prompt(tokenizer, [Message("user", str(i))]) for i in range(96)]
    often = tuple(range(7, 20))
    sampling = Sampling(max_new_tokens=100, seed=1, stop_token_ids=often)
    completions = generate(model, tokenizer, prompts, sampling, max_batch=48)
    rows = [shape[0] for shape in batches if shape[1] == 1]
    lengths = [len(group[0].token_ids) for group in completions]
    assert max(rows) == 48
    assert rows[-1] == 16, "the batch became as small as it may"
    assert sum(rows) < 1.5 * sum(lengths), f"{sum(rows)} rows were computed for {sum(lengths)} tokens"


def test_a_stop_string_ends_a_completion_and_is_cut_from_its_text(make_model, tokenizer, prompts):
    model = make_model()
    ((plain,),) = generate(model, tokenizer, prompts[:1], GREEDY)
    stop = plain.text[5:7]
    ((stopped,),) = generate(
        model, tokenizer, prompts[:1], Sampling(max_new_tokens=24, temperature=0.0, stop=("never there", stop))
    )
    assert stopped.text == plain.text[: plain.text.index(stop)]
    assert stopped.finish_reason == "stop"
    assert stopped.token_ids == plain.token_ids[: len(stopped.token_ids)]
    assert len(stopped.token_ids) < len(plain.token_ids)


def test_the_end_of_a_turn_ends_a_completion_and_belongs_to_its_tokens(make_model, tokenizer, prompts):
    groups = generate(make_model(), tokenizer, prompts, Sampling(max_new_tokens=100, num_samples=8))
    ended = [c for group in groups for c in group if c.finish_reason == "stop"]
    assert ended
    assert all(c.token_ids[-1] == tokenizer.eos_token_id and "<|end|>" not in c.text for c in ended)
    assert all(tokenizer.eos_token_id not in c.token_ids[:-1] for group in groups for c in group)


def test_asked_token_ids_end_a_completion(make_model, tokenizer, prompts):
    model = make_model()
    ((plain,),) = generate(model, tokenizer, prompts[:1], GREEDY)
    token = plain.token_ids[3]
    ((stopped,),) = generate(
        model, tokenizer, prompts[:1], Sampling(max_new_tokens=24, temperature=0.0, stop_token_ids=(token,))
    )
    assert stopped.token_ids == plain.token_ids[: plain.token_ids.index(token) + 1]


def test_a_completion_ends_where_the_context_does(make_model, tokenizer):
    prompt = [5] * 120
    ((completion,),) = generate(make_model(), tokenizer, [prompt], Sampling(temperature=0.0, max_new_tokens=50))
    assert len(completion.token_ids) == 8
    assert completion.finish_reason == "length"


def test_a_prompt_that_fills_the_context_is_refused(make_model, tokenizer):
    with pytest.raises(ContextLengthError, match="128 tokens leaves no room in the model's context of 128"):
        generate(make_model(), tokenizer, [[5] * 128], GREEDY)


def test_an_empty_prompt_is_refused(make_model, tokenizer):
    with pytest.raises(ModelError, match="no token"):
        generate(make_model(), tokenizer, [[]], GREEDY)


def test_no_prompts_give_no_completions(make_model, tokenizer):
    assert generate(make_model(), tokenizer, [], GREEDY) == []


def test_progress_counts_every_sequence_once(make_model, tokenizer, prompts):
    seen = []
    generate(
        make_model(), tokenizer, prompts, Sampling(num_samples=2), progress=lambda done, of: seen.append((done, of))
    )
    assert seen[-1] == (16, 16)
    assert seen == sorted(set(seen))


def test_bfloat16_weights_generate(make_model, tokenizer, prompts):
    (group,) = generate(make_model().bfloat16(), tokenizer, prompts[:1], Sampling(max_new_tokens=5))
    assert 1 <= len(group[0].token_ids) <= 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens = 0: it must be at least 1"),
        ({"temperature": -1.0}, "temperature = -1.0: it must be at least 0"),
        ({"top_p": 0.0}, "top_p = 0.0: it must be above 0 and at most 1"),
        ({"top_k": -1}, "top_k"),
        ({"num_samples": 0}, "num_samples"),
        ({"stop": ("",)}, "stop"),
        ({"temperature": 0.0, "top_k": 5}, "no effect at temperature 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**settings)
