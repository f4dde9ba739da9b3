"""Two low-rank adapters on one base: `candidate` is trained, `current` is frozen; made and read by peft."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Literal, cast

import torch
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from holdfast.errors import ConfigError, ModelError
from holdfast.models.adapter_config import AdapterConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedModel

CANDIDATE, CURRENT = "candidate", "current"


def attach(model: PreTrainedModel, config: AdapterConfig, *, start: Path | None, seed: int) -> None:
    """Puts `candidate` and `current` on `model`, both equal: the adapter in `start`, or a fresh one.

    A fresh adapter has B = 0 and so changes nothing; its A is drawn from `seed`. Both are float32
    whatever the base is, since small updates vanish in bfloat16's rounding.
    """
    if start is not None:
        _require_same(config, read_config(start), start)
    settings = lora_config(model, config)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # two adapters are meant
        torch.manual_seed(seed)
        for name in (CANDIDATE, CURRENT):
            try:
                inject_adapter_in_model(settings, model, adapter_name=name)
            except ValueError as error:
                raise ModelError(f"the adapter does not fit this model: {error}", param="adapter") from error
    model.eval()  # peft's modules are born in training mode, and dropout must not touch what is generated or taught
    if start is not None:
        _load(model, start)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = f".{CANDIDATE}." in name
        if f".{CANDIDATE}." in name or f".{CURRENT}." in name:
            parameter.data = parameter.data.float()
    named = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in named.items():
            if f".{CURRENT}." in name:
                parameter.copy_(named[name.replace(f".{CURRENT}.", f".{CANDIDATE}.")])


def lora_config(model: PreTrainedModel, config: AdapterConfig) -> LoraConfig:
    """Returns peft's settings for this model and ours."""
    return LoraConfig(
        r=config.rank,
        lora_alpha=cast("int", config.alpha),
        lora_dropout=config.dropout,
        target_modules=_targets(model, config),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type="CAUSAL_LM",
    )


def read_config(folder: Path) -> AdapterConfig:
    """Returns the settings of the adapter saved in `folder`."""
    path = folder / "adapter_config.json"
    if not path.is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"{folder}: no adapter_config.json with adapter_model.safetensors, so no adapter to start from."
        )
    saved = json.loads(path.read_text(encoding="utf-8"))
    targets = saved["target_modules"]
    return AdapterConfig(
        rank=saved["r"],
        alpha=saved["lora_alpha"],
        dropout=saved["lora_dropout"],
        target_modules="all-linear" if targets == "all-linear" else sorted(targets),
    )


def adapter_layers(model: nn.Module) -> list[LoraLayer]:
    """Returns every layer that carries the adapters."""
    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def dropouts(layers: Sequence[LoraLayer]) -> list[torch.nn.Dropout]:
    """Returns the adapters' dropout modules that drop anything."""
    modules = (layer.lora_dropout[CANDIDATE] for layer in layers)
    return [module for module in modules if isinstance(module, torch.nn.Dropout) and module.p > 0]


def switch(layers: Sequence[LoraLayer], which: Literal["candidate", "current", "base"]) -> None:
    """Makes every layer compute `which`.

    peft's own `set_adapter` walks the whole model and touches requires_grad, which at this place would
    cost more than a forward pass of a small model; the two attributes it ends up setting are set here,
    past torch's slow attribute setter, and only on a change: the layers always agree.
    """
    if active(layers) == which:
        return
    off = which == "base"
    state = {"_disable_adapters": off, "_active_adapter": [CANDIDATE if off else which]}
    for layer in layers:
        vars(layer).update(state)


def active(layers: Sequence[LoraLayer]) -> Literal["candidate", "current", "base"]:
    """Returns what the layers compute now."""
    if layers[0].disable_adapters:
        return "base"
    return "candidate" if layers[0].active_adapters == [CANDIDATE] else "current"


def frozen_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Returns `current`'s tensors under the names of the candidate's."""
    marker, wanted = f".{CURRENT}.", f".{CANDIDATE}."
    return {name.replace(marker, wanted): p.detach() for name, p in model.named_parameters() if marker in name}


def _targets(model: PreTrainedModel, config: AdapterConfig) -> list[str]:
    if not isinstance(config.target_modules, str):
        return list(config.target_modules)
    head = model.get_output_embeddings()
    kinds = (torch.nn.Linear, Conv1D)
    names = {name for name, module in model.named_modules() if isinstance(module, kinds) and module is not head}
    return sorted({name.rsplit(".", 1)[-1] for name in names})


def _require_same(wanted: AdapterConfig, saved: AdapterConfig, folder: Path) -> None:
    for key in ("rank", "alpha"):
        if getattr(wanted, key) != getattr(saved, key):
            raise ConfigError(
                f"adapter.{key} = {getattr(wanted, key)}, but the adapter to start from ({folder}) has "
                f"{getattr(saved, key)}. An adapter keeps its shape over its life: set it to {getattr(saved, key)}.",
                param=f"adapter.{key}",
            )


def _load(model: PreTrainedModel, folder: Path) -> None:
    tensors = {
        name.removeprefix("base_model.model."): tensor
        for name, tensor in load_file(folder / "adapter_model.safetensors").items()
    }
    result = set_peft_model_state_dict(model, tensors, adapter_name=CANDIDATE)
    missing = [name for name in result.missing_keys if f".{CANDIDATE}." in name]
    if result.unexpected_keys or missing:
        odd = (result.unexpected_keys or missing)[0]
        raise ModelError(f"{folder}: this adapter was made for another model or other target modules ({odd}).")
