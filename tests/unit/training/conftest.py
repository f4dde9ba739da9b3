"""A two-layer model with random weights and a byte-level tokenizer: constructed, never downloaded."""

import pytest
import torch

from holdfast.models.adapter_config import AdapterConfig
from holdfast.types import Example, Message


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
def tokenizer():
    """The byte-level tokenizer."""
    return byte_tokenizer()


@pytest.fixture
def make_learner(tokenizer):
    """A function that gives a learner on the same random weights every time; adapter=True for LoRA."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from holdfast.models.learner import Learner
    from holdfast.models.load import Loaded

    def make(*, adapter=False, context=512, dropout=0.0):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=context,
            initializer_range=0.2,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        loaded = Loaded(model=LlamaForCausalLM(config).eval(), tokenizer=tokenizer, name="random")
        settings = AdapterConfig(rank=4, alpha=8, dropout=dropout) if adapter else None
        return Learner.create(loaded, settings, gradient_checkpointing=False)

    return make


@pytest.fixture
def chat_examples():
    """Ten questions with answers of different lengths, and for each another one that is not preferred."""
    return [
        Example(
            id=f"id{number}",
            messages=(
                Message("user", f"what is {number}{'?' * (number % 3)}"),
                Message("assistant", "it is " + "so " * (number % 4) + str(number)),
            ),
            rejected=Message("assistant", "no" + " idea" * (number % 3) + "." * number),
            source=f"lesson.jsonl:{number + 1}",
        )
        for number in range(10)
    ]


@pytest.fixture
def labelled_examples():
    """Sixteen short texts of two classes that a letter tells apart."""
    return [
        Example(
            id=f"text{number}",
            messages=(Message("user", f"{'good' if number % 2 else 'bad'} {number}"),),
            label="up" if number % 2 else "down",
            source=f"texts.csv:{number + 2}",
        )
        for number in range(16)
    ]


@pytest.fixture
def reminders():
    """Six short reminders of two sources."""
    from holdfast.training.rehearsal import Reminder

    own = [Reminder((1, 4, 20 + k, 2, 5), (30 + k, 31, 2), "self") for k in range(4)]
    taught = [Reminder((1, 4, 60 + k, 2, 5), (70 + k, 2), "registered", "earlier") for k in range(2)]
    return [*own, *taught]


@pytest.fixture
def recipe():
    """A function of `key=value` settings that gives a small recipe."""
    from holdfast.training.config import Recipe

    def make(*overrides):
        quick = (
            "steps=4",
            "batch.examples=4",
            "optimizer.warmup_steps=1",
            "optimizer.learning_rate=0.01",
            *([] if "method=classify" in overrides else ["rehearsal.per_step=3"]),
        )
        kept = [q for q in quick if not any(o.split("=")[0] == q.split("=")[0] for o in overrides)]
        if any(o.startswith("epochs=") for o in overrides):
            kept.remove("steps=4")
        if "rehearsal.enabled=false" in overrides:
            kept.remove("rehearsal.per_step=3")
        method = [] if any(o.startswith("method=") for o in overrides) else ["method=sft"]
        return Recipe.from_overrides([*method, *kept, *overrides])

    return make


@pytest.fixture
def make_run(make_learner, recipe):
    """A function of examples and settings that gives a run ready to iterate over."""
    from holdfast.training.loop import Run
    from holdfast.training.methods import build

    def make(examples, *overrides, learner=None, reminders=(), **learner_settings):
        settings = recipe(*overrides)
        learner = learner or make_learner(**learner_settings)
        method = build(settings, learner, examples)
        return Run(learner, method, examples, settings, reminders=reminders, clock=lambda: 0.0)

    return make
