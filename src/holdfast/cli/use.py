"""Commands that use what was learned: rollback, chat, export."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from holdfast.cli import door
from holdfast.cli.options import JsonOption, VersionOption, WorkspaceOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.jobs.chat import Classification, Conversation, Try
    from holdfast.types import Completion, JSONValue, Score


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
    reflect: Annotated[
        int, typer.Option("--reflect", min=0, help="How often a wrong answer is reflected on and tried again.")
    ] = 0,
    grader: Annotated[
        str | None,
        typer.Option("--grader", help="Who tells whether an answer is wrong, for --reflect.", show_default="you"),
    ] = None,
    item: Annotated[
        str | None,
        typer.Option("--item", metavar="JSON", help="What the grader reads besides the question, as one JSON object."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to a version.

    For a skill of kind classify, `--version` names its version and the answer is the class. With --reflect the model
    reflects on a wrong answer and tries again; without a grader you are asked whether an answer was right.

    Example: holdfast chat --prompt "Where is my refund?"
    """
    from holdfast.errors import ConfigError
    from holdfast.jobs import workspace as workspaces
    from holdfast.jobs.chat import open_conversation

    if as_json and prompt is None:
        raise ConfigError("chat --json answers one question: give it with --prompt.", param="prompt")
    columns, grader = _columns_in(item, grader), _ready_grader(grader, reflect)
    talk = open_conversation(
        workspaces.find(workspace),
        version=version,
        system=system,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
    )
    if prompt is None:
        _converse(talk, reflect, grader, columns)
        return
    tries = _tries(talk, prompt, reflect, grader, columns)
    answer = tries[-1].answer
    if not as_json:
        typer.echo(answer.text)
        return
    found: dict[str, JSONValue] = {
        "version": talk.version, "prompt": prompt, "answer": answer.text, "finish_reason": answer.finish_reason
    }  # fmt: skip
    if reflect:
        found["tries"] = [_as_json(each) for each in tries]
    door.put_json(found)


def _tries(
    talk: Conversation | Classification, text: str, reflect: int, grader: str | None, columns: Mapping[str, JSONValue]
) -> list[Try]:
    """Returns the answer to `text`, and those before it that were wrong."""
    from holdfast.errors import ConfigError
    from holdfast.jobs.chat import Classification, Try, answer_by_trying, judge_of

    if not reflect:
        return [Try(talk.ask(text), None, None)]
    if isinstance(talk, Classification):
        raise ConfigError("A classifier answers with a class and cannot reflect. Leave --reflect out.", param="reflect")
    if grader is None:
        return answer_by_trying(talk, text, reflect, _ask_whether_right)
    tries = answer_by_trying(talk, text, reflect, judge_of(talk, grader, text, columns))
    last = tries[-1].score
    if last is not None and last.error_type is not None:
        typer.echo(f"warning: the answer could not be graded: {last.explanation}", err=True)
    return tries


def _ready_grader(grader: str | None, reflect: int) -> str | None:
    """Returns the grader that was named, or that the named file holds, after saying what it has to say."""
    from holdfast.errors import ConfigError
    from holdfast.graders.grader_file import is_file, read_grader
    from holdfast.jobs.grading import announce

    if grader is None:
        return None
    if not reflect:
        raise ConfigError("--grader has no effect without --reflect.", param="grader")
    spec = read_grader(grader) if is_file(grader) else grader
    announce(spec, lambda sentence: typer.echo(f"warning: {sentence}", err=True))
    return spec


def _columns_in(item: str | None, grader: str | None) -> dict[str, JSONValue]:
    """Returns the JSON object that was given for the grader; refuses one that nobody would read."""
    from holdfast.errors import ConfigError

    if item is not None and grader is None:
        raise ConfigError("--item has no effect without --grader.", param="item")
    try:
        found = json.loads(item or "{}")
    except ValueError as error:
        raise ConfigError(f"--item is not JSON: {error}.", param="item") from None
    except RecursionError:
        raise ConfigError("--item is nested too deeply to be read.", param="item") from None
    if not isinstance(found, dict):
        raise ConfigError('--item is one JSON object, such as \'{"reference": "42"}\'.', param="item")
    return cast("dict[str, JSONValue]", found)


def _ask_whether_right(answer: Completion) -> Score:
    """Lets the person at the terminal judge an answer."""
    from holdfast.types import Score

    typer.echo(f"model: {answer.text}", err=True)
    right = typer.confirm("Was that right?", default=True, err=True)
    return Score(value=float(right), passed=right, explanation="as you said")


def _as_json(tried: Try) -> JSONValue:
    score = tried.score
    return {
        "answer": tried.answer.text,
        "reflection": tried.reflection,
        "passed": None if score is None or score.error_type is not None else score.passed,
        "explanation": "" if score is None else score.explanation,
    }


def _converse(
    talk: Conversation | Classification, reflect: int, grader: str | None, columns: Mapping[str, JSONValue]
) -> None:
    """Reads turns from the terminal until an empty line or the end of the input."""
    typer.echo(f"Version {talk.version}. An empty line ends the conversation.", err=True)
    while True:
        try:
            text = input("you: ")
        except EOFError:
            return
        if not text.strip():
            return
        tries = _tries(talk, text, reflect, grader, columns)
        for before, after in pairwise(tries):
            typer.echo(f"model (wrong): {before.answer.text}")
            typer.echo(f"model (reflects): {after.reflection}")
        typer.echo(f"model: {tries[-1].answer.text}")


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
