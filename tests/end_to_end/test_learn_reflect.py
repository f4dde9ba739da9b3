"""Reflect, Retry, Reward by the order: tasks with a pass/fail check and no answers."""

import json
import random

import pytest
from transformers import AutoTokenizer

from holdfast.errors import ConfigError, DataError, NothingToLearnError, NothingToReflectError
from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.learn import learn
from holdfast.jobs.progress import Silent
from holdfast.jobs.workspace import on_base, read_recipe

REFLECT = (
    "steps=4",
    "batch.examples=4",
    "optimizer.learning_rate=0.003",
    "evaluation.max_new_tokens=6",
    "rehearsal.num_reminders=12",
    "rehearsal.per_step=2",
    "rehearsal.max_new_tokens=4",
    "rehearsal.max_prompt_tokens=16",
    "method.type=reflect",
    "method.group_size=4",
    "method.max_tokens.attempt=6",
    "method.max_tokens.reflection=6",
    "method.max_tokens.retry=6",
    "method.templates.reflect=why?",
    "method.templates.retry=again",
    "guards.reflection_check=off",
    "gate.remedy_budget=0",
)


@pytest.fixture
def tasks(tmp_path):
    """Tasks without answers: a letter that the small base writes in about a third of its words."""

    def write(name, num, start=0):
        draw = random.Random(name)
        rows = [{"prompt": f"word {start + n}", "letter": draw.choice("abcde")} for n in range(num)]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def grader_file(tmp_path):
    path = tmp_path / "grader.json"
    path.write_text(json.dumps({"type": "string_check", "operation": "like", "reference": "{{ item.letter }}"}))
    return path


def teach(workspace, source, settings, **more):
    recipe = on_base(workspace, read_recipe(None, list(settings)))
    return learn(workspace, source, skill="letters", recipe=recipe, progress=more.pop("progress", Silent()), **more)


def scores_of(workspace, result):
    return {row.item_id: row for row in workspace.scores(result.version.id, "letters")}


def test_tasks_with_nothing_but_a_check_are_learned_from(workspace, tasks, grader_file):
    settings = [*REFLECT, f"evaluation.grader={grader_file}"]
    result = teach(workspace, tasks("tasks.jsonl", 60), settings, test_source=tasks("test.jsonl", 40, start=500))
    assert result.status in ("accepted", "refused")
    assert (
        workspace.skill("letters").grader == grader_file.read_text()
        or "string_check" in workspace.skill("letters").grader
    )
    kept = workspace.run_folder(result.run_id) / "attempts.jsonl"
    failures = [json.loads(line) for line in kept.read_text().splitlines()]
    assert failures
    assert all({"example_id", "attempt", "fail_rate", "step", "explanation"} <= set(row) for row in failures)
    assert {(row["version"], row["temperature"], row["seed"]) for row in failures} == {("v1", 1.0, 0)}
    assert all("string_check" in row["grader"] for row in failures)
    steps = workspace.steps(result.run_id)
    assert len(steps) == 4
    assert {"reward", "groups_with_signal", "unique_reflections", "kl", "entropy"} <= set(steps[0].metrics)
    assert result.report_path.exists()


def test_without_a_test_file_tasks_that_the_grader_can_judge_are_held_out(workspace, tasks, grader_file):
    progress = Silent()
    settings = [*REFLECT, f"evaluation.grader={grader_file}", "evaluation.test_share=0.25"]
    result = teach(workspace, tasks("tasks.jsonl", 60), settings, progress=progress)
    assert any("15 of 60 examples are held out as the test" in text for text in progress.said)
    assert len(scores_of(workspace, result)) == 15


def test_the_version_at_hand_may_be_the_judge(workspace, tasks, tmp_path):
    path = tmp_path / "judge.json"
    asked = [{"role": "user", "content": "{{ sample.output_text }} {{ item.letter }}"}]
    own = {"type": "label_model", "model": "holdfast:current", "input": asked}
    path.write_text(json.dumps({**own, "labels": ["good", "bad"], "passing_labels": ["good"]}))
    settings = [*REFLECT, f"evaluation.grader={path}", "guards.reflection_check=warn"]
    # The small base answers with neither label, so no attempt is a failure.
    words = r"80 of 80 answers could not be graded, mostly for this reason: .* gave none of the labels"
    with pytest.raises(NothingToLearnError, match=words):
        teach(workspace, tasks("tasks.jsonl", 20), settings, test_source=tasks("test.jsonl", 10, start=500))


