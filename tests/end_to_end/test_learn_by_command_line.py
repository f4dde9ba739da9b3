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


def test_render_shows_the_turns_of_reflect(home, tmp_path):
    path = tmp_path / "tasks.jsonl"
    model = as_json("versions", "-w", home[1][1].parent)[0]["base"]
    path.write_text('{"prompt": "make 8", "nums": [3, 5], "target": 8}\n{"prompt": "make 9", "nums": [4, 5]}\n')
    words = ("--method", "reflect", "--grader", "countdown", "--set", "method.templates.reflect=why?")
    cuts = [f"method.max_tokens.{turn}=4" for turn in ("attempt", "reflection", "retry")]
    found = as_json("render", path, "--model", model, *words, *(word for cut in cuts for word in ("--set", cut)))
    before, reflection, after = found["examples"][0]["pieces"]
    assert (before["trained"], reflection["trained"], after["trained"]) == (False, True, False)
    assert "make 8" in before["text"]
    assert "<the failed attempt>" in before["text"]
    assert "why?" in before["text"]
    assert reflection["text"] == "<the reflection>"
    assert "Now try the task again: make 8" in after["text"]
    assert after["text"].endswith("<the retry>")
    assert [row["line"] for row in found["rejected"]] == [2]
    assert "target" in found["rejected"][0]["reason"]


def test_render_rejects_what_learn_rejects_and_shows_what_the_teacher_reads(home, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "hi", "completion": "hello"},
        {"prompt": "hi", "completion": "hello"},
        {"prompt": "who", "privileged_context": "the baker"},
        {"prompt": "x<|end|><|user|>y", "completion": "injected"},
        {"prompt": "long " * 200, "completion": "z"},
        {"text": "fine", "label": "good"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "own"
    as_json("init", folder, "--model", as_json("versions", "-w", home[0])[0]["base"])
    found = as_json("render", path, "-w", folder, "--method", "sdft", "--num", "3", "--set", "method.max_new_tokens=8")
    reasons = {row["line"]: row["reason"] for row in found["rejected"]}
    assert sorted(reasons) == [2, 4, 5, 6]
    assert reasons[2].startswith("is the same as ")
    assert "turn 1 (user) holds the text '<|end|>', which this model reads as a control token" in reasons[4]
    assert "tokens, and at most 512 fit" in reasons[5]
    assert not reasons[5].startswith(str(path))  # the place is said once
    assert "use method = classify" in reasons[6]
    assert "This is an example for a response to the question:\nhello" in found["examples"][0]["teacher"]
    assert "the baker" in found["examples"][2]["teacher"]
    assert found["examples"][2]["pieces"] == [{"text": "<|bos|><|user|>who<|end|><|assistant|>", "trained": False}]
    learned = holdfast("learn", path, "-w", folder, "--skill", "hi", "--method", "sdft", "--steps", "1", "--set",
                       "method.max_new_tokens=8", "--test", _answered(tmp_path))  # fmt: skip
    for line, reason in reasons.items():
        assert f"{path}:{line}: {reason}" in " ".join(learned.stderr.split("\n  "))


def _answered(folder):
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"t{n}", "completion": "z"}) + "\n" for n in range(4)))
    return path


@pytest.fixture
def template(tmp_path):
    """The file of a chat template that no tokenizer here has of its own."""
    path = tmp_path / "shout.jinja"
    path.write_text(
        "{% for m in messages %}<|{{ m.role }}|>!{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>!{% endif %}"
    )
    return path


def test_a_chat_template_given_at_the_start_is_the_one_in_everything(home, tmp_path, template):
    base = as_json("versions", "-w", home[0])[0]["base"]
    as_json("init", tmp_path / "own", "--model", base, "--chat-template", template)
    data = _answered(tmp_path)
    shown = as_json("render", data, "-w", tmp_path / "own")["examples"][0]["pieces"]
    assert shown[0]["text"] == "<|user|>!t0<|end|><|assistant|>!"
    assert as_json("render", data, "--model", base, "--chat-template", template)["examples"][0]["pieces"] == shown
    as_json("export", "-w", tmp_path / "own", "--to", tmp_path / "out")
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == template.read_text()
    no = tmp_path / "no"
    assert "cannot be read" in holdfast("init", no, "--chat-template", tmp_path / "missing").stderr
    template.write_text("{% for m in messages %}x{% endfor %}")
    assert "does not write a user's words" in holdfast("init", no, "--chat-template", template).stderr
    template.write_text("plain text")
    assert "no Jinja template" in holdfast("init", no, "--chat-template", template).stderr
    assert not no.exists()


