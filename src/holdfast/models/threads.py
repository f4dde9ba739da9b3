"""How many threads torch should use: measured, since on shared cores two can be slower than one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

FEWEST_ROUNDS = 3
LONGEST_PROBE = 1.5
"""Seconds after which no further round begins: a neighbour's burst lasts longer than three rounds of a small model."""
PROBE_SHAPE = (8, 48)


@dataclass(frozen=True, slots=True)
class ThreadChoice:
    """A number of threads, and the reason in words."""

    threads: int
    reason: str


def choose_threads(
    model: PreTrainedModel, *, most: int | None = None, clock: Callable[[], float] = time.perf_counter
) -> ThreadChoice:
    """Returns the number of threads with which a short forward pass of `model` is fastest, and sets it.

    It tries 1, 2, 4, … up to `most` (by default the cores this process may use), in turn and for about
    `LONGEST_PROBE`, and compares the best times. A larger number must win by a tenth, so that noise does
    not decide. Where the environment names a number (`OMP_NUM_THREADS`), nothing is tried.
    """
    if model.device.type != "cpu":
        return ThreadChoice(torch.get_num_threads(), "threads: as torch chose, the model is not on the CPU")
    told = os.environ.get("OMP_NUM_THREADS", "")
    if most is None and told.isdecimal() and int(told) > 0:
        torch.set_num_threads(int(told))
        return ThreadChoice(int(told), f"threads {int(told)}: as OMP_NUM_THREADS says")
    most = most or available_cores()
    candidates = sorted({most, *(2**k for k in range(most.bit_length()) if 2**k <= most)})
    if candidates == [1]:
        torch.set_num_threads(1)
        return ThreadChoice(1, "threads 1: this process may use one core")
    best = dict.fromkeys(candidates, float("inf"))
    ids = torch.zeros(PROBE_SHAPE, dtype=torch.long)
    began = clock()
    for done in count():
        if done >= FEWEST_ROUNDS and clock() - began > LONGEST_PROBE:
            break
        for threads in candidates:
            torch.set_num_threads(threads)
            start = clock()
            with torch.no_grad():
                model(input_ids=ids, use_cache=False)
            best[threads] = min(best[threads], clock() - start)
    chosen = candidates[0]
    for threads in candidates[1:]:
        if best[threads] < 0.9 * best[chosen]:
            chosen = threads
    torch.set_num_threads(chosen)
    times = ", ".join(f"{threads}: {1000 * best[threads]:.1f} ms" for threads in candidates)
    return ThreadChoice(chosen, f"threads {chosen}: fastest of a short probe ({times})")


def available_cores() -> int:
    """Returns the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
