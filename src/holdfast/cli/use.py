"""Commands that use what was learned: rollback, chat, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import door
from holdfast.cli.options import JsonOption, VersionOption, WorkspaceOption

if TYPE_CHECKING:
    from holdfast.jobs.chat import Classification, Conversation


def rollback(
    *,
    to: Annotated[
        str | None, typer.Option("--to", help="A version's id.", show_default="the parent of the current")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an earlier version the current one again; nothing is deleted.

    Example: holdfast rollback --to v1
    """
    from holdfast.jobs import workspace as workspaces

    before, after = workspaces.roll_back(workspaces.find(workspace), to)
    if as_json:
        door.put_json({"before": before, "current": after})
    elif before == after:
        typer.echo(f"{after} is the current version already; nothing was moved.")
    else:
        typer.echo(f"The current version is {after} again (it was {before}, which is kept).")


def chat(
    *,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Ask once and leave.", show_default="a conversation")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="A system turn.", show_default=False)] = None,
    version: VersionOption = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 = always the likeliest token.")] = 0.0,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 256,
    seed: Annotated[int, typer.Option("--seed", help="For a temperature above 0.")] = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to a version.

    For a skill of kind classify, `--version` names its version and the answer is the class.

    Example: holdfast chat --prompt "Where is my refund?"
    """
    from holdfast.errors import ConfigError
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.chat import open_conversation

    if as_json and prompt is None:
        raise ConfigError("chat --json answers one question: give it with --prompt.", param="prompt")
    talk = open_conversation(
        workspaces.find(workspace),
        version=version,
        system=system,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
    )
    if prompt is None:
        _converse(talk)
        return
    answer = talk.ask(prompt)
    if as_json:
        door.put_json(
            {"version": talk.version, "prompt": prompt, "answer": answer.text, "finish_reason": answer.finish_reason}
        )
    else:
        typer.echo(answer.text)


def _converse(talk: Conversation | Classification) -> None:
    """Reads turns from the terminal until an empty line or the end of the input."""
    typer.echo(f"Version {talk.version}. An empty line ends the conversation.", err=True)
    while True:
        try:
            text = input("you: ")
        except EOFError:
            return
        if not text.strip():
            return
        typer.echo(f"model: {talk.ask(text).text}")


def export(
    *,
    to: Annotated[Path, typer.Option("--to", help="A new folder.", show_default=False)],
    version: VersionOption = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Write full weights with the adapter merged in, instead of the adapter.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a version as a folder that transformers and peft load as it is.

    Example: holdfast export --to my-model --merge
    """
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.export import export as write_export

    done = write_export(workspaces.find(workspace), to, version=version, merge=merge)
    if as_json:
        door.put_json(done.to_json())
    else:
        typer.echo(done.text)
