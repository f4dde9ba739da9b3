"""The command line: which commands there are. What they do lives in `holdfast.jobs`."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast import __version__
from holdfast.cli import annotating, look, serve, teach, use
from holdfast.cli.data import data, prepare
from holdfast.cli.doctor import doctor
from holdfast.cli.door import Door
from holdfast.cli.keys import audit, keys

app = typer.Typer(
    name="holdfast",
    cls=Door,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done, 1 error, 2 wrong usage, 3 refused by the gate. "
    "Every command takes --json, and --debug shows where an error comes from.",
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if value:
        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


@app.callback()
def holdfast(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; works after the command too.")
    ] = False,
) -> None:
    """Teach one language model skill after skill, and never lose a skill it already has."""
    del version, debug  # the first is eager, the second is taken by the door


for command in (teach.demo, teach.init, prepare, look.render, teach.learn, teach.evaluate, look.skills, look.versions):
    app.command(name={"evaluate": "eval"}.get(command.__name__))(command)
for command in (use.rollback, use.chat, use.export, serve.serve, serve.worker):
    app.command()(command)
for command in (annotating.annotate, annotating.collect):
    data.command()(command)
app.add_typer(data)
app.add_typer(doctor)
app.add_typer(keys)
app.add_typer(audit)
