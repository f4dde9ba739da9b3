"""Attention of several rows laid end to end in one sequence, each row to itself.

Rows are attended to one after the other with the causal kernel, so that neither padding nor a
[tokens, tokens] mask is computed. Several segments may follow one prefix, which is then computed once.
It is registered with transformers as an attention implementation that behaves as `sdpa` wherever no row lengths
are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

NAME = "holdfast_rows"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens that follow each other; it also sees the `prefix` tokens that lie at `prefix_at`."""

    length: int
    prefix: int = 0
    prefix_at: int = 0


class RowLengths(list[Segment]):
    """The segments of a packed sequence; `seen` tells whether any attention layer read them."""

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
    outputs: list[Tensor] = []
    start = 0
    for segment in row_lengths:
        here = slice(start, start + segment.length)
        shared = slice(segment.prefix_at, segment.prefix_at + segment.prefix)
        q, k, v = (states[:, :, here] for states in (query, key, value))
        if segment.prefix:
            k, v = torch.cat([key[:, :, shared], k], 2), torch.cat([value[:, :, shared], v], 2)
        outputs.append(sdpa_attention_forward(module, q, k, v, _mask(q, segment, sliding_window), **options)[0])
        start += segment.length
    return torch.cat(outputs, dim=1), None


def _mask(query: Tensor, segment: Segment, sliding_window: int | None) -> Tensor | None:
    """Returns what a segment's tokens see, where the causal kernel does not do: behind a prefix, or in a window."""
    total = segment.prefix + segment.length
    if not segment.prefix and (sliding_window is None or total <= sliding_window):
        return None
    places = torch.arange(total, device=query.device)
    own = places[segment.prefix :, None]
    seen = places <= own
    if sliding_window is not None:
        seen &= places > own - sliding_window
    return seen[None, None]


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
