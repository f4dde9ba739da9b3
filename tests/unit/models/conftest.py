"""Tiny models with random weights, and the real tokenizers, unpacked."""

import copy
import gzip
import json
import shutil

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from holdfast.models.load import Loaded
from holdfast.models.tiny import CHAT_TEMPLATE, SPECIAL_TOKENS

SHAPE = {
    "vocab_size": 263,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
SHAPE |= {
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level tokenizer of 263 entries with the embedded base's template and special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *alphabet))}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bpe.add_special_tokens(list(SPECIAL_TOKENS))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def _llama():
    return LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2, tie_word_embeddings=True))


def _qwen2():
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE, num_key_value_heads=2))


def _qwen2_sliding():
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE, num_key_value_heads=2, **window))


def _mistral():
    return MistralForCausalLM(MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=8))


def _gpt2():
    config = GPT2Config(vocab_size=263, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3)
    config.bos_token_id = config.eos_token_id = 2
    return GPT2LMHeadModel(config)


FAMILIES = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen2 with sliding layers": _qwen2_sliding,
    "mistral": _mistral,
    "gpt2": _gpt2,
}


@pytest.fixture
def make_model():
    """A function of a family's name that gives a model with the same random weights every time."""

    def make(family="llama"):
        torch.manual_seed(0)
        return FAMILIES[family]().eval()

    return make


@pytest.fixture(params=list(FAMILIES))
def any_model(request, make_model):
    """A model of each family in turn."""
    return make_model(request.param)


@pytest.fixture
def make_loaded(make_model, tokenizer):
    """A function of a family's name that gives what `load` would."""
    return lambda family="llama": Loaded(model=make_model(family), tokenizer=tokenizer, name="random")


@pytest.fixture(scope="session")
def chatml():
    """A function that gives a copy of a tokenizer that writes ChatML and knows its marks."""

    def change(tokenizer, template=CHATML):
        changed = copy.deepcopy(tokenizer)
        changed.chat_template = template
        changed.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        return changed

    return change


@pytest.fixture(scope="session")
def llama3():
    """A function that gives a copy of a tokenizer that writes Llama 3's turns and knows its marks."""

    def change(tokenizer, more=()):
        changed = copy.deepcopy(tokenizer)
        changed.chat_template = LLAMA3
        marks = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", *more]
        changed.add_special_tokens({"additional_special_tokens": marks, "bos_token": "<|begin_of_text|>"})
        return changed

    return change


@pytest.fixture(scope="session")
def real_tokenizer(shared_data, tmp_path_factory):
    """A function of a folder's name below tokenizers/ that gives the tokenizer in it."""
    known = {}

    def unpack(name):
        folder = tmp_path_factory.mktemp(name)
        for path in (shared_data / "tokenizers" / name).iterdir():
            if path.suffix == ".gz":
                with gzip.open(path) as packed, (folder / path.stem).open("wb") as plain:
                    shutil.copyfileobj(packed, plain)
            else:
                shutil.copy(path, folder)
        if not (folder / "tokenizer_config.json").is_file():
            settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return AutoTokenizer.from_pretrained(folder)

    def get(name):
        if name not in known:
            known[name] = unpack(name)
        return known[name]

    return get
