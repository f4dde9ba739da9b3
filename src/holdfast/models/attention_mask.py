"""The attention mask of rows that decode: each sees the places it has filled, whatever the others hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from holdfast.errors import ModelError
from holdfast.models import packed_attention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import PreTrainedModel


def mask_maker(model: PreTrainedModel) -> Callable[[Tensor, int], object]:
    """Returns a function of (positions [B], length) that gives the attention mask [B, 1, 1, length].

    Raises:
        ModelError: the model mixes tokens otherwise than by full or sliding attention.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    implementation = config._attn_implementation
    if kinds - {"full_attention", "sliding_attention"} or implementation not in (
        "sdpa",
        packed_attention.NAME,
        "eager",
    ):
        odd = sorted(kinds - {"full_attention", "sliding_attention"}) or [implementation]
        raise ModelError(f"generation supports full and sliding attention under sdpa or eager, not {', '.join(odd)}.")

    def mask(positions: Tensor, length: int) -> object:
        places = torch.arange(length, device=positions.device)
        full = as_needed(places <= positions[:, None])
        if window is None or (kinds and "sliding_attention" not in kinds):
            return full
        near = as_needed((places <= positions[:, None]) & (places > positions[:, None] - window))
        return {"full_attention": full, "sliding_attention": near} if kinds else near

    def as_needed(seen: Tensor) -> Tensor:
        seen = seen[:, None, None]
        if implementation != "eager":
            return seen
        lowest = torch.finfo(model.dtype).min
        return torch.zeros(seen.shape, dtype=model.dtype, device=seen.device).masked_fill(~seen, lowest)

    return mask
