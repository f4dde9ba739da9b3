"""What leaves the command line when something goes wrong: one message, the right exit code, no traceback."""

import json

import pytest
import typer
from typer.testing import CliRunner

from holdfast.cli.app import app
from holdfast.cli.door import Door
from holdfast.errors import ConfigError, DataError
from holdfast.jobs.interrupt import StopRequested

COMMANDS = (
    "demo", "init", "prepare", "render", "learn", "eval", "skills", "versions", "rollback", "chat", "export", "serve",
    "worker",
)  # fmt: skip


@pytest.fixture
def run():
    """Runs a command line whose only command raises the given error."""

    def invoke(error, *arguments):
        small = typer.Typer(cls=Door, pretty_exceptions_enable=False)

        @small.callback()
        def top(*, debug: bool = False):
            del debug

        @small.command()
        def work(*, as_json: bool = typer.Option(False, "--json")):
            raise error

        return CliRunner().invoke(small, ["work", *arguments])

    return invoke


@pytest.mark.parametrize(("error", "code"), [(DataError("a bad line"), 1), (ConfigError("a bad key"), 2)])
def test_every_error_of_ours_is_one_message_and_its_exit_code(run, error, code):
    result = run(error)
    assert result.exit_code == code
    assert result.stderr == f"error: {error.message}\n"
    assert result.stdout == ""


def test_with_json_the_error_is_the_object_that_the_api_would_send(run):
    result = run(DataError("a bad line", param="training_file"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "error": {"message": "a bad line", "type": "invalid_data", "param": "training_file", "code": "invalid_data"}
    }


def test_a_defect_is_called_one_and_says_how_to_see_more(run):
    result = run(KeyError("x"))
    assert result.exit_code == 1
    assert "Holdfast broke: KeyError: 'x'" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_not_called_a_defect(run):
    result = run(OSError(28, "No space left on device"))
    assert result.exit_code == 1
    assert result.stderr == "error: No space left on device.\n"


def test_a_file_that_the_system_refuses_is_named(run):
    assert run(OSError(20, "Not a directory", "there/.holdfast")).stderr == "error: there/.holdfast: Not a directory.\n"


def test_debug_lets_the_error_through_with_its_traceback_wherever_the_flag_stands(run):
    result = run(DataError("a bad line"), "--debug")
    assert isinstance(result.exception, DataError)


def test_a_stopped_job_ends_with_the_signals_code_and_says_how_to_go_on(run):
    result = run(StopRequested(15))
    assert result.exit_code == 143
    assert "run the same command again" in result.stderr


def test_wrong_usage_has_exit_code_2():
    runner = CliRunner()
    assert runner.invoke(app, ["learn"]).exit_code == 2
    assert runner.invoke(app, ["nonsense"]).exit_code == 2
    assert runner.invoke(app, ["render", "x.jsonl", "--num", "0"]).exit_code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example_and_speaks_json(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Example: holdfast" in result.stdout
    assert "--json" in result.stdout


def test_the_commands_are_those_of_the_documentation():
    assert tuple(command.name or command.callback.__name__ for command in app.registered_commands) == COMMANDS


def test_a_missing_workspace_is_one_clear_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["skills"])
    assert result.exit_code == 1
    assert "Make one with `holdfast init`" in result.stderr
