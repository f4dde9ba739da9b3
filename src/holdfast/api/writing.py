"""The answers of one request while they are written: handed to the engine, collected, let go when nobody waits."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from fastapi.responses import StreamingResponse

from holdfast.api.chat_request import as_text
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request
    from starlette.types import Receive, Scope, Send

    from holdfast.api.state import Reply
    from holdfast.jobs.served import Opened
    from holdfast.serving.engine import Ask, Piece, Sink

    _Item: TypeAlias = tuple[int, Piece]


@dataclass(slots=True)
class Choice:
    """One of the answers, as far as it is written."""

    index: int
    text: str = ""
    pieces: list[Piece] = field(default_factory=list["Piece"])
    end: str | None = None

    def take(self, piece: Piece) -> None:
        """Adds what came."""
        self.text += piece.text
        if piece.id is not None:
            self.pieces.append(piece)
        self.end = piece.end


class Writing:
    """The answers of one request while they are written: submits them, hands their pieces on, cancels what is left."""

    def __init__(self, opened: Opened, asks: list[Ask]) -> None:
        self.opened = opened
        self.choices = [Choice(index) for index in range(len(asks))]
        self._asks = asks
        self._numbers: list[int] = []
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()

    def start(self) -> None:
        """Hands every ask to the engine; if one is refused, those before it are cancelled."""
        mailbox = _mailbox()

        def sink_of(index: int) -> Sink:
            return lambda piece: mailbox.put(self._queue, (index, piece))

        try:
            for index, ask in enumerate(self._asks):
                self._numbers.append(self.opened.engine.submit(ask, sink_of(index)))
        except HoldfastError:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Ends whatever is still being written."""
        for number in self._numbers:
            self.opened.engine.cancel(number)

    async def pieces(self, *, joined: bool = False) -> AsyncIterator[tuple[Choice, Piece]]:
        """Yields pieces as they come, until every answer has ended.

        `joined`: what of one answer came since the last time is one piece, so that a slow reader is sent less often.
        """
        left = len(self.choices)
        try:
            while left:
                for index, piece in self._come(await self._queue.get(), joined=joined):
                    if piece.end == "error":
                        raise HoldfastError(f"The model could not write this: {piece.problem}")
                    left -= piece.end is not None
                    yield self.choices[index], piece
        finally:
            if left:
                self.cancel()

    def _come(self, first: _Item, *, joined: bool) -> list[_Item]:
        """Takes in what has come by now, and returns it."""
        found = [first]
        while not self._queue.empty():
            found.append(self._queue.get_nowait())
        for index, piece in found:
            self.choices[index].take(piece)
        if not joined or len(found) == 1:
            return found
        last = dict(found)
        text = {index: "".join(piece.text for other, piece in found if other == index) for index in last}
        return [(index, replace(piece, text=text[index])) for index, piece in last.items()]


class _Mailbox:
    """Carries pieces from the engines' threads into a loop, which is woken once for all that come at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[asyncio.Queue[_Item], _Item]] = deque()
        self._is_called = False

    def put(self, queue: asyncio.Queue[_Item], item: _Item) -> None:
        """Hands an item over, from any thread; a loop that has ended wants none."""
        self._waiting.append((queue, item))
        if not self._is_called:
            self._is_called = True
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_called = False
        while self._waiting:
            queue, item = self._waiting.popleft()
            queue.put_nowait(item)


_MAILBOXES: WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = WeakKeyDictionary()


def _mailbox() -> _Mailbox:
    """Returns the mailbox of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _MAILBOXES:
        _MAILBOXES[loop] = _Mailbox(loop)
    return _MAILBOXES[loop]


DONE = "data: [DONE]\n\n"
"""The last event of a stream."""


def event(told: Reply) -> str:
    """Returns an object as an event of a stream."""
    return f"data: {as_text(told)}\n\n"


def failure(error: HoldfastError) -> str:
    """Returns the event that ends a stream which could not be written to its end."""
    return event({"error": {"message": error.message, "type": "server_error", "code": error.code}})


class Stream(StreamingResponse):
    """Events as they are written; when the client has gone, or all is said, nothing is written any more."""

    def __init__(self, events: AsyncIterator[str], writing: Writing) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._writing = writing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._writing.cancel()


async def read_whole(request: Request, writing: Writing) -> None:
    """Waits until every answer is written; if the client goes away, what is written until then is all."""
    listening = asyncio.ensure_future(_gone(request))
    reading = asyncio.ensure_future(_read(writing))
    try:
        await asyncio.wait({listening, reading}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            writing.cancel()
        await reading
    finally:
        listening.cancel()
        reading.cancel()


def usage_of(num_prompt: int, written: int) -> Reply:
    """Returns the tokens read and written."""
    return {"prompt_tokens": num_prompt, "completion_tokens": written, "total_tokens": num_prompt + written}


def finish_of(choice: Choice) -> str:
    """Returns why an answer ended, in OpenAI's words."""
    return "stop" if choice.end == "stop" else "length"


async def _read(writing: Writing) -> None:
    async for _ in writing.pieces():
        pass


async def _gone(request: Request) -> None:
    """Returns when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
