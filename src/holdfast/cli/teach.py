"""Commands that teach and test: demo, init, learn, eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli import door, tables
from holdfast.cli.options import (
    ColumnOption,
    ConfigOption,
    DataArgument,
    GraderOption,
    JsonOption,
    MethodOption,
    ModelOption,
    SetOption,
    TemplateOption,
    TestOption,
    VersionOption,
    WorkspaceOption,
    columns_of,
    overrides_of,
)


def demo(
    *,
    seed: Annotated[int, typer.Option("--seed", help="Every draw of the demo derives from it.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option("--to", help="Where to keep the demo's workspaces.", show_default="a temporary folder"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn three skills in a row on the embedded base and show that nothing is forgotten.

    Once the Holdfast way, once by plain fine-tuning; both matrices side by side. Needs no network.

    Example: holdfast demo --seed 1
    """
    from holdfast.cli.bars import reporter
    from holdfast.jobs.demo import run_demo
    from holdfast.jobs.demo_result import demo_text

    result = run_demo(seed=seed, folder=folder, progress=reporter())
    if as_json:
        door.put_json(result.to_json())
    else:
        typer.echo(demo_text(result))


def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to make it.")] = Path(),
    *,
    model: ModelOption = None,
    chat_template: TemplateOption = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="An empty PostgreSQL database: postgresql://USER@HOST/NAME, the password in PGPASSWORD or ~/.pgpass.",
            show_default="a SQLite file in the workspace",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: the folder .holdfast, which remembers skills, versions, runs and scores.

    Example: holdfast init my-assistant --model holdfast:tiny
    """
    from holdfast.jobs.workspace import create

    made = create(folder, base=model or "holdfast:tiny", chat_template=chat_template, database=database)
    if as_json:
        told = {"workspace": str(made.path), "base": made.base, "version": made.version, "database": made.database}
        door.put_json(told)
        return
    typer.echo(f"Made a workspace in {made.path}; it starts from {made.base} (version {made.version}).")
    if database is not None:
        typer.echo(f"Its tables are in {made.database}.")
    typer.echo("Teach it something: holdfast learn DATA --skill NAME")


def learn(
    data: DataArgument,
    *,
    skill: Annotated[str, typer.Option("--skill", "-s", help="A name for what is learned.", show_default=False)],
    method: MethodOption = None,
    model: ModelOption = None,
    test: TestOption = None,
    column: ColumnOption = None,
    grader: GraderOption = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Optimizer steps.", show_default="by the data")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Every draw derives from it.", show_default="0")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Learn it anew even if this very order was decided before.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach the current version a new skill and promote the result if no earlier skill suffers.

    Killed or stopped, the same command goes on where it was. Exit code 3: the gate refused the result.
    Where there is no workspace yet, --model makes one here that starts from that model.

    Example: holdfast learn refunds.jsonl --skill refunds --test refunds.test.jsonl
    """
    from holdfast.cli.bars import reporter
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.learn import learn as run_learn
    from holdfast.jobs.words import outcome_text

    words = overrides_of(overrides, method=method, base=model, evaluation__grader=grader, steps=steps, seed=seed)
    watcher = reporter()
    asked = workspaces.read_recipe(config, words)  # first, so that wrong settings leave no workspace behind
    place = workspaces.find_or_create(workspace, base=model, progress=watcher)
    recipe = workspaces.on_base(place, asked)
    with StopSwitch().listening() as stop:
        result = run_learn(
            place,
            data,
            skill=skill,
            recipe=recipe,
            progress=watcher,
            test_source=test,
            columns=columns_of(column),
            again=again,
            stop=stop,
        )
    if as_json:
        door.put_json(result.to_json())
    else:
        typer.echo(outcome_text(result))
    if result.status == "refused":
        raise typer.Exit(door.REFUSED)


def evaluate(
    *,
    skill: Annotated[
        list[str] | None, typer.Option("--skill", "-s", help="A skill to test; repeatable.", show_default="all")
    ] = None,
    version: VersionOption = None,
    anew: Annotated[bool, typer.Option("--anew", help="Test again even where scores are stored.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test a version on the held-out items of every skill.

    Example: holdfast eval --skill refunds --version v1
    """
    from holdfast.cli.bars import reporter
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.evaluate import evaluate_version

    found = evaluate_version(
        workspaces.find(workspace), version=version, skills=skill or [], progress=reporter(), anew=anew
    )
    if as_json:
        door.put_json(found.to_json())
    else:
        tables.show_scores(found)
