"""Many low-rank adapters on one base: every row of a batch is computed with its own, beside rows of others.

An adapter of rank r adds B A x · alpha / r to what a linear layer gives (Hu et al. 2021, LoRA, arXiv:2106.09685,
equation 3). Here the A and B of all adapters of a layer stand in one tensor each, by slot. Rows with different adapters
are multiplied with those of all of them at once, and what is not a row's own is set to zero in between, where it is
`rank` numbers wide; so every adapter is read once, as in Punica (Chen et al. 2023, arXiv:2310.18547), without kernels.

Choices made here:
- Slot 0 is the bare base. Adapters of a smaller rank are filled up with zeros, which add exact zeros.
- The products are float32, as where they were trained; the layer's own precision is what comes out.
- What a row's neighbours have adds exact zeros to it. Where all rows have the same adapter, only that one is read.
- Where fewer than half of the adapters are in use, these are picked out before the product.
- Adapters come and go between two steps, while others are in use.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from holdfast.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedModel

BASE = 0
"""The slot without an adapter."""
_PREFIX = "base_model.model."
_BEYOND_LORA = ("use_dora", "lora_bias", "alora_invocation_tokens", "rank_pattern", "alpha_pattern")


class _Layer:
    """The adapters of one linear layer: `a` [slots, rank, inputs], `b` [slots, rank, outputs], scaled in `b`."""

    def __init__(self, bank: AdapterBank, num_inputs: int, num_outputs: int) -> None:
        self.bank, self.num_inputs, self.num_outputs = bank, num_inputs, num_outputs
        self.a = torch.zeros(1, 0, num_inputs, device=bank.device)
        self.b = torch.zeros(1, 0, num_outputs, device=bank.device)

    def put(self, slot: int, a: Tensor, b: Tensor) -> None:
        """Puts an adapter (`a` [rank, inputs], `b` [outputs, rank]) into a slot."""
        self._grow(slot + 1, a.shape[0])
        self.clear(slot)
        self.a[slot, : a.shape[0]] = a
        self.b[slot, : b.shape[1]] = b.T

    def clear(self, slot: int) -> None:
        """Empties a slot."""
        if slot < len(self.a):
            self.a[slot] = 0
            self.b[slot] = 0

    def _grow(self, slots: int, rank: int) -> None:
        slots, rank = max(slots, self.a.shape[0]), max(rank, self.a.shape[1])
        if (slots, rank) == (self.a.shape[0], self.a.shape[1]):
            return
        a = self.a.new_zeros(slots, rank, self.num_inputs)
        b = self.b.new_zeros(slots, rank, self.num_outputs)
        a[: self.a.shape[0], : self.a.shape[1]] = self.a
        b[: self.b.shape[0], : self.b.shape[1]] = self.b
        self.a, self.b = a, b

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Adds what the adapters of the rows add; a forward hook."""
        rows = self.bank.rows
        num_slots, rank = self.a.shape[:2]
        if rows is None or not rank:
            return output
        x = given[0].float()
        if isinstance(rows, int):
            if rows >= num_slots:
                return output
            added = (x @ self.a[rows].T) @ self.b[rows]
        else:
            used, own = rows.of(num_slots, rank)
            a, b = (self.a, self.b) if used is None else (self.a[used], self.b[used])
            inner = x.reshape(len(own), -1, self.num_inputs) @ a.reshape(-1, self.num_inputs).T
            added = (inner * own) @ b.reshape(-1, self.num_outputs)
        return (output.float() + added.reshape(output.shape)).to(output.dtype)


class _Mixed:
    """Rows with different slots: which slots are in use, and for each row the places of its own among them."""

    def __init__(self, slots: list[int], device: torch.device) -> None:
        self._slots, self._device = slots, device
        self._known: dict[tuple[int, int], tuple[Tensor | None, Tensor]] = {}

    def of(self, num_slots: int, rank: int) -> tuple[Tensor | None, Tensor]:
        """Returns the slots to pick out (None: all), and 1 at a row's own places, else 0: [rows, 1, used · rank]."""
        found = self._known.get((num_slots, rank))
        if found is None:
            used = sorted({slot for slot in self._slots if slot < num_slots})
            picked = used if 2 * len(used) < num_slots else list(range(num_slots))
            mine = torch.tensor(self._slots, device=self._device)[:, None]
            own = (mine == torch.tensor(picked, device=self._device)).float().repeat_interleave(rank, dim=1)
            some = None if len(picked) == num_slots else torch.tensor(picked, device=self._device)
            found = self._known[num_slots, rank] = some, own[:, None]
        return found


