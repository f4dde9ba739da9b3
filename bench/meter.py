"""Seconds a step, of the wall and of the processor, and the memory of this process. Linux only."""

from __future__ import annotations

import statistics
import time
from pathlib import Path


class Meter:
    """Wall and processor seconds a step, and the memory that training adds to the loaded model."""

    def __init__(self):
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.before = 0.0
        self._marks = (0.0, 0.0)

    def start(self):
        forget_peak()
        self.before = memory("VmRSS")
        self._marks = (time.perf_counter(), time.process_time())

    def step(self):
        now = (time.perf_counter(), time.process_time())
        self.wall.append(now[0] - self._marks[0])
        self.cpu.append(now[1] - self._marks[1])
        self._marks = now

    def report(self, **more):
        return {
            "wall": statistics.median(self.wall[1:]),  # the first step warms caches up
            "cpu": statistics.median(self.cpu[1:]),
            "peak_mib": memory("VmHWM"),
            "added_mib": memory("VmHWM") - self.before,
            **more,
        }


def forget_peak():
    """Resets the peak of resident memory, so that what came before does not count."""
    Path("/proc/self/clear_refs").write_text("5")


def memory(field):
    """Returns a field of /proc/self/status in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}: this benchmark needs Linux.")
