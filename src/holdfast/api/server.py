"""The process of `holdfast serve`: the application in uvicorn, and the worker beside it, which is started again."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING

import uvicorn

from holdfast.api.app import create_app
from holdfast.api.embeddings import encoder_of
from holdfast.api.state import Embedding, Limits, State
from holdfast.errors import ConfigError
from holdfast.jobs.served import Served
from holdfast.jobs.workspace import find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from holdfast.jobs.engines import Vllm
    from holdfast.types import JSONValue

_LOG = logging.getLogger(__name__)
_SHUTDOWN_SECONDS = 30
_SWITCH_SECONDS = 0.0005
"""How long the engine's thread may hold the interpreter while a request waits; Python's own 5 ms is a token's time."""
_PAUSE_SECONDS = (0.5, 30.0)
"""The shortest and the longest pause before a worker that ended is started again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a workspace is served."""

    host: str
    port: int
    aliases: Mapping[str, str]
    worker: bool
    max_running: int
    max_waiting: int
    requests_per_minute: int = 0
    recipe: Mapping[str, JSONValue] = field(default_factory=dict[str, "JSONValue"])
    vllm: Vllm | None = None
    grader_servers: Mapping[str, str] = field(default_factory=dict[str, str])
    embedding_model: str | None = None


class Supervisor:
    """Keeps one worker process alive: one that ends is started again, after a pause that grows each time."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._done = Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._keep, name="supervisor", daemon=True)

    def start(self) -> None:
        """Starts the worker."""
        self._thread.start()

    def stop(self) -> None:
        """Asks the worker to stop at its next safe point, and waits for it."""
        self._done.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_SHUTDOWN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join()

    def _keep(self) -> None:
        pause = _PAUSE_SECONDS[0]
        while not self._done.is_set():
            began = time.monotonic()
            self._process = subprocess.Popen(self._command)  # noqa: S603 - this program
            code = self._process.wait()
            if self._done.is_set():
                return
            if time.monotonic() - began > 60:
                pause = _PAUSE_SECONDS[0]
            _LOG.warning("the worker ended with %s and is started again in %.1f s", code, pause)
            self._done.wait(pause)
            pause = min(2 * pause, _PAUSE_SECONDS[1])


def _embedding(settings: Settings) -> Embedding:
    """Returns the sentence encoder, with the aliases that stand for it."""
    own = Embedding(settings.embedding_model).names
    aliases = (name for name, model in settings.aliases.items() if model in own)
    return Embedding(settings.embedding_model, tuple(aliases))


def _require_key(host: str, *, has_keys: bool) -> None:
    """Raises ConfigError where others than this machine could ask without a key."""
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local and not has_keys:
        raise ConfigError(
            f"--host {host} can be reached from other machines, and this workspace has no API key. Make one first: "
            "holdfast keys create NAME",
            param="host",
        )


@contextmanager
def _unwinding() -> Iterator[None]:
    """Lets SIGTERM leave by way of every `finally`: uvicorn sends it on when its requests are answered.

    The system's own answer would end this process before the engines that it started.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(settings: Settings, place: Path | None, ready: Callable[[dict[str, JSONValue]], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT; streams are finished and the worker keeps what it has done.

    `ready` is told the address once connections are taken.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _unwinding(), find(place) as workspace:
        embedding = _embedding(settings)
        if embedding.model is not None:
            encoder_of(embedding.model)  # what cannot be loaded is better refused now
        served = Served(
            workspace,
            aliases={name: model for name, model in settings.aliases.items() if name not in embedding.aliases},
            max_running=settings.max_running,
            max_waiting=settings.max_waiting,
            vllm=settings.vllm,
            grader_servers=settings.grader_servers,
        )
        _require_key(settings.host, has_keys=workspace.has_keys())
        limits = Limits(requests_per_minute=settings.requests_per_minute)
        for alias in served.aliases:
            served.version(alias)  # a name for nothing is better refused now
        served.warm()
        command = [sys.executable, "-m", "holdfast", "worker", "--parent", str(os.getpid())]
        command += ["--workspace", str(workspace.root)]
        supervisor = Supervisor(command) if settings.worker else None
        state = State(workspace, served, limits, settings.recipe, embedding=embedding)
        config = uvicorn.Config(
            create_app(state),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        sys.setswitchinterval(_SWITCH_SECONDS)
        listening = config.bind_socket()
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a token waits for no acknowledgement
        url = f"http://{settings.host}:{listening.getsockname()[1]}/v1"
        _LOG.info("serving %s at %s", workspace.root, url)
        if not workspace.has_keys():
            _LOG.info("no key is needed, since only this machine reaches it; `holdfast keys create NAME` changes that")
        if ready is not None:
            ready({"url": url, "workspace": str(workspace.root), "pid": os.getpid()})
        if supervisor is not None:
            supervisor.start()
        try:
            server = uvicorn.Server(config)
            state.is_stopping = lambda: server.should_exit
            server.run(sockets=[listening])
        finally:
            if supervisor is not None:
                supervisor.stop()
            served.close(timeout=_SHUTDOWN_SECONDS)
