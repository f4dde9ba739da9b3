"""The stock client orders a job, follows it, stops it, and asks what came of it."""

import json
import time

import pytest
from openai import BadRequestError, NotFoundError

from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.worker import Worker

QUICK = {"batch": {"examples": 8}, "rehearsal": {"num_reminders": 8}, "gate": {"remedies": []}}


@pytest.fixture(scope="session")
def given(training_file):
    """A function that uploads a training file."""
    return lambda client, **how: client.files.create(file=("orders.jsonl", training_file(**how)), purpose="fine-tune")


@pytest.fixture(scope="session")
def ordered(small):
    """A function that orders a small job."""

    def order(client, file, **more):
        body = {"recipe": small, **more.pop("extra_body", {})}
        return client.fine_tuning.jobs.create(model="holdfast:tiny", training_file=file.id, extra_body=body, **more)

    return order


def test_a_job_tells_its_whole_story_and_what_it_made_answers(make_server, given, ordered):
    server = make_server()
    client = server.client()
    file = given(client)
    assert (file.purpose, file.filename, file.status) == ("fine-tune", "orders.jsonl", "processed")
    method = {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 8, "n_epochs": "auto"}}}
    job = ordered(client, file, suffix="My Orders", seed=3, metadata={"team": "a"}, method=method)
    assert (job.status, job.model, job.seed, job.metadata) == ("queued", "holdfast:tiny", 3, {"team": "a"})
    assert (job.error.code, job.fine_tuned_model, job.result_files) == (None, None, [])
    assert job.method.type == "supervised"
    assert job.hyperparameters.batch_size == 8
    assert server.work() == [job.id]

    job = client.fine_tuning.jobs.retrieve(job.id)
    assert job.status in ("succeeded", "failed")
    assert job.trained_tokens > 0
    assert job.finished_at >= job.created_at
    assert job.verdict["decision"] in ("accept", "reject", "inconclusive")
    assert job.matrix["skills"] == ["My Orders"]
    assert job.data["rows"] == 30
    events = list(client.fine_tuning.jobs.list_events(job.id))
    assert len(events) > 20  # more than one page
    told = [event.message for event in reversed(events)]
    assert told[0] == f"Created fine-tuning job: {job.id}"
    assert told[1:3] == [f"Validating training file: {file.id}", "Files validated, moving job to queued state"]
    assert told[3] == "Fine-tuning job started"
    losses = [event.data["train_loss"] for event in events if event.type == "metrics"]
    assert len(losses) >= 2
    lines = client.files.content(job.result_files[0]).text.splitlines()
    names = ["step", "train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy"]
    assert lines[0].split(",") == [*names, "full_valid_loss", "full_valid_mean_token_accuracy"]
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    assert all(float(cell) > 0 for cell in lines[4].split(","))
    assert job.estimated_finish is None
    if job.status == "succeeded":
        assert job.fine_tuned_model.startswith("ft:holdfast:tiny:holdfast:my-orders:")
        checkpoint, *_ = client.fine_tuning.jobs.checkpoints.list(job.id)
        assert checkpoint.step_number == checkpoint.metrics.step == 4
        assert checkpoint.metrics.full_valid_loss > 0
        names = (job.fine_tuned_model, checkpoint.fine_tuned_model_checkpoint, "current")
        asked = [{"role": "user", "content": "Order 123: Ann wants a lamp."}]
        answers = [
            client.chat.completions.create(model=name, messages=asked, temperature=0, max_tokens=8) for name in names
        ]
        assert len({answer.choices[0].message.content for answer in answers}) == 1
        assert job.fine_tuned_model in {model.id for model in client.models.list()}
    else:
        assert job.error.code == "gate_refused"


