"""A vLLM server as a child process: started, watched, started again when it dies, and never left behind."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import httpx2

from holdfast.errors import EngineError
from holdfast.serving.vllm_options import BASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    Command = Callable[[int], list[str]]

_LOG = logging.getLogger(__name__)
_GUARD = Path(__file__).with_name("guard.py")
_TAIL_BYTES = 3000
_PAUSE_SECONDS = (0.5, 30.0)
"""The shortest and the longest pause before a server that died is started again."""
_STOP_SECONDS = 15.0
_OTHER_PYTHON = ("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__")
"""What would show this interpreter's packages to another one."""


class VllmProcess:
    """Keeps one server alive: `command` gives its command line for a port.

    `ready` is called whenever it has come up, with its address's client, before anybody else may ask it. A server that
    does not tell that it is well for `hang_seconds` is killed and started again.
    """

    def __init__(
        self,
        command: Command,
        log: Path,
        *,
        ready: Callable[[httpx2.Client], None],
        start_seconds: float = 900.0,
        hang_seconds: float = 60.0,
    ) -> None:
        self._command, self._log, self._ready = command, log, ready
        self._start_seconds, self._hang_seconds = start_seconds, hang_seconds
        self._key = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping, self._settled = Event(), Event()
        self._failure: EngineError | None = None
        self.url = ""
        self.context = 0
        self.is_up = False
        self._thread = Thread(target=self._keep, name="vllm", daemon=True)

    @property
    def headers(self) -> dict[str, str]:
        """What the server asks of whoever asks it: others on this machine do not get in."""
        return {"authorization": f"Bearer {self._key}"}

    def start(self) -> None:
        """Starts the server and returns when it answers.

        Raises:
            EngineError: it does not come up; the end of its log is in the message.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        self._thread.start()
        self._settled.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Ends the server, and waits for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def tail(self) -> str:
        """Returns the end of the server's log."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return "no log"

    def _keep(self) -> None:
        """Starts the server again and again until told to stop; one that never came up is not started twice."""
        pause = _PAUSE_SECONDS[0]
        while not self._stopping.is_set():
            began = time.monotonic()
            with self._log.open("ab") as log:
                why = self._run(log)
            self.is_up = False
            if self._stopping.is_set():
                break
            if not self._settled.is_set():
                self._failure = EngineError(f"vLLM did not come up: {why}. Its log ({self._log}) ends:\n{self.tail()}")
                break
            if time.monotonic() - began > 60:
                pause = _PAUSE_SECONDS[0]
            _LOG.warning("vLLM: %s; started again in %.1f s. Its log is %s", why, pause, self._log)
            self._stopping.wait(pause)
            pause = min(2 * pause, _PAUSE_SECONDS[1])
        self._settled.set()

    def _run(self, log: BinaryIO) -> str:
        """Runs one server to its end, and returns why it ended."""
        port = _free_port()
        command = self._command(port)
        environment = {key: value for key, value in os.environ.items() if key not in _OTHER_PYTHON}
        environment |= {
            # As in an environment that was activated: what it compiles as it runs, it compiles with its own tools.
            "PATH": f"{Path(command[0]).absolute().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "VLLM_API_KEY": self._key,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_DO_NOT_TRACK": "1",
        }
        guarded = [sys.executable, "-I", "-S", str(_GUARD), *command]
        process = subprocess.Popen(  # noqa: S603 - vLLM, as the operator names it
            guarded, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        self._process = process
        self.url = f"http://127.0.0.1:{port}"
        try:
            with httpx2.Client(base_url=self.url, headers=self.headers, trust_env=False, timeout=5.0) as client:
                return self._come_up(process, client) or self._watch(process, client)
        finally:
            _end(process)

    def _come_up(self, process: subprocess.Popen[bytes], client: httpx2.Client) -> str:
        """Waits until the server answers; returns why it does not, or nothing."""
        end = time.monotonic() + self._start_seconds
        while not self._stopping.wait(0.1):
            if process.poll() is not None:
                return "the process ended"
            if time.monotonic() > end:
                return f"no answer within {self._start_seconds:.0f} s"
            with suppress(httpx2.HTTPError, ValueError, KeyError, TypeError, LookupError):
                models = {one["id"]: one for one in client.get("/v1/models").raise_for_status().json()["data"]}
                self.context = int(models[BASE]["max_model_len"])
                break
        else:
            return "it was stopped"
        try:
            self._ready(client)
        except Exception as error:  # noqa: BLE001 - told with the reason, by whoever started it
            return str(error)
        self.is_up = True
        self._settled.set()
        return ""

    def _watch(self, process: subprocess.Popen[bytes], client: httpx2.Client) -> str:
        """Returns when the server has died, hangs, or is to stop, and why."""
        well = asked = time.monotonic()
        while not self._stopping.wait(0.1):
            if process.poll() is not None:
                return "the process ended"
            now = time.monotonic()
            if now - asked < min(5.0, self._hang_seconds / 3):
                continue
            asked = now
            with suppress(httpx2.HTTPError):
                client.get("/health", timeout=max(0.1, self._hang_seconds / 3)).raise_for_status()
                well = time.monotonic()
            if time.monotonic() - well > self._hang_seconds:
                return f"it has not been well for {self._hang_seconds:.0f} s"
        return "it was stopped"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a guarded server with everything it started."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
