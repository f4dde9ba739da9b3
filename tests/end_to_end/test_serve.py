"""`holdfast serve` as a process: the address it says, a worker that is killed, and an end that loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openai import OpenAI

from holdfast.jobs.workspace import create


@pytest.fixture
def serve(tmp_path):
    """A function that starts a server over a workspace of the embedded base, and returns it with a client."""
    create(tmp_path, base="holdfast:tiny")
    started = []
    log = tmp_path / "log"

    def start():
        command = [sys.executable, "-m", "holdfast", "serve", "--port", "0", "--json", "--workspace", str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log.open("a"), text=True)
        started.append(process)
        told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        assert told["pid"] == process.pid
        return process, OpenAI(base_url=told["url"], api_key="none", max_retries=5)

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def rows(num):
    asked = [f"Order {100 + n}: {['Ann', 'Bob', 'Cid'][n % 3]} wants a {['lamp', 'desk'][n % 2]}." for n in range(num)]
    return "".join(
        json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text.upper()}]})
        + "\n"
        for text in asked
    ).encode()


def ordered(client, steps):
    file = client.files.create(file=("orders.jsonl", rows(40)), purpose="fine-tune")
    recipe = {"steps": steps, "checkpoint_every": 2, "rehearsal": {"num_reminders": 8}, "gate": {"remedies": []}}
    return client.fine_tuning.jobs.create(
        model="holdfast:tiny", training_file=file.id, suffix="orders", extra_body={"recipe": recipe}
    )


def told(client, job):
    return [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]


def waited(look, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


def decided(client, job):
    """The job, once it is decided."""
    found = client.fine_tuning.jobs.retrieve(job.id)
    return found if found.status in ("succeeded", "failed") else None


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


def test_a_worker_that_is_killed_is_started_again_and_the_job_goes_on(serve):
    process, client = serve()
    job = ordered(client, steps=8)
    waited(lambda: any(text.startswith("Step ") and not text.startswith("Step 1/") for text in told(client, job)))
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
    assert [line.split(",")[0] for line in lines[1:]] == [str(step) for step in range(1, 9)]


def test_a_server_that_is_asked_to_end_keeps_its_job_and_goes_on_when_it_is_back(serve):
    process, client = serve()
    job = ordered(client, steps=8)
    waited(lambda: any(text.startswith("Step ") for text in told(client, job)))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    _, client = serve()
    done = waited(
        lambda: (found := client.fine_tuning.jobs.retrieve(job.id)).status in ("succeeded", "failed") and found
    )
    assert done.status == "succeeded" or done.error.code == "gate_refused"
    assert "The worker stops; the job goes on when it is back" in told(client, job)


def test_a_server_that_is_killed_goes_on_with_the_items_of_an_eval_that_are_missing(serve):
    process, client = serve()
    same = {"type": "string_check", "name": "same", "operation": "eq", "input": "{{ sample.output_text }}",
            "reference": "{{ item.text }}"}  # fmt: skip
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    record = client.evals.create(
        data_source_config={"type": "custom", "item_schema": schema, "include_sample_schema": True},
        testing_criteria=[same],
    )
    content = [{"item": {"text": f"blue river {number}"}} for number in range(40)]
    run = client.evals.runs.create(
        record.id,
        data_source={
            "type": "completions", "model": "current", "source": {"type": "file_content", "content": content},
            "input_messages": {"type": "template", "template": [{"role": "user", "content": "{{ item.text }}"}]},
            "sampling_params": {"max_completion_tokens": 200, "temperature": 1.5, "seed": 3},
        },
    )  # fmt: skip

    def looked():
        return client.evals.runs.retrieve(run.id, eval_id=record.id)

    waited(lambda: looked().result_counts.total > 2)
    before = {item.id: item for item in client.evals.runs.output_items.list(run.id, eval_id=record.id)}
    assert len(before) < 40
    process.kill()
    process.wait()
    _, client = serve()
    done = waited(lambda: (found := looked()).status not in ("queued", "in_progress") and found)
    assert (done.status, done.result_counts.total, done.result_counts.errored) == ("completed", 40, 0)
    after = {item.id: item for item in client.evals.runs.output_items.list(run.id, eval_id=record.id)}
    assert [item.datasource_item["text"] for item in after.values()] == [row["item"]["text"] for row in content]
    assert all(after[name].created_at == item.created_at for name, item in before.items())
    assert done.per_model_usage[0].invocation_count == 40


def test_a_stream_of_events_keeps_no_server_from_ending(serve, tmp_path):
    process, client = serve()
    job = ordered(client, steps=40)
    with client.fine_tuning.jobs.with_streaming_response.list_events(job.id, extra_query={"stream": "true"}) as answer:
        lines = answer.iter_lines()
        assert "Created fine-tuning job" in next(lines)
        waited(lambda: any(text.startswith("Step ") for text in told(client, job)))
        process.send_signal(signal.SIGTERM)
        assert "[DONE]" not in list(lines)
    process.wait(60)
    assert "Traceback" not in (tmp_path / "log").read_text()
