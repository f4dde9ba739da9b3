"""A tiny Llama with random weights beside the embedded base's tokenizer, and adapters for it."""

import threading

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from holdfast.models.adapter_config import AdapterConfig
from holdfast.models.learner import Learner
from holdfast.models.load import Loaded, load_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return load_tokenizer("holdfast:tiny")


def _llama(size):
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(**shape, vocab_size=size, num_key_value_heads=2, max_position_embeddings=256)
    config.initializer_range = 0.3
    return LlamaForCausalLM(config)


def _gpt2(size):
    config = GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.3)
    return GPT2LMHeadModel(config)


@pytest.fixture
def make_model(tokenizer):
    """A function of a family's name that gives a model with the same random weights every time."""

    def make(family="llama"):
        torch.manual_seed(0)
        model = {"llama": _llama, "gpt2": _gpt2}[family](len(tokenizer)).eval()
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        return model

    return make


@pytest.fixture
def make_adapter(make_model, tokenizer, tmp_path):
    """A function of a seed that gives the folder of an adapter with random weights, and a learner that has it."""

    def make(seed, *, rank=4, family="llama"):
        loaded = Loaded(model=make_model(family), tokenizer=tokenizer, name="random")
        learner = Learner.create(loaded, AdapterConfig(rank=rank, alpha=2 * rank), seed=seed)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in learner.trainable():
                if ".lora_B." in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.3)
        folder = tmp_path / f"adapter-{family}-{seed}"
        learner.save(folder)
        return folder, learner

    return make


class ClosesBehind:
    """A lock behind whose first holder the engine is closed at once."""

    def __init__(self, engine):
        self.engine, self.lock = engine, engine._lock

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()
        if threading.current_thread() is threading.main_thread() and self.engine._lock is self:
            self.engine._lock = self.lock
            self.engine.close(timeout=0)


@pytest.fixture
def closes_behind():
    """A function that makes a lock of an engine behind whose first holder the engine is closed."""
    return ClosesBehind
