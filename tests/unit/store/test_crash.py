"""A writer killed at any moment loses nothing it acknowledged, and two writers never disturb each other."""

import itertools
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from holdfast.store.workspace import Workspace

WRITER = """
import json, sys
from pathlib import Path
from holdfast.store.workspace import Workspace
from holdfast.types import Version

root, seed = Path(sys.argv[1]), sys.argv[2]
workspace = Workspace.open(root)
run = workspace.start_run(kind="learn", skill="s", recipe={}, key=seed).id
folder = root.parent / f"weights-{seed}"
folder.mkdir()

def acknowledge(kind, *what):
    sys.stdout.write(json.dumps([kind, *what]) + "\\n")
    sys.stdout.flush()

for step in range(100_000):
    workspace.record_step(run, step, 1.0 / (1 + step), {"kl": 0.5})
    acknowledge("step", run, step)
    if step % 3 == 0:
        (folder / "a").write_bytes(f"{seed} {step} ".encode() * 20_000)
        (folder / "b").write_bytes(f"{step}".encode())
        name = workspace.files.put_folder(folder)
        acknowledge("folder", name)
        version = workspace.add_version(Version("", None, "base", name, {}, "candidate"))
        acknowledge("version", version.id, name)
        workspace.promote(version.id)
        acknowledge("current", version.id)
"""


