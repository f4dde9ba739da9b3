"""What is true of every request: it has an id, it is written to the access log, and too large a body is refused."""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import TYPE_CHECKING

from holdfast.api.errors import response_of
from holdfast.errors import TooLargeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from holdfast.api.state import Limits

_LOG = logging.getLogger("holdfast.access")
_FILES = ("/v1/files", "/v1/uploads")


class Access:
    """Plain ASGI around the application, so that a client that goes away is seen by the handlers."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits

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

        most = self._limits.file_bytes + (1 << 20) if scope["path"].startswith(_FILES) else self._limits.body_bytes
        try:
            if int(headers.get("content-length") or 0) > most:
                error = TooLargeError(f"The request has more than {most:,} bytes, which is the limit.")
                await response_of(error)(scope, receive, tell)
            else:
                await self._app(scope, receive, tell)
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


def _id_of(given: str) -> str:
    """Returns the client's id of a request if it is fit to be written down, else a new one."""
    fit = 0 < len(given) <= 128 and given.isascii() and given.isprintable()
    return given if fit else f"req_{secrets.token_hex(12)}"
