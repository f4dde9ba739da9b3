"""kill -9 at any moment of `learn` loses nothing; SIGTERM and SIGINT end it politely."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.jobs.workspace import create, find

STORE, JOBS = "holdfast.store.workspace", "holdfast.jobs"
DEATHS = {
    "while the data is written": ["holdfast.data.folder", "replace", 1, "before"],
    "when the run's choices are kept": ["holdfast.jobs.folder", "write_atomically", 1, "before"],
    "after the reminders were made": [STORE, "Workspace.remember", 1, "before"],
    "between two checkpoints": ["holdfast.training.loop", "Run._update", 11, "after"],
    "in the middle of writing a checkpoint": ["holdfast.models.checkpoint", "_checksum", 2, "before"],
    "after the last checkpoint": ["holdfast.models.learner", "Learner.save", 1, "before"],
    "after the weights were stored": [STORE, "Workspace.add_version", 1, "before"],
    "when the version is there and nobody noted it": [STORE, "Workspace.add_version", 1, "after"],
    "between two tests": [STORE, "Workspace.save_scores", 1, "after"],
    "before the promotion": [STORE, "Workspace.promote", 1, "before"],
    "after the promotion": [STORE, "Workspace.promote", 1, "after"],
    "after the report": [STORE, "Workspace.finish_run", 1, "before"],
    "when everything is done": [STORE, "Workspace.finish_run", 1, "after"],
}


@pytest.fixture(scope="module")
def command():
    """Runs one `holdfast` command in a forked process and returns its exit status, output and errors."""
    program = Path(__file__).with_name("fork_learners.py")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, program], stdin=pipe, stdout=pipe, text=True) as server:

        def run(*arguments, die=None, at=None):
            order = {"arguments": [str(word) for word in arguments], "die": die, "signal": at}
            server.stdin.write(json.dumps(order) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield run
        server.stdin.close()


@pytest.fixture(scope="module")
def order(small_base, tmp_path_factory):
    """Makes a fresh workspace and returns the words of an order to learn in it."""
    data = tmp_path_factory.mktemp("data") / "red.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"red {n}", "completion": "ok"}) + "\n" for n in range(36)))
    settings = (
        *("steps=24", "checkpoint_every=8", "optimizer.learning_rate=0.03", "optimizer.warmup_steps=2"),
        *("batch.examples=8", "evaluation.max_new_tokens=6", "evaluation.test_share=0.5"),
        *("rehearsal.num_reminders=12", "rehearsal.per_step=4", "rehearsal.max_new_tokens=4"),
        *("rehearsal.max_prompt_tokens=16", "seed=3"),
    )

    def make(*method):
        home = tmp_path_factory.mktemp("home")
        create(home, base=str(small_base))
        words = ["learn", str(data), "--skill", "red", "-w", str(home), "--json"]
        chosen = (*settings, *(method or ("method.type=sft",)))
        return home, [*words, *(word for setting in chosen for word in ("--set", setting))]

    return make


@pytest.fixture(scope="module")
def undisturbed(command, order):
    """What an order that nobody disturbs ends with."""
    home, words = order()
    done = command(*words)
    assert done["status"] == 0, done["err"]
    with find(home) as workspace:
        return state_of(workspace)


def state_of(workspace):
    """Everything that must not depend on how often the process died."""
    (run,) = workspace.runs()
    return {
        "state": run.state,
        "versions": [(v.id, v.weights_hash, v.status) for v in workspace.versions()],
        "current": workspace.current().id,
        "scores": [workspace.scores(v.id, "red") for v in workspace.versions()],
        "steps": [(step.step, step.loss) for step in workspace.steps(run.id)],
        "verdicts": len(workspace.verdicts("v2")),
    }


@pytest.mark.parametrize("moment", DEATHS)
def test_a_learner_killed_at_any_moment_ends_with_the_same_bits_when_it_is_run_again(
    command, order, undisturbed, moment
):
    home, words = order()
    killed = command(*words, die=DEATHS[moment])
    assert killed["status"] == -signal.SIGKILL, killed["err"]
    resumed = command(*words)
    assert resumed["status"] == 0, resumed["err"]
    with find(home) as workspace:
        assert state_of(workspace) == undisturbed
    assert Path(json.loads(resumed["out"])["report"]).is_file()


def test_an_averaged_teacher_and_an_adapter_survive_a_death_too(command, order):
    method = ("method.type=sdft", "method.teacher=ema", "method.max_new_tokens=4", "guards.teacher_check=off")
    method += ("guards.min_end_rate=0", "adapter.type=lora", "adapter.rank=4", "gate.remedies=[]")
    ends = []
    for die in (None, DEATHS["between two checkpoints"]):
        home, words = order(*method)
        if die is not None:
            assert command(*words, die=die)["status"] == -signal.SIGKILL
        done = command(*words)
        assert done["status"] in (0, 3), done["err"]
        with find(home) as workspace:
            ends.append(state_of(workspace))
    assert ends[0] == ends[1]
    assert len(ends[0]["steps"]) == 24


def test_mined_failures_are_on_disk_when_the_process_dies_and_the_same_in_the_end(command, order):
    short = [f"method.max_tokens.{turn}=4" for turn in ("attempt", "reflection", "retry")]
    method = ("method.type=reflect", *short, "method.group_size=2", "method.refill=0", "evaluation.reflect=0")
    method += ("method.attempts.per_task=1", "method.attempts.remine_every=4", "steps=6", "checkpoint_every=3")
    method += ("batch.examples=2", "evaluation.test_share=0.3", "evaluation.max_new_tokens=4")
    method += ("method.max_same_reflection=1", "guards.reflection_check=off", "gate.remedies=[]")
    home, words = order(*method)
    killed = command(*words, die=["holdfast.training.loop", "Run._update", 6, "after"])
    assert killed["status"] == -signal.SIGKILL, killed["err"]
    file = home / ".holdfast" / "runs" / "run-1" / "attempts.jsonl"
    before = file.read_text()
    assert {json.loads(line)["step"] for line in before.splitlines()} == {0, 4}
    done = command(*words)
    assert "Resuming at step 3" in done["err"]  # what was mined at step 4 is mined again
    assert done["status"] in (0, 3), done["err"]
    assert file.read_text() == before


def test_a_learner_killed_again_and_again_still_ends_with_the_same_bits(command, order, undisturbed):
    home, words = order()
    for _ in range(4):
        killed = command(*words, die=["holdfast.training.loop", "Run._update", 10, "after"])
        if killed["status"] == 0:
            break
        assert killed["status"] == -signal.SIGKILL
    with find(home) as workspace:
        assert state_of(workspace) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_stop_keeps_the_step_it_was_at_and_says_how_to_go_on(command, order, undisturbed, number):
    home, words = order()
    stopped = command(*words, at=[int(number), f"{home}/.holdfast/runs/run-1/training-0/step-00000008"])
    assert stopped["status"] == 128 + number, stopped["err"]
    assert "Traceback" not in stopped["err"]
    assert "run the same command again: holdfast learn" in stopped["err"]
    with find(home) as workspace:
        assert workspace.runs()[0].state == "cancelled"
    resumed = command(*words)
    assert "Taking up run-1, which was stopped." in resumed["err"]
    with find(home) as workspace:
        assert state_of(workspace) == undisturbed


def test_two_learners_in_one_workspace_do_not_meet(command, order):
    home, words = order()
    with find(home) as workspace, workspace.exclusively("learn"):
        refused = command(*words)
    assert refused["status"] == 1
    assert "another process" in json.loads(refused["out"])["error"]["message"]
