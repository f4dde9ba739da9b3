"""Going through a decoder directly gives what transformers gives, for every kind that is gone through."""

import pytest
import torch
from transformers import DynamicCache, Qwen3Config, Qwen3ForCausalLM

from holdfast.models.adapter_config import AdapterConfig
from holdfast.models.decode_step import LIKE_LLAMA, _LlamaStep, decode_step
from holdfast.models.kv_cache import RowCache
from holdfast.models.learner import Learner

PROMPTS = ((5, 6, 7, 8, 9, 10, 11, 12, 13, 14), (20, 21, 22), (30, 31, 32, 33, 34))
NEXT = (40, 41, 42)


def _qwen3():
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen3Config(**shape, vocab_size=263, num_key_value_heads=2, head_dim=16)
    config.initializer_range = 0.3
    return Qwen3ForCausalLM(config).eval()


@pytest.fixture(params=["llama", "qwen2", "qwen2 with sliding layers", "mistral", "qwen3"])
def like_llama(request, make_model):
    model = _qwen3() if request.param == "qwen3" else make_model(request.param)
    with torch.no_grad():  # norms that are all ones would hide that they are left out
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3)) + 0.5)
    return model


def after_prompts(model):
    """A cache that holds the prompts, and the position of each one's next token."""
    cache = None
    for row, prompt in enumerate(PROMPTS):
        state = model(torch.tensor([prompt]), past_key_values=DynamicCache(), use_cache=True).past_key_values
        layers = [(keys[0], values[0]) for keys, values, *_ in state]
        cache = cache or RowCache(len(PROMPTS), 32, layers)
        cache.put([row], layers, len(prompt))
    positions = torch.tensor([len(prompt) for prompt in PROMPTS])
    cache.at(positions, int(positions.max()))
    return cache, positions


@torch.no_grad()
def test_a_step_gives_what_the_whole_sequences_give(like_llama):
    step = decode_step(like_llama)
    assert isinstance(step, _LlamaStep)
    cache, positions = after_prompts(like_llama)
    found = step(torch.tensor(NEXT), positions, cache)
    decoder = like_llama.get_decoder()
    for row, (prompt, token) in enumerate(zip(PROMPTS, NEXT, strict=True)):
        whole = decoder(torch.tensor([[*prompt, token]])).last_hidden_state[0, -1]
        assert torch.allclose(found[row], whole, atol=2e-5), (found[row] - whole).abs().max()
    assert not torch.allclose(found[0], found[1], atol=1e-2)


@torch.no_grad()
def test_in_half_precision_it_is_what_transformers_computes(like_llama):
    model = like_llama.to(torch.bfloat16)
    step = decode_step(model)
    cache, positions = after_prompts(model)
    found = step(torch.tensor(NEXT), positions, cache)
    again, _ = after_prompts(model)
    handle = model.get_decoder().register_forward_pre_hook(lambda *_: None)
    plain = decode_step(model)
    assert not isinstance(plain, _LlamaStep)
    assert torch.allclose(found.float(), plain(torch.tensor(NEXT), positions, again).float(), atol=0.1)
    handle.remove()


@torch.no_grad()
def test_an_adapter_acts(make_loaded):
    learner = Learner.create(make_loaded("llama"), AdapterConfig(rank=4, alpha=8), seed=1)
    for name, parameter in learner.trainable():
        if ".lora_B." in name:
            parameter.fill_(0.1)
    model = learner._model("candidate")
    model.eval()
    cache, positions = after_prompts(model)
    step = decode_step(model)
    assert isinstance(step, _LlamaStep)
    found = step(torch.tensor(NEXT), positions, cache)
    whole = model.get_decoder()(torch.tensor([[*PROMPTS[1], NEXT[1]]])).last_hidden_state[0, -1]
    assert torch.allclose(found[1], whole, atol=2e-5)


def test_other_decoders_are_called_as_they_are(make_model):
    assert not isinstance(decode_step(make_model("gpt2")), _LlamaStep)
    eager = make_model("llama")
    eager.set_attn_implementation("eager")
    assert not isinstance(decode_step(eager), _LlamaStep)


def test_every_kind_that_is_gone_through_is_tested(make_model):
    tested = {type(make_model(name).get_decoder()).__name__ for name in ("llama", "qwen2", "mistral")}
    assert {*tested, type(_qwen3().get_decoder()).__name__} == set(LIKE_LLAMA)
