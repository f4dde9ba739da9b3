"""Every error in OpenAI's shape, with the status from one table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from holdfast import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

    from holdfast.errors import HoldfastError

_LOG = logging.getLogger(__name__)

STATUS: Mapping[type[HoldfastError], int] = {
    errors.AuthenticationError: 401,
    errors.PermissionDeniedError: 403,
    errors.NotFoundError: 404,
    errors.TooLargeError: 413,
    errors.BusyError: 429,
    errors.RequestError: 400,  # a wrong state is 400, never 409: clients try a 409 again
    errors.ConfigError: 400,
    errors.DataError: 400,
    errors.ContextLengthError: 400,
    errors.ModelError: 400,
    errors.GraderError: 400,
    errors.EngineError: 500,
    errors.StoreError: 503,
    errors.TrainingError: 500,
    errors.HoldfastError: 500,
}
"""The first class that an error is one of."""
_NOT_PARSED = "There was an error parsing the body"
"""What FastAPI says of a body that is no UTF-8, or on which its parser gave up."""
_UNREADABLE = "The body cannot be read as JSON: it is not UTF-8, is nested too deeply, or holds too long a number."
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def body_of(message: str, *, kind: str, code: str | None, param: str | None) -> dict[str, dict[str, str | None]]:
    """Returns an error as the client reads it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response_of(error: HoldfastError) -> JSONResponse:
    """Returns the response to an error of ours."""
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = "model_not_found" if status == 404 and error.param == "model" else error.code
    headers: dict[str, str] = {}
    if isinstance(error, errors.BusyError):
        headers["retry-after"] = f"{error.retry_after:g}"
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body_of(error.message, kind=kind, code=code, param=error.param), status, headers)


def failed(error: Exception) -> JSONResponse:
    """Writes an error that is nobody's fault but ours into the log, and returns the response to it."""
    _LOG.error("a request failed", exc_info=error)
    message = "The server had an error while processing your request."
    return JSONResponse(body_of(message, kind="server_error", code=None, param=None), 500)


def add_handlers(app: FastAPI) -> None:
    """Lets every error leave in OpenAI's shape."""

    def ours(_: Request, error: Exception) -> JSONResponse:
        return response_of(cast("HoldfastError", error))

    def invalid(_: Request, error: Exception) -> JSONResponse:
        first = cast("RequestValidationError", error).errors()[0]
        if first["type"] == "json_invalid":
            told = f"The body is not JSON: {first['ctx']['error']} (character {first['loc'][-1] + 1})."
            return JSONResponse(body_of(told, kind="invalid_request_error", code="invalid_json", param=None), 400)
        place = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header", "form")]
        param = ".".join(place) or None
        told = str(first["msg"]).removeprefix("Value error, ")
        message = f"{param}: {told}" if param else told
        code = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}.get(first["type"])
        return JSONResponse(body_of(message, kind="invalid_request_error", code=code, param=param), 400)

    def http(_: Request, error: Exception) -> JSONResponse:
        known = cast("HTTPException", error)
        kind = _TYPES.get(known.status_code, "invalid_request_error")
        code = "unknown_url" if known.status_code == 404 else None
        message = _UNREADABLE if known.detail == _NOT_PARSED else str(known.detail)
        body = body_of(message, kind=kind, code=code, param=None)
        return JSONResponse(body, known.status_code, known.headers)

    app.add_exception_handler(errors.HoldfastError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
