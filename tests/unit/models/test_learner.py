import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from holdfast.errors import ConfigError, ContextLengthError, ModelError
from holdfast.models.adapter_config import AdapterConfig
from holdfast.models.generate import Sampling
from holdfast.models.layout import TokenRow, apart, packed_layout
from holdfast.models.learner import Learner
from holdfast.models.load import Loaded, load

LORA = AdapterConfig(rank=4, alpha=8)


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(7)
    made = []
    for length, first in ((9, 3), (17, 5), (4, 1), (30, 22)):
        ids = torch.randint(7, 263, (length,), generator=generator).tolist()
        made.append(TokenRow(ids, [first <= t < length - (length == 17) for t in range(length)]))
    return made


@pytest.fixture(params=[LORA, None], ids=["adapter", "full"])
def adapter(request):
    return request.param


def _logits(learner, rows, which, **kwargs):
    hidden, head = learner.hidden(rows, which, **kwargs), learner.head(which)
    return torch.nn.functional.linear(hidden, head.weight, head.bias)


def _wanted_logits(model, rows):
    parts = []
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([list(row.input_ids)])).logits[0]
        parts += [logits[t - 1] for t, masked in enumerate(row.mask) if masked]
    return torch.stack(parts)


def _train(learner, rows, steps=2, lr=0.05):
    for _ in range(steps):
        _logits(learner, rows, "candidate").logsumexp(-1).square().mean().backward()
        with torch.no_grad():
            for _, parameter in learner.trainable():
                parameter.sub_(lr * parameter.grad.sign())
                parameter.grad = None


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen2 with sliding layers", "mistral", "gpt2"])
@pytest.mark.parametrize("packed", [False, True])
def test_hidden_and_head_give_the_logits_that_predict_the_masked_tokens(make_loaded, make_model, rows, family, packed):
    learner = Learner.create(make_loaded(family), LORA)
    wanted = _wanted_logits(make_model(family), rows)
    for which in ("candidate", "current", "base"):
        torch.testing.assert_close(_logits(learner, rows, which, packed=packed), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["llama", "qwen2 with sliding layers", "gpt2"])
def test_packed_rows_equal_padded_rows_and_rows_alone(make_loaded, rows, adapter, family):
    learner = Learner.create(make_loaded(family), adapter)
    _train(learner, rows)
    alone = torch.cat([learner.hidden([row], "candidate") for row in rows])
    for packed in (False, True):
        torch.testing.assert_close(learner.hidden(rows, "candidate", packed=packed), alone, atol=1e-5, rtol=1e-5)


def _any_loss(hidden):
    """A loss that moves with every number; sums of squares do not, after a norm."""
    weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(4))
    return (hidden * weights).square().mean()