def begin(root, seed):
    command = [sys.executable, "-c", WRITER, str(root), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(writer):
    lines = [line for line in writer.stdout.read().splitlines(keepends=True) if line]
    writer.stdout.close()
    # The last line may have been cut by the kill: what was not said whole was not acknowledged.
    return [json.loads(line) for line in lines if line.endswith("\n")] if lines else []


def check(workspace, claims):
    steps = {}
    for kind, *what in claims:
        if kind == "step":
            run = what[0]
            steps.setdefault(run, {entry.step for entry in workspace.steps(run)})
            assert what[1] in steps[run]
        elif kind == "folder":
            workspace.files.verify(what[0])
        elif kind == "version":
            assert workspace.version(what[0]).weights_hash == what[1]
    promoted = [what[0] for kind, *what in claims if kind == "current"]
    order = [move.to_version for move in workspace.moves()]
    assert [name for name in order if name in promoted] == promoted


def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged(tmp_path, database):
    root = tmp_path / ".holdfast"
    Workspace.create(root, database=database).close()
    generator = random.Random(11)
    total = 0
    for seed in range(4):
        writer = begin(root, seed)
        first = writer.stdout.readline()  # it is under way
        time.sleep(generator.uniform(0.02, 0.4))
        writer.send_signal(signal.SIGKILL)
        claims = [json.loads(first), *acknowledged(writer)]
        assert writer.wait() == -signal.SIGKILL
        total += len(claims)
        with Workspace.open(root) as workspace:
            check(workspace, claims)
            current = workspace.current()
            if current is not None:
                assert current.status == "accepted"
                workspace.files.verify(current.weights_hash)
            for version in workspace.versions():
                workspace.files.verify(version.weights_hash)
    if database is None:
        connection = sqlite3.connect(root / "holdfast.db")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    assert total > 4


def test_two_processes_write_at_once_and_everything_is_there_once(tmp_path, database):
    root = tmp_path / ".holdfast"
    Workspace.create(root, database=database).close()
    writers = [begin(root, seed) for seed in range(2)]
    firsts = [writer.stdout.readline() for writer in writers]
    time.sleep(0.5)
    claims = []
    for writer in writers:
        writer.kill()
    for writer, first in zip(writers, firsts, strict=True):
        claims.append([json.loads(first), *acknowledged(writer)])
        writer.wait()
    with Workspace.open(root) as workspace:
        for claim in claims:
            check(workspace, claim)
        moves = workspace.moves()
        assert all(after.from_version == before.to_version for before, after in itertools.pairwise(moves))
        assert [version.id for version in workspace.versions()] == [
            f"v{number}" for number in range(1, len(workspace.versions()) + 1)
        ]
        assert workspace.verify_audit().problem is None


RIVAL = """
import sys
from pathlib import Path
from holdfast.errors import StoreError
from holdfast.store.workspace import Workspace
from holdfast.types import Version

workspace = Workspace.open(Path(sys.argv[1]))
won = 0
while won < 15:
    current = workspace.current()
    expected = current.id if current else None
    version = workspace.add_version(Version("", expected, "base", "w", {}, "candidate"))
    try:
        workspace.promote(version.id, expect=expected)
        won += 1
    except StoreError as error:
        assert "by now" in str(error), error
"""


def test_of_two_rivals_only_the_one_that_saw_the_latest_current_promotes(tmp_path, database):
    root = tmp_path / ".holdfast"
    Workspace.create(root, database=database).close()
    rivals = [subprocess.Popen([sys.executable, "-c", RIVAL, str(root)]) for _ in range(2)]
    assert [rival.wait(timeout=120) for rival in rivals] == [0, 0]
    with Workspace.open(root) as workspace:
        moves = workspace.moves()
        assert len(moves) == 30
        for move in moves:
            assert workspace.version(move.to_version).parent == move.from_version


TAKER = """
import sys
from pathlib import Path
from holdfast.store.workspace import Workspace

workspace, name = Workspace.open(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
while (job := workspace.take_job(name, seconds=60)) is not None:
    workspace.add_job_event(job.id, name)
    workspace.note("worked", job.id, by=name)
    workspace.start_run(kind="learn", skill=job.skill, recipe={})
    workspace.change_job(job.id, {"status": "succeeded"})
"""


def test_three_workers_at_once_take_every_job_once_and_the_chain_never_forks(tmp_path, database):
    root = tmp_path / ".holdfast"
    with Workspace.create(root, database=database) as workspace:
        jobs = [workspace.add_job(request={}, metadata={}, recipe={}, skill="s").id for _ in range(60)]
        for job in jobs:
            workspace.change_job(job, {"status": "queued"})
        command = [sys.executable, "-c", TAKER, str(root)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        takers = [subprocess.Popen([*command, f"worker {number}"], **pipes) for number in range(3)]
        try:
            assert [taker.stdout.readline() for taker in takers] == ["ready\n"] * 3
            for taker in takers:
                taker.stdin.write("go\n")
                taker.stdin.flush()
            while any(taker.poll() is None for taker in takers):  # meanwhile, whoever looks sees a whole chain
                assert workspace.verify_audit().problem is None
        finally:
            for taker in takers:
                taker.kill()
                taker.communicate()
        assert [taker.returncode for taker in takers] == [0] * 3
        taken = [entry.subject for entry in workspace.audit_entries() if entry.action == "job.take"]
        assert taken == jobs
        assert {(job.attempts, len(workspace.job_events(job.id))) for job in workspace.jobs()} == {(1, 1)}
        assert [run.id for run in workspace.runs()] == [f"run-{number}" for number in range(1, 61)]
        checked = workspace.verify_audit()
        assert (checked.problem, checked.num_entries) == (None, 5 * len(jobs))


def test_two_processes_may_make_and_migrate_at_the_same_time(tmp_path):
    # Every maker waits for the word, so that they meet; twelve times, because they meet in more than one way.
    script = (
        "import sys; from pathlib import Path; from holdfast.store import sqlite\n"
        "print('ready', flush=True)\n"
        "for line in sys.stdin: sqlite.ready(Path(line.strip())).close(); print('made', flush=True)"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [maker.stdout.readline() for maker in makers] == ["ready\n"] * len(makers)
    for attempt in range(12):
        (tmp_path / str(attempt)).mkdir()
        for maker in makers:
            maker.stdin.write(f"{tmp_path / str(attempt) / 'holdfast.db'}\n")
            maker.stdin.flush()
        assert [maker.stdout.readline() for maker in makers] == ["made\n"] * len(makers)
        with Workspace.open(tmp_path / str(attempt)) as workspace:
            assert workspace.skills() == []
    for maker in makers:
        maker.communicate(timeout=60)
    assert [maker.returncode for maker in makers] == [0] * len(makers)


def test_a_lock_held_by_a_dead_process_is_free(tmp_path):
    Workspace.create(tmp_path / "w").close()
    script = (
        "import sys, time; from holdfast.store.workspace import Workspace\n"
        "with Workspace.open(sys.argv[1]).exclusively('learn'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "w")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with Workspace.open(tmp_path / "w") as workspace:
        with pytest.raises(Exception, match=f"process .id {holder.pid}"), workspace.exclusively("learn"):
            pass
        holder.kill()
        holder.wait()
        holder.stdout.close()
        with workspace.exclusively("learn"):
            pass
