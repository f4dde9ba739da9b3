"""The state of an interrupted run, written whole or not at all.

A checkpoint is a folder `step-<number>` with `state.pt` (tensors and plain values, read back without
running any code) and `checksum.txt`.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, cast

import torch

from holdfast.errors import ModelError
from holdfast.models.weights_io import atomic_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PREFIX = "step-"
_PLAIN = (torch.Tensor, str, bytes, int, float, bool, type(None))


def save_checkpoint(folder: Path, state: Mapping[str, object], *, keep: int | None = None) -> Path:
    """Writes `state` to a new checkpoint below `folder` and returns its path.

    The number in its name is `state["step"]`, or one more than the newest. With `keep`, only that many
    newest checkpoints stay. `state` may hold tensors, text, numbers and None, in dicts, lists and tuples.

    Raises:
        ModelError: the state holds something else.
    """
    _require_plain(state, "state")
    step = state.get("step")
    if not isinstance(step, int):
        newest = latest_checkpoint(folder)
        step = step_of(newest) + 1 if newest is not None else 0
    target = folder / f"{_PREFIX}{step:08d}"
    with atomic_folder(target) as temporary:
        with (temporary / "state.pt").open("wb") as file:  # by a path, torch would not say why it cannot write
            torch.save(dict(state), file)
        (temporary / "checksum.txt").write_text(_checksum(temporary / "state.pt"), encoding="utf-8")
    if keep is not None:
        for old in _all(folder)[: -max(1, keep)]:
            shutil.rmtree(old)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """Returns the newest checkpoint below `folder`, or None."""
    found = _all(folder)
    return found[-1] if found else None


def load_checkpoint(path: Path, *, device: str = "cpu") -> dict[str, object]:
    """Returns the state saved in `path`.

    Raises:
        ModelError: it is missing or damaged.
    """
    state, checksum = path / "state.pt", path / "checksum.txt"
    if not (state.is_file() and checksum.is_file()):
        raise ModelError(f"{path}: no checkpoint here. Give a folder that save_checkpoint returned.")
    if _checksum(state) != checksum.read_text(encoding="utf-8"):
        raise ModelError(f"{path}: the checkpoint is damaged (its checksum differs). Resume from an earlier one.")
    return cast("dict[str, object]", torch.load(state, map_location=device, weights_only=True))


def _all(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.startswith(_PREFIX) and p.is_dir()), key=step_of)


def checkpoints(folder: Path) -> dict[int, Path]:
    """Returns the checkpoints below `folder` by their step, oldest first."""
    return {step_of(path): path for path in _all(folder)}


def step_of(path: Path) -> int:
    """Returns the number in a checkpoint's name: the steps that were done."""
    return int(path.name.removeprefix(_PREFIX))


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_plain(value: object, where: str) -> None:
    """Refuses what could not be read back without running code, before anything is written."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int)):
                raise ModelError(
                    f"checkpoint: a key of {where} is {type(key).__name__}; only text and whole numbers are."
                )
            _require_plain(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _require_plain(item, f"{where}[{index}]")
    elif not isinstance(value, _PLAIN):
        raise ModelError(
            f"checkpoint: {where} is of type {type(value).__name__}. "
            "Only tensors, text, numbers and None, in dicts and lists, can be saved."
        )
