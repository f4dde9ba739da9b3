"""One step of decoding: the newest token of every row in, its hidden state out.

For a small model the time of a step is not the arithmetic but the way through transformers' modules: on a CPU half of
it. Decoders of the Llama kind (RMSNorm, rotary positions, gated feed-forward; Touvron et al. 2023, arXiv:2302.13971)
are therefore gone through here directly, which gives the same numbers; every other decoder is called as it is.

Choices made here:
- Linear layers stay modules that are called, so adapters (peft's, or a bank's hooks) act as they always do.
- Queries and keys are rotated together; a rotation by halves is a roll with the first half of the sine negated.
- Norms are torch's fused ones in float32, and the modules themselves in any other precision.
- A decoder with hooks anywhere else, or with attention other than `sdpa`, is called as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch.nn.functional import rms_norm
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from holdfast.models import packed_attention
from holdfast.models.attention_mask import mask_maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from holdfast.models.kv_cache import RowCache

    DecodeStep: TypeAlias = Callable[[Tensor, Tensor, RowCache], Tensor]

LIKE_LLAMA = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
"""Decoders that `_LlamaStep` goes through; a test holds each against transformers."""


def decode_step(model: PreTrainedModel) -> DecodeStep:
    """Returns a function of (newest tokens [B], their positions [B], cache) that gives hidden states [B, width].

    The cache must have been told the positions.

    Raises:
        ModelError: the model mixes tokens otherwise than by full or sliding attention.
    """
    decoder = model.get_decoder()
    mask = mask_maker(model)
    if type(decoder).__name__ in LIKE_LLAMA and _is_plain(decoder):
        return _LlamaStep(decoder, mask)

    def step(last_B: Tensor, positions_B: Tensor, cache: RowCache) -> Tensor:
        output = decoder(
            input_ids=last_B[:, None],
            attention_mask=mask(positions_B, cache.places.length),
            position_ids=positions_B[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        return cast("Tensor", output.last_hidden_state[:, 0])

    return step


def _is_plain(decoder: nn.Module) -> bool:
    """Whether nothing besides the modules' own computation happens on the way: no hook but those of linear layers."""
    implementation = decoder.config._attn_implementation  # pyright: ignore[reportAttributeAccessIssue]
    hooked = [
        name
        for name, module in decoder.named_modules()
        if (module._forward_hooks or module._forward_pre_hooks or hasattr(module, "_hf_hook"))
        and not name.rpartition(".")[2].endswith("_proj")
    ]
    return implementation in ("sdpa", packed_attention.NAME) and not hooked


class _LlamaStep:
    """Goes through the layers of a decoder of the Llama kind."""

    def __init__(self, decoder: nn.Module, mask: Callable[[Tensor, int], object]) -> None:
        self._decoder, self._mask = decoder, mask
        self._layers = [_Layer(layer) for layer in cast("list[nn.Module]", decoder.layers)]
        self._kinds = list(getattr(decoder.config, "layer_types", None) or [])
        self._norm = _Norm(cast("nn.Module", decoder.norm))

    def __call__(self, last_B: Tensor, positions_B: Tensor, cache: RowCache) -> Tensor:
        decoder = self._decoder
        mask = self._mask(positions_B, cache.places.length)
        hidden_BD: Tensor = decoder.embed_tokens(last_B)  # pyright: ignore[reportCallIssue]
        cos, sin = decoder.rotary_emb(hidden_BD, position_ids=positions_B[:, None])  # pyright: ignore[reportCallIssue]
        half = sin.shape[-1] // 2
        sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        for index, layer in enumerate(self._layers):
            seen = mask[self._kinds[index]] if isinstance(mask, dict) else mask
            hidden_BD = layer(hidden_BD, cos, sin, cast("Tensor", seen), cache, index)
        return self._norm(hidden_BD)


class _Layer:
    """One layer: attention and the gated feed-forward, each added to what went in."""

    def __init__(self, layer: nn.Module) -> None:
        attention, mlp = cast("nn.Module", layer.self_attn), cast("nn.Module", layer.mlp)
        self._attention, self._width = attention, int(cast("int", attention.head_dim))
        self._q, self._k, self._v, self._o = (
            cast("nn.Module", getattr(attention, f"{name}_proj")) for name in ("q", "k", "v", "o")
        )
        self._gate, self._up, self._down = (
            cast("nn.Module", getattr(mlp, f"{name}_proj")) for name in ("gate", "up", "down")
        )
        self._act = cast("nn.Module", mlp.act_fn)
        self._before = _Norm(cast("nn.Module", layer.input_layernorm))
        self._between = _Norm(cast("nn.Module", layer.post_attention_layernorm))
        self._norms = [cast("nn.Module | None", getattr(attention, name, None)) for name in ("q_norm", "k_norm")]

    def __call__(self, x_BD: Tensor, cos: Tensor, sin: Tensor, seen: Tensor, cache: RowCache, index: int) -> Tensor:
        rows, width = x_BD.shape[0], self._width
        into = self._before(x_BD)
        q, k = self._q(into).view(rows, -1, width), self._k(into).view(rows, -1, width)
        q, k = (norm(one) if norm is not None else one for norm, one in zip(self._norms, (q, k), strict=True))
        turned = torch.cat((q, k), dim=1)
        turned = turned * cos + turned.roll(width // 2, -1) * sin
        num = q.shape[1]
        value = self._v(into).view(rows, -1, 1, width)
        keys, values = cache.rows[index].update(turned[:, num:, None], value)
        scale = cast("float", self._attention.scaling)
        mixed, _ = sdpa_attention_forward(self._attention, turned[:, :num, None], keys, values, seen, scaling=scale)
        x_BD = x_BD + self._o(mixed.reshape(rows, -1))
        into = self._between(x_BD)
        return x_BD + self._down(self._act(self._gate(into)) * self._up(into))


class _Norm:
    """An RMSNorm module, fused where the fused one computes the same."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._eps = float(cast("float", module.variance_epsilon))

    def __call__(self, x: Tensor) -> Tensor:
        weight = cast("Tensor", self._module.weight)
        if x.dtype is not torch.float32 or weight.dtype is not torch.float32:
            return self._module(x)
        return rms_norm(x, weight.shape, weight, self._eps)
