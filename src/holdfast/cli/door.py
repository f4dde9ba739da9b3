"""The outer door of every command: flags that stand anywhere, errors as one clear message, exit codes."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from holdfast.errors import HoldfastError
from holdfast.jobs.interrupt import StopRequested
from holdfast.jobs.words import resume_hint

DONE, ERROR, USAGE, REFUSED = 0, 1, 2, 3
"""The exit codes; a run stopped by a signal ends with 128 + its number, as every program does."""


class Door(TyperGroup):
    """Runs a command and turns whatever goes wrong into a message and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps its Context private
        """Takes `--debug` from wherever it stands before the usual parsing."""
        before_dashes = args[: args.index("--")] if "--" in args else args
        ctx.meta["holdfast.debug"] = "--debug" in before_dashes
        ctx.meta["holdfast.json"] = "--json" in before_dashes
        kept = [word for word in before_dashes if word != "--debug"]
        return super().parse_args(ctx, kept + args[len(before_dashes) :])

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps its Context private
        """Runs the command; no traceback leaves it unless `--debug` was given."""
        try:
            return super().invoke(ctx)
        except HoldfastError as error:
            if ctx.meta["holdfast.debug"]:
                raise
            tell(error.message, code=error.code, param=error.param, as_json=ctx.meta["holdfast.json"])
            raise typer.Exit(error.exit_code) from None
        except (StopRequested, typer.Abort, KeyboardInterrupt) as stop:
            raise typer.Exit(_stopped(stop)) from None
        except (typer.Exit, BrokenPipeError):
            raise
        except OSError as error:  # a full disk, a file without permission: not a defect
            if ctx.meta["holdfast.debug"]:
                raise
            tell(_what_failed(error), code="os_error", param=None, as_json=ctx.meta["holdfast.json"])
            raise typer.Exit(ERROR) from None
        except Exception as error:
            if _is_usage(error) and ctx.meta["holdfast.json"]:
                tell(error.format_message(), code="usage_error", param=None, as_json=True)  # pyright: ignore[reportAttributeAccessIssue] - click's
                raise typer.Exit(USAGE) from None
            if ctx.meta["holdfast.debug"] or _is_usage(error):
                raise
            text = f"Holdfast broke: {type(error).__name__}: {error}. Nothing that was finished is lost. "
            text += "Run it again with --debug to see where, and please report that."
            tell(text, code="internal_error", param=None, as_json=ctx.meta["holdfast.json"])
            raise typer.Exit(ERROR) from None


def _stopped(stop: BaseException) -> int:
    """Says how to go on and returns the exit code; Ctrl-C may also come where a question waits for its answer."""
    if isinstance(stop, StopRequested):
        typer.echo(resume_hint(sys.argv[1:]), err=True)
        return stop.exit_code
    typer.echo("Stopped. What was finished before is kept; nothing is half written.", err=True)
    return 128 + signal.SIGINT


def _what_failed(error: OSError) -> str:
    """Returns the file, if one is named, and what the system says about it, without its number."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}." if error.strerror else str(error)


def _is_usage(error: Exception) -> bool:
    """Tells whether the parser raised this error and shows it itself (it has its own exit code, 2)."""
    return hasattr(error, "show") and hasattr(error, "exit_code")


def tell(message: str, *, code: str, param: str | None, as_json: bool) -> None:
    """Writes an error: one paragraph on stderr, or on stdout the object that the HTTP API would send."""
    if as_json:
        put_json({"error": {"message": message, "type": code, "param": param, "code": code}})
        return
    with contextlib.suppress(BrokenPipeError):
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(message, err=True)


def put_json(value: object) -> None:
    """Writes one JSON document on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
