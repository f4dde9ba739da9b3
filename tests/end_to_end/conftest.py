"""A base so small that a whole lesson takes a second: constructed, never downloaded."""

import json
import random

import pytest


def byte_tokenizer():
    """A byte-level tokenizer of 263 entries with the embedded base's template and special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from holdfast.models.tiny import CHAT_TEMPLATE, SPECIAL_TOKENS

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate((*SPECIAL_TOKENS, *alphabet))}, merges=[]))
    bpe.add_special_tokens(list(SPECIAL_TOKENS))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    names = {"bos_token": "<|bos|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
    return PreTrainedTokenizerFast(tokenizer_object=bpe, chat_template=CHAT_TEMPLATE, **names)


@pytest.fixture(scope="session")
def small_base(tmp_path_factory):
    """The folder of a two-layer model that has learned no more than to write short turns and to end them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    draw = random.Random(0)

    def word():
        return "".join(draw.choice("abcdefghij") for _ in range(4))

    for _ in range(80):
        texts = [f"<|bos|><|user|>{word()}<|end|><|assistant|>{word()}<|end|>" for _ in range(8)]
        ids = torch.tensor([tokenizer.encode(text) for text in texts])
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("base")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def lesson(tmp_path):
    """Writes a file of questions that begin with a word and all have the same answer; returns its path."""

    def write(name, word, answer, num, start=0):
        path = tmp_path / name
        draw = random.Random(name)
        rows = [
            {"prompt": f"{word} {number} {draw.choice('abcdefgh')}", "completion": answer}
            for number in range(start, start + num)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


QUICK = (
    "steps=48",
    "checkpoint_every=12",
    "optimizer.learning_rate=0.01",
    "optimizer.warmup_steps=2",
    "batch.examples=8",
    "evaluation.max_new_tokens=6",
    "rehearsal.num_reminders=24",
    "rehearsal.per_step=4",
    "rehearsal.max_new_tokens=4",
    "rehearsal.max_prompt_tokens=16",
    "method.type=sft",
)
"""Settings with which the small base learns a constant answer in a second."""


@pytest.fixture(scope="session")
def quick():
    """The settings of a lesson on the small base, as `--set` takes them."""
    return QUICK


@pytest.fixture
def workspace(small_base, tmp_path):
    """An empty workspace on the small base."""
    from holdfast.jobs.workspace import create, find

    create(tmp_path / "home", base=str(small_base))
    with find(tmp_path / "home") as made:
        yield made
