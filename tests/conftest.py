"""What every test stands on: no network, one thread, and the real data beside the checkout where there is any."""

import ipaddress
import json
import os
import socket
import sys
from pathlib import Path

import pytest

# Set before anything imports torch or transformers, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository():
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the checkout; the test is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is not beside this checkout")
    return folder


def _is_this_machine(address):
    """Whether a socket address is a path, loopback, or not an internet address at all."""
    if not isinstance(address, tuple) or address[0] == "localhost":
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Any connection that would leave this machine fails, with the reason."""
    connect = socket.socket.connect

    def guarded(self, address):
        if not _is_this_machine(address):
            raise AssertionError(f"a test tried to reach {address[0]}; tests construct what they need")
        return connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


class StandIn:
    """An interpreter that has something else under vLLM's name, and what that was asked."""

    def __init__(self, folder):
        self.folder, self.python, self.log = folder, folder / "python", folder / "logs" / "vllm.log"
        package = folder / "vllm" / "entrypoints" / "openai"
        package.mkdir(parents=True)
        text = (REPOSITORY / "tests" / "stand_in_for_vllm.py").read_text()
        (package / "api_server.py").write_text(text)
        self.python.write_text(f'#!/bin/sh\nSTAND_IN={folder} PYTHONPATH={folder} exec {sys.executable} "$@"\n')
        self.python.chmod(0o755)

    def asked(self, path=None):
        file = self.folder / "asked.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [one for one in lines if path in (None, one["path"])]

    def adapter(self, name, *, rank=4, broken=False):
        folder = self.folder / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "name": name}))
        if broken:
            (folder / "broken").touch()
        return folder


@pytest.fixture
def stand_in(tmp_path):
    """What stands for an environment with vLLM; see stand_in_for_vllm.py."""
    return StandIn(tmp_path / "stand-in")
