"""Which system calls untrusted code may make: those that a computation needs, and no other.

A seccomp filter (classic BPF) over the calls of CPython and of numeric libraries on Linux. What is not
on the list fails with EPERM, so that the code sees an exception and not a dead process: no socket, no
new process, no program, no signal to anyone but itself, no kernel interface that came after this list.

Choices made here. A list of what is allowed, because a list of what is forbidden ages. Which files may be read
is left to Landlock, which knows paths; that none is opened for writing, made or emptied is said here once
more, so that no disk is filled where Landlock is missing. Threads are allowed (numeric libraries start some),
processes are not; `clone3` hides its flags from the filter and is answered with ENOSYS, on which the C library
falls back. Of `fcntl` only what concerns the descriptor itself is allowed: with `F_SETOWN` and `F_SETSIG` the kernel
would send any signal to any process in the code's place.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

_X86_64 = """
    read:0 write:1 close:3 stat:4 fstat:5 lstat:6 poll:7 lseek:8 mmap:9 mprotect:10 munmap:11 brk:12
    rt_sigaction:13 rt_sigprocmask:14 rt_sigreturn:15 ioctl:16 pread64:17 readv:19 writev:20 access:21 pipe:22
    select:23 sched_yield:24 mremap:25 msync:26 mincore:27 madvise:28 dup:32 dup2:33 pause:34 nanosleep:35
    getitimer:36 alarm:37 setitimer:38 getpid:39 clone:56 exit:60 kill:62 uname:63 fcntl:72 getcwd:79
    readlink:89 umask:95 gettimeofday:96 getrlimit:97 getrusage:98 sysinfo:99 times:100 getuid:102 getgid:104
    geteuid:107 getegid:108 getppid:110 getpgrp:111 getgroups:115 getpgid:121 getsid:124 rt_sigpending:127
    rt_sigtimedwait:128 rt_sigsuspend:130 sigaltstack:131 statfs:137 fstatfs:138 arch_prctl:158 gettid:186
    tkill:200 time:201 futex:202 sched_getaffinity:204 getdents64:217 set_tid_address:218 restart_syscall:219
    fadvise64:221 clock_gettime:228 clock_getres:229 clock_nanosleep:230 exit_group:231 epoll_wait:232
    epoll_ctl:233 tgkill:234 openat:257 newfstatat:262 readlinkat:267 faccessat:269 pselect6:270 ppoll:271
    set_robust_list:273 epoll_pwait:281 eventfd2:290 epoll_create1:291 dup3:292 pipe2:293 preadv:295
    prlimit64:302 getcpu:309 getrandom:318 membarrier:324 statx:332 rseq:334 clone3:435 faccessat2:439 open:2
"""
_AARCH64 = """
    getcwd:17 eventfd2:19 epoll_create1:20 epoll_ctl:21 epoll_pwait:22 dup:23 dup3:24 fcntl:25 ioctl:29
    statfs:43 fstatfs:44 faccessat:48 openat:56 close:57 pipe2:59 getdents64:61 lseek:62 read:63 write:64
    readv:65 writev:66 pread64:67 preadv:69 pselect6:72 ppoll:73 readlinkat:78 newfstatat:79 fstat:80 exit:93
    exit_group:94 set_tid_address:96 futex:98 set_robust_list:99 nanosleep:101 getitimer:102 setitimer:103
    clock_gettime:113 clock_getres:114 clock_nanosleep:115 sched_getaffinity:123 sched_yield:124
    restart_syscall:128 kill:129 tkill:130 tgkill:131 sigaltstack:132 rt_sigsuspend:133 rt_sigaction:134
    rt_sigprocmask:135 rt_sigpending:136 rt_sigtimedwait:137 rt_sigreturn:139 times:153 getpgid:155 getsid:156
    getgroups:158 uname:160 getrlimit:163 getrusage:165 umask:166 getcpu:168 gettimeofday:169 getpid:172
    getppid:173 getuid:174 geteuid:175 getgid:176 getegid:177 gettid:178 sysinfo:179 brk:214 munmap:215
    mremap:216 clone:220 mmap:222 fadvise64:223 mprotect:226 msync:227 mincore:232 madvise:233 prlimit64:261
    getrandom:278 membarrier:283 statx:291 rseq:293 clone3:435 faccessat2:439
