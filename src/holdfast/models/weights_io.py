"""Weights to and from folders, atomically and only as safetensors."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from holdfast.errors import ModelError
from holdfast.models.adapters import CANDIDATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary sibling that becomes `folder` in one rename, or vanishes if the block fails.

    Everything in it is flushed to disk first, so that a crash leaves the whole folder or none of it.
    An existing `folder` is replaced.

    Raises:
        ModelError: safetensors could not write a file; its own error is no kind of OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        for path in (*(p for p in temporary.rglob("*") if p.is_file()), temporary):
            _flush(path)
        if folder.exists():
            retired = temporary.with_name(temporary.name + ".old")
            folder.rename(retired)
            temporary.rename(folder)
            shutil.rmtree(retired)
        else:
            temporary.rename(folder)
        _flush(folder.parent)
    except SafetensorError as error:
        raise ModelError(f"{folder}: the weights could not be written ({error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def save_adapter(model: PreTrainedModel, folder: Path, *, base_name: str) -> None:
    """Writes the candidate adapter as stock peft writes one."""
    marker = f".{CANDIDATE}."
    tensors = {
        f"base_model.model.{name.replace(marker, '.')}": parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if marker in name
    }
    settings = model.peft_config[CANDIDATE]
    before = settings.base_model_name_or_path, settings.inference_mode
    with atomic_folder(folder) as temporary:
        save_file(tensors, temporary / "adapter_model.safetensors", metadata={"format": "pt"})
        settings.base_model_name_or_path, settings.inference_mode = base_name, True
        settings.save_pretrained(str(temporary))
        settings.base_model_name_or_path, settings.inference_mode = before


def save_full(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes all weights with config and tokenizer, as `AutoModelForCausalLM` loads them."""
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def read_full(model: PreTrainedModel, folder: Path) -> None:
    """Copies the weights in `folder` into `model`, in place and in the model's own dtype.

    Raises:
        ModelError: a weight is missing, unknown or of another shape.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder}: no *.safetensors in it, so no weights to start from.")
    wanted = dict(model.named_parameters())
    seen: set[str] = set()
    with torch.no_grad():
        for path in files:
            with safe_open(path, framework="pt") as archive:
                for name in archive.keys():  # noqa: SIM118 - not a dict
                    parameter = wanted.get(name)
                    tensor = archive.get_tensor(name)
                    if parameter is None or parameter.shape != tensor.shape:
                        raise ModelError(f"{folder}: {name} {list(tensor.shape)} does not fit this base model.")
                    parameter.copy_(tensor)
                    seen.add(name)
    if missing := sorted(set(wanted) - seen):
        raise ModelError(f"{folder}: {missing[0]} is missing ({len(missing)} weights in all).")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