def test_packed_rows_give_the_gradient_of_padded_rows(make_loaded, rows):
    gradients = []
    for packed in (False, True):
        learner = Learner.create(make_loaded(), None)
        _any_loss(learner.hidden(rows, "candidate", packed=packed)).backward()
        gradients.append({name: p.grad for name, p in learner.trainable()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)
    assert max(gradient.abs().max() for gradient in gradients[0].values()) > 1e-2


@pytest.fixture
def branched():
    """Two prefixes with branches of several lengths, the last of one token, between two plain rows."""
    generator = torch.Generator().manual_seed(9)

    def row(prefix, lengths):
        ids = torch.randint(7, 263, (prefix + sum(lengths),), generator=generator).tolist()
        starts = tuple(prefix + sum(lengths[:n]) for n in range(len(lengths)))
        return TokenRow(ids, [t >= prefix for t in range(len(ids))], starts if len(lengths) > 1 else ())

    return [row(6, [5]), row(11, [4, 1, 7, 1]), row(3, [2, 9]), row(8, [3])]


@pytest.mark.parametrize("family", ["llama", "qwen2 with sliding layers", "gpt2"])
def test_branches_that_share_a_prefix_equal_rows_of_their_own(make_loaded, branched, adapter, family):
    learner = Learner.create(make_loaded(family), adapter)
    _train(learner, branched)
    rows = [alone for row in branched for alone in apart(row)]
    assert [len(row.input_ids) for row in rows] == [11, 15, 12, 18, 12, 5, 12, 11]
    wanted = learner.hidden(rows, "candidate")
    assert len(wanted) == sum(sum(row.mask) for row in branched)
    for packed in (False, True):
        found = learner.hidden(branched, "candidate", packed=packed)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_branches_give_the_gradient_of_rows_of_their_own(make_loaded, branched):
    gradients = []
    for rows, packed in ((branched, True), ([alone for row in branched for alone in apart(row)], False)):
        learner = Learner.create(make_loaded(), None)
        _any_loss(learner.hidden(rows, "candidate", packed=packed)).backward()
        gradients.append({name: p.grad for name, p in learner.trainable()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)
    assert max(gradient.abs().max() for gradient in gradients[0].values()) > 1e-2


def test_a_prefix_is_read_once(make_loaded, branched):
    (row,) = [row for row in branched if len(row.branches) == 4]
    batch = packed_layout([row], 512, torch.device("cpu"))
    assert batch.inputs["input_ids"].shape == (1, 11 + 3 + 0 + 6 + 0)  # of each branch, all but its last token
    assert batch.inputs["position_ids"][0].tolist() == [*range(11), *range(11, 14), *range(11, 17)]
    with pytest.raises(ModelError, match="before the first"):
        packed_layout([TokenRow(row.input_ids, [False, *[True] * (len(row.mask) - 1)], row.branches)], 512, "cpu")


def test_training_moves_the_candidate_and_nothing_else(make_loaded, make_model, rows, adapter):
    learner = Learner.create(make_loaded(), adapter)
    before = {which: _logits(learner, rows, which).detach() for which in ("candidate", "current", "base")}
    torch.testing.assert_close(before["candidate"], before["current"], atol=0, rtol=0)
    _train(learner, rows)
    assert (_logits(learner, rows, "candidate") - before["candidate"]).abs().max() > 0.1
    for which in ("current", "base"):
        torch.testing.assert_close(_logits(learner, rows, which), before[which], atol=0, rtol=0)
    torch.testing.assert_close(before["base"], _wanted_logits(make_model(), rows), atol=1e-5, rtol=1e-5)


def test_only_the_candidate_has_a_gradient(make_loaded, rows, adapter):
    learner = Learner.create(make_loaded(), adapter)
    assert learner.hidden(rows, "candidate").requires_grad
    assert not learner.hidden(rows, "current").requires_grad
    assert not learner.hidden(rows, "base").requires_grad
    with torch.no_grad():
        assert not learner.hidden(rows, "candidate").requires_grad
    assert learner.head("candidate").weight.requires_grad is (adapter is None)
    assert not learner.head("current").weight.requires_grad


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_saved_adapter_loads_in_stock_peft_with_the_same_logits(make_loaded, make_model, rows, tmp_path, family):
    learner = Learner.create(make_loaded(family), LORA)
    _train(learner, rows)
    learner.save(tmp_path / "adapter")
    stock = PeftModel.from_pretrained(make_model(family), tmp_path / "adapter").eval()
    torch.testing.assert_close(_wanted_logits(stock, rows), _logits(learner, rows, "candidate").detach())
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["inference_mode"] is True


def test_saved_full_weights_load_in_stock_transformers_with_the_same_logits(make_loaded, rows, tmp_path):
    learner = Learner.create(make_loaded(), None)
    _train(learner, rows, lr=0.01)
    learner.save(tmp_path / "full")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "full")
    torch.testing.assert_close(_wanted_logits(stock, rows), _logits(learner, rows, "candidate").detach())
    assert load(str(tmp_path / "full")).tokenizer.chat_template == learner.tokenizer.chat_template


def test_a_stage_starts_with_candidate_and_current_at_the_saved_weights(make_loaded, rows, adapter, tmp_path):
    first = Learner.create(make_loaded(), adapter)
    _train(first, rows)
    first.save(tmp_path / "v1")
    second = Learner.create(make_loaded(), adapter, start=tmp_path / "v1")
    wanted = _logits(first, rows, "candidate").detach()
    for which in ("candidate", "current"):
        torch.testing.assert_close(_logits(second, rows, which).detach(), wanted, atol=0, rtol=0)


def test_saving_again_replaces_the_folder(make_loaded, rows, tmp_path):
    learner = Learner.create(make_loaded(), LORA)
    learner.save(tmp_path / "a")
    _train(learner, rows)
    learner.save(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    again = Learner.create(make_loaded(), LORA, start=tmp_path / "a")
    torch.testing.assert_close(_logits(again, rows, "current"), _logits(learner, rows, "candidate").detach())


def test_the_base_of_a_later_full_stage_is_loaded_again(make_loaded, make_model, tokenizer, rows, tmp_path):
    make_model().save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    first = Learner.create(load(str(tmp_path / "base")), None)
    _train(first, rows)
    first.save(tmp_path / "v1")
    second = Learner.create(load(str(tmp_path / "base")), None, start=tmp_path / "v1")
    torch.testing.assert_close(_logits(second, rows, "base"), _wanted_logits(make_model(), rows))
    assert (_logits(second, rows, "base") - _logits(second, rows, "current")).abs().max() > 0.1


def test_an_adapter_keeps_its_shape_over_its_life(make_loaded, tmp_path):
    Learner.create(make_loaded(), LORA).save(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"adapter.rank = 8, but the adapter to start from .* has 4"):
        Learner.create(make_loaded(), AdapterConfig(rank=8, alpha=8), start=tmp_path / "a")


def test_an_adapter_of_another_model_is_refused(make_loaded, tmp_path):
    Learner.create(make_loaded("gpt2"), LORA).save(tmp_path / "a")
    with pytest.raises(ModelError, match="another model"):
        Learner.create(make_loaded(), LORA, start=tmp_path / "a")


def test_a_start_without_weights_is_refused(make_loaded, adapter, tmp_path):
    with pytest.raises(ModelError, match=r"safetensors"):
        Learner.create(make_loaded(), adapter, start=tmp_path)


def test_full_weights_of_another_model_are_refused(make_loaded, make_model, tmp_path):
    make_model("gpt2").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="does not fit this base model"):
        Learner.create(make_loaded(), None, start=tmp_path)


def test_target_modules_can_be_named(make_loaded):
    learner = Learner.create(make_loaded(), AdapterConfig(target_modules=["q_proj"]))
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name, _ in learner.trainable()} == {"q_proj"}


