"""Commands about data: prepare, and data ls, show and diff."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import door, findings
from holdfast.cli.options import (
    ColumnOption,
    JsonOption,
    ModelOption,
    WorkspaceOption,
    columns_of,
)
from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.store.workspace import Workspace

data = typer.Typer(name="data", no_args_is_help=True, help="Look at versions of prepared data; have rows labelled.")

PlaceArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="A version's folder, or the first digits of its hash.", show_default=False)
]


SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Files (.jsonl, .json, .csv, .tsv, .xlsx, .parquet, also .gz), folders, globs, documents, "
        "URL::QUERY or URL::TABLE of a database, or Hugging Face data sets.",
        show_default=False,
    ),
]
PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", help="Settings and decisions in TOML: plan.toml of an earlier version replays it."),
]
PlanSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides one setting of the plan; repeatable."),
]
TestsOption = Annotated[
    list[str] | None, typer.Option("--test", help="Held-out items; repeatable.", show_default="a share of SOURCE")
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option("--keep", help="A column of the example itself that a grader reads by its name; repeatable."),
]
ReviewOption = Annotated[
    Path | None,
    typer.Option("--review", help="A folder to write clusters of duplicates to, the kept row of each marked."),
]
LabelFunctionsOption = Annotated[
    Path | None,
    typer.Option(
        "--label-functions",
        metavar="FILE",
        help="Python functions that vote for the label of rows without one, as checks.weak_labels.functions.",
    ),
]
ToOption = Annotated[
    Path | None, typer.Option("--to", help="Where versions are kept.", show_default="the workspace's data folder")
]
NewByOption = Annotated[
    str | None,
    typer.Option(
        "--new-by",
        metavar="COLUMN",
        help="Of tables (URL::TABLE) take the rows that are new since the last preparation, by a column that grows.",
        show_default="off",
    ),
]
AugmentOption = Annotated[
    str | None,
    typer.Option(
        "--augment",
        metavar="WAYS",
        help="Add other wordings of training rows: some of polite,please,contraction,typo,paraphrase (needs a writer).",
        show_default="none",
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Look at rows on a Ray cluster: its address, `auto` for this machine's, `local` to start one here.",
        show_default="on this machine",
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=1,
        metavar="N",
        help="Look at rows in N processes of this machine.",
        show_default="one for each core, for many rows",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Ask nothing: do what is proposed.")]


@data.callback()
def versions_of_data() -> None:
    """Look at versions of prepared data, and have rows labelled by people."""


def prepare(
    sources: SourcesArgument,
    *,
    skill: Annotated[str, typer.Option("--skill", "-s", help="What the data teaches.", show_default=False)],
    plan: PlanOption = None,
    overrides: PlanSetOption = None,
    test: TestsOption = None,
    column: ColumnOption = None,
    keep: KeepOption = None,
    model: ModelOption = None,
    review: ReviewOption = None,
    label_functions: LabelFunctionsOption = None,
    to: ToOption = None,
    new_by: NewByOption = None,
    augment: AugmentOption = None,
    ray: RayOption = None,
    processes: ProcessesOption = None,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn raw data into a checked, documented version that `learn` takes, and say what became of every row.

    Each finding has a number, and a remedy that is done if you agree. With --quiet, --json or no terminal, every
    proposed remedy is done. Nothing is lost: changed and rejected rows are in changed.jsonl and rejected.jsonl.

    Example: holdfast prepare refunds.csv tickets/ --skill refunds
    """
    from holdfast.cli.bars import reporter
    from holdfast.jobs.prepare import Request
    from holdfast.jobs.prepare import prepare as run_prepare
    from holdfast.jobs.preparing_here import plan_of, recipe_here

    if ray is not None and processes is not None:
        raise ConfigError("--processes changes nothing with --ray: the cluster looks at rows. Name one of them.")
    place = _workspace(workspace)
    recipe, template = recipe_here(place, model)
    request = Request(
        sources=sources,
        skill=skill,
        plan=plan_of(plan, [*_wordings(augment), *_labelling(label_functions), *(overrides or [])]),
        recipe=recipe,
        tests=test or [],
        columns=columns_of(column),
        keep=keep or [],
        chat_template=template,
        review=review,
        to=to,
        new_by=new_by,
        ray=ray,
        processes=processes,
    )
    asks = not (quiet or as_json) and sys.stdin.isatty()
    found = run_prepare(place, request, approve=findings.ask if asks else None, progress=reporter())
    if as_json:
        door.put_json(found.to_json())
    else:
        findings.show_prepared(found, asked=asks)


def _labelling(functions: Path | None) -> list[str]:
    """Returns what a file of labelling functions is as a setting of the plan."""
    return [] if functions is None else [f"checks.weak_labels.functions={json.dumps(str(functions))}"]


def _wordings(augment: str | None) -> list[str]:
    """Returns the settings that `--augment` stands for."""
    if augment is None:
        return []
    ways = [way.strip() for way in augment.split(",") if way.strip()]
    return ["augment.enabled=true", f"augment.ways={json.dumps(ways)}"]


@data.command(name="ls")
def list_versions(
    *,
    to: Annotated[Path | None, typer.Option("--in", help="Folder of versions.", show_default="the workspace's")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions of prepared data.

    Example: holdfast data ls
    """
    from holdfast.data.output.version import versions

    found = versions(_folder(to, workspace))
    if as_json:
        door.put_json([version.to_json() for version in found])
    else:
        findings.show_versions(found)


@data.command()
def show(
    place: PlaceArgument,
    *,
    to: Annotated[Path | None, typer.Option("--in", help="Folder of versions.", show_default="the workspace's")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version: its parts, its numbers, its sources; every file is compared with its hash.

    Example: holdfast data show 3f9a
    """
    from holdfast.data.output.version import load

    found = load(place, _folder(to, workspace, place))
    if as_json:
        door.put_json(found.to_json())
    else:
        findings.show_version(found)


@data.command()
def diff(
    one: PlaceArgument,
    other: PlaceArgument,
    *,
    to: Annotated[Path | None, typer.Option("--in", help="Folder of versions.", show_default="the workspace's")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what one version has that another has not: added, removed and changed rows, and shifts of labels.

    Example: holdfast data diff 3f9a 77b0
    """
    from holdfast.data.output.difference import difference
    from holdfast.data.output.version import load

    root = _folder(to, workspace, one)
    found = difference(load(one, root), load(other, root))
    if as_json:
        door.put_json(found.to_json())
    else:
        findings.show_difference(found)


def _workspace(path: Path | None) -> Workspace | None:
    from holdfast.errors import NotFoundError
    from holdfast.jobs import workspace as workspaces

    try:
        return workspaces.find(path)
    except NotFoundError:
        if path is not None:
            raise
        return None


def _folder(to: Path | None, workspace: Path | None, place: str = "") -> Path:
    """Returns the folder of versions; where a version is named by its own folder, no workspace is needed."""
    if to is not None:
        return to
    if place and (Path(place) / "manifest.json").is_file():
        return Path(place).parent
    from holdfast.jobs import workspace as workspaces

    return workspaces.find(workspace).root / "data"
