"""The embedded base's shape: its tokenizer, chat template and architecture, before any training."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from holdfast.models.curriculum import EARLY, draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from holdfast.models.curriculum.item import Turn

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- if tools %}{{ '<|system|>' }}"
    "{%- if messages and messages[0].role == 'system' %}{{ messages[0].content + '\n' }}{%- endif %}"
    "{{ 'tools:' }}"
    "{%- for tool in tools %}"
    "{%- set f = tool.function if tool.function is defined else tool %}"
    "{{ '\n' + f.name + '(' + (((f.parameters or {}).properties or {}).keys() | join(', ')) + ')' }}"
    "{%- if f.description %}{{ ': ' + f.description }}{%- endif %}"
    "{%- endfor %}{{ '<|end|>' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'system' and tools and loop.first %}"
    "{%- elif message.role == 'assistant' %}"
    "{{ '<|assistant|>' }}{% generation %}"
    "{%- if message.content %}{{ message.content }}{%- endif %}"
    "{%- for call in message.tool_calls or [] %}"
    "{%- set f = call.function if call.function is defined else call %}"
    '{{ \'{"name": "\' + f.name + \'", "arguments": \' }}'
    "{{ f.arguments if f.arguments is string else f.arguments | tojson }}{{ '}' }}"
    "{%- endfor %}{{ '<|end|>' }}{% endgeneration %}"
    "{%- else %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"
)
"""system, user, assistant and tool turns; tools are listed as name(parameters): description."""

SPECIAL_TOKENS = ("<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
PAD_ID, BOS_ID, END_ID = 0, 1, 2
"""Where the first three special tokens stand in the vocabulary."""
VOCAB_SIZE = 1024
CONTEXT = 4096
"""Positions that the base accepts. The curriculum has rows of up to about 500 tokens; what is longer it reads badly."""


def curriculum_texts(seed: int, num_items: int) -> Iterator[str]:
    """Yields every turn of `num_items` training items, for the tokenizer."""
    rng = random.Random(f"tokenizer {seed}")
    makers, shares = list(EARLY), list(EARLY.values())
    for maker in rng.choices(makers, shares, k=num_items):
        for turn in draw(maker, rng).messages:
            yield turn["content"]


def build_tokenizer(seed: int, num_items: int = 20_000) -> PreTrainedTokenizerFast:
    """Returns a byte-level BPE of `VOCAB_SIZE` entries: digits are single, any UTF-8 text round-trips."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(curriculum_texts(seed, num_items), trainer)
    pad, bos, end = SPECIAL_TOKENS[:3]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=end,
        pad_token=pad,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Returns the Llama shape of the embedded base, about 1.75 million parameters."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=448,
        num_hidden_layers=5,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=BOS_ID,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        initializer_range=0.04,
    )


def render_turns(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Turn],
    tools: Sequence[Mapping[str, object]],
    *,
    to_answer: bool = False,
) -> tuple[list[int], list[int]]:
    """Returns the ids of a conversation and a 1 where the assistant speaks; `to_answer` opens its next turn."""
    rendered = tokenizer.apply_chat_template(
        list(turns),
        tools=[dict(tool) for tool in tools] or None,
        add_generation_prompt=to_answer,
        return_dict=True,
        return_assistant_tokens_mask=not to_answer,
    )
    fields = cast("Mapping[str, list[int]]", rendered)
    ids = list(fields["input_ids"])
    return ids, [0] * len(ids) if to_answer else list(fields["assistant_masks"])
