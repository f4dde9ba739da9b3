"""The whole order in one process: learn, be refused, try remedies, roll back, classify, look, export."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from holdfast.errors import ConfigError, DataError, NothingToLearnError, TeacherNotBetterError
from holdfast.jobs.interrupt import StopRequested, StopSwitch
from holdfast.jobs.learn import learn
from holdfast.jobs.progress import Silent, SilentBar
from holdfast.jobs.workspace import on_base, read_recipe


def teach(workspace, source, skill, settings, **more):
    recipe = on_base(workspace, read_recipe(None, list(settings)))
    progress = more.pop("progress", Silent())
    return learn(workspace, source, skill=skill, recipe=recipe, progress=progress, **more)


class Impatient(Silent):
    """Asks for a stop after some steps of the training."""

    def __init__(self, stop, after):
        super().__init__()
        self.stop, self.after = stop, after

    @contextmanager
    def bar(self, title, total, *, unit, done=0):
        yield self if title == "training" else SilentBar()

    def update(self, done, total=None, note="", metrics=None):
        if done == self.after:
            self.stop.turn()


@pytest.fixture
def taught(workspace, lesson, quick):
    """A workspace that was taught one skill."""
    data, test = lesson("red.jsonl", "red", "ok", 40), lesson("red.test.jsonl", "red", "ok", 160, start=500)
    return workspace, teach(workspace, data, "red", quick, test_source=test)


def test_a_skill_is_learned_accepted_and_reported(taught):
    workspace, result = taught
    assert result.status == "accepted"
    assert workspace.current().id == result.version.id == "v2"
    assert result.parent.scores["red"] == 0.0
    assert result.version.scores["red"] == 1.0
    assert result.words[0] == "red 0.0% before, 100.0% after on 160 items."
    page = result.report_path.read_text()
    assert "<svg" in page
    assert "red: accepted" in page
    run = workspace.run(result.run_id)
    assert run.state == "succeeded"
    assert len(workspace.steps(result.run_id)) == 48
    assert not list(result.report_path.parent.glob("training-*")), "checkpoints of a finished run are deleted"


def test_the_same_order_again_does_nothing_and_says_so(taught, lesson, quick):
    workspace, result = taught
    data, test = lesson("other-name.jsonl", "red", "ok", 40), lesson("red.test.jsonl", "red", "ok", 160, start=500)
    assert data.endswith("other-name.jsonl")
    source = data.replace("other-name", "red")
    repeated = teach(workspace, source, "red", quick, test_source=test)
    assert repeated.already
    assert repeated.version.id == result.version.id
    assert len(workspace.runs()) == 1


def test_a_skill_that_destroys_an_earlier_one_is_refused_after_remedies_and_kept(taught, lesson, quick):
    workspace, first = taught
    data, test = lesson("blue.jsonl", "red", "no", 40), lesson("blue.test.jsonl", "red", "no", 160, start=900)
    settings = [*quick, 'rehearsal={"enabled": false}', "gate.remedy_budget=3"]
    result = teach(workspace, data, "blue", settings, test_source=test)
    assert result.status == "refused"
    assert [attempt["kind"] for attempt in result.attempts] == [
        "trained",
        "earlier_checkpoint",
        "interpolation",
        "lower_learning_rate",  # without rehearsal there is no more of it to give
    ]
    assert all("red" in attempt["scores"] for attempt in result.attempts)
    assert workspace.current().id == first.version.id
    assert {workspace.version(a["version"]).status for a in result.attempts} <= {"refused", "candidate"}
    assert workspace.version(result.attempts[0]["version"]).status == "refused"
    assert "stays the current version" in " ".join(result.words)
    again = teach(workspace, data, "blue", settings, test_source=test)
    assert again.already
    assert again.status == "refused"


def test_registered_prompts_of_earlier_skills_become_reminders(taught, lesson, quick):
    workspace, _ = taught
    data, test = lesson("sky.jsonl", "sky", "up", 40), lesson("sky.test.jsonl", "sky", "up", 30, start=500)
    progress = Silent()
    result = teach(workspace, data, "sky", quick, test_source=test, progress=progress)
    assert any("12 registered" in said for said in progress.said)
    assert any("only answer 'inconclusive'" in warned for warned in progress.warned)
    assert set(result.version.scores) == {"red", "sky"}


def test_without_a_test_file_a_share_is_held_out_and_said(workspace, lesson, quick):
    progress = Silent()
    result = teach(workspace, lesson("red.jsonl", "red", "ok", 50), "red", quick, progress=progress)
    assert any("10 of 50 examples are held out as the test" in said for said in progress.said)
    assert len(workspace.scores(result.version.id, "red")) == 10


def test_rows_that_cannot_be_used_are_named_and_kept(workspace, lesson, quick, tmp_path):
    path = tmp_path / "mixed.jsonl"
    good = Path(lesson("red.jsonl", "red", "ok", 50)).read_text()
    too_long = json.dumps({"prompt": "red " * 400, "completion": "y"})
    path.write_text(good + '{"prompt": "x", "completion": ""}\n{broken\n' + too_long)
    progress = Silent()
    result = teach(workspace, str(path), "red", quick, progress=progress)
    warning = next(warned for warned in progress.warned if "rows are not used" in warned)
    assert "3 rows" in warning
    assert "mixed.jsonl:51" in warning
    rejected = (result.report_path.parent / "prepared" / "rejected.jsonl").read_text().splitlines()
    assert sorted(json.loads(row)["line"] for row in rejected) == [51, 52, 53]
    assert {key: result.to_json()["data"][key] for key in ("rows", "train", "test", "rejected")} == {
        "rows": 53, "train": 40, "test": 10, "rejected": 3,
    }  # fmt: skip
    assert result.data["reasons"] == {"empty": 1, "json": 1, "model": 1}


def test_a_stopped_order_is_taken_up_and_ends_with_the_same_weights(workspace, lesson, quick, small_base, tmp_path):
    from holdfast.jobs.workspace import create, find

    data, test = lesson("red.jsonl", "red", "ok", 40), lesson("red.test.jsonl", "red", "ok", 20, start=500)
    stop = StopSwitch()
    with pytest.raises(StopRequested):
        teach(workspace, data, "red", quick, test_source=test, stop=stop, progress=Impatient(stop, 9))
    assert workspace.runs()[0].state == "cancelled"
    progress = Silent()
    resumed = teach(workspace, data, "red", quick, test_source=test, progress=progress)
    assert any("Resuming at step 9 of 48" in said for said in progress.said)
    create(tmp_path / "whole", base=str(small_base))
    with find(tmp_path / "whole") as other:
        whole = teach(other, data, "red", quick, test_source=test)
    assert resumed.version.weights_hash == whole.version.weights_hash


@pytest.fixture
def poor_teacher(monkeypatch):
    """Lets the check before a run find that the demonstration does not help the teacher."""
    from holdfast.training import guards

    report = guards.TeacherReport(8, 1.0, 1.5, None, None, False, "the demonstrations cost 1.50 nats with the context")
    monkeypatch.setattr(guards, "check_teacher", lambda *_, **__: report)


@pytest.mark.usefixtures("poor_teacher")
def test_a_method_left_open_is_chosen_and_a_teacher_that_is_no_better_is_not_learned_from(workspace, lesson, quick):
    progress = Silent()
    settings = [each for each in quick if not each.startswith("method")]
    result = teach(workspace, lesson("red.jsonl", "red", "ok", 40), "red", [*settings, "steps=4"], progress=progress)
    assert any(said.startswith("method sdft: ") for said in progress.said)
    assert any("trained by sft instead of sdft" in said for said in progress.said)
    assert result.version.recipe["method"]["type"] == "sft"


@pytest.mark.usefixtures("poor_teacher")
def test_sdft_that_was_asked_for_is_refused_with_a_poor_teacher_unless_told_otherwise(workspace, lesson, quick):
    data = lesson("red.jsonl", "red", "ok", 40)
    settings = [*quick, "method.type=sdft", "method.max_new_tokens=4", "steps=2"]
    with pytest.raises(TeacherNotBetterError, match="nothing to distil"):
        teach(workspace, data, "red", settings)
    progress = Silent()
    teach(workspace, data, "red", [*settings, "guards.teacher_check=warn"], progress=progress)
    assert any("does not make the teacher better; going on" in warned for warned in progress.warned)


def test_sdft_is_carried_out_when_it_is_asked_for(workspace, lesson, quick):
    settings = [*quick, "method.type=sdft", "method.max_new_tokens=4", "guards.teacher_check=off", "steps=4"]
    result = teach(workspace, lesson("red.jsonl", "red", "ok", 40), "red", settings)
    assert all("kl" in step.metrics for step in workspace.steps(result.run_id))
    assert "KL to the teacher" in result.report_path.read_text()


def test_examples_whose_teacher_would_not_fit_the_model_are_named_or_left_to_sft(workspace, quick, tmp_path):
    path = tmp_path / "long.jsonl"
    rows = [{"prompt": f"{'red ' * 60}{n}", "completion": "ok " * 30} for n in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(NothingToLearnError, match=r"the teacher's prompt has .* tokens; with 128 for the answer"):
        teach(workspace, str(path), "red", [*quick, "method.type=sdft"])
    progress = Silent()
    settings = [each for each in quick if not each.startswith("method")]
    teach(workspace, str(path), "red", [*settings, "steps=2"], progress=progress)
    assert any(said.startswith("method sft: the prompt of an SDFT teacher") for said in progress.said)


def test_an_adapter_is_inherited_and_cannot_be_changed_on_the_way(workspace, lesson, quick, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from holdfast.jobs.export import export

    data, test = lesson("red.jsonl", "red", "ok", 40), lesson("red.test.jsonl", "red", "ok", 20, start=500)
    settings = [each for each in quick if not each.startswith("rehearsal")]
    settings += ['adapter={"rank": 16}', "rehearsal.enabled=false"]
    first = teach(workspace, data, "red", settings, test_source=test)
    assert first.status == "accepted"
    with pytest.raises(ConfigError, match="has a LoRA adapter of rank 16"):
        teach(workspace, lesson("sky.jsonl", "sky", "up", 40), "sky", [*quick, "adapter=none"])
    done = export(workspace, tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(workspace.current().base)
    with_adapter = PeftModel.from_pretrained(base, done.folder)
    ids = with_adapter.dummy_inputs["input_ids"] % 50
    expected = with_adapter(ids).logits
    export(workspace, tmp_path / "merged", merge=True)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(ids).logits
    assert (merged - expected).abs().max() < 1e-4
    assert json.loads((tmp_path / "merged" / "holdfast.json").read_text())["version"] == "v2"


def test_a_classifier_is_a_version_of_its_own_and_leaves_the_chat_weights_alone(workspace, quick, tmp_path):
    from transformers import AutoModelForSequenceClassification

    from holdfast.jobs.chat import open_conversation
    from holdfast.jobs.evaluate import evaluate_version
    from holdfast.jobs.export import export

    kinds = [("good", "yes") if number % 3 else ("bad", "no") for number in range(120)]
    path = tmp_path / "opinions.csv"
    path.write_text("text,label\n" + "\n".join(f"{word} thing {n},{label}" for n, (word, label) in enumerate(kinds)))
    settings = [each for each in quick if not each.startswith(("method", "rehearsal", "evaluation"))]
    progress = Silent()
    result = teach(workspace, str(path), "mood", [*settings, "method=classify"], progress=progress)
    assert result.status == "accepted"
    assert workspace.current().id == "v1"
    assert workspace.version(result.version.id).status == "accepted"
    assert any("chat weights are not touched" in said for said in progress.said)
    page = result.report_path.read_text()
    for drawn in ("macro-F1, held back", "accuracy, held back", "accuracy on a step&#39;s examples"):
        assert drawn in page
    assert "Even enough." in page or "Uneven" in page
    assert "Answers before and after" in page
    facts = workspace.facts(result.version.id)
    assert facts["environment"]["torch"] == torch.__version__
    assert facts["test_hash"]
    row = evaluate_version(workspace, progress=Silent()).rows[0]
    assert (row.kind, row.total, row.macro_f1) == ("classify", 24, 1.0)
    talk = open_conversation(workspace, version=result.version.id, system=None, temperature=0.0, max_tokens=4, seed=0)
    assert talk.ask("bad thing 7").text == "no"
    export(workspace, tmp_path / "stock", version=result.version.id)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "stock")
    assert stock.config.id2label == {0: "no", 1: "yes"}
    with pytest.raises(ConfigError, match="is a skill of kind classify"):
        teach(workspace, _chat_file(tmp_path), "mood", quick)


def test_labels_without_answers_are_for_classify_only_and_long_texts_are_named(workspace, quick, tmp_path):
    path = tmp_path / "opinions.csv"
    path.write_text(
        "text,label\n" + "".join(f"thing {n},yes\nitem {n},no\n" for n in range(10)) + "long " * 300 + ",yes"
    )
    with pytest.raises(NothingToLearnError, match="use method = classify"):
        teach(workspace, str(path), "mood", quick)
    progress = Silent()
    settings = [each for each in quick if not each.startswith("method")]
    teach(workspace, str(path), "mood", [*settings, "steps=2"], progress=progress)
    assert "rehearsal has no effect with classify." in progress.said
    assert any("tokens; at most 512 fit, and nothing is truncated" in warned for warned in progress.warned)


def test_one_label_among_conversations_is_refused_wherever_the_split_puts_it(workspace, quick, tmp_path):
    path = tmp_path / "mixed.jsonl"
    settings = [each for each in quick if not each.startswith("method")]
    for seed in range(3):
        rows = [{"prompt": f"q{seed}{n}", "completion": "a"} for n in range(3)]
        path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": f"t{seed}", "label": "yes"}]))
        with pytest.raises(ConfigError, match="have a label and the others none"):
            teach(workspace, str(path), "mixed", [*settings, f"seed={seed}"])


def test_a_context_without_an_answer_is_learned_from_and_never_tested_with(workspace, quick, tmp_path):
    path = tmp_path / "contexts.jsonl"
    bare = [{"prompt": f"red {n}", "privileged_context": "say ok"} for n in range(30)]
    answered = [{"prompt": f"red {n}", "completion": "ok"} for n in range(100, 110)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*bare, *answered]))
    settings = [*quick, "method.type=sdft", "method.max_new_tokens=4", "guards.teacher_check=off", "steps=2"]
    result = teach(workspace, str(path), "red", settings)
    assert len(workspace.scores(result.version.id, "red")) == 2
    path.write_text("".join(json.dumps(row) + "\n" for row in bare))
    with pytest.raises(DataError, match="has no answer to compare with"):
        teach(workspace, _chat_file(tmp_path), "red", settings, test_source=str(path))


def test_a_row_without_an_answer_is_not_trained_on_if_the_test_asks_the_same(workspace, quick, tmp_path):
    path = tmp_path / "twice.jsonl"
    rows = [{"prompt": f"red {n}", "completion": "ok"} for n in range(10)]
    rows += [{"prompt": f"red {n}", "privileged_context": "say ok"} for n in range(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [*quick, "method.type=sdft", "method.max_new_tokens=4", "guards.teacher_check=off", "steps=2"]
    result = teach(workspace, str(path), "red", settings)
    assert (result.data["train"], result.data["test"], result.data["reasons"]) == (16, 2, {"in_test": 2})


def test_a_context_too_long_for_the_teacher_is_rejected_by_name_before_a_method_is_chosen(workspace, quick, tmp_path):
    path = tmp_path / "documents.jsonl"
    rows = [{"context": "ok " * (500 if n == 3 else 2), "question": f"red {n}", "answer": "ok"} for n in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [each for each in quick if not each.startswith("method")]
    progress = Silent()
    teach(workspace, str(path), "red", [*settings, "guards.teacher_check=off", "steps=2"], progress=progress)
    (warning,) = (warned for warned in progress.warned if "rows are not used" in warned)
    assert "documents.jsonl:4: the teacher's prompt has" in warning


def test_rows_of_a_prompts_file_that_cannot_be_used_are_named_and_kept(workspace, lesson, quick, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "blue 1"}\n{"prompt": "x<|end|>y"}\n{broken\n')
    progress = Silent()
    settings = [*quick, "steps=2", f"rehearsal.prompts_file={path}"]
    teach(workspace, lesson("red.jsonl", "red", "ok", 40), "red", settings, progress=progress)
    (warning,) = (warned for warned in progress.warned if "prompts.jsonl: 2 rows are not used" in warned)
    assert "prompts.jsonl:2: turn 1 (user) holds the text '<|end|>'" in warning
    (kept,) = workspace.run_folder(workspace.runs()[0].id).glob("prompts/rejected.jsonl")
    assert len(kept.read_text().splitlines()) == 2


def test_a_test_share_beside_a_test_file_is_refused(workspace, lesson, quick):
    data, test = lesson("red.jsonl", "red", "ok", 9), lesson("red.test.jsonl", "red", "ok", 5, start=500)
    with pytest.raises(ConfigError, match="test_share would have no effect"):
        teach(workspace, data, "red", [*quick, "evaluation.test_share=0.5"], test_source=test)


def test_a_run_that_collapses_goes_on_with_the_last_good_checkpoint(workspace, lesson, quick, monkeypatch):
    from holdfast.errors import CollapseError
    from holdfast.training.monitors import Monitors

    def collapse(monitors, step, rows, kl):
        if step == 40:
            raise CollapseError("the run was stopped: no rollout ended its turn.")
        return {}

    from holdfast.models.checkpoint import load_checkpoint
    from holdfast.models.learner import Learner

    saved = []
    save = Learner.save
    monkeypatch.setattr(
        Learner, "save", lambda learner, to: (saved.append(learner.candidate_state()), save(learner, to))
    )
    monkeypatch.setattr("holdfast.jobs.finish._tidy", lambda job: None)
    monkeypatch.setattr(Monitors, "observe", collapse)
    settings = [*quick, "guards.window=10"]
    progress = Silent()
    settings[-2] = "method.type=sdft"
    settings += ["method.max_new_tokens=4", "guards.teacher_check=off"]
    result = teach(workspace, lesson("red.jsonl", "red", "ok", 40), "red", settings, progress=progress)
    assert any("Going on with the last good checkpoint, of step 28" in warned for warned in progress.warned)
    assert max(step.step for step in workspace.steps(result.run_id)) == 36  # recorded with the checkpoint that went
    folder = workspace.run_folder(result.run_id) / "training-0"
    assert max(path.name for path in folder.iterdir()) == "step-00000028"
    kept = load_checkpoint(folder / "step-00000028")["candidate"]
    assert all(torch.equal(saved[0][name], tensor) for name, tensor in kept.items())
    stop = StopSwitch()
    again = [*settings, "seed=7"]
    with pytest.raises(StopRequested):
        teach(workspace, lesson("red.jsonl", "red", "ok", 40), "red", again, stop=stop, progress=Impatient(stop, 30))
    progress = Silent()
    teach(workspace, lesson("red.jsonl", "red", "ok", 40), "red", again, progress=progress)
    assert any("Resuming at step 30" in said for said in progress.said)
    assert any("of step 28" in warned for warned in progress.warned)  # where it was stopped decides nothing
    with pytest.raises(CollapseError):
        teach(workspace, lesson("red.jsonl", "red", "ok", 40), "red", [*settings, "guards.window=39", "steps=41"])


def test_a_learner_stopped_while_it_goes_back_ends_at_the_same_checkpoint(tmp_path, monkeypatch):
    from holdfast.jobs import train
    from holdfast.models.checkpoint import checkpoints, save_checkpoint

    for step in (8, 16, 24, 30, 32):
        save_checkpoint(tmp_path, {"step": step})
    retire, retired = train._retire, []

    def die_after_one(path):
        if retired:
            raise KeyboardInterrupt
        retired.append(path)
        retire(path)

    monkeypatch.setattr(train, "_retire", die_after_one)
    with pytest.raises(KeyboardInterrupt):
        train.go_back(tmp_path, 20, every=8, keep=set())
    assert max(checkpoints(tmp_path)) == 30, "the newest goes first, so what is left is a run stopped earlier"
    monkeypatch.setattr(train, "_retire", retire)
    assert train.go_back(tmp_path, 20, every=8, keep=set()) == 16
    assert sorted(checkpoints(tmp_path)) == [8, 16]


def test_rows_that_are_all_too_long_are_kept_with_their_reasons(workspace, quick, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{n}", "completion": "b " * 5000}) + "\n" for n in range(9)))
    with pytest.raises(NothingToLearnError, match="No example is left to learn from"):
        teach(workspace, str(path), "long", quick)
    (kept,) = workspace.run_folder(workspace.runs()[0].id).glob("**/rejected.jsonl")
    assert len(kept.read_text().splitlines()) == 9


def _chat_file(folder):
    path = folder / "chat.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{n}", "completion": "a"}) + "\n" for n in range(10)))
    return str(path)


def test_an_order_that_cannot_be_carried_out_says_why(workspace, lesson, quick, tmp_path):
    empty = tmp_path / "bad.jsonl"
    empty.write_text('{"prompt": "x", "completion": ""}\n')
    with pytest.raises(NothingToLearnError, match=r"No row could be used.\n  .*bad\.jsonl:1: "):
        teach(workspace, str(empty), "red", quick)
    (kept,) = workspace.run_folder(workspace.runs()[0].id).glob("**/rejected.jsonl")
    assert json.loads(kept.read_text())["raw"] == '{"prompt": "x", "completion": ""}'
    with pytest.raises(ConfigError, match="1 to 80 printable characters"):
        teach(workspace, lesson("red.jsonl", "red", "ok", 5), " ", quick)
    one = tmp_path / "one.jsonl"
    one.write_text('{"prompt": "x", "completion": "y"}\n{"prompt": "z", "completion": ""}\n')
    progress = Silent()
    with pytest.raises(DataError, match=r"No item is left to test on.*\n  .*one\.jsonl:2: completion is empty"):
        teach(workspace, str(one), "red", quick, progress=progress)
    assert not any("completion is empty" in warned for warned in progress.warned)  # the error says it
    assert [run.state for run in workspace.runs()] == ["failed", "failed"]
