"""What is true of every request: it has an id, it is written to the access log, and too large a body is refused."""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import TYPE_CHECKING

from fastapi.concurrency import run_in_threadpool

from holdfast.api.entry import Pace, admitted, scope_of
from holdfast.api.errors import failed, response_of
from holdfast.errors import RequestError, TooLargeError
from holdfast.store.audit import ACTOR
from holdfast.store.key_ring import PROJECT

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from holdfast.api.state import State

_LOG = logging.getLogger("holdfast.access")
_FILES = ("/v1/files", "/v1/uploads")


class Access:
    """Plain ASGI around the application, so that a client that goes away is seen by the handlers."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state
        self._pace = Pace(state.limits.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        name, begin, status = _id_of(headers.get("x-request-id", "")), time.perf_counter(), 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                took = f"{(time.perf_counter() - begin) * 1000:.0f}"
                own = [(b"x-request-id", name.encode()), (b"openai-processing-ms", took.encode())]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        bounded = _Bounded(receive, self._most(scope["path"]))
        try:
            await self._admit(scope, headers)
            await self._app(scope, bounded, bounded.unless_over(tell))
            if bounded.is_over and not status:
                raise bounded.error
        except RequestError as error:
            await response_of(error)(scope, receive, tell)
        except Exception as error:
            if status:
                raise  # an answer has begun: only the end of the connection tells the client
            await failed(error)(scope, receive, tell)
        finally:
            took = (time.perf_counter() - begin) * 1000
            told = {
                "id": name,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "ms": round(took, 1),
            }
            _LOG.info("%s", json.dumps(told))
            route = getattr(scope.get("route"), "path", "none")
            self._state.counts.answered(scope["method"], route, status, took / 1000)

    def _most(self, path: str) -> int:
        """Returns how many bytes a request to `path` may have."""
        limits = self._state.limits
        return limits.file_bytes + (1 << 20) if path.startswith(_FILES) else limits.body_bytes

    async def _admit(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raises RequestError for a request that is not taken; sets who is acting, and for which project."""
        path, most = scope["path"], self._most(scope["path"])
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise _too_large(most)
        wanted = scope_of(scope["method"], path)
        if wanted is None:
            return
        workspace = self._state.workspace
        record = await run_in_threadpool(admitted, headers, wanted, workspace.known_key, workspace.has_keys)
        address = scope["client"][0] if scope.get("client") else "unknown"
        self._pace.count(record.id if record is not None else address)
        PROJECT.set(record.project if record is not None else None)
        ACTOR.set(f"key:{record.id}" if record is not None else f"address:{address}")


class _Bounded:
    """A body that comes without its length, counted as it comes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left = receive, most
        self.error = _too_large(most)

    @property
    def is_over(self) -> bool:
        """Whether more came than is taken."""
        return self._left < 0

    async def __call__(self) -> Message:
        """Returns what comes next; raises TooLargeError where it is too much."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self.is_over:
            raise self.error
        return message

    def unless_over(self, send: Send) -> Send:
        """Returns `send` as long as the body is not too large: whatever is made of a part of it is not sent."""

        async def tell(message: Message) -> None:
            if not self.is_over:
                await send(message)

        return tell


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(f"The request has more than {most:,} bytes, which is the limit.")


def _id_of(given: str) -> str:
    """Returns the client's id of a request if it is fit to be written down, else a new one."""
    fit = 0 < len(given) <= 128 and given.isascii() and given.isprintable()
    return given if fit else f"req_{secrets.token_hex(12)}"
