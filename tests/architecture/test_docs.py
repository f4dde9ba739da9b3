"""The docs describe what is: generated pages are fresh, links lead somewhere, commands and keys exist."""

import importlib.util
import re

import pytest

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
COMMAND = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?holdfast ([a-z]+)(.*)$", re.MULTILINE)
TARGET = re.compile(r"\bmake ([a-z][a-z-]+)")


@pytest.fixture(scope="module")
def generator(repository):
    spec = importlib.util.spec_from_file_location("generate_reference", repository / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def texts(repository):
    """Every page that people read, with its text."""
    paths = [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]
    return {path: path.read_text() for path in sorted(paths)}


def test_the_reference_is_what_the_code_says(generator, repository):
    folder = repository / "docs" / "reference"
    stale = [
        name
        for name, text in generator.pages().items()
        if not (folder / name).is_file() or (folder / name).read_text() != text
    ]
    assert not stale, f"out of date: {stale}; run `make docs`"


def test_every_link_leads_to_a_file(texts):
    dead = [
        f"{path}: {target}"
        for path, text in texts.items()
        for target in LINK.findall(text)
        if not (path.parent / target).exists()
    ]
    assert not dead, "\n".join(dead)


def command_errors(text, known):
    """What is wrong with the command lines in a page: an unknown command, or an option that it does not have."""
    for name, rest in COMMAND.findall(text):
        if name not in known:
            yield f"holdfast {name}: no such command"
            continue
        rest = rest.split("#")[0]
        for option in re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", rest):
            if option not in known[name] | {"--debug", "--help"}:
                yield f"holdfast {name}: no option {option}"


@pytest.fixture(scope="module")
def commands():
    import typer.main

    from holdfast.cli.app import app

    program = vars(typer.main.get_command(app))["commands"]

    def options(command):
        own = {o for p in vars(command)["params"] for o in p.opts if o.startswith("-")}
        return own.union(*(options(inner) for inner in vars(command).get("commands", {}).values()))

    return {name: options(command) for name, command in program.items()}


def test_every_command_in_the_docs_exists_with_its_options(texts, commands):
    wrong = [f"{path.name}: {error}" for path, text in texts.items() for error in command_errors(text, commands)]
    assert not wrong, "\n".join(wrong)


CODE = re.compile(r"```.*?```|^ {4}[^\n]*|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def test_every_make_target_in_the_docs_exists(texts, repository):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (repository / "Makefile").read_text(), re.MULTILINE))
    code = {path: " ".join(CODE.findall(text)) for path, text in texts.items()}
    wrong = [
        f"{p.name}: make {name}" for p, text in code.items() for name in TARGET.findall(text) if name not in targets
    ]
    assert not wrong, "\n".join(wrong)


def test_every_setting_in_the_docs_exists(texts):
    from holdfast.data.doctor.plan import Plan
    from holdfast.settings import known_keys
    from holdfast.training.config import Recipe

    keys = {"key", *known_keys(Recipe), *known_keys(Plan)}
    wrong = [
        f"{path.name}: {key}"
        for path, text in texts.items()
        for key in re.findall(r"--set ([a-z_.0-9]+)=", text)
        if key not in keys
    ]
    assert not wrong, "\n".join(wrong)


def test_the_check_of_commands_sees_what_does_not_exist():
    known = {"learn": {"--skill"}}
    assert list(command_errors("    holdfast learn data.jsonl --skill a\n", known)) == []
    assert list(command_errors("    holdfast learn x --speed 3\n    holdfast fly\n", known)) == [
        "holdfast learn: no option --speed",
        "holdfast fly: no such command",
    ]
