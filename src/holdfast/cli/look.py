"""Commands that show and change nothing: render, skills, versions."""

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
    MethodOption,
    ModelOption,
    SetOption,
    TemplateOption,
    WorkspaceOption,
    columns_of,
    overrides_of,
)


def render(
    data: DataArgument,
    *,
    method: MethodOption = None,
    model: ModelOption = None,
    grader: GraderOption = None,
    chat_template: TemplateOption = None,
    column: ColumnOption = None,
    num: Annotated[int, typer.Option("--num", "-n", min=1, help="Examples to show.")] = 2,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Longest example.", show_default="the model's context")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show examples as the model will read them, with the part it is trained on marked.

    Also checks every line of the file, and names those that `learn` would reject, with the reason. With
    --method sdft it also shows what the teacher reads, with --method dpo the rejected answer, with --method reflect
    the turns of attempt, reflection and retry. It needs no workspace.

    Example: holdfast render refunds.jsonl --num 1
    """
    from holdfast.cli.bars import reporter
    from holdfast.jobs.render import render as render_data
    from holdfast.jobs.workspace import reading_here

    words = overrides_of(overrides, method=method, base=model, evaluation__grader=grader, batch__max_tokens=max_tokens)
    recipe, template = reading_here(workspace, config, words, chat_template)
    found = render_data(
        data, recipe=recipe, num=num, columns=columns_of(column), chat_template=template, progress=reporter()
    )
    if as_json:
        door.put_json(found.to_json())
    else:
        tables.show_rendered(found)


def skills(*, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show the accuracy matrix: every version's score on every skill.

    Example: holdfast skills --json
    """
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.overview import skill_matrix

    found = skill_matrix(workspaces.find(workspace))
    if as_json:
        door.put_json(found.to_json())
    else:
        tables.show_matrix(found)


def versions(*, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show the tree of versions, with the current one marked.

    Example: holdfast versions
    """
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.overview import version_tree

    found = version_tree(workspaces.find(workspace))
    if as_json:
        door.put_json([node.to_json() for node in found])
    else:
        tables.show_versions(found)
