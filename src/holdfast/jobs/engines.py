"""Makes the engine in which a version answers: in this process, or vLLM as a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.jobs.model import adapter_of, chat_template_of, open_base, weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from holdfast.serving.engine import Engine
    from holdfast.store.workspace import Workspace
    from holdfast.types import Version

LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Vllm:
    """That vLLM writes: the interpreter that has it, and options of its own command."""

    python: Path
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Engines:
    """What kind of engine is made (`vllm` is None: one of this process), and how much each takes in."""

    vllm: Vllm | None = None
    max_running: int = 32
    max_waiting: int = 256

    @property
    def are_slow(self) -> bool:
        """Whether making one takes so long that what answered before had better go on meanwhile."""
        return self.vllm is not None

    def make(self, workspace: Workspace, version: Version, *, full: bool) -> Engine:
        """Returns an engine of the version's own weights (`full`), or of its base, on which adapters can be loaded."""
        return (
            self._in_process(workspace, version, full=full)
            if self.vllm is None
            else self._vllm(self.vllm, workspace, version, full=full)
        )

    def _in_process(self, workspace: Workspace, version: Version, *, full: bool) -> Engine:
        from holdfast.models import weights_io
        from holdfast.serving.in_process import InProcessEngine

        loaded = open_base(workspace, version.base)
        loaded.model.requires_grad_(requires_grad=False).eval()
        folder = weights_of(workspace, version)
        if full and folder is not None:
            weights_io.read_full(loaded.model, folder)
        return InProcessEngine(
            loaded.model, loaded.tokenizer, max_running=self.max_running, max_waiting=self.max_waiting
        )

    def _vllm(self, vllm: Vllm, workspace: Workspace, version: Version, *, full: bool) -> Engine:
        """Returns vLLM over a folder that stock transformers loads, which full weights are as they are stored."""
        from holdfast.models.load import choose_device, choose_dtype, load_tokenizer, resolve
        from holdfast.serving.vllm import VllmEngine
        from holdfast.serving.vllm_options import VllmOptions

        folder = weights_of(workspace, version) if full else None
        dtype, _ = choose_dtype("auto", choose_device("auto")[0])
        rank, number = (0, 0) if full else _adapters(workspace)
        return VllmEngine(
            str(folder) if folder is not None else resolve(version.base),
            load_tokenizer(version.base, chat_template=chat_template_of(workspace)),
            VllmOptions(vllm.python, vllm.options, str(dtype).removeprefix("torch."), rank, number),
            workspace.root / LOGS / f"vllm-{version.weights_hash[:12] if full else 'base'}.log",
            max_running=self.max_running,
            max_waiting=self.max_waiting,
        )


def _adapters(workspace: Workspace) -> tuple[int, int]:
    """Returns the greatest rank of an adapter that may come, and how many there are: with those, the next one's."""
    from holdfast.models.adapter_config import AdapterConfig

    found = [adapter_of(one) for one in workspace.versions() if one.status == "accepted" and one.weights_hash]
    ranks = [adapter.rank for adapter in found if adapter is not None]
    return max([AdapterConfig().rank, *ranks]), len(ranks)  # pyright: ignore[reportCallIssue] - every field has a default