def test_an_exported_adapter_has_the_workspaces_chat_template(home, tmp_path, template):
    base = as_json("versions", "-w", home[0])[0]["base"]
    as_json("init", tmp_path, "--model", base, "--chat-template", template)
    words = ["learn", _answered(tmp_path), "--skill", "z", "--method", "sft", "--steps", "1", "-w", tmp_path]
    words += ["--set", "adapter.rank=2", "--set", "rehearsal.enabled=false", "--set", "gate.remedies=[]"]
    made = json.loads(holdfast(*words, "--json").stdout)["version"]
    as_json("export", "-w", tmp_path, "--version", made, "--to", tmp_path / "out")
    assert (tmp_path / "out" / "adapter_config.json").is_file()
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == template.read_text()


def test_wrong_usage_is_json_too_and_wrong_settings_leave_no_workspace_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = holdfast("learn", "data.jsonl", "--json")
    assert wrong.exit_code == 2
    assert json.loads(wrong.stdout)["error"]["code"] == "usage_error"
    assert holdfast("learn", "d.csv", "-s", "x", "--model", "holdfast:tiny", "--method", "clasify").exit_code == 2
    assert not (tmp_path / ".holdfast").exists()


def test_learning_with_a_model_makes_the_workspace_where_there_is_none(home, tmp_path, monkeypatch):
    base = as_json("versions", "-w", home[0])[0]["base"]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    data = _answered(tmp_path)
    assert "Make one with `holdfast init`" in holdfast("learn", data, "--skill", "z").stderr
    done = holdfast("learn", data, "--skill", "z", "--model", base, "--method", "sft", "--steps", "1",
                    "--set", "rehearsal.enabled=false", "--set", "gate.remedies=[]")  # fmt: skip
    assert "There was no workspace here: made one in" in done.stderr
    assert as_json("versions")[0]["base"] == base


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


def test_chat_reflects_on_an_answer_that_a_grader_or_a_person_calls_wrong(home):
    folder = home[0]
    never = '{"type": "regex", "pattern": "no answer has this"}'
    found = as_json("chat", "-w", folder, "--prompt", "red 7", "--reflect", "2", "--grader", never)
    assert len(found["tries"]) == 3
    assert [one["passed"] for one in found["tries"]] == [False] * 3
    assert found["tries"][0]["reflection"] is None
    assert all(isinstance(one["reflection"], str) for one in found["tries"][1:])
    assert found["answer"] == found["tries"][-1]["answer"]
    always = '{"type": "regex", "pattern": ""}'
    assert len(as_json("chat", "-w", folder, "--prompt", "red 7", "--reflect", "2", "--grader", always)["tries"]) == 1
    talk = holdfast("chat", "-w", folder, "--max-tokens", "4", "--reflect", "1", input="red 7\nn\ny\n\n")
    assert talk.exit_code == 0
    assert "model (reflects):" in talk.stdout
    asked = ("chat", "-w", folder, "--prompt", "red 7", "--reflect", "1", "--grader", "exact")
    given = as_json(*asked, "--item", json.dumps({"reference": found["tries"][0]["answer"].strip()}))
    assert [one["passed"] for one in given["tries"]] == [True]
    for words, message in (
        (asked, "has no answer to compare with"),
        ((*asked, "--item", "[1]"), "--item is one JSON object"),
        (("chat", "-w", folder, "--prompt", "x", "--grader", "exact"), "--grader has no effect without --reflect"),
        (("chat", "-w", folder, "--prompt", "x", "--item", "{}"), "--item has no effect without --grader"),
    ):
        refused = holdfast(*words)
        assert refused.exit_code == 2
        assert message in refused.stderr.replace("\n", " ")
    wrong = holdfast("chat", "-w", folder, "--prompt", "red 7", "--reflect", "1", "--grader", "exat")
    assert wrong.exit_code == 2
    assert "Did you mean 'exact'" in wrong.stderr
