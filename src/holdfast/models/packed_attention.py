"""Attention of several rows laid end to end in one sequence, each row to itself.

Rows are attended to one after the other with the causal kernel, so that neither padding nor a
[tokens, tokens] mask is computed. It is registered with transformers as an attention implementation
that behaves as `sdpa` wherever no row lengths are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

NAME = "holdfast_rows"


class RowLengths(list[int]):
    """The lengths of the rows of a packed sequence; `seen` tells whether any attention layer read them."""

    seen = False


def can_pack(model: PreTrainedModel) -> bool:
    """Whether the model computes attention by a function that can be replaced; if so, it now is ours."""
    if model.config._attn_implementation not in ("sdpa", NAME):
        return False
    model.set_attn_implementation(NAME)
    return True


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    row_lengths: RowLengths | None = None,
    sliding_window: int | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Returns the attention output [1, tokens, heads, width], and no weights."""
    options = cast("dict[str, Any]", kwargs)
    if row_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    row_lengths.seen = True
    rows = zip(*(_split(states, row_lengths) for states in (query, key, value)), strict=True)
    outputs = [sdpa_attention_forward(module, q, k, v, _window(q, sliding_window), **options)[0] for q, k, v in rows]
    return torch.cat(outputs, dim=1), None


def _split(states: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
    return states.split(list(lengths), dim=2)


def _window(query: Tensor, sliding_window: int | None) -> Tensor | None:
    """Returns the mask of a row that is longer than its layer's window; without one the kernel is causal."""
    length = query.shape[2]
    if sliding_window is None or length <= sliding_window:
        return None
    seen = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    return seen.triu(diagonal=1 - sliding_window)[None, None]


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
