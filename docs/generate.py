"""Writes docs/reference/ from the code: commands, recipe, plan, data formats, graders, errors. Run it with `make docs`.

The architecture tests compare these pages with the code, so a page that is out of date fails `make test`.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

REFERENCE = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/generate.py from the code: change the code and run `make docs`. -->\n\n"


def pages() -> dict[str, str]:
    """Returns the text of every reference page by file name."""
    found = {
        "cli.md": command_line(),
        "config.md": recipe(),
        "errors.md": errors(),
        "formats.md": formats(),
        "graders.md": graders(),
        "plan.md": plan(),
    }
    return {name: WRITTEN + text.rstrip() + "\n" for name, text in found.items()}


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Returns a Markdown table; a bar inside a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def command_line() -> str:
    """Returns the page of the command line, from the program's own parser."""
    import typer.main

    from holdfast.cli.app import app

    program = typer.main.get_command(app)
    text = [f"# Command line\n\n{program.help}\n\n{program.epilog}\n"]
    text += [_command(name, command) for name, command in _commands(program)]
    return "\n".join(text)


def _commands(program: object, before: str = "") -> Iterator[tuple[str, object]]:
    """Yields every command with its whole name, those of groups too."""
    for name, command in vars(program)["commands"].items():
        if "commands" in vars(command):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def _command(name: str, command: object) -> str:
    paragraphs = (inspect.cleandoc(vars(command)["help"]) + "\n").split("\n\n")
    example = next((p for p in paragraphs if p.startswith("Example:")), "").removeprefix("Example:").strip()
    words = "\n\n".join(p.strip() for p in paragraphs if not p.startswith("Example:"))
    shown = [p for p in vars(command)["params"] if not p.hidden]
    rows = [(_spelling(p), _value(p), p.help or "") for p in shown]
    return f"## holdfast {name}\n\n{words}\n\n" + table(("option", "default", "meaning"), rows) + f"\n    {example}\n"


def _spelling(parameter: typing.Any) -> str:  # noqa: ANN401 - typer keeps the class private
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    kind = parameter.type_descriptor.annotation
    word = "" if parameter.is_flag else " " + (parameter.metavar or getattr(kind, "__name__", "text").upper())
    word = {" STR": " TEXT", " LIST": " TEXT", " INT": " N", " FLOAT": " X"}.get(word, word)
    return f"`{', '.join(parameter.opts)}{word}`"


def _value(parameter: typing.Any) -> str:  # noqa: ANN401 - as above
    if parameter.required:
        return "needed"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.is_flag if parameter.param_type_name == "option" else False:
        return "off"
    if parameter.default in (None, Path()):
        return "" if parameter.default is None else "this folder"
    return f"`{parameter.default}`"


def recipe() -> str:
    """Returns the page of every setting, one table a settings class."""
    from holdfast.training.config import Recipe

    text = [
        "# The recipe\n\n"
        "One object for TOML (`--config`), the command line (`--set key=value`) and Python "
        "(`holdfast.training.config.Recipe`). An unknown key is an error that names the nearest known one, and so is "
        "a setting that would have no effect.\n"
    ]
    text += [_settings(prefix, settings) for prefix, settings in _tables(Recipe, "")]
    return "\n".join(text)


def plan() -> str:
    """Returns the page of every setting of a preparation, one table a check."""
    from holdfast.data.doctor.plan import Plan

    text = [
        "# The plan of a preparation\n\n"
        "What `holdfast prepare` reads with `--plan` and `--set key=value`, and what it writes beside the data as "
        "`plan.toml`, with every decision as it was taken. An unknown key is an error that names the nearest known "
        "one.\n"
    ]
    text += [_settings(prefix, settings) for prefix, settings in _tables(Plan, "")]
    return "\n".join(text)


def _tables(settings: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, settings
    for name, field in settings.model_fields.items():
        for inner in _models(field.annotation):
            yield from _tables(inner, f"{prefix}{name}.")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _settings(prefix: str, settings: type[BaseModel]) -> str:
    kind = settings.model_fields.get("type")
    choice = f' with `type = "{kind.default}"`' if kind is not None else ""
    title = f"`{prefix.rstrip('.')}`{choice}" if prefix else "Top level"
    rows = [
        (f"`{prefix}{name}`", _type(field.annotation, field), _default(field), field.description or "")
        for name, field in settings.model_fields.items()
        if name != "type"
    ]
    about = inspect.cleandoc(settings.__doc__ or "")
    body = table(("key", "type", "default", "meaning"), rows) if rows else "No settings.\n"
    return f"## {title}\n\n{about}\n\n{body}"


def _type(annotation: object, field: FieldInfo | None = None) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type(parts[0]) + _bounds(parts[1:])
    bounds = _bounds(tuple(field.metadata)) if field is not None else ""
    if origin in (Union, UnionType):
        words = [_type(part) for part in parts if part is not NoneType]
        return " or ".join(dict.fromkeys(words)) + bounds
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (tuple, list):
        return f"list of {_type(parts[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {str: "text", int: "whole number", float: "number", bool: "true/false"}
    return names.get(typing.cast("type", annotation), str(annotation)) + bounds


def _bounds(metadata: tuple[object, ...]) -> str:
    found = [m for item in metadata for m in getattr(item, "metadata", [item])]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    words = [f"{sign} {getattr(m, name):g}" for m in found for name, sign in signs.items() if hasattr(m, name)]
    return f" {' and '.join(words)}" if words else ""


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, BaseModel):
        kind = getattr(value, "type", None)
        return f'`type = "{kind}"`' if kind else "see below"
    if isinstance(value, tuple):
        return _listed(typing.cast("tuple[object, ...]", value), field.annotation)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"`{value}`" if value != "" else "empty"


