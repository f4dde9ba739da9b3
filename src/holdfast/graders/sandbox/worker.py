"""The worker's side: a trusted process that starts confined ones for every batch of code, and watches them.

It reads one order as JSON from its standard input, and writes one line of JSON a sample to the descriptor
it was given. No confined process holds that descriptor: what one says goes through a pipe of its own, must begin
with a word that it was given for this sample, and counts once. The code that a model wrote has not even
that pipe: it runs in a second process, and only answers what its tests ask.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import select
import signal
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from holdfast.graders.sandbox.apart import serve
from holdfast.graders.sandbox.lock import confine, die_with_parent
from holdfast.graders.sandbox.programs import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE = 64 * 1024
"""Bytes that a confined process may say about one sample; more is cut off, and counts as nothing."""


def main() -> None:
    """Carries one order out and ends."""
    given = int(sys.argv[1])  # its number may be any; a copy gets the lowest free one
    channel = os.fdopen(os.dup(given), "w", encoding="utf-8")
    os.close(given)
    die_with_parent()
    order = json.loads(sys.stdin.buffer.read())
    sys.stdin.close()

    def say(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    samples = order["samples"]
    done = 0
    while done < len(samples):
        # A program that keeps nothing between samples gets fresh processes for each.
        num = len(samples) if order["shared"] else 1
        done += Batch(order, samples[done : done + num], first=done).run(say)


class Confined:
    """One confined process with a pipe back, which is all that it gets besides the descriptors `keep`."""

    def __init__(
        self, order: dict[str, Any], seconds: float, keep: tuple[int, ...], job: Callable[[int], None]
    ) -> None:
        self._order, self._seconds = order, seconds
        out, inner = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            self._be_confined(inner, keep, job)
        os.close(inner)
        self.lines = Lines(out)

    def missing(self) -> list[str] | None:
        """Returns what was required and does not hold in there; None if it could not be set up."""
        line = self.lines.next(time.monotonic() + 30)
        return sorted(set(self._order["required"]) - set(json.loads(line))) if line else None

    def end(self) -> None:
        """Ends the process, whatever it is at."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.lines.descriptor)

    def _be_confined(self, inner: int, keep: tuple[int, ...], job: Callable[[int], None]) -> None:
        """Never returns: locks itself in, says what holds, does the job and ends."""
        try:
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            for low, high in pairwise(sorted({2, inner, *keep, most})):
                os.closerange(low + 1, high)
            held = confine(memory_bytes=self._order["memory_bytes"], cpu_seconds=int(self._seconds) + 2)
            os.write(inner, (json.dumps(held) + "\n").encode())
            if set(self._order["required"]) <= set(held):
                job(inner)
        except BaseException:  # noqa: BLE001 - whatever untrusted code raises, this process ends here
            os._exit(1)
        os._exit(0)


class Batch:
    """Samples that one process serves, or one pair of processes: that of the tests and that of the code."""

    def __init__(self, order: dict[str, Any], samples: list[dict[str, Any]], *, first: int) -> None:
        self.order, self.samples, self.first = order, samples, first
        self.settings = order["settings"]
        self.words = [secrets.token_hex(16) for _ in samples]

    def run(self, say: Callable[[dict[str, Any]], None]) -> int:
        """Runs the code, says what became of each sample and returns how many are done with, at least one."""
        processes = self._start()
        try:
            for process in processes:
                missing = process.missing()
                if missing is None:
                    say({"index": self.first, "error": "sandbox_failed", "text": "the sandbox could not be set up"})
                    return 1
                if missing:
                    say({"missing": missing})
                    return len(self.samples)
            return self._collect(processes[-1].lines, say)
        finally:
            for process in processes:
                process.end()

    def _start(self) -> list[Confined]:
        """Starts the processes that the program needs; the last one reports."""
        seconds = self.order["seconds"] * len(self.samples)
        if self.order["program"] != "run_tests":
            return [Confined(self.order, seconds, (), self._judge)]
        (requests, asking), (answering, answers) = os.pipe(), os.pipe()
        code = self.samples[0].pop("code")

        def serve_code(way_back: int) -> None:
            # The code is run where neither its tests are known nor a way to report.
            os.close(way_back)
            for sample in self.order["samples"]:
                sample.clear()
            self.words.clear()
            serve(code, requests, answers)

        code_process = Confined(self.order, seconds, (requests, answers), serve_code)
        self.settings = {"asking": asking, "answering": answering}
        tests_process = Confined(self.order, seconds, (asking, answering), self._judge)
        for descriptor in (requests, asking, answering, answers):
            os.close(descriptor)
        return [code_process, tests_process]

    def _judge(self, way_back: int) -> None:
        """Runs the program on every sample."""
        write, encode = os.write, json.dumps  # kept here: the code may put others in their place
        run = PROGRAMS[self.order["program"]](self.settings)
        for word, sample in zip(self.words, self.samples, strict=True):
            write(way_back, (word + encode(run(sample)) + "\n").encode()[:MAX_LINE])

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
