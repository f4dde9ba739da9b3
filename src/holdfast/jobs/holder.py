"""Who holds a lease: a name that tells the machine and the process, so that a dead holder is known to be one."""

from __future__ import annotations

import os
import secrets
import socket


def machine() -> str:
    """Returns what tells apart the places in which a process number means one process: machines, and containers."""
    try:
        return f"{socket.gethostname()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def holder_name() -> str:
    """Returns a name for this process that nobody else has."""
    return f"{machine()} {os.getpid()} {secrets.token_hex(3)}"


def has_died(holder: str) -> bool:
    """Tells whether a holder was a process of this machine that does not run any more."""
    host, _, rest = holder.partition(" ")
    number = rest.partition(" ")[0]
    if host != machine() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
