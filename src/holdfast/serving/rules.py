"""What changes the choice of the next token: penalties, biases, and grammars that allow only what fits.

Penalties are OpenAI's: a token that was written loses `presence`, and `frequency` more for every time it was. Grammars
are those of llguidance (https://github.com/guidance-ai/llguidance): a JSON schema is followed token by token.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import llguidance
import llguidance.hf
import llguidance.torch
import torch

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from holdfast.serving.engine import Rules
    from holdfast.serving.live_batch import Rule
    from holdfast.types import JSONValue

ANY_OBJECT: Mapping[str, JSONValue] = {"type": "object"}
"""The schema of any JSON object."""


class Penalties:
    """Takes from the logits of tokens that were written already."""

    def __init__(self, presence: float, frequency: float) -> None:
        self._presence, self._frequency = presence, frequency
        self._counts: Counter[int] = Counter()
        self._num_seen = 0

    def apply(self, logits_V: Tensor, written: Sequence[int]) -> Tensor:
        """Returns the logits without what the written tokens lose."""
        self._counts.update(written[self._num_seen :])
        self._num_seen = len(written)
        if not self._counts:
            return logits_V
        ids = torch.tensor(list(self._counts), device=logits_V.device)
        times = torch.tensor(list(self._counts.values()), dtype=logits_V.dtype, device=logits_V.device)
        return logits_V.index_add(0, ids, -(self._presence + self._frequency * times))


class Biases:
    """Adds to the logits of some tokens; -100 all but forbids one."""

    def __init__(self, biases: Mapping[int, float]) -> None:
        self._ids, self._values = list(biases), list(biases.values())

    def apply(self, logits_V: Tensor, written: Sequence[int]) -> Tensor:
        """Returns the logits with what is added."""
        ids = torch.tensor(self._ids, device=logits_V.device)
        values = torch.tensor(self._values, dtype=logits_V.dtype, device=logits_V.device)
        return logits_V.index_add(0, ids, values)


class Grammar:
    """Leaves only tokens with which the text can still become what a JSON schema describes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, grammar: str) -> None:
        self._matcher = llguidance.LLMatcher(_known(tokenizer), grammar)
        self._end = int(tokenizer.eos_token_id)  # pyright: ignore[reportArgumentType] - of a chat model
        self._num_seen = 0
        self._size = len(tokenizer)
        self._mask = llguidance.torch.allocate_token_bitmask(1, self._size)

    def apply(self, logits_V: Tensor, written: Sequence[int]) -> Tensor:
        """Returns the logits with -inf for every token that does not fit; only the end where nothing more can come."""
        for token in written[self._num_seen :]:
            self._matcher.consume_token(token)
        self._num_seen = len(written)
        if self._matcher.is_stopped():
            left = torch.full_like(logits_V, -torch.inf)
            left[self._end] = 0.0
            return left
        llguidance.torch.fill_next_token_bitmask(self._matcher, self._mask, 0)
        # A model may have more rows of logits than the tokenizer has tokens.
        allowed = torch.full((1, len(logits_V)), -torch.inf)
        known = logits_V[: self._size].float().cpu()[None]
        llguidance.torch.apply_token_bitmask_inplace(known, self._mask)
        allowed[:, : self._size] = known
        return allowed[0].to(logits_V.device, logits_V.dtype)


def rules_of(wanted: Rules, tokenizer: PreTrainedTokenizerBase) -> tuple[Rule, ...]:
    """Returns what carries out `wanted` on the logits of one sequence; new for every sequence, because they count."""
    found: list[Rule] = []
    if wanted.presence_penalty or wanted.frequency_penalty:
        found.append(Penalties(wanted.presence_penalty, wanted.frequency_penalty))
    if wanted.logit_bias:
        found.append(Biases(wanted.logit_bias))
    if wanted.schema is not None:
        found.append(Grammar(tokenizer, json_grammar(tokenizer, wanted.schema, param="response_format")))
    return tuple(found)


def json_grammar(tokenizer: PreTrainedTokenizerBase, schema: Mapping[str, JSONValue], *, param: str) -> str:
    """Returns the grammar of a JSON schema; raises ConfigError where it cannot be followed."""
    grammar, problem = _grammar(tokenizer, json.dumps(compact(schema)))
    if problem:
        raise ConfigError(f"{param}: this JSON schema cannot be followed: {problem}", param=param)
    return grammar


def compact(schema: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """Returns the schema with what llguidance reads besides: the spaces of compact JSON, and no others."""
    return {**schema, "x-guidance": {"whitespace_flexible": False}}


@lru_cache(maxsize=64)
def _grammar(tokenizer: PreTrainedTokenizerBase, schema: str) -> tuple[str, str]:
    """Returns the grammar of a schema, and what is wrong with it."""
    grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
    return grammar, llguidance.LLMatcher.validate_grammar(grammar, _known(tokenizer))


@lru_cache(maxsize=16)
def _known(tokenizer: PreTrainedTokenizerBase) -> llguidance.LLTokenizer:
    """Returns the tokenizer as grammars read it; making it takes a while."""
    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=len(tokenizer))  # pyright: ignore[reportArgumentType]
