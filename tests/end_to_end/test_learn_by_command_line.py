"""A newcomer's afternoon, command by command: init, render, learn, skills, versions, eval, chat, rollback, export."""

import json

import pytest
from typer.testing import CliRunner

from holdfast.cli.app import app


@pytest.fixture(scope="module")
def home(small_base, quick, tmp_path_factory):
    """A workspace that was taught one skill by the command line, with the outcome of that command."""
    folder = tmp_path_factory.mktemp("home")
    data = folder / "red.jsonl"
    rows = [{"prompt": f"red {number}", "completion": "ok"} for number in range(60)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = holdfast("init", folder, "--model", small_base)
    assert made.exit_code == 0, made.stderr
    assert f"starts from {small_base} (version v1)" in made.stdout.replace("\n", " ")
    words = ["learn", data, "--skill", "red", "-w", folder]
    words += [word for setting in quick for word in ("--set", setting)]
    return folder, words, holdfast(*words)


def holdfast(*words, **more):
    return CliRunner().invoke(app, [str(word) for word in words], **more)


def as_json(*words):
    result = holdfast(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_learn_tells_what_was_learned_and_where_the_report_is(home):
    folder, _, learned = home
    assert learned.exit_code == 0, learned.stderr
    assert "red 0.0% before, 100.0% after on 12 items." in learned.stdout
    assert "The gate accepted v2: it is the current version now (v1 before it is kept)." in learned.stdout
    assert f"Report: {folder}/.holdfast/runs/run-1/report.html" in learned.stdout
    assert "training: 48/48 steps" in learned.stderr
    assert "steps/s" in learned.stderr or "s a step" in learned.stderr
    assert "writing reminders" in learned.stderr
    assert "testing red" in learned.stderr


def test_the_same_command_again_is_done_at_once(home):
    _, words, _ = home
    done = as_json(*words)
    assert (done["already"], done["version"], done["status"]) == (True, "v2", "accepted")


def test_skills_shows_the_matrix(home):
    folder = home[0]
    matrix = as_json("skills", "-w", folder)
    assert matrix["skills"] == ["red"]
    assert [(row["version"], row["scores"]) for row in matrix["rows"]] == [("v1", {"red": 0.0}), ("v2", {"red": 1.0})]
    text = holdfast("skills", "-w", folder).stdout
    assert "→ v2" in text
    assert "100.0" in text


def test_versions_shows_the_tree_with_the_current_one_marked(home):
    folder = home[0]
    nodes = as_json("versions", "-w", folder)
    assert [(node["id"], node["parent"], node["current"]) for node in nodes] == [
        ("v1", None, False),
        ("v2", "v1", True),
    ]
    assert "→ v2  red  accepted" in holdfast("versions", "-w", folder).stdout


def test_eval_tests_a_version_again_and_comes_to_the_same(home):
    found = as_json("eval", "-w", home[0], "--version", "v2", "--anew")
    row = found["skills"][0]
    assert (row["skill"], row["passed"], row["total"]) == ("red", 12, 12)
    assert row["low"] == pytest.approx(0.7575, abs=1e-3)  # Wilson: 12 / (12 + 1.96²)


def test_chat_answers_one_question_or_holds_a_conversation(home):
    folder = home[0]
    assert as_json("chat", "-w", folder, "--prompt", "red 7") == {
        "version": "v2",
        "prompt": "red 7",
        "answer": "ok",
        "finish_reason": "stop",
    }
    talk = holdfast("chat", "-w", folder, "--max-tokens", "4", input="red 7\nred 8\n\n")
    assert talk.exit_code == 0
    assert talk.stdout.count("model: ") == 2
    assert holdfast("chat", "-w", folder, "--json").exit_code == 2


def test_render_marks_the_trained_part_and_names_bad_rows(home, tmp_path):
    base = home[1][1].parent
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"prompt": "hi", "completion": "hello"}\n{"prompt": "hi", "completion": ""}\n')
    model = as_json("versions", "-w", base)[0]["base"]
    found = as_json("render", path, "--model", model)
    assert found["examples"][0]["pieces"] == [
        {"text": "<|bos|><|user|>hi<|end|><|assistant|>", "trained": False},
        {"text": "hello<|end|>", "trained": True},
    ]
    assert found["rejected"][0]["line"] == 2
    assert "⟦hello<|end|>⟧" in holdfast("render", path, "--model", model).stdout


def test_rollback_and_export(home, tmp_path):
    folder = home[0]
    assert as_json("rollback", "-w", folder) == {"before": "v2", "current": "v1"}
    assert holdfast("rollback", "-w", folder).exit_code == 1
    assert as_json("rollback", "-w", folder, "--to", "v2")["current"] == "v2"
    done = as_json("export", "-w", folder, "--to", tmp_path / "out")
    assert (done["version"], done["form"]) == ("v2", "full weights")
    assert (tmp_path / "out" / "model.safetensors").is_file()
    refused = holdfast("export", "-w", folder, "--to", tmp_path / "out")
    assert refused.exit_code == 2
    assert "not an empty folder" in refused.stderr


def test_a_refusal_is_exit_code_3_and_changes_nothing(home, tmp_path):
    folder, words, _ = home
    path = tmp_path / "noise.jsonl"
    rows = [{"prompt": f"q{number}", "completion": f"a{number * 7919 % 1000}"} for number in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused = holdfast(*["learn", path, "--skill", "noise", "-w", folder, *words[6:]], "--set", "gate.remedy_budget=0")
    assert refused.exit_code == 3, refused.stderr
    assert "v2 stays the current version" in refused.stdout
    assert as_json("versions", "-w", folder)[1]["current"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--set", "optimizer.learning_rat=1"], 2, "did you mean optimizer.learning_rate?"),
        (["--model", "other/model"], 2, "needs a workspace of its own"),
        (["--grader", "exactly"], 2, "There is no grader 'exactly'. Did you mean 'exact'?"),
        (["--test", "nothing.jsonl"], 1, "nothing.jsonl"),
        (["--config", "nothing.toml"], 2, "nothing.toml"),
    ],
)
def test_a_wrong_order_is_one_clear_message(home, words, code, message):
    result = holdfast(*home[1], *words)
    assert result.exit_code == code
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output
