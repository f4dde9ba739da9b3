"""Puts a process behind lock and key, and tries every door to see that it is shut.

`GUARANTEES` are what a grader may rely on. Each is enforced by the kernel and then tried: a guarantee
counts only if the attempt was refused. Where it cannot be had (another system, an old kernel) it is
missing from what `confine` returns, and whoever started the worker decides.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import resource
import socket
import struct
import sys
import sysconfig
from pathlib import Path

from holdfast.graders.sandbox import landlock, seccomp

GUARANTEES = ("files", "network", "processes", "signals", "memory", "time")
"""Reads no file but the interpreter's; opens no socket; starts no process; signals no one; stays within limits."""

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_F_SETSIG, _F_SETOWN_EX = 10, 15
_CAPABILITY_VERSION, _PR_SET_PDEATHSIG, _SIGKILL = 0x20080522, 1, 9


def confine(*, memory_bytes: int, cpu_seconds: int) -> list[str]:
    """Confines this process for good and returns the guarantees that held when they were tried."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            die_with_parent()
            _drop_capabilities()
            landlock.restrict(readable())
            seccomp.restrict()
    return [name for name in GUARANTEES if _holds(name)]


def readable() -> list[Path]:
    """Returns what untrusted code may read: the libraries of the interpreter and of the system."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [Path(path) for path in (*sorted(own), *_SYSTEM, *_DEVICES)]


def die_with_parent() -> None:
    """Has the kernel kill this process when the one that started it ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def _drop_capabilities() -> None:
    """Gives up what root may do and others may not."""
    head = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    none = struct.pack("=6I", *[0] * 6)
    ctypes.CDLL(None, use_errno=True).capset(ctypes.c_char_p(head), ctypes.c_char_p(none))


def _holds(name: str) -> bool:
    """Tries what must not be possible."""
    if name == "files":
        return _refused(lambda: os.close(os.open("/etc/passwd", os.O_RDONLY))) and _refused(
            lambda: os.close(os.open(f"/tmp/holdfast-{os.getpid()}", os.O_WRONLY | os.O_CREAT))  # noqa: S108 - must fail
        )
    if name == "network":
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        return all(_refused(lambda kind=kind: socket.socket(socket.AF_INET, kind).close()) for kind in kinds)
    if name == "processes":
        return _refused(_fork) and _refused(lambda: os.execv("/bin/true", ["true"]))  # noqa: S606 - must fail
    if name == "signals":
        return all(_refused(attempt) for attempt in (lambda: os.kill(os.getppid(), 0), _tkill, *_OWNING))
    which = resource.RLIMIT_AS if name == "memory" else resource.RLIMIT_CPU
    return resource.getrlimit(which)[1] != resource.RLIM_INFINITY


def _refused(attempt) -> bool:  # noqa: ANN001 - a call without arguments
    try:
        attempt()
    except OSError:
        return True
    return False


def _tkill() -> None:
    """Signals a thread of the parent, past the C library, which has no function for it."""
    number = seccomp.TABLES.get(platform.machine(), {}).get("tkill")
    libc = ctypes.CDLL(None, use_errno=True)
    if number is not None and libc.syscall(number, os.getppid(), 0):
        raise OSError(ctypes.get_errno(), "tkill")


_OWNING = (
    lambda: fcntl.fcntl(0, fcntl.F_SETOWN, 0),
    lambda: fcntl.fcntl(0, _F_SETSIG, 0),
    lambda: fcntl.fcntl(0, _F_SETOWN_EX, struct.pack("=ii", 0, 0)),
)
"""Ways to have the kernel signal whoever is named when a descriptor is ready; here it is nobody."""


def _fork() -> None:
    """Starts a process, which ends at once."""
    if os.fork() == 0:
        os._exit(0)
    os.wait()