def test_target_modules_that_do_not_exist_are_refused(make_loaded):
    with pytest.raises(ModelError, match="nothing_like_this"):
        Learner.create(make_loaded(), AdapterConfig(target_modules=["nothing_like_this"]))


def test_all_linear_adapts_every_linear_layer_but_the_head(make_loaded):
    names = [name for name, _ in Learner.create(make_loaded(), LORA).trainable()]
    assert len(names) == 2 * 7 * 2, "2 layers of 7 projections, each with A and B"
    assert not any("lm_head" in name or "embed" in name for name in names)


def test_adapters_are_float32_over_a_bfloat16_base(make_model, tokenizer, rows):
    learner = Learner.create(Loaded(make_model().bfloat16(), tokenizer, "random"), LORA)
    assert {p.dtype for _, p in learner.trainable()} == {torch.float32}
    assert learner.head("candidate").weight.dtype == torch.bfloat16
    assert learner.hidden(rows, "candidate").dtype == torch.bfloat16


def test_full_fine_tuning_of_a_bfloat16_base_trains_float32_weights(make_model, tokenizer, rows):
    learner = Learner.create(Loaded(make_model().bfloat16(), tokenizer, "random"), None)
    assert {p.dtype for _, p in learner.trainable()} == {torch.float32}
    learner.hidden(rows, "candidate").float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for _, p in learner.trainable())
    close = _logits(learner, rows, "candidate").float(), _logits(learner, rows, "current").float()
    torch.testing.assert_close(*close, atol=0.5, rtol=0.1)
    assert learner.generate([[5, 6, 7]], Sampling(max_new_tokens=3))[0][0].token_ids


def test_a_state_round_trips(make_loaded, rows, adapter):
    learner = Learner.create(make_loaded(), adapter)
    start = learner.candidate_state()
    _train(learner, rows)
    trained, logits = learner.candidate_state(), _logits(learner, rows, "candidate").detach()
    learner.load_candidate_state(start)
    torch.testing.assert_close(_logits(learner, rows, "candidate"), _logits(learner, rows, "current"), atol=0, rtol=0)
    learner.load_candidate_state(trained)
    torch.testing.assert_close(_logits(learner, rows, "candidate").detach(), logits, atol=0, rtol=0)


def test_a_state_that_does_not_fit_is_refused(make_loaded):
    learner = Learner.create(make_loaded(), LORA)
    state = learner.candidate_state()
    name = next(iter(state))
    with pytest.raises(ModelError, match="on one side only"):
        learner.load_candidate_state({k: v for k, v in state.items() if k != name})
    with pytest.raises(ModelError, match="wanted"):
        learner.load_candidate_state(state | {name: state[name][:1]})


