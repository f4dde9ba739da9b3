"""Looking at rows in other processes and on a Ray cluster: the version is that of one process, to the last hash."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from holdfast.data.check import CheckSettings, Context, LookingCheck
from holdfast.data.doctor import rows as chunks
from holdfast.data.doctor.on_processes import OnProcesses, processes
from holdfast.errors import DataError
from holdfast.jobs.prepare import Request, prepare
from holdfast.jobs.preparing_here import plan_of, recipe_here
from holdfast.jobs.progress import Silent

WITHOUT_ENCODER = ["checks.semantic_duplicates.enabled=false"]


def source_of(path):
    """Rows with names, numbers, broken characters, near-duplicates, a long one and an empty one."""
    draw = random.Random(5)
    words = ["".join(draw.choice("bdfgklmnprst") + draw.choice("aeiou") for _ in range(3)) for _ in range(300)]
    lines = []
    for number in range(150):
        asked = " ".join(draw.choice(words) for _ in range(12))
        said = f"{' '.join(draw.choice(words) for _ in range(8))} by Mr. {words[number % 7].title()} Kato"
        lines.append({"prompt": f"{asked}?", "completion": f"{said}, a{number % 9}@example.org, itâ€™s done."})
        if number % 10 == 0:
            lines.append({"prompt": f"{asked} {words[0]}?", "completion": lines[-1]["completion"]})
    lines.insert(70, {"prompt": " ".join(words) * 30, "completion": "too long"})
    lines.insert(90, {"prompt": "empty?", "completion": "  "})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def cluster():
    """A head without a worker of its own, and two nodes of one worker each."""
    pytest.importorskip("ray.data")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 << 20})
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=80 << 20)
        ray.init(address=made.address, log_to_driver=False)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def prepared(source, folder, *, ray=None, num=1, approve=None):
    recipe, template = recipe_here(None, None)
    plan = plan_of(None, WITHOUT_ENCODER)
    request = Request(
        [source], "words", plan, recipe, chat_template=template, to=folder, ray=ray, processes=num,
    )  # fmt: skip
    return prepare(None, request, approve=approve, progress=Silent())


APPROVED = pytest.mark.parametrize("approve", [None, lambda number, finding: True], ids=["quiet", "asked"])


@APPROVED
def test_two_workers_find_and_decide_what_this_process_does(cluster, tmp_path, monkeypatch, approve):
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 16)
    source = source_of(tmp_path / "words.jsonl")
    here = prepared(source, tmp_path / "here", approve=approve)
    there = prepared(source, tmp_path / "there", ray=cluster.address, approve=approve)
    require_equal(here, there)


@APPROVED
def test_two_processes_find_and_decide_what_one_does(tmp_path, monkeypatch, approve):
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 16)
    source = source_of(tmp_path / "words.jsonl")
    here = prepared(source, tmp_path / "here", approve=approve)
    there = prepared(source, tmp_path / "there", num=2, approve=approve)
    require_equal(here, there)


def require_equal(here, there):
    assert there.version.hash == here.version.hash
    assert there.outcomes == here.outcomes
    assert here.version.counts.changed > 100
    assert set(here.version.counts.rejected) >= {"too_long", "empty", "near_duplicate"}
    for name in ("changed.jsonl", "rejected.jsonl"):
        assert (there.version.folder / name).read_bytes() == (here.version.folder / name).read_bytes()


class Ends(LookingCheck):
    """A check whose process is ended from outside."""

    name = "ends"

    def look(self, rows):
        os.kill(os.getpid(), signal.SIGKILL)

    def take(self, rows, looked):
        pass

    def finding(self):
        raise AssertionError

    def decide(self, row):
        raise AssertionError


def test_a_process_that_is_ended_from_outside_is_said(tmp_path):
    with processes(tmp_path, 2) as elsewhere, pytest.raises(DataError, match=r"want of memory.*--processes 1"):
        list(elsewhere.looks([Ends(CheckSettings(), Context(tmp_path))], [False], [[], []]))


def test_few_rows_are_looked_at_here_unless_a_number_is_given(tmp_path):
    assert not OnProcesses(tmp_path, None).is_worth_it(3)
    assert OnProcesses(tmp_path, 2).is_worth_it(1)
    assert not OnProcesses(tmp_path, 1).is_worth_it(1000)


STAYS = """
import sys, time
from pathlib import Path
from holdfast.data.check import CheckSettings, Context
from holdfast.data.doctor.on_processes import processes
sys.path.insert(0, sys.argv[2])
from sleeps import Sleeps

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with processes(folder, 2) as elsewhere:
        list(elsewhere.looks([Sleeps(CheckSettings(), Context(folder))], [False], [[], []]))
"""
SLEEPS = """
import os, time
from pathlib import Path
from holdfast.data.check import LookingCheck

class Sleeps(LookingCheck):
    name = "sleeps"
    def look(self, rows):
        Path(__file__).with_name(f"pid.{os.getpid()}").touch()
        time.sleep(300)
    take = finding = decide = None

Sleeps.__abstractmethods__ = frozenset()
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "stays.py").write_text(STAYS)
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    started = subprocess.Popen([sys.executable, tmp_path / "stays.py", tmp_path, tmp_path])
    try:
        named = waited(lambda: list(tmp_path.glob("pid.*")), lambda found: len(found) == 2)
    finally:
        started.kill()
        started.wait()
    workers = [int(path.suffix[1:]) for path in named]
    assert len(workers) == 2
    assert waited(lambda: [pid for pid in workers if is_alive(pid)], lambda left: not left) == []


def waited(look, is_there, seconds=60):
    """What `look` returns once it is there."""
    end = time.monotonic() + seconds
    while not is_there(look()) and time.monotonic() < end:
        time.sleep(0.1)
    return look()


def is_alive(pid):
    with suppress(OSError):
        return "\nState:\tZ" not in open(f"/proc/{pid}/status").read()
    return False


def test_rows_were_looked_at_by_both_workers(cluster):
    import ray

    from holdfast.data.doctor.on_ray import connected

    with connected(cluster.address):
        found = ray.data.range(40, override_num_blocks=40).map(
            lambda row: {"node": ray.get_runtime_context().get_node_id()}
        )
        assert len({row["node"] for row in found.iter_rows()}) == 2
    assert ray.is_initialized()  # whoever connected before stays so


def test_where_no_cluster_answers_the_address_is_named(monkeypatch):
    ray = pytest.importorskip("ray")
    from holdfast.data.doctor.on_ray import connected

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(DataError, match=r"No Ray cluster answers at 127\.0\.0\.1:9 .*ray start --head"),
        connected("127.0.0.1:9"),
    ):
        pass
