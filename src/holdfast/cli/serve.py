"""Commands that serve: serve, and the worker that it starts."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli import door
from holdfast.cli.options import ConfigOption, JsonOption, WorkspaceOption
from holdfast.errors import ConfigError


def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="The port to listen at.")] = 8000,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="NAME=MODEL", help="Let MODEL answer under another name, too; repeatable."),
    ] = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Start the process that learns.")] = True,
    max_running: Annotated[int, typer.Option("--max-running", min=1, help="Completions written at once.")] = 32,
    max_waiting: Annotated[int, typer.Option("--max-waiting", min=0, help="Completions that may wait.")] = 256,
    config: ConfigOption = None,
    requests_per_minute: Annotated[
        int, typer.Option("--requests-per-minute", min=0, help="Of each key; 0 = no limit.")
    ] = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the workspace as OpenAI's API: files, fine-tuning jobs, models, chat completions.

    Point the stock client at it: OpenAI(base_url="http://127.0.0.1:8000/v1"). With --json the address is written as
    soon as it answers; port 0 takes a free one.

    Example: holdfast serve --alias gpt-4o-mini-2024-07-18=current
    """
    from holdfast.api.server import Settings, run
    from holdfast.jobs.workspace import read_recipe

    names = dict(_alias(one) for one in alias or [])
    recipe = {} if config is None else read_recipe(config, []).model_dump(mode="json", exclude_unset=True)
    settings = Settings(host, port, names, worker, max_running, max_waiting, requests_per_minute, recipe)
    run(settings, workspace, door.put_json if as_json else None)


def worker(
    *,
    parent: Annotated[
        int | None, typer.Option("--parent", metavar="PID", help="Stop when this process is gone.", show_default="none")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Carry out the jobs that wait, and leave.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry out fine-tuning jobs as they come: what `serve` starts beside itself.

    Example: holdfast worker --workspace my-assistant
    """
    from holdfast.jobs.interrupt import StopSwitch, turn_with_parent
    from holdfast.jobs.worker import Worker
    from holdfast.jobs.workspace import find

    with find(workspace) as found, StopSwitch().listening() as stop:
        if parent is not None:
            turn_with_parent(stop, parent)
        done = Worker(found, stop).run(once=once)
    if as_json:
        door.put_json({"jobs": done})


def _alias(text: str) -> tuple[str, str]:
    name, sign, model = text.partition("=")
    if not (name and sign and model):
        raise ConfigError(f"--alias {text}: give NAME=MODEL, such as gpt-4o-mini=current.", param="alias")
    return name, model