@pytest.mark.parametrize("adapter", ["none", {"rank": 4}])
def test_checkpoints_appear_while_a_job_runs_and_answer_under_their_own_names(
    make_server, given, ordered, monkeypatch, adapter
):
    server = make_server()
    client = server.client()
    file, seen = given(client), []
    job = ordered(client, file, suffix="orders", extra_body={"recipe": {"steps": 9, "adapter": adapter, **QUICK}})
    note = Worker._note_checkpoint

    def noted(self, *told):
        note(self, *told)
        running = client.fine_tuning.jobs.retrieve(job.id)
        listed = client.fine_tuning.jobs.checkpoints.list(job.id).data
        seen.append((running.status, running.estimated_finish, [one.step_number for one in listed]))
        asked_of(client, listed[0].fine_tuned_model_checkpoint)

    monkeypatch.setattr(Worker, "_note_checkpoint", noted)
    server.work()
    assert [steps for *_, steps in seen] == [[3], [6, 3], [9, 6, 3]]  # 24 examples, eight a step: three epochs
    assert all(status == "running" and finish > 0 for status, finish, _ in seen)
    found = client.fine_tuning.jobs.checkpoints.list(job.id).data
    names = [one.fine_tuned_model_checkpoint for one in found]
    assert names[0].startswith("ft:holdfast:tiny:holdfast:orders:")
    assert [name.rpartition(":ckpt-step-")[2] for name in names] == ["9", "6", "3"]
    losses = [one.metrics.valid_loss for one in found]
    assert losses[0] < losses[2]
    probabilities = [asked_of(client, name).choices[0].logprobs.content[0].logprob for name in [*names, "current"]]
    assert len(set(probabilities[:3])) == 3
    with pytest.raises(NotFoundError):
        asked_of(client, names[0].replace("step-9", "step-8"))
    with pytest.raises(NotFoundError):
        asked_of(client, names[0].replace(":orders:", ":others:"))


def asked_of(client, name):
    asked = [{"role": "user", "content": "Order 123: Ann wants a lamp."}]
    return client.chat.completions.create(model=name, messages=asked, temperature=0, max_tokens=2, logprobs=True)


