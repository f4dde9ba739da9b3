"""The command line; it decides nothing."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line with the process's arguments and ends the process with its exit code."""
    from holdfast.cli.app import app

    app()
