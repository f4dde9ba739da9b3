"""The worker's side: a trusted process that starts a confined one for every batch of code, and watches it.

It reads one order as JSON from its standard input, and writes one line of JSON a sample to the descriptor
it was given. The confined process never holds that descriptor: what it says goes through a pipe of its
own, must begin with a word that it was given for this sample, and counts once.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from holdfast.graders.sandbox.lock import confine, die_with_parent
from holdfast.graders.sandbox.programs import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE = 64 * 1024
"""Bytes that a confined process may say about one sample; more is cut off, and counts as nothing."""


def main() -> None:
    """Carries one order out and ends."""
    channel = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    die_with_parent()
    order = json.loads(sys.stdin.buffer.read())
    sys.stdin.close()

    def say(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    samples = order["samples"]
    done = 0
    while done < len(samples):
        # A program that keeps nothing between samples gets a fresh process for each.
        batch = samples[done:] if order["shared"] else samples[done : done + 1]
        done += Confined(order, batch, first=done).run(say)


class Confined:
    """One confined process, from its start to its end."""

    def __init__(self, order: dict[str, Any], samples: list[Any], *, first: int) -> None:
        self.order, self.samples, self.first = order, samples, first
        self.words = [secrets.token_hex(16) for _ in samples]

    def run(self, say: Callable[[dict[str, Any]], None]) -> int:
        """Runs the code, says what became of each sample and returns how many are done with, at least one."""
        out, inner = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(out)
            self._be_confined(inner)
        os.close(inner)
        lines = Lines(out)
        try:
            held = self._hello(lines)
            if held is None:
                say({"index": self.first, "error": "grader_crashed", "text": "the sandbox could not be set up"})
                return 1
            missing = sorted(set(self.order["required"]) - set(held))
            if missing:
                say({"missing": missing})
                return len(self.samples)
            return self._collect(lines, say)
        finally:
            os.kill(child, signal.SIGKILL)
            _, self.status = os.waitpid(child, 0)
            os.close(out)

    def _hello(self, lines: Lines) -> list[str] | None:
        line = lines.next(time.monotonic() + 30)
        return json.loads(line) if line else None

    def _collect(self, lines: Lines, say: Callable[[dict[str, Any]], None]) -> int:
        for place, word in enumerate(self.words):
            index = self.first + place
            line = self._next_said(lines, word)
            if line is None:
                reason = "time_out" if lines.open else "grader_crashed"
                text = f"took more than {self.order['seconds']:g} s" if lines.open else "the process ended"
                say({"index": index, "error": reason, "text": text})
                return place + 1
            say({"index": index, **line})
        return len(self.words)

    def _next_said(self, lines: Lines, word: str) -> dict[str, Any] | None:
        """Returns the next message that begins with `word`; whatever else is written there is passed over."""
        until = time.monotonic() + self.order["seconds"]
        while True:
            line = lines.next(until)
            if line is None:
                return None
            if line.startswith(word):
                try:
                    found = json.loads(line[len(word) :])
                except ValueError:
                    continue
                return {key: found[key] for key in ("value", "error", "text", "passed") if key in found}

    def _be_confined(self, descriptor: int) -> None:
        """Never returns: locks itself in, says what holds, runs the program and ends."""
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            os.closerange(3, descriptor)
            os.closerange(descriptor + 1, 256)
            write, encode = os.write, json.dumps  # kept here: the code may put others in their place
            seconds = int(self.order["seconds"] * len(self.samples)) + 2
            held = confine(memory_bytes=self.order["memory_bytes"], cpu_seconds=seconds)
            write(descriptor, (encode(held) + "\n").encode())
            if set(self.order["required"]) <= set(held):
                run = PROGRAMS[self.order["program"]](self.order["settings"])
                for word, sample in zip(self.words, self.samples, strict=True):
                    write(descriptor, (word + encode(run(sample)) + "\n").encode()[:MAX_LINE])
        except BaseException:  # noqa: BLE001 - whatever untrusted code raises, this process ends here
            os._exit(1)
        os._exit(0)


class Lines:
    """Lines from a pipe, with a deadline; `open` tells whether the other end still can write."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.buffer, self.open = descriptor, b"", True

    def next(self, until: float) -> str | None:
        """Returns the next line; None at the deadline or the end."""
        while b"\n" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.descriptor], [], [], left)[0]:
                return None
            chunk = os.read(self.descriptor, 65536)
            if not chunk:
                self.open = False
                return None
            self.buffer = (self.buffer + chunk)[-4 * MAX_LINE :]
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("utf-8", "replace")


if __name__ == "__main__":
    main()