def test_a_run_whose_tasks_no_longer_fail_goes_on_to_the_gate_with_what_it_has(
    workspace, tasks, grader_file, monkeypatch
):
    from holdfast.training.methods.reflect_retry_reward import ReflectRetryReward

    fresh = ReflectRetryReward._fresh

    def pass_from_the_third_step_on(method, *given):
        return fresh(method, *given) if method._rounds <= 2 else iter(())

    monkeypatch.setattr(ReflectRetryReward, "_fresh", pass_from_the_third_step_on)
    progress = Silent()
    settings = [*REFLECT, f"evaluation.grader={grader_file}", "method.attempts.source=online"]
    result = teach(
        workspace, tasks("tasks.jsonl", 20), settings, test_source=tasks("test.jsonl", 10, start=500), progress=progress
    )
    assert result.status in ("accepted", "refused")
    assert [step.step for step in workspace.steps(result.run_id)] == [1, 2]
    assert any(
        "Stopped early at step 2 of 4: no attempt at any of the 20 tasks failed" in said for said in progress.said
    )


def test_second_tries_are_part_of_the_test(workspace, tasks, grader_file):
    def after(number):
        settings = [*REFLECT, f"evaluation.grader={grader_file}", f"evaluation.reflect={number}"]
        result = teach(
            workspace, tasks("tasks.jsonl", 60), settings, test_source=tasks("test.jsonl", 40, start=500), again=True
        )
        return [row.explanation for row in scores_of(workspace, result).values()]

    assert not any("after the reflection" in words for words in after(0))
    again = after(2)
    assert any(words.startswith(("try 2, after the reflection", "try 3, after the reflection")) for words in again)


def test_the_check_before_a_run_follows_the_recipe(workspace, tasks, tmp_path):
    never = tmp_path / "never.json"
    never.write_text(json.dumps({"type": "string_check", "operation": "like", "reference": "{{ item.letter }} never"}))
    settings = [*REFLECT, f"evaluation.grader={never}"]
    source, test = tasks("tasks.jsonl", 60), tasks("test.jsonl", 20, start=500)
    with pytest.raises(NothingToReflectError, match="only 0% of the groups have retries that differ"):
        teach(workspace, source, [*settings, "guards.reflection_check=refuse"], test_source=test)
    progress = Silent()
    warned = [*settings, "guards.reflection_check=warn", "guards.reflection_check_tasks=7", "seed=2"]
    teach(workspace, source, warned, test_source=test, progress=progress)
    assert any("can hardly be learned from" in text for text in progress.warned)
    assert any("First try 0% of 7" in text for text in progress.said)


