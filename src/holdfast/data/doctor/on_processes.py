"""Looking at rows in several processes of this machine: the part of a preparation that needs no other row.

As on a cluster (`on_ray`), chunks are taken in where they were read, in reading order: the outcome is that of one
process, to the last hash. Every process loads the tokenizer and what the checks need, which takes some seconds and a
few hundred MiB, so that nothing is gained for a few thousand rows. Processes are spawned, not forked: threads of
tokenizers and of the language detector do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import joblib

from holdfast.data.doctor.looking import Looker, recipes_of
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from holdfast.data.check import Check
    from holdfast.data.doctor.rows import Tracked

MOST = 8
"""So many processes where nothing is said; each takes memory."""
WORTH_CHUNKS = 4
"""Where nothing is said, fewer chunks are looked at in this process."""


class OnProcesses:
    """Looks at chunks in `num` processes; None: in one for each core, at most `MOST`, where there is enough to do."""

    def __init__(self, folder: Path, num: int | None) -> None:
        self._folder = folder
        self._given = num is not None
        self._num = num if num is not None else min(joblib.cpu_count(), MOST)
        self._num_sent = 0
        self._pool: ProcessPoolExecutor | None = None

    def is_worth_it(self, num_chunks: int) -> bool:
        """Returns whether so many chunks are looked at by others than this process."""
        return self._num > 1 and (self._given or num_chunks >= WORTH_CHUNKS)

    def looks(
        self, checks: Sequence[Check], deciding: Sequence[bool], chunks: Iterable[Sequence[Tracked]]
    ) -> Iterator[Sequence[Any]]:
        """Yields, for every chunk in order, what `look` of each check returns for the rows that it concerns.

        Raises `DataError` where a process was ended from outside, as the system does that runs out of memory.
        """
        pool = self._started()
        self._num_sent += 1
        place = self._folder / f"recipes.{self._num_sent}"
        place.write_bytes(pickle.dumps(recipes_of(checks, deciding)))
        tasks = (pool.submit(_look, str(place), pickle.dumps(chunk)) for chunk in chunks)
        waiting = deque(islice(tasks, self._num + 1))
        try:
            while waiting:
                looks = waiting.popleft().result()
                waiting.extend(islice(tasks, 1))
                yield pickle.loads(looks)  # noqa: S301 - our own
        except BrokenProcessPool:
            raise DataError(
                "A process that looked at rows was ended from outside, most likely for want of memory. "
                "Prepare again with fewer: --processes 1",
                param="processes",
            ) from None
        place.unlink()

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._num, mp_context=context, initializer=_set_up)
        return self._pool


@contextmanager
def processes(folder: Path, num: int | None) -> Iterator[OnProcesses]:
    """Yields what looks at chunks in `num` processes (see `OnProcesses`), and ends them; `folder` is for recipes."""
    found = OnProcesses(folder, num)
    try:
        yield found
    finally:
        found.close()


def _set_up() -> None:
    os.environ["RAYON_NUM_THREADS"] = "1"  # the language detector would take all cores in every process
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that was started ends the others
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the one that started it has ended without a word."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _look(place: str, rows: bytes) -> bytes:
    return _looker(place).look(rows)


@lru_cache(maxsize=1)
def _looker(place: str) -> Looker:
    """Returns the checks of a worker process, made once for every pass; the folder is that of one preparation."""
    scratch = Path(place).with_name(f"look.{os.getpid()}")
    scratch.mkdir(exist_ok=True)
    return Looker(pickle.loads(Path(place).read_bytes()), scratch)  # noqa: S301 - our own
