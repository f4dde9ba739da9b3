"""Which files untrusted code may read: the interpreter's own libraries, and nothing else; it may write none.

Landlock (Linux 5.13 and later) needs no privileges and cannot be taken back. On kernels that know it,
TCP (ABI 4), device controls (5), abstract sockets and signals to others (6) are forbidden here too.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_PR_SET_NO_NEW_PRIVS = 38
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights on files an ABI version knows; later ones have 16."""


def abi() -> int:
    """Returns the version of Landlock that the kernel speaks; 0 where there is none."""
    if os.uname().sysname != "Linux":
        return 0
    return max(0, int(ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, 0, _VERSION)))


def restrict(readable: Iterable[Path]) -> bool:
    """Lets this process read below `readable` only and write nowhere, for good; False where that cannot be had."""
    version = abi()
    if version == 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    files = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", files, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), size, 0)
    if rules < 0:
        return False
    try:
        for path in readable:
            _allow(libc, rules, path)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            return False
        return libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: Path) -> None:
    """Adds the right to read `path`; one that is not there needs none."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | (_READ_DIR if path.is_dir() else 0)
        rule = struct.pack("=Qi", rights, place)
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(place)
