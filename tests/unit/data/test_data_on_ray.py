"""Looking at rows on a Ray cluster: the version is that of a run in this process, to the last hash."""

import json
import os
import random

import pytest

from holdfast.data.doctor import rows as chunks
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


def prepared(source, folder, *, ray=None, approve=None):
    recipe, template = recipe_here(None, None)
    plan = plan_of(None, WITHOUT_ENCODER)
    request = Request(
        [source], "words", plan, recipe, chat_template=template, to=folder, ray=ray,
    )  # fmt: skip
    return prepare(None, request, approve=approve, progress=Silent())


@pytest.mark.parametrize("approve", [None, lambda number, finding: True], ids=["quiet", "asked"])
def test_two_workers_find_and_decide_what_this_process_does(cluster, tmp_path, monkeypatch, approve):
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 16)
    source = source_of(tmp_path / "words.jsonl")
    here = prepared(source, tmp_path / "here", approve=approve)
    there = prepared(source, tmp_path / "there", ray=cluster.address, approve=approve)
    assert there.version.hash == here.version.hash
    assert there.outcomes == here.outcomes
    assert here.version.counts.changed > 100
    assert set(here.version.counts.rejected) >= {"too_long", "empty", "near_duplicate"}
    for name in ("changed.jsonl", "rejected.jsonl"):
        assert (there.version.folder / name).read_bytes() == (here.version.folder / name).read_bytes()


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
