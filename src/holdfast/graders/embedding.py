"""Cosine similarity of texts by the embeddings of any OpenAI-compatible server (`/v1/embeddings`)."""

from __future__ import annotations

import math
import operator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from holdfast.errors import GraderError
from holdfast.graders.server import AT_ONCE, client, unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXTS = 64
"""Texts in one request."""


def cosines(
    pairs: Sequence[tuple[str, str]], *, model: str, base_url: str | None, api_key_env: str, seconds: float
) -> list[float | GraderError]:
    """Returns for each pair of texts the cosine of their embeddings, at least 0, or why there is none."""
    asked = client(model, base_url, api_key_env, seconds)
    texts = list(dict.fromkeys(text for pair in pairs for text in pair if text.strip()))
    parts = [texts[start : start + _TEXTS] for start in range(0, len(texts), _TEXTS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda part: _embedded(asked, model, part), parts))
    vectors = {text: vector for answer in answers for text, vector in answer.items()}
    return [_cosine(vectors, *pair) for pair in pairs]


def _embedded(asked: Any, model: str, texts: list[str]) -> dict[str, list[float] | GraderError]:  # noqa: ANN401
    from openai import OpenAIError

    try:
        # Not every server speaks base64, which the client would ask for.
        found = asked.embeddings.create(model=model, input=texts, encoding_format="float").data
    except (OpenAIError, ValueError) as error:  # the latter where the answer holds no embeddings
        return dict.fromkeys(texts, unanswered(model, error))
    if len(found) != len(texts):
        return dict.fromkeys(texts, GraderError(f"{model} gave {len(found)} embeddings for {len(texts)} texts"))
    ordered = sorted(found, key=lambda one: one.index)
    return {text: one.embedding for text, one in zip(texts, ordered, strict=True)}


def _cosine(vectors: Mapping[str, list[float] | GraderError], one: str, other: str) -> float | GraderError:
    """Returns the cosine; an empty text, which servers refuse to embed, is like no other."""
    if not (one.strip() and other.strip()):
        return float(one.strip() == other.strip())
    first, second = vectors[one], vectors[other]
    if isinstance(first, GraderError):
        return first
    if isinstance(second, GraderError):
        return second
    length = math.hypot(*first) * math.hypot(*second)
    if len(first) != len(second) or not 0 < length < math.inf:
        return GraderError("the embeddings have no direction to compare", kind="invalid_score")
    return max(0.0, sum(map(operator.mul, first, second)) / length)
