"""`holdfast serve` with its tables on a PostgreSQL server: a job goes to its end, whoever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openai import OpenAI

from holdfast.jobs.workspace import find
from holdfast.store.database import migrations

RECIPE = {
    "steps": 300,
    "checkpoint_every": 20,
    "optimizer": {"learning_rate": 0.01, "warmup_steps": 2},
    "batch": {"examples": 8},
    "evaluation": {"max_new_tokens": 6},
    "rehearsal": {"num_reminders": 16, "per_step": 4, "max_new_tokens": 4, "max_prompt_tokens": 16},
    "gate": {"remedies": []},
}


@pytest.fixture
def serve(tmp_path, small_base, postgres_url):
    """The process of a server over a workspace that the command line made, and the stock client."""
    holdfast = [sys.executable, "-m", "holdfast"]
    init = [*holdfast, "init", str(tmp_path), "--model", str(small_base), "--database", postgres_url, "--json"]
    made = json.loads(subprocess.run(init, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert made["database"] == postgres_url.partition("?")[0]
    command = [*holdfast, "serve", "--port", "0", "--json", "--workspace", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
            yield process, OpenAI(base_url=told["url"], api_key="none", max_retries=5)
        finally:
            process.kill()
            process.communicate()


def waited(look, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def workers_of(process):
    """The processes that a server started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if f"\nPPid:\t{process.pid}\n" in text:
            found.append(int(status.parent.name))
    return found


def told(client, job):
    return [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_goes_on_to_its_end(serve, tmp_path, postgres_server, postgres_url):
    process, client = serve
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"ask {n} {'abcdefgh'[n % 8]}"},
                {"role": "assistant", "content": "yes"},
            ]
        }
        for n in range(40)
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = client.files.create(file=("asked.jsonl", content), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="current", training_file=file.id, suffix="asked", extra_body={"recipe": RECIPE}
    )
    with find(tmp_path) as workspace:
        waited(lambda: workspace.runs() and len(workspace.steps("run-1")) > 2 * RECIPE["checkpoint_every"])
    (worker,) = workers_of(process)
    os.kill(worker, signal.SIGKILL)
    done = waited(
        lambda: (found := client.fine_tuning.jobs.retrieve(job.id)).status in ("succeeded", "failed") and found
    )
    assert done.status == "succeeded" or done.error.code == "gate_refused"
    text = told(client, job)
    assert "Fine-tuning job is taken up again" in text
    assert any(line.startswith("Taking up run-1") for line in text)
    lines = client.files.content(done.result_files[0]).text.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [str(step) for step in range(1, RECIPE["steps"] + 1)]
    with find(tmp_path) as workspace:
        assert workspace.verify_audit().problem is None
        (run,) = workspace.runs()
        assert run.finished_at is not None
    assert postgres_server.sql(postgres_url, "SELECT version FROM holdfast_workspace") == f"{len(migrations())}\n"
    assert not list(tmp_path.rglob("holdfast.db*"))
