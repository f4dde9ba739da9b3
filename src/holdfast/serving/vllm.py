"""The engine for GPUs: vLLM as a child process (https://github.com/vllm-project/vllm), asked over loopback.

Choices made here:
- vLLM is an environment and a process of its own: what it pins, and what it breaks, is not ours.
- Prompts go and tokens come as ids, so that the text is made here, as in the other engine: the same pieces, the same
  stop strings. A stream that is closed is a sequence that vLLM gives up.
- Adapters are loaded while it runs, and loaded again where it was started again. Requests that were under way when it
  died end as an error; nothing is said twice.
- A seed gives the same tokens again from vLLM, and other ones than from the other engine.
- A log-probability is the model's own at temperature 1, before penalties and biases. Under a schema it is that among
  the tokens that the schema allows, since vLLM masks before it measures.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, cast

import httpx2

from holdfast.errors import BusyError, ContextLengthError, EngineError, HoldfastError, InvalidStateError, NotFoundError
from holdfast.serving.engine import Load, Piece
from holdfast.serving.text_stream import TextStream
from holdfast.serving.vllm_process import VllmProcess
from holdfast.serving.vllm_stream import body_of, message_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from holdfast.serving.engine import Ask, End, Sink
    from holdfast.serving.vllm_options import VllmOptions

_LOG = logging.getLogger(__name__)
_LOAD_SECONDS = 120.0


@dataclass(slots=True)
class _Talk:
    """One request under way."""

    number: int
    ask: Ask
    sink: Sink
    stream: TextStream
    task: asyncio.Task[None] | None = None
    has_begun: bool = False


class VllmEngine:
    """Writes with the model in `model`, a folder or a hub's name, on a vLLM server that it starts and ends.

    `max_running` sequences at once, `max_waiting` requests besides. Making one takes as long as vLLM takes to start.
    """

    def __init__(
        self,
        model: str,
        tokenizer: PreTrainedTokenizerBase,
        options: VllmOptions,
        log: Path,
        *,
        max_running: int = 32,
        max_waiting: int = 256,
        start_seconds: float = 900.0,
        hang_seconds: float = 60.0,
    ) -> None:
        options.require_vllm()
        self.tokenizer = tokenizer
        self._options = options
        self._most = max_running + max_waiting
        self._talks: dict[int, _Talk] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._adapters: dict[str, Path] = {}
        self._users: Counter[str] = Counter()
        self._leaving: set[str] = set()
        self._num_asked = 0
        self._is_closing = False
        self._lock, self._loading = Lock(), Lock()
        self._process = VllmProcess(
            lambda port: options.command(model, port, max_running),
            log,
            ready=self._load_again,
            start_seconds=start_seconds,
            hang_seconds=hang_seconds,
        )
        self._process.start()
        self._loop = asyncio.new_event_loop()
        self._client = httpx2.AsyncClient(
            headers=self._process.headers,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=10.0),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._most),
        )
        self._thread = Thread(target=self._loop.run_forever, name="vllm-client", daemon=True)
        self._thread.start()

    @property
    def context(self) -> int:
        """How many tokens a prompt and its completion may have."""
        return self._process.context

    def submit(self, ask: Ask, sink: Sink) -> int:
        """Takes a request in and returns its number; see `Engine.submit`."""
        if len(ask.prompt) >= self.context:
            raise ContextLengthError(
                f"The prompt has {len(ask.prompt)} tokens and the model reads {self.context}. Shorten it; nothing is "
                "cut off.",
                param="messages",
            )
        with self._lock:
            if ask.adapter is not None and ask.adapter not in self._adapters:
                raise NotFoundError(f"The model {ask.adapter!r} is not loaded.", param="model")
            if self._is_closing:
                raise BusyError("The server is shutting down and takes no more requests.", retry_after=10.0)
            if len(self._talks) >= self._most:
                raise BusyError(f"{len(self._talks)} requests run or wait already. Try again in a moment.")
            if not self._process.is_up:
                raise BusyError("vLLM has died and is being started again. Try again in a moment.", retry_after=10.0)
            self._num_asked += 1
            talk = _Talk(self._num_asked, ask, sink, TextStream(self.tokenizer, ask.sampling.stop))
            self._talks[talk.number] = talk
            if ask.adapter is not None:
                self._users[ask.adapter] += 1
            # Under the lock: what comes behind the loop's end would never begin, and its client never be told.
            self._loop.call_soon_threadsafe(self._begin, talk)
        return talk.number

    def cancel(self, number: int) -> None:
        """Ends a request whose answer nobody waits for any more."""
        talk = self._talks.get(number)
        if talk is not None:
            self._loop.call_soon_threadsafe(lambda: talk.task is not None and talk.task.cancel())

    def load(self, adapter: str, folder: Path) -> None:
        """Makes an adapter ready; returns when it can be asked for.

        Raises:
            EngineError: it does not fit what vLLM made room for, or vLLM cannot use it.
        """
        self._require_open()
        if self._is_loaded(adapter):
            return
        with self._loading:
            if self._is_loaded(adapter):
                return
            self._require_fits(folder)
            with self._asking() as client:
                _load(client, adapter, folder)
            with self._lock:
                self._adapters[adapter] = folder

    def unload(self, adapter: str) -> None:
        """Forgets an adapter as soon as nothing is written with it."""
        self._require_open()
        with self._lock:
            self._leaving.add(adapter)
        self._drop(adapter)

    def status(self) -> Load:
        """Returns how much is running, which is what has written a token, and how much is waiting."""
        with self._lock:
            running = sum(talk.has_begun for talk in self._talks.values())
            return Load(running, len(self._talks) - running)

    def close(self, *, timeout: float | None = None) -> None:
        """Takes nothing in any more, finishes what runs, and stops; after `timeout` seconds what is left is ended."""
        with self._lock:
            self._is_closing = True
        end = None if timeout is None else time.monotonic() + timeout
        while self._talks and (end is None or time.monotonic() < end):
            time.sleep(0.01)
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._process.stop()

    async def _leave(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    def _begin(self, talk: _Talk) -> None:
        talk.task = self._loop.create_task(self._write(talk))
        self._tasks.add(talk.task)
        talk.task.add_done_callback(lambda task: self._ended(talk, task))

    async def _write(self, talk: _Talk) -> None:
        """Asks for a completion and hands on its pieces; leaving early closes the stream."""
        url, body = f"{self._process.url}/v1/completions", body_of(talk.ask, self.tokenizer)
        async with (
            asyncio.timeout_at(talk.ask.deadline),
            self._client.stream("POST", url, json=body) as response,
            aclosing(cast("AsyncGenerator[str]", response.aiter_lines())) as lines,
        ):
            if response.status_code != 200:
                raise EngineError(f"vLLM: {message_of(_json(await response.aread()))}")
            async for line in lines:
                for told in tokens_of(line, talk.ask.top_logprobs):
                    if talk.number not in self._talks:
                        return  # a stop string was met before the last token of this line
                    if told.id is None:
                        piece = Piece(talk.stream.end(), end=told.finish)
                    else:
                        piece = talk.stream.piece(told.id, told.logprob, told.top, told.finish)
                    talk.has_begun = True
                    if piece.end is not None:
                        self._forget(talk)
                    self._give(talk, piece)
                    if piece.end is not None and told.finish is None:
                        return
        if talk.number in self._talks:
            raise EngineError("vLLM ended the stream before the completion.")

    def _ended(self, talk: _Talk, task: asyncio.Task[None]) -> None:
        """Gives the last piece where no token was the last."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if talk.number not in self._talks:
            return
        why: End = "error"
        if task.cancelled():
            why = "cancelled"
        elif isinstance(error, TimeoutError):
            why = "deadline"
        problem = ""
        if why == "error":
            problem = error.message if isinstance(error, HoldfastError) else f"the connection to vLLM broke ({error!r})"
            _LOG.warning("a completion failed: %s", problem)
        self._forget(talk)
        self._give(talk, Piece(talk.stream.end(), end=why, problem=problem))

    def _forget(self, talk: _Talk) -> None:
        adapter = talk.ask.adapter
        with self._lock:
            del self._talks[talk.number]
            if adapter is None:
                return
            self._users[adapter] -= 1
            is_last = adapter in self._leaving and not self._users[adapter]
        if is_last:
            Thread(target=self._drop, args=(adapter,), name="vllm-unload", daemon=True).start()

    def _give(self, talk: _Talk, piece: Piece) -> None:
        try:
            talk.sink(piece)
        except Exception:  # noqa: BLE001 - one client's fault is no other's
            _LOG.exception("a client's sink failed")

    def _is_loaded(self, adapter: str) -> bool:
        """Whether an adapter can be asked for; one that was to leave stays."""
        with self._lock:
            self._leaving.discard(adapter)
            return adapter in self._adapters

    def _drop(self, adapter: str) -> None:
        """Forgets an adapter that is to leave, if nothing is written with it."""
        with self._loading:
            with self._lock:
                if adapter not in self._leaving or self._users[adapter]:
                    return
                self._leaving.discard(adapter)
                self._users.pop(adapter, None)
                if self._adapters.pop(adapter, None) is None:
                    return
            # A server that is just dying has forgotten it already.
            with suppress(httpx2.HTTPError), self._asking() as client:
                client.post("/v1/unload_lora_adapter", json={"lora_name": adapter})

    def _load_again(self, client: httpx2.Client) -> None:
        """Gives a server that was started again the adapters that the one before had."""
        for adapter, folder in self._adapters.copy().items():
            _load(client, adapter, folder)

    def _asking(self) -> httpx2.Client:
        return httpx2.Client(
            base_url=self._process.url, headers=self._process.headers, trust_env=False, timeout=_LOAD_SECONDS
        )

    def _require_open(self) -> None:
        if self._is_closing:
            raise InvalidStateError("The engine has stopped.")
        if not self._process.is_up:
            raise BusyError("vLLM has died and is being started again. Try again in a moment.", retry_after=10.0)

    def _require_fits(self, folder: Path) -> None:
        most = self._options.max_rank
        if not most:
            raise EngineError(
                f"{folder}: an adapter, and vLLM was started without any. Leave --vllm-option enable-lora=false out."
            )
        settings = folder / "adapter_config.json"
        if not settings.is_file():
            raise EngineError(f"{folder}: no adapter_config.json, so no adapter.")
        rank = int(json.loads(settings.read_text(encoding="utf-8"))["r"])
        if rank > most:
            raise EngineError(
                f"{folder}: this adapter has rank {rank}, and vLLM was started with room for {most}. Start the server "
                "again, which looks at the versions anew, or give --vllm-option max-lora-rank=…"
            )


def _load(client: httpx2.Client, adapter: str, folder: Path) -> None:
    """Has vLLM load an adapter.

    Raises:
        EngineError: it cannot be used, or vLLM does not answer.
    """
    try:
        answer = client.post("/v1/load_lora_adapter", json={"lora_name": adapter, "lora_path": str(folder)})
    except httpx2.HTTPError as error:
        raise EngineError(f"{folder}: vLLM did not load this adapter ({error!r}).") from error
    if not answer.is_success:
        raise EngineError(f"{folder}: vLLM cannot use this adapter: {message_of(_json(answer.content))}")


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
