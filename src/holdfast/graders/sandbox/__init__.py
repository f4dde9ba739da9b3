"""Runs code that nobody here wrote: confined by the kernel, timed, and believed only as far as it can be.

`run` starts a worker, hands it samples and returns what became of each. The worker confines the code
(files, network, processes, signals, memory, time); what the host cannot enforce is an error that names
it, unless it was allowed by name. A model's code and its tests run in two processes, and only values cross
(`apart`). The limit of it: code that shares a process with its tests, because they need that (`run_together`), can
cheat in its own exam; it cannot reach anything outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast.errors import GraderError
from holdfast.graders.sandbox.lock import GUARANTEES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.types import JSONValue

__all__ = ["GUARANTEES", "Limits", "Outcome", "missing_here", "refusal", "run"]

_START = """
import sys, types
place = sys.argv.pop(1)
for name in ("holdfast", "holdfast.graders", "holdfast.graders.sandbox"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [place + "/" + name.replace(".", "/")]
from holdfast.graders.sandbox.worker import main
main()
"""
"""Imports the worker without what its packages import: it starts in a tenth of the time."""
_SLACK = 30.0
"""Seconds beyond those of the samples, for a worker to start and end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sample may take, and which guarantees may be missing; `unenforced` holds names of `GUARANTEES`."""

    seconds: float = 10.0
    memory_mb: int = 2048
    unenforced: frozenset[str] = field(default_factory=frozenset[str])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a sample: a value with words about it, or the kind of an error with its reason."""

    value: float | None
    text: str
    error: str | None = None


def run(
    program: str,
    settings: Mapping[str, JSONValue],
    samples: Sequence[Mapping[str, JSONValue]],
    limits: Limits,
    *,
    shared: bool,
) -> list[Outcome]:
    """Runs `program` (a name of `programs.PROGRAMS`) on every sample and returns an outcome for each.

    With `shared` one process serves many samples, as long as none of them breaks it; without, each has its own.

    Raises:
        GraderError: the host cannot enforce a guarantee, and nobody allowed that.
    """
    order = _order(program, settings, samples, limits, shared=shared)
    outcomes = [Outcome(None, "the worker ended before this sample", "sandbox_failed") for _ in samples]
    for message in _messages(order, _SLACK + limits.seconds * len(samples)):
        if "missing" in message:
            raise GraderError(refusal(cast("list[str]", message["missing"])), param="unenforced")
        index = message.get("index")
        if not isinstance(index, int) or not 0 <= index < len(outcomes):
            continue
        value, error = message.get("value"), message.get("error")
        text = str(message.get("text", ""))
        if _is_score(value) and error is None:
            outcomes[index] = Outcome(float(cast("float", value)), text)
        else:
            outcomes[index] = Outcome(None, text, str(error or "invalid_score"))
    return outcomes


def missing_here() -> list[str]:
    """Returns the guarantees that this machine cannot keep, found out by one worker that runs nothing else."""
    order = _order("run_together", {}, [{"code": "", "tests": [""]}], Limits(), shared=False)
    for message in _messages(order, _SLACK):
        if "missing" in message:
            return cast("list[str]", message["missing"])
    return []


def _order(
    program: str,
    settings: Mapping[str, JSONValue],
    samples: Sequence[Mapping[str, JSONValue]],
    limits: Limits,
    *,
    shared: bool,
) -> dict[str, object]:
    """Returns what a worker is told."""
    return {
        "program": program,
        "settings": dict(settings),
        "samples": [dict(sample) for sample in samples],
        "seconds": limits.seconds,
        "memory_bytes": limits.memory_mb * 2**20,
        "required": sorted(set(GUARANTEES) - limits.unenforced),
        "shared": shared,
    }


def _messages(order: Mapping[str, object], seconds: float) -> list[dict[str, object]]:
    """Starts a worker, gives it the order and returns what it says until it ends or its time is over."""
    reading, writing = os.pipe()
    command = [sys.executable, "-I", "-c", _START, str(Path(__file__).parents[3]), str(writing)]
    with subprocess.Popen(  # noqa: S603 - the interpreter that runs this, and nothing of the user's
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writing,),
        env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        cwd="/",
        start_new_session=True,
    ) as worker:
        os.close(writing)
        over = threading.Timer(seconds, _kill, [worker])
        over.start()
        try:
            assert worker.stdin is not None
            try:
                worker.stdin.write(json.dumps(order).encode())
                worker.stdin.close()
            except BrokenPipeError:
                pass  # it ended early: what it said, if anything, is read below
            with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
                return [message for message in map(_message, lines) if message is not None]
        finally:
            over.cancel()
            _kill(worker)


def _is_score(value: object) -> bool:
    """Tells whether a value is a number, finite and of a size that a float has."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _message(line: str) -> dict[str, object] | None:
    """Returns what a line says; None for one that was cut off or is no message."""
    try:
        found = json.loads(line) if line.endswith("\n") else None
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", found) if isinstance(found, dict) else None


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Ends the worker and everything in its group."""
    try:
        os.killpg(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        worker.kill()


def refusal(missing: Sequence[str]) -> str:
    """Returns why a grader does not start where these guarantees cannot be kept, and what to do."""
    names = ", ".join(missing)
    return (
        f"This machine cannot keep untrusted code from what is outside ({names} cannot be enforced), so the grader "
        f'was not started. Run it on Linux with Landlock and seccomp, or allow it by name: "unenforced": '
        f"{json.dumps(list(missing))} in the grader."
    )
