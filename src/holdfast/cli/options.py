"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.errors import ConfigError

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        envvar="HOLDFAST_WORKSPACE",
        help="Folder of the workspace; without it, the nearest .holdfast upward from here.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document on stdout, for programs.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Base model: holdfast:tiny, a Hugging Face id, or a local folder.",
        show_default="the workspace's, or holdfast:tiny",
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option("--method", help="auto, sft, sdft, dpo, reflect or classify.", show_default="the recipe's, or auto"),
]
TemplateOption = Annotated[
    Path | None,
    typer.Option(
        "--chat-template",
        help="A Jinja file that writes the model's turns, where its tokenizer has no chat template or a wrong one.",
        show_default="the tokenizer's own",
        dir_okay=False,
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="A recipe in TOML.", show_default=False, dir_okay=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides one setting of the recipe; repeatable."),
]
DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A .jsonl, .json, .csv or .parquet file, or a Hugging Face data set id; #N samples N rows.",
        show_default=False,
    ),
]
TestOption = Annotated[
    str | None,
    typer.Option("--test", help="Held-out test items, in any format of DATA.", show_default="a share of DATA"),
]
GraderOption = Annotated[
    str | None, typer.Option("--grader", help="How answers are judged.", show_default="by the form of the data")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=COLUMN",
        help="Which column of DATA holds what: --column label=sentiment; repeatable.",
        show_default="columns of Holdfast's own names",
    ),
]
VersionOption = Annotated[
    str | None, typer.Option("--version", help="A version's id.", show_default="the current version")
]


def overrides_of(overrides: list[str] | None, **given: object) -> list[str]:
    """Returns the settings of `--set`, and after them those that have an option of their own and were given.

    A `__` in a name stands for the dot of the setting's.

    >>> overrides_of(["seed=1"], method="sft", batch__max_tokens=None, evaluation__grader="exact")
    ['seed=1', 'method=sft', 'evaluation.grader=exact']
    """
    own = [f"{name.replace('__', '.')}={value}" for name, value in given.items() if value is not None]
    return [*(overrides or []), *own]


def columns_of(pairs: list[str] | None) -> dict[str, str]:
    """Returns what `--column NAME=COLUMN` says: Holdfast's name -> the column of the data.

    >>> columns_of(["label=sentiment"])
    {'label': 'sentiment'}
    """
    found: dict[str, str] = {}
    for pair in pairs or []:
        name, sign, column = pair.partition("=")
        if not (name and sign and column):
            raise ConfigError(f"--column {pair}: write NAME=COLUMN, for example label=sentiment.", param="column")
        if name in found:
            raise ConfigError(f"--column: {name} is given twice.", param="column")
        found[name] = column
    return found
