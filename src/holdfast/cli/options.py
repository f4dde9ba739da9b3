"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
VersionOption = Annotated[
    str | None, typer.Option("--version", help="A version's id.", show_default="the current version")
]