def test_rows_that_the_grader_cannot_judge_are_named_before_anything_runs(workspace, tasks, grader_file, tmp_path):
    source = tmp_path / "mixed.jsonl"
    rows = [{"prompt": f"word {n}", **({"letter": "a"} if n % 2 else {})} for n in range(30)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    progress = Silent()
    settings = [*REFLECT, f"evaluation.grader={grader_file}"]
    teach(workspace, str(source), settings, test_source=tasks("test.jsonl", 20, start=500), progress=progress)
    assert any("lacks what the grader reads: letter" in text for text in progress.warned)
    with pytest.raises(DataError, match="letter"):
        teach(workspace, tasks("tasks.jsonl", 20), settings, test_source=str(_without_letters(tmp_path)))


def _without_letters(folder):
    path = folder / "bare.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"word {n}"}) + "\n" for n in range(600, 620)))
    return path


def test_a_grader_in_a_recipe_is_a_table_or_a_file_beside_it(tmp_path, grader_file):
    table = tmp_path / "table.toml"
    table.write_text('[evaluation.grader]\ntype = "countdown"\n')
    assert json.loads(read_recipe(table, []).evaluation.grader) == {"type": "countdown"}
    beside = tmp_path / "beside.toml"
    beside.write_text('[evaluation]\ngrader = "grader.json"\n')
    assert json.loads(read_recipe(beside, []).evaluation.grader)["type"] == "string_check"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recipe(None, ["evaluation.grader=nowhere.json"])


def test_the_doctor_measures_every_control(workspace, tasks, grader_file):
    from holdfast.jobs.doctor import examine_reflection

    recipe = on_base(workspace, read_recipe(None, [*REFLECT, f"evaluation.grader={grader_file}"]))
    found = examine_reflection(
        workspace, tasks("tasks.jsonl", 60), recipe=recipe, num=40, progress=Silent(), stop=StopSwitch()
    )
    names = [row.name for row in found.rows]
    assert names[:3] == ["first try", "second try", "recovery"]
    assert {"control: bare", "control: blind", "control: donor", "control: generic"} <= set(names)
    assert "control: gold" not in names  # there are no answers
    first, second, recovery = found.rows[:3]
    assert first.total == second.total == 40
    assert second.num == first.num + recovery.num
    assert recovery.total == 40 - first.num
    assert any(name.startswith("mistake at the first try: ") for name in names)
    assert list(found.means) == [
        "recovery over the best control, points",
        "reflection length, tokens",
        "reflections that ended, %",
    ]
    assert found.to_json()["shares"]["recovery"]["total"] == recovery.total
    for row in found.rows:
        assert row.low <= row.share <= row.high


def test_the_doctor_says_first_what_the_grader_has_to_say(workspace, tmp_path):
    from holdfast.jobs.doctor import examine_reflection

    own = {"type": "python", "source": "def grade(sample, item): return 1", "image_tag": "2025-05-08"}
    (tmp_path / "own.json").write_text(json.dumps(own))
    recipe = on_base(workspace, read_recipe(None, [*REFLECT, f"evaluation.grader={tmp_path / 'own.json'}"]))
    progress = Silent()
    with pytest.raises(DataError, match="nowhere"):
        examine_reflection(workspace, "nowhere.jsonl", recipe=recipe, num=4, progress=progress, stop=StopSwitch())
    assert any("image_tag '2025-05-08' has no effect" in text for text in progress.warned)


def test_a_run_reports_tries_recovery_and_controls_before_and_after(workspace, tasks, grader_file):
    settings = [*REFLECT, f"evaluation.grader={grader_file}"]
    result = teach(workspace, tasks("tasks.jsonl", 60), settings, test_source=tasks("test.jsonl", 40, start=500))
    found = result.to_json()["reflection"]
    for when in ("before", "after"):
        shares = found[when]["shares"]
        assert {"first try", "second try", "recovery", "control: bare", "control: blind"} <= set(shares)
        first, second, recovery = (shares[name] for name in ("first try", "second try", "recovery"))
        assert first["total"] == second["total"] == 40
        assert second["passed"] == first["passed"] + recovery["passed"]
        assert recovery["total"] == 40 - first["passed"]
        wrong = found[when]["mistakes_at_first"].values()
        assert sum(row["num"] for row in wrong) == recovery["total"]
        for figure in (found[when]["gain_over_best_control"], found[when]["reflection_tokens"]):
            assert figure["low"] <= figure["value"] <= figure["high"]
        assert found[when]["reflections_with_the_answer"] is None  # there are no answers
    same = found["after_on_failures_before"]["shares"]["recovery"]
    assert same["total"] == found["before"]["shares"]["recovery"]["total"]
    before = {row.item_id: row.passed for row in workspace.scores(result.parent.id, "letters")}
    assert len(before) == 40
    page = result.report_path.read_text()
    assert "Reflections before and after" in page
    assert "KL on reflections" in page
    assert "KL to the teacher" not in page
    shown = found["after"]["shares"]["recovery"]
    assert f"{100 * shown['passed'] / shown['total']:.1f} % (" in page
    assert f"{100 * same['share']:.1f} % (" in page.split("on the failures before: recovery")[1].split("</tr>")[0]
    length = found["after"]["reflection_tokens"]
    assert f"{length['value']:.1f} ({length['low']:.1f} to {length['high']:.1f})" in page
    assert "reflections that hold the answer" not in page.split("Reflections before and after")[1].split("</table>")[0]
    assert "mistake at the retry: " in page
    assert "obedience" not in workspace.steps(result.run_id)[0].metrics  # there are no answers to give away


def test_other_methods_have_no_reflections(workspace, tasks, tmp_path):
    source = tmp_path / "plain.jsonl"
    rows = [{"messages": [{"role": "user", "content": f"word {n}"}, {"role": "assistant", "content": "a"}]}
            for n in range(40)]  # fmt: skip
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = [word for word in REFLECT if not word.startswith(("method", "guards"))]
    result = teach(workspace, str(source), [*plain, "method.type=sft", "evaluation.test_share=0.3"])
    assert result.to_json()["reflection"] is None
    assert "Reflections before and after" not in result.report_path.read_text()


def test_the_next_skill_rehearses_reflections_and_second_tries(workspace, tmp_path, quick, small_base, monkeypatch):
    def rows(name, word, start, num):
        path = tmp_path / name
        lines = [{"prompt": f"{word} {start + n}", "completion": "yes" if n % 3 else "no"} for n in range(num)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(path)

    kept, remember = {}, workspace.remember

    def watched(key, content, *, kind):
        kept[kind] = content
        remember(key, content, kind=kind)

    monkeypatch.setattr(workspace, "remember", watched)
    progress = Silent()
    for skill, settings in (("asked", ["evaluation.reflect=1"]), ("other", ["rehearsal.num_reminders=40"])):
        recipe = on_base(workspace, read_recipe(None, [*quick, *settings]))
        source, test = rows(f"{skill}.jsonl", skill, 0, 60), rows(f"{skill}.test.jsonl", skill, 500, 60)
        found = learn(workspace, source, skill=skill, recipe=recipe, progress=progress, test_source=test)
        assert found.status == "accepted" or skill == "other"
    assert any(text.startswith("asked: 20 tasks are tried") for text in progress.said)
    reminders = json.loads(workspace.files.read_bytes(kept["reminders"]))["items"]
    tokenizer = AutoTokenizer.from_pretrained(small_base)
    texts = tokenizer.batch_decode([item[0] for item in reminders if item[3] == "asked"])
    assert sum("Now try the task again: asked" in text for text in texts) >= 2
    assert sum("Reflect on" in text and "Now try" not in text for text in texts) >= 2
    assert sum("Reflect on" not in text for text in texts) >= 2
