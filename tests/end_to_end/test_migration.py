"""A script as it was written for the hosted service runs with another `base_url`, and what it made answers."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import time
from openai import OpenAI

client = OpenAI()
file = client.files.create(file=open("training.jsonl", "rb"), purpose="fine-tune")
client.files.wait_for_processing(file.id)
job = client.fine_tuning.jobs.create(
    model="gpt-4o-mini-2024-07-18",
    training_file=file.id,
    suffix="orders",
    seed=1,
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 12, "batch_size": 16}}},
)
seen = set()
while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(1)
    for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=50).data):
        if event.id not in seen:
            seen.add(event.id)
            print(event.message)
    job = client.fine_tuning.jobs.retrieve(job.id)
print(job.status, job.error.message)
for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id):
    print(checkpoint.fine_tuned_model_checkpoint, checkpoint.metrics.train_loss)
answer = client.chat.completions.create(
    model=job.fine_tuned_model, messages=[{"role": "user", "content": "Order 123: Ann wants a lamp."}], temperature=0
)
print("ANSWER", answer.choices[0].message.content)
"""


@pytest.mark.slow
def test_a_hosted_services_script_runs_with_another_base_url(tmp_path):
    names, things = ["Ann", "Bob", "Cid", "Dan"], ["lamp", "desk", "chair", "phone", "radio"]
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Order {100 + n}: {names[n % 4]} wants a {things[n % 5]}."},
                {"role": "assistant", "content": f"{things[n % 5].upper()} for {names[n % 4]}"},
            ]
        }
        for n in range(120)
    ]
    (tmp_path / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "holdfast"]
    subprocess.run([*command, "init", str(tmp_path)], check=True, capture_output=True)
    (tmp_path / "recipe.toml").write_text("[rehearsal]\nnum_reminders = 60\n")
    serve = [*command, "serve", "--port", "0", "--json", "--workspace", str(tmp_path), "--config", "recipe.toml"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*serve, "--alias", "gpt-4o-mini-2024-07-18=current"],
            stdout=subprocess.PIPE, stderr=log, text=True, cwd=tmp_path,
        )  # fmt: skip
        try:
            url = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"]
            environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
            done = subprocess.run(
                [sys.executable, "script.py"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
            )
        finally:
            server.terminate()
            server.wait(60)
            server.stdout.close()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Fine-tuning job started" in done.stdout
    assert "succeeded" in done.stdout
    assert "ft:holdfast:tiny:holdfast:orders:" in done.stdout
    assert "ANSWER LAMP for Ann" in done.stdout
