"""What a job says when the machine fails it: no disk, no memory, a worker that dies again and again."""

import errno
import shutil
import subprocess
import sys

import pytest
import torch
from openai import InternalServerError
from safetensors.torch import save_file

from holdfast.errors import HoldfastError
from holdfast.jobs import candidates, worker
from holdfast.jobs.full_disk import RESERVE_BYTES, is_full
from holdfast.jobs.holder import machine
from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.worker import MOST_DEATHS, Worker
from holdfast.jobs.workspace import create
from holdfast.models import checkpoint, weights_io

LONGER = {"steps": 12, "checkpoint_every": 4, "rehearsal": {"num_reminders": 8}, "gate": {"remedies": []}}


@pytest.fixture
def order(training_file):
    def make(client, **recipe):
        file = client.files.create(file=("orders.jsonl", training_file()), purpose="fine-tune")
        return client.fine_tuning.jobs.create(
            model="holdfast:tiny", training_file=file.id, suffix="orders", extra_body={"recipe": {**LONGER, **recipe}}
        )

    return make


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 28 MiB, which holds one checkpoint of the embedded base and not two."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=28m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no small file system can be mounted here: it takes the rights of root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def dead():
    """The name of a worker of this machine that is no more."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return f"{machine()} {gone.pid} x"


def messages(client, job):
    return [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]


def test_a_full_disk_fails_the_job_and_the_same_order_goes_on_from_its_checkpoint(make_server, order, monkeypatch):
    server = make_server()
    client = server.client()
    save = checkpoint.save_checkpoint

    def full(folder, state):
        if checkpoint.latest_checkpoint(folder) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(folder, state)

    monkeypatch.setattr(checkpoint, "save_checkpoint", full)
    job = order(client)
    server.work()
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.error.code) == ("failed", "disk_full")
    assert "Free some space" in job.error.message
    monkeypatch.undo()
    again = order(client)
    server.work()
    assert "Resuming at step 4 of 12 from the last checkpoint." in messages(client, again)
    assert client.fine_tuning.jobs.retrieve(again.id).trained_tokens > 0


def test_a_disk_that_is_really_full_leaves_room_for_saying_so(small_disk, make_server, order):
    server = make_server(create(small_disk / "w", base="holdfast:tiny").path)
    client = server.client()
    job = order(client)
    server.work()
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.error.code) == ("failed", "disk_full")
    assert checkpoint.latest_checkpoint(server.workspace.run_folder("run-1") / "training-0") is not None
    (small_disk / "rest").write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 4096))
    with pytest.raises(InternalServerError, match="the disk is full, so nothing was changed"):
        client.fine_tuning.jobs.create(model="holdfast:tiny", training_file=job.training_file)
    (small_disk / "rest").unlink()
    assert shutil.disk_usage(small_disk).free > RESERVE_BYTES // 2


def _adapter(folder):
    with weights_io.atomic_folder(folder) as temporary:
        save_file({"a": torch.zeros(1 << 20)}, temporary / "adapter_model.safetensors")


@pytest.mark.parametrize(
    "save", [_adapter, lambda folder: checkpoint.save_checkpoint(folder, {"step": 1, "a": torch.zeros(1 << 20)})]
)
def test_whatever_finds_the_disk_full_is_known_to_have(small_disk, save):
    (small_disk / "other").write_bytes(bytes(27 << 20))
    with pytest.raises((HoldfastError, OSError, RuntimeError)) as error:
        save(small_disk / "weights")
    assert is_full(error.value)


def test_a_full_disk_is_known_by_what_caused_the_error():
    error = RuntimeError("a file could not be written")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_full(error)
    assert not is_full(OSError(errno.EACCES, "Permission denied"))


def test_no_memory_fails_the_job_and_says_what_helps(make_server, order, monkeypatch):
    server = make_server()
    client = server.client()
    monkeypatch.setattr(candidates, "drive", lambda *_args, **_more: torch.empty(1 << 50))
    job = order(client)
    server.work()
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.error.code, job.error.param) == ("failed", "training_error", "batch.micro_batch_tokens")
    assert "do not fit the memory" in job.error.message


def test_no_memory_where_nothing_was_begun_fails_the_job_and_not_the_worker(make_server, order, monkeypatch):
    server = make_server()
    client = server.client()
    job = order(client)

    def no_memory(*_args, **_more):
        raise MemoryError

    monkeypatch.setattr(worker, "learn", no_memory)
    server.work()
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.error.code) == ("failed", "server_error")
    assert "MemoryError" in job.error.message


def test_a_job_whose_worker_dies_at_the_same_place_again_and_again_is_given_up(make_server, order, dead):
    server = make_server()
    client = server.client()
    job = order(client)
    worker = Worker(server.workspace, StopSwitch())
    for number in range(MOST_DEATHS):
        assert client.fine_tuning.jobs.retrieve(job.id).status == ("running" if number else "queued")
        assert server.workspace.take_job(dead, seconds=100) is not None
        worker._release_the_dead()
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.error.code) == ("failed", "worker_died")
    assert messages(client, job).count("The worker died: it was killed, or the machine had no memory left") == 3


def test_a_death_is_counted_once_and_frees_no_job_that_another_goes_on_with(make_server, order, dead):
    server = make_server()
    client = server.client()
    job = order(client)
    seen = server.workspace.take_job(dead, seconds=0)
    assert server.workspace.take_job("another", seconds=100).id == job.id
    Worker(server.workspace, StopSwitch())._died(seen)
    assert server.workspace.job(job.id).leased_by == "another"
    assert not [one for one in messages(client, job) if one.startswith("The worker died")]


def test_a_worker_that_lost_its_job_does_not_decide_it(make_server, order, monkeypatch):
    server = make_server()
    job = order(server.client())
    worker = Worker(server.workspace, StopSwitch())

    def lost(*_args):
        server.workspace.change_job(job.id, {"leased_by": "another"})
        raise OSError("the folder is in use")

    monkeypatch.setattr(worker, "_learn", lost)
    worker.run(once=True)
    assert (server.workspace.job(job.id).status, server.workspace.job(job.id).leased_by) == ("running", "another")


def test_deaths_at_one_place_are_counted_however_much_was_told_in_between(make_server, order, dead):
    server = make_server()
    job = order(server.client())
    worker = Worker(server.workspace, StopSwitch())
    for _ in range(MOST_DEATHS):
        server.workspace.take_job(dead, seconds=100)
        worker._release_the_dead()
        for number in range(600):
            server.workspace.add_job_event(job.id, f"Step {number}", type="metrics")
    assert server.workspace.job(job.id).error["code"] == "worker_died"