def test_figures_go_to_weights_and_biases_as_well(make_server, given, ordered, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    server = make_server()
    client = server.client()
    file = given(client)
    wandb = {"type": "wandb", "wandb": {"project": "orders", "tags": ["small"]}}
    job = ordered(client, file, integrations=[wandb])
    assert job.integrations[0].wandb.project == "orders"
    server.work()
    (run,) = server.workspace.root.glob("wandb/wandb/offline-run-*/*.wandb")
    kept = run.read_bytes()
    assert all(name in kept for name in (b"orders", job.id.encode(), b"train_loss", b"valid_loss"))
    told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    assert any("Weights & Biases" in text and "wandb sync" in text for text in told)
    for wrong in ({"type": "mlflow"}, {"type": "wandb"}, {"type": "wandb", "wandb": {"project": "p", "x": 1}}):
        with pytest.raises(BadRequestError, match="integrations"):
            ordered(client, file, integrations=[wrong])


def test_events_are_streamed_from_the_first_to_the_last(make_server, given, ordered):
    server = make_server()
    client = server.client()
    job = ordered(client, given(client))
    server.work()
    with client.fine_tuning.jobs.with_streaming_response.list_events(job.id, extra_query={"stream": "true"}) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    streamed = [json.loads(line)["id"] for line in lines[:-1]]
    assert streamed == [event.id for event in reversed(list(client.fine_tuning.jobs.list_events(job.id)))]


def test_jobs_are_listed_newest_first_in_pages_and_by_metadata(make_server, given, ordered):
    client = make_server().client()
    file = given(client)
    jobs = [ordered(client, file, metadata={"n": str(number % 2)}) for number in range(5)]
    newest = [job.id for job in reversed(jobs)]
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == newest  # the client pages on
    first = client.fine_tuning.jobs.list(limit=2)
    assert (len(first.data), first.has_more) == (2, True)
    odd = client.fine_tuning.jobs.list(metadata={"n": "1"})
    assert [job.id for job in odd] == [jobs[3].id, jobs[1].id]


def test_a_job_that_waits_is_paused_resumed_and_cancelled_and_a_wrong_state_is_400(make_server, given, ordered):
    client = make_server().client()
    job = ordered(client, given(client))
    with pytest.raises(BadRequestError, match="queued, not paused") as error:
        client.fine_tuning.jobs.resume(job.id)
    assert error.value.code == "invalid_state"
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    cancelled = client.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at
    with pytest.raises(BadRequestError, match="The job is cancelled"):
        client.fine_tuning.jobs.cancel(job.id)


def test_a_running_job_is_paused_within_a_step_and_goes_on_to_the_same_weights(
    make_server, monkeypatch, given, ordered, small
):
    monkeypatch.setattr("holdfast.jobs.worker.RENEW_SECONDS", 0.05)
    recipe = {**small, "steps": 6}
    hashes = []
    for pauses in (False, True):
        server = make_server()
        client = server.client()
        job = ordered(client, given(client), extra_body={"recipe": recipe})
        if pauses:
            add = server.workspace.add_job_event

            def noted(name, message, **how):
                add(name, message, **how)  # noqa: B023 - called in this round only
                if message.startswith("Step 1/"):
                    client.fine_tuning.jobs.pause(name)  # noqa: B023

            monkeypatch.setattr(server.workspace, "add_job_event", noted)
            server.work()
            monkeypatch.setattr(server.workspace, "add_job_event", add)
            assert client.fine_tuning.jobs.retrieve(job.id).status == "paused"
            client.fine_tuning.jobs.resume(job.id)
        server.work()
        done = client.fine_tuning.jobs.retrieve(job.id)
        hashes.append(server.workspace.version(done.version).weights_hash)
        told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
        assert any(text.startswith("Resuming at step") for text in told) == pauses
    assert hashes[0] == hashes[1]


def test_a_job_of_a_worker_that_died_is_taken_up_when_its_lease_is_over(make_server, monkeypatch, given, ordered):
    server = make_server()
    client = server.client()
    job = ordered(client, given(client))
    taken = server.workspace.take_job("elsewhere 1 x", seconds=0.2)
    assert taken.id == job.id
    worker = Worker(server.workspace, StopSwitch())
    monkeypatch.setattr("holdfast.jobs.worker.IDLE_SECONDS", 0.05)
    assert worker.run(once=True) == []  # still held
    time.sleep(0.3)
    assert worker.run(once=True) == [job.id]
    assert client.fine_tuning.jobs.retrieve(job.id).status in ("succeeded", "failed")
    told = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    assert "Fine-tuning job is taken up again" in told


def test_the_highest_priority_is_worked_on_first(make_server, given, ordered):
    server = make_server()
    client = server.client()
    file = given(client)
    jobs = [ordered(client, file, extra_body={"priority": priority}) for priority in (0, 5, 1)]
    order = [server.workspace.take_job("w", seconds=60).id for _ in jobs]
    assert order == [jobs[1].id, jobs[2].id, jobs[0].id]
    assert server.workspace.take_job("w", seconds=60) is None


def _said(given=None, **hyperparameters):
    return {"method": {"type": "supervised", "supervised": {"hyperparameters": given or hyperparameters}}}


@pytest.mark.parametrize(
    ("change", "status", "param", "words"),
    [
        ({"training_file": "file-no"}, 404, "training_file", "There is no file"),
        ({"model": "gpt-9"}, 404, "model", "does not exist"),
        ({"method": {"type": "magic"}}, 400, "method.type", "not known here"),
        ({"seed": -1}, 400, "seed", "greater than or equal to 0"),
        ({"suffix": "x" * 65}, 400, "suffix", "at most 64"),
        ({"extra_body": {"colour": "blue"}}, 400, "colour", "not permitted"),
        ({"extra_body": {"recipe": {"stepz": 3}}}, 400, "stepz", "did you mean steps"),
        ({"suffix": "a\0b"}, 400, "skill", "1 to 80 printable characters"),
        ({"metadata": {"skill": " "}}, 400, "skill", "1 to 80 printable characters"),
        ({"extra_body": {"recipe": {"steps": 10**400}}}, 400, "steps", "less than or equal to 1000000"),
        (_said(batch_size=10**30), 400, "batch.examples", "less than or equal to 1000000"),
        (_said(n_epochs=1e300), 400, "epochs", "less than or equal to 10000"),
        ({"extra_body": {"recipe": {"base": "other"}}}, 400, "recipe.base", "the model of this workspace"),
        ({"extra_body": {"recipe": {"batch": 5}}, **_said(batch_size=2)}, 400, "recipe.batch", "not an object"),
        ({"extra_body": {"priority": 2**63}}, 400, "priority", "less than or equal to"),
        ({"method": {"type": "supervised", "supervised": [1]}}, 400, "method.supervised", "a list, not an object"),
        (_said([1]), 400, "method.supervised.hyperparameters", "a list, not an object"),
        ({"method": {"type": "supervised", "dpo": {"x": 1}}}, 400, "method.dpo", "would have no effect"),
        ({"method": {"type": "dpo", "dpo": {"beta": 1}}}, 400, "method.dpo.beta", "would have no effect"),
        ({"method": {"type": "reinforcement"}}, 400, "method.reinforcement", "say how an answer is judged"),
        ({"method": {"type": "reflect", "reflect": {"grader": "exakt"}}}, 400, "grader", "Did you mean 'exact'"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_at_once(shared, client, change, status, param, words, given):
    body = {"model": "holdfast:tiny", "training_file": given(client, num=12).id, **change}
    with pytest.raises((BadRequestError, NotFoundError), match=words) as error:
        client.fine_tuning.jobs.create(**body)
    assert (error.value.status_code, error.value.param) == (status, param)
    assert error.value.request_id


def test_too_few_examples_are_refused_before_anything_runs(shared, client, given, ordered):
    with pytest.raises(BadRequestError, match="3 usable examples, and needs 10") as error:
        ordered(client, given(client, num=3))
    assert error.value.param == "training_file"


def test_a_job_of_preferences_is_ordered_as_the_hosted_service_words_it(make_server, small):
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"Name a colour of thing {number}."}]},
            "preferred_output": [{"role": "assistant", "content": f"blue {number}!"}],
            "non_preferred_output": [{"role": "assistant", "content": f"I would rather not say {number}."}],
        }
        for number in range(30)
    ]
    server = make_server()
    client = server.client()
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = client.files.create(file=("pairs.jsonl", content), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="holdfast:tiny",
        training_file=file.id,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "batch_size": 8}}},
        extra_body={"recipe": {**small, "steps": 2}},
    )
    assert server.workspace.job(job.id).recipe["method"] == {"type": "dpo", "beta": 0.2}
    server.work()
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status in ("succeeded", "failed")
    assert done.status == "succeeded" or done.error.code == "gate_refused"


def test_checkpoints_of_a_job_that_is_not_decided_have_the_name_by_which_they_will_be_asked(
    make_server, given, ordered
):
    server = make_server()
    client = server.client()
    job = ordered(client, given(client), suffix="My orders")
    server.workspace.add_job_checkpoint(job.id, 3, {"train_loss": 1.0})
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert checkpoint.fine_tuned_model_checkpoint == f"ft:holdfast:tiny:holdfast:my-orders:{job.id[-8:]}:ckpt-step-3"


def test_an_event_that_no_number_can_name_is_refused(make_server, given, ordered):
    client = make_server().client()
    job = ordered(client, given(client))
    for name in ("ftevent-" + "9" * 30, "ftevent--5", "x"):
        with pytest.raises(BadRequestError, match="not the id of an event"):
            client.fine_tuning.jobs.list_events(job.id, after=name)