class AdapterBank:
    """Adapters by name on a model whose weights stay as they are. `use` says which rows compute with which."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.device = model, model.device
        self.rows: _Mixed | int | None = None
        self._slots: dict[str, int] = {}
        self._serials: dict[int, int] = {BASE: 0}
        self._num_loaded = 0
        self._layers: dict[str, _Layer] = {}

    def __len__(self) -> int:
        """Returns how many adapters there are."""
        return len(self._slots)

    def slot(self, name: str) -> int | None:
        """Returns the slot of an adapter, or None if it is not here."""
        return self._slots.get(name)

    def serial(self, slot: int) -> int:
        """Returns the number of the adapter in a slot; no two that were ever loaded have the same."""
        return self._serials[slot]

    def load(self, name: str, folder: Path) -> int:
        """Reads the adapter in `folder` and returns its slot; the same name again is the same adapter.

        Raises:
            ModelError: the folder holds no adapter of this model.
        """
        known = self._slots.get(name)
        if known is not None:
            return known
        pairs = self._pairs(folder)
        slot = next(number for number in range(1, len(self._slots) + 2) if number not in self._slots.values())
        for path, (a, b) in pairs.items():
            self._layer(path).put(slot, a, b)
        self._num_loaded += 1
        self._slots[name], self._serials[slot] = slot, self._num_loaded
        return slot

    def unload(self, name: str) -> None:
        """Forgets an adapter that no row uses any more."""
        slot = self._slots.pop(name, None)
        if slot is not None:
            for layer in self._layers.values():
                layer.clear(slot)

    def use(self, slots: list[int] | int) -> None:
        """Says the slot of each row of the next batches, or one slot for all rows."""
        if isinstance(slots, list) and len(set(slots)) == 1:
            slots = slots[0]
        if isinstance(slots, int):
            self.rows = None if slots == BASE else slots
        else:
            self.rows = _Mixed(slots, self.device)

    def _layer(self, path: str) -> _Layer:
        layer = self._layers.get(path)
        if layer is None:
            module = self.model.get_submodule(path)
            outputs, inputs = cast("tuple[int, int]", cast("Tensor", module.weight).shape)
            if isinstance(module, Conv1D):
                outputs, inputs = inputs, outputs
            layer = self._layers[path] = _Layer(self, inputs, outputs)
            module.register_forward_hook(layer)  # pyright: ignore[reportArgumentType] - a hook with state
        return layer

    def _pairs(self, folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
        """Returns A and scaled B of every layer of the adapter in `folder`, by the layer's path."""
        file, settings = folder / "adapter_model.safetensors", folder / "adapter_config.json"
        if not file.is_file() or not settings.is_file():
            raise ModelError(f"{folder}: no adapter_config.json with adapter_model.safetensors, so no adapter.")
        config = json.loads(settings.read_text(encoding="utf-8"))
        if config.get("peft_type", "LORA") != "LORA" or any(map(config.get, _BEYOND_LORA)):
            raise ModelError(f"{folder}: only plain LoRA adapters are served beside others; merge this one first.")
        rank = int(config["r"])
        scale = float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)
        tensors = {name.removeprefix(_PREFIX): value.to(self.device).float() for name, value in load_file(file).items()}
        pairs: dict[str, tuple[Tensor, Tensor]] = {}
        for name in [name for name in tensors if name.endswith(".lora_A.weight")]:
            path = name.removesuffix(".lora_A.weight")
            a, b = tensors.pop(name), tensors.pop(f"{path}.lora_B.weight", None)
            self._require_fits(folder, path, a, b)
            pairs[path] = a, cast("Tensor", b) * scale
        if tensors or not pairs:
            raise ModelError(f"{folder}: {next(iter(tensors), 'nothing')} is in the adapter, which is no part of LoRA.")
        return pairs

    def _require_fits(self, folder: Path, path: str, a: Tensor, b: Tensor | None) -> None:
        try:
            weight = cast("Tensor", self.model.get_submodule(path).weight)
        except AttributeError:
            weight = None
        sizes = None if weight is None else sorted(weight.shape)
        if b is None or sizes != sorted((b.shape[0], a.shape[1])):
            raise ModelError(f"{folder}: this adapter was made for another model ({path}).")