def _listed(values: tuple[object, ...], annotation: object) -> str:
    """Returns a default list: that it is every choice in the order in which they are listed, or else its values."""
    inner = next(iter(typing.get_args(annotation)), None)
    if not values:
        return "empty"
    if values == typing.get_args(inner):
        return "all, in this order"
    return ", ".join(f"`{value}`" for value in values)


def formats() -> str:
    """Returns the page of data formats, in the order in which they are tried."""
    from holdfast.data.formats import FORMATS

    def names(columns: tuple[str, ...]) -> str:
        return ", ".join(f"`{column}`" for column in columns)

    rows = [
        (known.name, names(known.needs), names(known.also), (inspect.getdoc(known.convert) or "").split("\n\n")[0])
        for known in FORMATS
    ]
    return (
        "# Data formats\n\nA row belongs to the first of these whose columns it has. Columns that are not used are "
        "named aloud. [Your own data](../how-to/own-data.md) shows a row of each.\n\n"
        + table(("format", "needs", "also reads", "what becomes of it"), rows)
    )


def graders() -> str:
    """Returns the page of graders: name, what it judges, and the settings of those that have some."""
    from holdfast.graders import GRADERS, Grader

    def about(grader: object) -> str:
        return (inspect.getdoc(grader) or "").split("\n\n")[0]

    rows = [(f"`{name}`", about(GRADERS[name])) for name in sorted(GRADERS)]
    page = (
        "# Graders\n\nA grader judges one completion: a score from 0 to 1, whether it passed, and why. "
        'Choose one with `--grader`: a name, or a file with its JSON (`{"type": NAME, ...settings}`); without it the '
        "form of the data decides. [How to write one](../how-to/graders.md).\n\n"
        + table(("name", "what it judges"), rows)
        + "\nEvery grader with settings also has `name`, and `pass_threshold`: the least value that passes, 1 where "
        "its table names no other.\n"
    )
    for name, kind in sorted(GRADERS.items()):
        if isinstance(kind, type):
            common = Grader.model_fields
            threshold = kind.model_fields["pass_threshold"].default != common["pass_threshold"].default
            fields = {
                key: field
                for key, field in kind.model_fields.items()
                if key not in common or (key == "pass_threshold" and threshold)
            }
            own = [
                (
                    f"`{field.alias or key}`",
                    _kind_of(field),
                    "needed" if field.is_required() else f"`{_default_of(field)}`",
                )
                for key, field in fields.items()
            ]
            extra = f"\n\nNeeds `pip install 'holdfast[{kind.needs}]'`." if kind.needs else ""
            page += f"\n## {name}\n\n{inspect.getdoc(kind)}{extra}\n\n" + table(("setting", "kind", "default"), own)
    return page


def _kind_of(field: FieldInfo) -> str:
    text = str(field.annotation) if get_origin(field.annotation) else getattr(field.annotation, "__name__", "")
    text = re.sub(r"[a-z_.]+\.([A-Z])", r"\1", text).replace("typing.", "").replace(", ...]", "]")
    return f"`{text.replace('tuple[', 'list[').replace('dict[', 'object[')}`"


def _default_of(field: FieldInfo) -> str:
    value = field.default
    return json.dumps(value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value)


def errors() -> str:
    """Returns the page of every error that Holdfast raises on purpose."""
    from holdfast.errors import HoldfastError

    def tree(error: type[HoldfastError], depth: int) -> Iterator[tuple[str, ...]]:
        about = inspect.cleandoc(error.__doc__ or "")
        yield f"`{error.code}`", "· " * depth + f"`{error.__name__}`", str(error.exit_code), about
        for child in error.__subclasses__():
            if child.__module__.startswith("holdfast"):
                yield from tree(child, depth + 1)

    return (
        "# Errors\n\nEvery error says what, where and what to do. With `--json` it is "
        '`{"error": {"message", "type", "param", "code"}}` on stdout; `--debug` shows the traceback. '
        "Exit codes: 0 done, 1 error, 2 wrong usage, 3 refused by the gate.\n\n"
        + table(("code", "class", "exit code", "meaning"), list(tree(HoldfastError, 0)))
    )


def main() -> None:
    """Writes the pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
        print(f"docs/reference/{name}: {len(text.splitlines())} lines")


if __name__ == "__main__":
    main()