"""


def _numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (pair.partition(":") for pair in text.split())}


TABLES = {"x86_64": _numbers(_X86_64), "aarch64": _numbers(_AARCH64)}
"""Numbers of the allowed calls, by `platform.machine()`."""
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What the kernel calls them."""

_CONDITIONAL = ("clone", "clone3", "fcntl", "ioctl", "kill", "open", "openat", "prlimit64", "tgkill", "tkill")
_CLONE_THREAD = 0x00010000
_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
"""Flags of `open`, none of which may be set: `O_RDONLY` is 0."""
_FCNTL = (*range(8), 1030)
"""Commands of `fcntl`: copies of a descriptor, its flags, and locks."""
_LOAD, _AND, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of classic BPF: jumps count instructions from the next one."""

    code: int
    value: int
    if_true: int = 0
    if_false: int = 0

    @property
    def packed(self) -> bytes:
        """The instruction as the kernel's `struct sock_filter`."""
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.value)


def program(machine: str, pid: int) -> list[Instruction]:
    """Returns the filter for a process `pid` on `machine`, a key of `TABLES`."""
    table = TABLES[machine]
    out = [
        Instruction(_LOAD, _ARCH),
        Instruction(_JUMP_EQUAL, _ARCHITECTURES[machine], if_true=1),
        Instruction(_RETURN, _KILL),  # calls of another architecture have other numbers
        Instruction(_LOAD, _NUMBER),
    ]
    for name, number in table.items():
        if name not in _CONDITIONAL:
            out += [Instruction(_JUMP_EQUAL, number, if_false=1), Instruction(_RETURN, _ALLOW)]
    low, high = _word(2)
    tests = {
        "clone": [Instruction(_LOAD, _word(0)[0]), Instruction(_JUMP_SET, _CLONE_THREAD)],
        "kill": [Instruction(_LOAD, _word(0)[0]), Instruction(_JUMP_EQUAL, pid)],
        "tgkill": [Instruction(_LOAD, _word(0)[0]), Instruction(_JUMP_EQUAL, pid)],
        "tkill": [Instruction(_LOAD, _word(0)[0]), Instruction(_JUMP_EQUAL, pid)],
        "open": [Instruction(_LOAD, _word(1)[0]), Instruction(_AND, _WRITING), Instruction(_JUMP_EQUAL, 0)],
        "openat": [Instruction(_LOAD, low), Instruction(_AND, _WRITING), Instruction(_JUMP_EQUAL, 0)],
        "prlimit64": [  # asking is allowed, setting is not
            Instruction(_LOAD, low), Instruction(_JUMP_EQUAL, 0), Instruction(_LOAD, high), Instruction(_JUMP_EQUAL, 0),
        ],
    }  # fmt: skip
    for name, test in tests.items():
        if name not in table:  # aarch64 has no open
            continue
        length = len(test) + 2
        out.append(Instruction(_JUMP_EQUAL, table[name], if_false=length))
        for place, step in enumerate(test):
            jump = length - place - 2 if step.code in (_JUMP_EQUAL, _JUMP_SET) else 0
            out.append(Instruction(step.code, step.value, if_false=jump))
        out += [Instruction(_RETURN, _ALLOW), Instruction(_RETURN, _ERRNO | errno.EPERM)]
    out += [Instruction(_JUMP_EQUAL, table["fcntl"], if_false=2 * len(_FCNTL) + 2), Instruction(_LOAD, _word(1)[0])]
    for command in _FCNTL:
        out += [Instruction(_JUMP_EQUAL, command, if_false=1), Instruction(_RETURN, _ALLOW)]
    out.append(Instruction(_RETURN, _ERRNO | errno.EPERM))
    for name, error in (("clone3", errno.ENOSYS), ("ioctl", errno.ENOTTY)):
        out += [Instruction(_JUMP_EQUAL, table[name], if_false=1), Instruction(_RETURN, _ERRNO | error)]
    return [*out, Instruction(_RETURN, _ERRNO | errno.EPERM)]


def restrict() -> bool:
    """Puts this process under the filter, for good; False where the kernel or the machine has none."""
    machine = platform.machine()
    if machine not in TABLES or os.uname().sysname != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(instruction.packed for instruction in program(machine, os.getpid()))
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(head), 0, 0) == 0


def _word(argument: int) -> tuple[int, int]:
    """Returns where the low and the high half of a call's argument lie (little-endian machines)."""
    return _ARGUMENTS + 8 * argument, _ARGUMENTS + 8 * argument + 4