def test_interpolation_reaches_both_ends_and_the_middle(make_loaded, rows, adapter):
    learner = Learner.create(make_loaded(), adapter)
    start = learner.candidate_state()
    _train(learner, rows)
    end = learner.candidate_state()
    learner.interpolate(0.0)
    assert all(torch.equal(tensor, end[name]) for name, tensor in learner.candidate_state().items())
    learner.interpolate(0.25)
    for name, tensor in learner.candidate_state().items():
        torch.testing.assert_close(tensor, 0.75 * end[name] + 0.25 * start[name])
    learner.interpolate(1.0)
    assert all(torch.equal(tensor, start[name]) for name, tensor in learner.candidate_state().items())
    with pytest.raises(ModelError, match="between 0 and 1"):
        learner.interpolate(1.5)


def test_the_candidate_can_be_reset(make_loaded, rows, adapter):
    learner = Learner.create(make_loaded(), adapter)
    _train(learner, rows)
    learner.reset_candidate()
    torch.testing.assert_close(_logits(learner, rows, "candidate"), _logits(learner, rows, "current"), atol=0, rtol=0)


def test_checkpointed_activations_give_the_same_gradient_even_when_current_runs_in_between(make_loaded, rows, tmp_path):
    trained = Learner.create(make_loaded(), LORA)
    _train(trained, rows)
    state, gradients = trained.candidate_state(), []
    for checkpointing in (False, True):
        learner = Learner.create(make_loaded(), LORA, gradient_checkpointing=checkpointing)
        learner.load_candidate_state(state)
        hidden = learner.hidden(rows, "candidate")
        learner.hidden(rows, "current")
        learner.generate([[5, 6]], Sampling(max_new_tokens=2), which="base")
        hidden.square().sum().backward()
        gradients.append({name: p.grad for name, p in learner.trainable()})
        assert learner.gradient_checkpointing is checkpointing
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_checkpointing_is_chosen_when_memory_asks_for_it(make_loaded):
    small = Learner.create(make_loaded(), LORA, tokens_per_batch=64)
    large = Learner.create(make_loaded(), LORA, tokens_per_batch=10**10)
    assert (small.gradient_checkpointing, large.gradient_checkpointing) == (False, True)
    assert "gradient checkpointing on: about" in large.reasons[-1]


def test_adapter_dropout_acts_on_the_candidate_while_it_trains_and_never_else(make_loaded, rows):
    learner = Learner.create(make_loaded(), AdapterConfig(rank=4, dropout=0.5))
    _train(learner, rows)
    one, two = learner.hidden(rows, "candidate"), learner.hidden(rows, "candidate")
    assert (one - two).abs().max() > 1e-3
    with torch.no_grad():
        assert torch.equal(learner.hidden(rows, "candidate"), learner.hidden(rows, "candidate"))
    assert torch.equal(learner.hidden(rows, "current"), learner.hidden(rows, "current"))


def test_candidate_and_current_generate_each_their_own(make_loaded, rows, adapter):
    learner = Learner.create(make_loaded(), adapter)
    prompts, sampling = [[1, 40, 50], [1, 60]], Sampling(max_new_tokens=12, temperature=0.0)
    before = learner.generate(prompts, sampling, which="current")
    assert learner.generate(prompts, sampling) == before
    _train(learner, rows, steps=4)
    assert learner.generate(prompts, sampling) != before
    assert learner.generate(prompts, sampling, which="current") == before
    assert learner.generate(prompts, sampling, which="base") == before


def test_two_learners_with_the_same_seed_start_equal(make_loaded):
    one, two, other = (Learner.create(make_loaded(), LORA, seed=seed).candidate_state() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_creating_a_learner_leaves_the_global_random_state_alone(make_loaded):
    loaded = make_loaded()
    before = torch.get_rng_state()
    Learner.create(loaded, LORA)
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_without_a_predicted_token_give_no_hidden_state(make_loaded):
    learner = Learner.create(make_loaded(), LORA)
    rows = [TokenRow([5, 6, 7], [False] * 3), TokenRow([5, 6], [False, True])]
    assert learner.hidden(rows, "candidate").shape == (1, 32)
    assert learner.hidden(rows, "candidate", packed=True).shape == (1, 32)
    assert learner.hidden(rows[:1], "candidate").shape == (0, 32)


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        (TokenRow([5] * 129, [True] * 129), ContextLengthError, "129 tokens does not fit the model's context of 128"),
        (TokenRow([5, 6], [False]), ModelError, "2 tokens and 1 mask entries"),
        (TokenRow([5, 6], [True, True]), ModelError, "first token is marked as predicted"),
    ],
)
def test_a_malformed_row_is_refused(make_loaded, row, error, message):
    with pytest.raises(error, match=message):
        Learner.create(make_loaded(), LORA).hidden([row], "candidate")
