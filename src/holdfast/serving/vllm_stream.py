"""What vLLM's completions endpoint is asked, and the tokens in what it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from holdfast.errors import EngineError
from holdfast.models.render import end_of_turn
from holdfast.seeds import derive_seed
from holdfast.serving.rules import compact
from holdfast.serving.vllm_options import BASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

    from holdfast.serving.engine import Ask

_ID = "token_id:"
_DATA = "data:"


@dataclass(frozen=True, slots=True)
class Told:
    """One token, as vLLM tells it; without an id where only the end is told."""

    id: int | None
    logprob: float
    top: tuple[tuple[int, float], ...]
    finish: Literal["stop", "length"] | None


def body_of(ask: Ask, tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """Returns the request for a completion.

    Stop strings are not in it: what ends at one is decided here, on the same text as in the other engine.
    """
    sampling, rules = ask.sampling, ask.rules
    ends = {*sampling.stop_token_ids, *end_of_turn(tokenizer)}
    if isinstance(tokenizer.eos_token_id, int):
        ends.add(tokenizer.eos_token_id)
    body: dict[str, object] = {
        "model": ask.adapter or BASE,
        "prompt": list(ask.prompt),
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": derive_seed(sampling.seed, "vllm", 0, ask.sample),
        "stop_token_ids": sorted(ends),
        "presence_penalty": rules.presence_penalty,
        "frequency_penalty": rules.frequency_penalty,
        "logprobs": ask.top_logprobs,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "stream": True,
    }
    if rules.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in rules.logit_bias.items()}
    if rules.schema is not None:
        body["structured_outputs"] = {"json": compact(rules.schema)}
    return body


def tokens_of(line: str, num_top: int | None) -> Iterator[Told]:
    """Yields the tokens in one line of a stream; `num_top` as in `Ask.top_logprobs`.

    Raises:
        EngineError: the line tells of an error, or is no part of a completion.
    """
    if not line.startswith(_DATA) or line == "data: [DONE]":
        return
    try:
        told = json.loads(line.removeprefix(_DATA))
        if "error" in told:
            raise EngineError(f"vLLM: {message_of(told)}")
        for choice in told["choices"]:
            yield from _tokens(choice, num_top)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise EngineError(f"vLLM answered with what is no part of a completion: {line[:200]}") from None


def message_of(told: object) -> str:
    """Returns what an answer says of an error, or the answer itself."""
    if isinstance(told, dict):
        inner = cast("dict[str, object]", told).get("error", told)
        if isinstance(inner, dict) and "message" in inner:
            return str(cast("dict[str, object]", inner)["message"])
    return str(told)[:500]


def _tokens(choice: dict[str, object], num_top: int | None) -> Iterator[Told]:
    reason = choice.get("finish_reason")
    if reason not in (None, "stop", "length"):
        raise EngineError(f"vLLM ended the completion with {reason!r}.")
    finish = cast('Literal["stop", "length"] | None', reason)
    ids = cast("list[int]", choice["token_ids"] or [])
    if not ids:
        if finish is not None:
            yield Told(None, 0.0, (), finish)
        return
    if num_top is None:
        for number, token in enumerate(ids, 1):
            yield Told(int(token), 0.0, (), finish if number == len(ids) else None)
        return
    logprobs = cast("dict[str, list[float]]", choice["logprobs"])
    tops = cast("list[dict[str, float]]", logprobs["top_logprobs"] if num_top else [{}] * len(ids))
    for number, (token, logprob, best) in enumerate(zip(ids, logprobs["token_logprobs"], tops, strict=True), 1):
        # The chosen token is told beside the likeliest ones, whether it is one of them or not.
        top = sorted(((int(key.removeprefix(_ID)), value) for key, value in best.items()), key=lambda one: -one[1])
        yield Told(int(token), float(logprob), tuple(top[:num_top]), finish if number == len(ids) else None)
