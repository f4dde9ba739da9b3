"""How token sequences lie in what a decoder reads, and which of its states predict which token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from holdfast.errors import ContextLengthError, ModelError
from holdfast.models.packed_attention import RowLengths, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One sequence; `mask[t]` is True where token t is to be predicted (from the tokens before it).

    `branches` are where several continuations of one prefix begin, in rising order: what stands before the first
    is read once, and each continuation follows it and sees none of the others.
    """

    input_ids: Sequence[int]
    mask: Sequence[bool]
    branches: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What the decoder is called with, and the flat positions that predict the masked tokens."""

    inputs: dict[str, Any]
    select: Tensor


def padded_layout(rows: Sequence[TokenRow], context_length: int, device: torch.device) -> Batch:
    """Returns the rows as ids [B, T], padded on the right.

    No attention mask is needed: a causal model's real tokens never see what stands to their right. The
    tokens from a row's last predicted one on are left out, since nothing is predicted from them.
    """
    rows = [alone for row in rows for alone in apart(row)]
    lengths = [_used_length(row, context_length) for row in rows]
    width = max(lengths)
    input_ids = torch.zeros((len(rows), width), dtype=torch.long)
    select: list[int] = []
    for index, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        input_ids[index, :length] = torch.tensor(row.input_ids[:length], dtype=torch.long)
        start = index * width - 1
        select.extend(start + t for t, predicted in enumerate(row.mask) if predicted)
    inputs = {"input_ids": input_ids.to(device), "attention_mask": None}
    return Batch(inputs, torch.tensor(select, dtype=torch.long, device=device))


def packed_layout(rows: Sequence[TokenRow], context_length: int, device: torch.device) -> Batch:
    """Returns the rows end to end as ids [1, sum of lengths], with positions that restart at each row.

    The mask is not read: `packed_attention` keeps the rows apart. It is there because transformers
    makes none of its own where it is handed one of four dimensions.
    """
    laid = _Laid()
    for row in rows:
        pieces = apart(row)
        shared = row.branches[0] if row.branches else 0
        if shared:
            _check_prefix(row)
            laid.prefix(row.input_ids[:shared])
        for piece in pieces:
            laid.add(piece, _used_length(piece, context_length), shared)
    inputs = {
        "input_ids": torch.tensor([laid.ids], dtype=torch.long, device=device),
        "position_ids": torch.tensor([laid.positions], dtype=torch.long, device=device),
        "attention_mask": torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device),
        "row_lengths": laid.lengths,
    }
    return Batch(inputs, torch.tensor(laid.select, dtype=torch.long, device=device))


def apart(row: TokenRow) -> list[TokenRow]:
    """Returns each branch of a row with the prefix before it, or the row itself where it has none."""
    if not row.branches:
        return [row]
    first, ends = row.branches[0], [*row.branches[1:], len(row.input_ids)]
    prefix, mask = list(row.input_ids[:first]), list(row.mask[:first])
    return [
        TokenRow([*prefix, *row.input_ids[start:end]], [*mask, *row.mask[start:end]])
        for start, end in zip(row.branches, ends, strict=True)
    ]


class _Laid:
    """Rows laid end to end so far."""

    def __init__(self) -> None:
        self.ids, self.positions, self.select = list[int](), list[int](), list[int]()
        self.lengths = RowLengths()
        self._prefix_at = 0

    def prefix(self, ids: Sequence[int]) -> None:
        """Lays what the following branches share."""
        self._prefix_at = len(self.ids)
        self.ids.extend(ids)
        self.positions.extend(range(len(ids)))
        self.lengths.append(Segment(len(ids)))

    def add(self, row: TokenRow, length: int, shared: int) -> None:
        """Lays a row, or what it has beyond the `shared` tokens that were laid last."""
        before = len(self.ids) - shared
        for t, predicted in enumerate(row.mask):
            if predicted:
                place = t - 1
                self.select.append(self._prefix_at + place if place < shared else before + place)
        if length > shared:
            self.ids.extend(row.input_ids[shared:length])
            self.positions.extend(range(shared, length))
            self.lengths.append(Segment(length - shared, prefix=shared, prefix_at=self._prefix_at if shared else 0))


def _check_prefix(row: TokenRow) -> None:
    if any(row.mask[: row.branches[0]]):
        raise ModelError("a row with branches marks a token before the first of them as predicted.")


def _used_length(row: TokenRow, context_length: int) -> int:
    """Returns how many tokens of the row are read: those before its last predicted one."""
    num_tokens = len(row.input_ids)
    if num_tokens != len(row.mask):
        raise ModelError(f"a row has {num_tokens} tokens and {len(row.mask)} mask entries; they must be as many.")
    if num_tokens > context_length:
        raise ContextLengthError(
            f"a row of {num_tokens} tokens does not fit the model's context of {context_length}. "
            "Shorten or drop the example; nothing is truncated."
        )
    if num_tokens and row.mask[0]:
        raise ModelError("a row's first token is marked as predicted, but there is nothing to predict it from.")
    return next((t for t in range(num_tokens - 1, 0, -1) if row.mask[t]), 1)
