"""Commands that examine before anything is trained: doctor reflect."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli import door, tables
from holdfast.cli.options import (
    ColumnOption,
    ConfigOption,
    DataArgument,
    GraderOption,
    JsonOption,
    ModelOption,
    SetOption,
    WorkspaceOption,
    columns_of,
    overrides_of,
)

doctor = typer.Typer(name="doctor", no_args_is_help=True, help="Examine whether a method can learn from some data.")


@doctor.callback()
def examine() -> None:
    """Examine whether a method can learn from some data."""


@doctor.command()
def reflect(
    data: DataArgument,
    *,
    grader: GraderOption = None,
    model: ModelOption = None,
    column: ColumnOption = None,
    num: Annotated[int, typer.Option("--num", "-n", min=2, help="Tasks to try.")] = 200,
    config: ConfigOption = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try tasks, reflect on the failures, try again, and compare with every control.

    Tells whether `learn --method reflect` has something to learn from: how many failed tasks recover after their own
    reflection, after that of another task, after a fixed one, without any, and by a new sample alone.

    Example: holdfast doctor reflect tasks.jsonl --grader countdown
    """
    from holdfast.cli.bars import reporter
    from holdfast.errors import NotFoundError
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.doctor import examine_reflection
    from holdfast.jobs.interrupt import StopSwitch

    words = overrides_of(overrides, method="reflect", base=model, evaluation__grader=grader)
    recipe, _ = workspaces.reading_here(workspace, config, words, None)
    try:
        place = workspaces.find(workspace)
    except NotFoundError:
        if workspace is not None:
            raise
        place = None
    with StopSwitch().listening() as stop:
        found = examine_reflection(
            place, data, recipe=recipe, num=num, columns=columns_of(column), progress=reporter(), stop=stop
        )
    if as_json:
        door.put_json(found.to_json())
    else:
        tables.show_diagnosis(found)
