"""Commands that serve: serve, and the worker that it starts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import door
from holdfast.cli.options import ConfigOption, JsonOption, WorkspaceOption
from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.jobs.engines import Vllm

VllmPythonOption = Annotated[
    Path | None,
    typer.Option("--vllm-python", metavar="PATH", help="The interpreter that has vLLM; default: this one."),
]
VllmOptions = Annotated[
    list[str] | None,
    typer.Option("--vllm-option", metavar="KEY=VALUE", help="An option of vLLM's own server; repeatable."),
]
GraderServers = Annotated[
    list[str] | None,
    typer.Option(
        "--grader-server", metavar="URL=VARIABLE", help="A server that graders may ask, and its key's variable."
    ),
]
EmbeddingModel = Annotated[
    str | None,
    typer.Option(
        "--embedding-model",
        metavar="MODEL",
        help="The sentence encoder of /v1/embeddings: a folder or an id of sentence-transformers.",
        show_default="all-MiniLM-L6-v2",
    ),
]


def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="The port to listen at.")] = 8000,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="NAME=MODEL", help="Let MODEL answer under another name, too; repeatable."),
    ] = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Start the process that learns.")] = True,
    engine: Annotated[
        str, typer.Option("--engine", help="What writes: in-process, or vllm as a process of its own.")
    ] = "in-process",
    vllm_python: VllmPythonOption = None,
    vllm_option: VllmOptions = None,
    max_running: Annotated[int, typer.Option("--max-running", min=1, help="Completions written at once.")] = 32,
    max_waiting: Annotated[int, typer.Option("--max-waiting", min=0, help="Completions that may wait.")] = 256,
    grader_server: GraderServers = None,
    embedding_model: EmbeddingModel = None,
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

    names = dict(_pair("alias", one, "NAME=MODEL, such as gpt-4o-mini=current") for one in alias or [])
    recipe = {} if config is None else read_recipe(config, []).model_dump(mode="json", exclude_unset=True)
    vllm = _vllm(engine, vllm_python, vllm_option or [])
    example = "URL=VARIABLE, such as https://api.openai.com/v1=OPENAI_API_KEY"
    servers = dict(_pair("grader-server", one, example) for one in grader_server or [])
    servers = {url.rstrip("/"): variable for url, variable in servers.items()}
    sizes = (max_running, max_waiting, requests_per_minute)
    settings = Settings(host, port, names, worker, *sizes, recipe, vllm, servers, embedding_model)
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


def _vllm(engine: str, python: Path | None, options: list[str]) -> Vllm | None:
    """Returns how vLLM is started, or None where another engine writes."""
    from holdfast.jobs.engines import Vllm

    if engine == "vllm":
        example = "KEY=VALUE, such as gpu-memory-utilization=0.5"
        given = dict(_pair("vllm-option", one, example) for one in options)
        return Vllm(python or Path(sys.executable), {key.lstrip("-").replace("_", "-"): given[key] for key in given})
    if engine != "in-process":
        raise ConfigError(f"--engine {engine}: choose in-process or vllm.", param="engine")
    for name, value in (("vllm-python", python), ("vllm-option", options)):
        if value:
            raise ConfigError(f"--{name} has no effect without --engine vllm.", param=name)
    return None


def _pair(option: str, text: str, example: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign and value):
        raise ConfigError(f"--{option} {text}: give {example}.", param=option)
    return key, value
