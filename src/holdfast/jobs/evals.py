"""Carries out runs of evaluations beside the requests, in a thread of the server: a few items at a time.

The queue is the database: a run is held by a lease, and an item is done when its outcome is stored. A server that was
killed leaves its lease behind; the next one goes on with the items that are missing, asked of the same versions with
the same seeds. A run that is cancelled or deleted is another's at the next look, and what was being written is let go.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event, Thread
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError, NotFoundError, StoreError
from holdfast.jobs.asking import AskingStopped
from holdfast.jobs.eval_answers import BREAKS, ItemWork
from holdfast.jobs.holder import has_died, holder_name

if TYPE_CHECKING:
    from holdfast.jobs.served import Served
    from holdfast.store.eval_runs import EvalItemRecord, EvalRunRecord, Outcome
    from holdfast.store.workspace import Workspace

_LOG = logging.getLogger(__name__)
AT_ONCE = 4
"""So many items of a run are under way at the same time."""
LEASE_SECONDS = 20.0
RENEW_SECONDS = 1.0
TICK_SECONDS = 0.1
STOP_SECONDS = 30.0
"""How long a stop waits for a grader that is at work."""
IDLE_SECONDS = 1.0
"""How long nobody looks for a run that another process ordered."""


class EvalRunner:
    """Carries out runs from `start` to `stop`."""

    def __init__(self, workspace: Workspace, served: Served) -> None:
        self.name = holder_name()
        self._workspace, self._served = workspace, served
        self._stopping, self._wake = Event(), Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._stopping.clear()
        self._thread = Thread(target=self._keep, name="evals", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Says that there is something to do."""
        self._wake.set()

    def stop(self) -> None:
        """Stops at once and waits for that; a run that is under way goes on at the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
            self._thread = None

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                run = self._next()
                if run is not None:
                    self._carry_out(run)
                    continue
            except (HoldfastError, *BREAKS):
                _LOG.exception("eval runs wait, since the workspace did not answer")
            self._wake.wait(IDLE_SECONDS)

    def _next(self) -> EvalRunRecord | None:
        """Returns the next run, held; those of dead processes of this machine are free at once."""
        runs = self._workspace.open_eval_runs()
        for run in runs:
            if run.leased_by is not None and has_died(run.leased_by):
                self._workspace.release_eval_run(run.id, run.leased_by)
        return self._workspace.take_eval_run(self.name, seconds=LEASE_SECONDS) if runs else None

    def _carry_out(self, run: EvalRunRecord) -> None:
        lost = Event()

        def stopped() -> bool:
            return lost.is_set() or self._stopping.is_set()

        try:
            work = ItemWork(self._served, self._workspace.eval(run.eval_id), run, stopped)
            work.ready()
            _Round(self._workspace, self.name, run, work, lost, self._stopping).go()
        except AskingStopped:
            return  # the run waits for the next time
        except HoldfastError as error:
            if isinstance(error, StoreError) and not isinstance(error, NotFoundError):
                raise  # the workspace did not answer: the run goes on when it does
            self._failed(run, error.code, error.message)
        except BREAKS as error:
            _LOG.exception("%s failed", run.id)
            self._failed(run, "server_error", f"{type(error).__name__}: {error}")
        finally:
            lost.set()
            self._workspace.release_eval_run(run.id, self.name)

    def _failed(self, run: EvalRunRecord, code: str, message: str) -> None:
        told = {"code": code, "message": message}
        self._workspace.end_eval_run(run.id, "failed", worker=self.name, error=told)


class _Round:
    """The items of one run: so many at once, each stored as it is done."""

    def __init__(
        self, workspace: Workspace, name: str, run: EvalRunRecord, work: ItemWork, lost: Event, stopping: Event
    ) -> None:
        self._workspace, self._name, self._run, self._work = workspace, name, run, work
        self._lost, self._stopping = lost, stopping
        self._last, self._renewed = -1, time.monotonic()
        self._ready: list[EvalItemRecord] = []

    def go(self) -> None:
        """Asks every item that waits, and decides the run when none is left."""
        under_way: dict[Future[Outcome], EvalItemRecord] = {}
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="eval") as pool:
            try:
                while not self._is_over():
                    while len(under_way) < AT_ONCE and (item := self._next()) is not None:
                        under_way[pool.submit(self._work.outcome, item)] = item
                    if not under_way and self._begins_again():
                        continue
                    if not under_way:
                        self._workspace.end_eval_run(self._run.id, "completed", worker=self._name)
                        return
                    for future in wait(under_way, TICK_SECONDS, FIRST_COMPLETED).done:
                        self._keep(under_way.pop(future), future)
                    self._renew()
            finally:
                self._lost.set()  # what is still being written is let go before the pool waits for it

    def _is_over(self) -> bool:
        return self._lost.is_set() or self._stopping.is_set()

    def _next(self) -> EvalItemRecord | None:
        if not self._ready:
            self._ready = self._workspace.waiting_eval_items(self._run.id, after=self._last, limit=8 * AT_ONCE)
            if not self._ready:
                return None
            self._last = self._ready[-1].number
        return self._ready.pop(0)

    def _begins_again(self) -> bool:
        """Tells whether items were left behind, as where an engine ended under them, and goes back to the first."""
        self._last = -1
        return bool(self._workspace.waiting_eval_items(self._run.id, after=-1, limit=1))

    def _keep(self, item: EvalItemRecord, future: Future[Outcome]) -> None:
        try:
            outcome = future.result()
        except AskingStopped:
            return  # the item waits for the next time
        if not self._workspace.save_eval_item(item, self._name, outcome):
            self._lost.set()

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed < RENEW_SECONDS:
            return
        self._renewed = now
        if not self._workspace.renew_eval_run(self._run.id, self._name, seconds=LEASE_SECONDS):
            self._lost.set()
