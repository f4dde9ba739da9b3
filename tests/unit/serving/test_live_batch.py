"""A sequence is written the same alone and beside others, with its own sampling, adapter and rules."""

import pytest
import torch

from holdfast.errors import ContextLengthError, ModelError
from holdfast.models.adapter_bank import AdapterBank
from holdfast.models.generate import generate
from holdfast.models.sampling import Sampling
from holdfast.serving.live_batch import LiveBatch, Sequence_

PROMPTS = [(5, 6, 7), (9, 8, 7, 6, 5, 4), (30, 31), tuple(range(40, 90)), (5, 6, 7)]


@pytest.fixture
def make_batch(make_model, tokenizer):
    def make(capacity=8, family="llama"):
        model = make_model(family)
        return LiveBatch(model, tokenizer, AdapterBank(model), capacity)

    return make


def run(batch, sequences=()):
    """The tokens of each sequence and why it ended, all added at once."""
    for one in sequences:
        batch.add(one)
    found = {}
    while batch.num_running or batch.num_waiting:
        for token in batch.step():
            ids, ends = found.setdefault(token.key, ([], []))
            ids.append(token.id)
            ends.extend([token.finish] if token.finish else [])
    return found


def sequences(samplings, slots=None):
    slots = slots or [0] * len(PROMPTS)
    return [
        Sequence_(key, prompt, sampling, slot=slot)
        for key, (prompt, sampling, slot) in enumerate(zip(PROMPTS, samplings, slots, strict=True))
    ]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("capacity", [1, 3, 8])
def test_what_is_written_is_what_generate_writes(make_batch, make_model, tokenizer, family, capacity):
    sampling = Sampling(max_new_tokens=12, temperature=0.9, top_p=0.9, seed=4)
    written = run(make_batch(capacity, family), sequences([sampling] * 5))
    for key, prompt in enumerate(PROMPTS):
        completion = generate(make_model(family), tokenizer, [prompt], sampling)[0][0]
        assert written[key] == (list(completion.token_ids), [completion.finish_reason])


def test_each_has_its_own_sampling(make_batch, make_model, tokenizer):
    samplings = [
        Sampling(max_new_tokens=4, temperature=0),
        Sampling(max_new_tokens=9, temperature=1.3, seed=1),
        Sampling(max_new_tokens=7, temperature=0.7, top_k=5, seed=2),
        Sampling(max_new_tokens=3, temperature=1.0, top_p=0.5, seed=3),
        Sampling(max_new_tokens=6, temperature=0),
    ]
    written = run(make_batch(), sequences(samplings))
    for key, (prompt, sampling) in enumerate(zip(PROMPTS, samplings, strict=True)):
        assert written[key][0] == list(generate(make_model(), tokenizer, [prompt], sampling)[0][0].token_ids)


def test_one_that_joins_later_or_leaves_changes_nothing_for_the_others(make_batch, make_model, tokenizer):
    sampling = Sampling(max_new_tokens=20, temperature=1.0, seed=7, stop_token_ids=())
    batch = make_batch(4)
    first, second, third = sequences([sampling] * 5)[:3]
    batch.add(first)
    batch.add(second)
    found = {0: [], 2: []}
    for step in range(60):
        if step == 3:
            batch.add(third)
        if step == 5:
            batch.remove(1)
            batch.remove(1)
        for token in batch.step():
            found.setdefault(token.key, []).append(token.id)
    assert not batch.num_running
    for key in (0, 2):
        assert found[key] == list(generate(make_model(), tokenizer, [PROMPTS[key]], sampling)[0][0].token_ids)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_rows_with_different_adapters_are_each_what_peft_computes(make_batch, make_adapter, family):
    batch = make_batch(8, family)
    made = [make_adapter(1, family=family), make_adapter(2, rank=7, family=family)]
    slots = [batch.bank.load(f"skill-{number}", folder) for number, (folder, _) in enumerate(made)]
    sampling = Sampling(max_new_tokens=10, temperature=0)
    wanted = [0, slots[0], slots[1], slots[0], slots[1]]
    written = run(batch, sequences([sampling] * 5, wanted))
    learners = {slots[0]: made[0][1], slots[1]: made[1][1]}
    for key, slot in enumerate(wanted):
        if slot:
            assert written[key][0] == list(learners[slot].generate([PROMPTS[key]], sampling)[0][0].token_ids)
    assert written[0][0] != written[4][0]  # the same prompt


def test_an_adapter_that_is_unloaded_leaves_the_base_and_its_place(make_batch, make_adapter):
    batch = make_batch()
    folder, _ = make_adapter(1)
    sampling = Sampling(max_new_tokens=8, temperature=0)
    bare = run(batch, [Sequence_(0, PROMPTS[0], sampling)])[0]
    slot = batch.bank.load("a", folder)
    assert batch.bank.load("a", folder) == slot
    assert run(batch, [Sequence_(1, PROMPTS[0], sampling, slot=slot)])[1] != bare
    batch.bank.unload("a")
    assert batch.bank.slot("a") is None
    assert run(batch, [Sequence_(2, PROMPTS[0], sampling)])[2] == bare
    assert batch.bank.load("b", make_adapter(2)[0]) == slot


def test_an_adapter_of_another_model_is_refused(make_batch, make_adapter, tmp_path):
    with pytest.raises(ModelError, match="made for another model"):
        make_batch().bank.load("a", make_adapter(1, family="gpt2")[0])
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        make_batch().bank.load("a", tmp_path)


class Only:
    """A rule that leaves one token."""

    def __init__(self, token):
        self.token = token

    def apply(self, logits_V, written):
        left = torch.full_like(logits_V, -torch.inf)
        left[self.token + len(written)] = 0
        return left


def test_rules_change_the_choice_and_not_the_log_probability(make_batch, make_model):
    batch = make_batch()
    batch.add(Sequence_(0, PROMPTS[0], Sampling(max_new_tokens=2, temperature=0), rules=(Only(50),), top_logprobs=3))
    batch.add(Sequence_(1, PROMPTS[1], Sampling(max_new_tokens=2, temperature=0)))
    tokens = [token for _ in range(2) for token in batch.step() if token.key == 0]
    assert [token.id for token in tokens] == [50, 51]
    logits = make_model()(torch.tensor([PROMPTS[0]])).logits[0, -1].detach().log_softmax(-1)
    assert tokens[0].logprob == pytest.approx(float(logits[50]), abs=1e-4)
    assert [id for id, _ in tokens[0].top] == logits.topk(3).indices.tolist()


def test_a_prompt_that_fills_the_context_is_refused_and_a_long_one_ends_with_it(make_batch):
    batch = make_batch()
    with pytest.raises(ContextLengthError, match="256 tokens and the model reads 256"):
        batch.add(Sequence_(0, tuple([9] * 256), Sampling(max_new_tokens=4)))
    sampling = Sampling(max_new_tokens=50, temperature=1.0, seed=3)
    ids, ends = run(batch, [Sequence_(1, tuple([9] * 250), sampling)])[1]
    assert len(ids) <= 6
    assert ends
