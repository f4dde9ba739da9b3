"""The engine of every machine: a thread of this process writes for all requests side by side.

Requests join and leave the running batch between two steps. What waits is bounded: beyond it a request is refused at
once, so that a client may try again later instead of waiting for nothing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeAlias

from holdfast.errors import BusyError, InvalidStateError, NotFoundError
from holdfast.models.adapter_bank import BASE, AdapterBank
from holdfast.serving.engine import Load, Piece
from holdfast.serving.live_batch import LiveBatch, Sequence_
from holdfast.serving.rules import rules_of
from holdfast.serving.text_stream import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from holdfast.serving.engine import Ask, End, Sink
    from holdfast.serving.live_batch import Rule, Token

    Order: TypeAlias = Callable[[], None]

MAX_RUNNING = 32
MAX_WAITING = 256
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Talk:
    """One request under way: where its pieces go, and its text so far."""

    ask: Ask
    sink: Sink
    stream: TextStream


class InProcessEngine:
    """Writes with a model that is loaded here. `max_running` rows at once, `max_waiting` requests besides."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_running: int = MAX_RUNNING,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.tokenizer = tokenizer
        self._bank = AdapterBank(model)
        self._batch = LiveBatch(model, tokenizer, self._bank, max_running)
        self._most = max_running + max_waiting
        self._talks: dict[int, _Talk] = {}
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._lock = Lock()
        self._num_open = 0
        self._num_asked = 0
        self._is_closing = False
        self._users: Counter[str] = Counter()
        self._leaving: set[str] = set()
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def context(self) -> int:
        """How many tokens a prompt and its completion may have."""
        return self._batch.context

    def submit(self, ask: Ask, sink: Sink) -> int:
        """Takes a request in and returns its number; see `Engine.submit`."""
        self._batch.check(ask.prompt)
        if ask.adapter is not None and self._bank.slot(ask.adapter) is None:
            raise NotFoundError(f"The model {ask.adapter!r} is not loaded.", param="model")
        rules = rules_of(ask.rules, self.tokenizer)
        with self._lock:
            if self._is_closing:
                raise BusyError("The server is shutting down and takes no more requests.", retry_after=10.0)
            if self._num_open >= self._most:
                raise BusyError(f"{self._num_open} requests run or wait already. Try again in a moment.")
            self._num_open += 1
            self._num_asked += 1
            number = self._num_asked
            # Under the lock: an order behind the one to stop would never be carried out, and its client never told.
            self._orders.put(lambda: self._start(number, ask, sink, rules))
        return number

    def cancel(self, number: int) -> None:
        """Ends a request whose answer nobody waits for any more."""
        self._orders.put(lambda: self._end(number, "cancelled"))

    def load(self, adapter: str, folder: Path) -> None:
        """Makes an adapter ready; returns when it can be asked for."""
        self._do(lambda: self._load(adapter, folder))

    def unload(self, adapter: str) -> None:
        """Forgets an adapter as soon as nothing is written with it."""
        self._do(lambda: self._unload(adapter))

    def status(self) -> Load:
        """Returns how much is running and waiting."""
        running = self._batch.num_running
        return Load(running, max(0, self._num_open - running))

    def close(self, *, timeout: float | None = None) -> None:
        """Takes nothing in any more, finishes what runs, and stops; after `timeout` seconds what is left is ended."""
        with self._lock:
            self._is_closing = True
        end = None if timeout is None else time.monotonic() + timeout
        while self._thread.is_alive() and self._num_open and (end is None or time.monotonic() < end):
            time.sleep(0.01)
        self._orders.put(None)
        self._thread.join()

    def _do(self, work: Callable[[], None]) -> None:
        """Has the engine's thread do something between two steps, and waits for it."""
        done: Future[None] = Future()

        def order() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - handed to whoever waits
                done.set_exception(error)
            else:
                done.set_result(None)

        with self._lock:
            if self._is_closing:
                raise InvalidStateError("The engine has stopped.")
            self._orders.put(order)
        done.result()

    def _run(self) -> None:
        """Carries out orders between steps until it is told to stop."""
        while True:
            try:
                order = self._orders.get(block=not self._talks)
            except Empty:
                self._step()
                continue
            if order is None:
                break
            order()
        for number in list(self._talks):
            self._end(number, "cancelled")

    def _step(self) -> None:
        now = time.monotonic()
        for number, talk in list(self._talks.items()):
            if talk.ask.deadline is not None and now >= talk.ask.deadline:
                self._end(number, "deadline")
        try:
            tokens = self._batch.step()
        except Exception as error:  # noqa: BLE001 - every request is told, and the engine goes on with the next
            _LOG.exception("a step failed")
            for number in list(self._talks):
                self._end(number, "error", problem=str(error))
            self._batch.forget()
            return
        for token in tokens:
            self._take(token)

    def _take(self, token: Token) -> None:
        """Hands on what a token brought."""
        talk = self._talks.get(token.key)
        if talk is None:
            return
        piece = talk.stream.piece(token.id, token.logprob, token.top, token.finish)
        if piece.end is not None:
            self._forget(token.key)
        self._give(talk, piece)

    def _start(self, number: int, ask: Ask, sink: Sink, rules: tuple[Rule, ...]) -> None:
        slot = BASE if ask.adapter is None else self._bank.slot(ask.adapter)
        talk = _Talk(ask, sink, TextStream(self.tokenizer, ask.sampling.stop))
        self._talks[number] = talk
        if ask.adapter is not None:
            self._users[ask.adapter] += 1
        if slot is None:
            self._end(number, "error", problem=f"The model {ask.adapter!r} was unloaded.")
            return
        self._batch.add(
            Sequence_(
                number,
                ask.prompt,
                ask.sampling,
                slot=slot,
                sample=ask.sample,
                rules=rules,
                top_logprobs=ask.top_logprobs,
            )
        )

    def _end(self, number: int, why: End, *, problem: str = "") -> None:
        """Ends a request before its sequence has ended."""
        talk = self._talks.get(number)
        if talk is not None:
            self._forget(number)
            self._give(talk, Piece(talk.stream.end(), end=why, problem=problem))

    def _forget(self, number: int) -> None:
        talk = self._talks.pop(number)
        self._batch.remove(number)
        adapter = talk.ask.adapter
        if adapter is not None:
            self._users[adapter] -= 1
            if adapter in self._leaving and not self._users[adapter]:
                self._drop(adapter)
        with self._lock:
            self._num_open -= 1

    def _give(self, talk: _Talk, piece: Piece) -> None:
        try:
            talk.sink(piece)
        except Exception:  # noqa: BLE001 - one client's fault is no other's
            _LOG.exception("a client's sink failed")

    def _load(self, adapter: str, folder: Path) -> None:
        self._leaving.discard(adapter)
        self._bank.load(adapter, folder)

    def _unload(self, adapter: str) -> None:
        if self._users[adapter]:
            self._leaving.add(adapter)
        else:
            self._drop(adapter)

    def _drop(self, adapter: str) -> None:
        self._leaving.discard(adapter)
        self._users.pop(adapter, None)
        self._bank.unload(adapter)
