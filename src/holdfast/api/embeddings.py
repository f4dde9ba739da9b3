"""`/v1/embeddings`: what texts mean, as vectors, by a sentence encoder of the `embed` extra."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from holdfast.api.body import Body
from holdfast.api.state import Here, Reply
from holdfast.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from holdfast.models.embedding import Encoder

router = APIRouter(prefix="/v1/embeddings", tags=["Embeddings"])
MOST_TEXTS = 2048


class EmbeddingRequest(Body):
    """Texts whose vectors are asked for."""

    model: str
    input: str | Annotated[list[str], Field(min_length=1, max_length=MOST_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


@router.post("")
def create(here: Here, body: EmbeddingRequest) -> Reply:
    """Returns a vector of unit length for each text."""
    if body.model not in here.embedding.names:
        known = " or ".join(map(repr, here.embedding.names))
        raise NotFoundError(f"The embedding model {body.model!r} does not exist; {known} does.", param="model")
    encoder = encoder_of(here.embedding.model)
    if body.dimensions not in (None, encoder.dimensions):
        raise RequestError(f"dimensions: vectors of {encoder.name} have {encoder.dimensions}.", param="dimensions")
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not all(texts):
        raise RequestError("input: a text is empty.", param="input")
    vectors, num_tokens = encoder(texts), encoder.num_tokens(texts)
    return {
        "object": "list",
        "model": body.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": _shown(vector, body.encoding_format)}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
    }


def _shown(vector: NDArray, form: str) -> object:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]


@lru_cache(maxsize=1)
def encoder_of(model: str | None) -> Encoder:
    """Returns an encoder, loaded once; see `holdfast.models.embedding.Encoder`."""
    from holdfast.models.embedding import Encoder

    return Encoder(model)
