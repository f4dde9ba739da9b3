"""Files through the stock client: given, judged line by line, listed, read, deleted; they lie nowhere else."""

import io

import pytest
from openai import BadRequestError, NotFoundError

from holdfast.api.state import Limits


def test_a_file_is_kept_as_it_was_given(client, training_file):
    content = training_file(12)
    file = client.files.create(file=("a b/../c.jsonl", content), purpose="fine-tune")
    assert (file.bytes, file.status, file.purpose) == (len(content), "processed", "fine-tune")
    assert client.files.content(file.id).read() == content
    assert client.files.retrieve(file.id).filename == file.filename
    assert client.files.wait_for_processing(file.id, poll_interval=0.01).id == file.id
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError, match="There is no file"):
        client.files.retrieve(file.id)


def test_bytes_lie_below_the_workspace_under_the_files_id(shared, client, training_file):
    file = client.files.create(file=("../../etc/passwd.jsonl", training_file(12)), purpose="fine-tune")
    place = shared.workspace.upload_path(file.id)
    assert place == shared.workspace.root / "uploads" / f"{file.id}.jsonl"
    assert place.is_file()


def test_every_line_that_cannot_be_used_is_named_with_its_number(client, training_file):
    bad = ["not json", '{"messages": []}', '{"messages": [{"role": "boss", "content": "x"}]}']
    file = client.files.create(file=("t.jsonl", training_file(12, extra=bad)), purpose="fine-tune")
    assert [problem["line"] for problem in file.problems] == [13, 14, 15]
    assert all(problem["reason"] for problem in file.problems)
    assert "3 of 15 lines are not used: line 13: " in file.status_details


def test_a_training_file_of_which_nothing_can_be_used_is_refused_and_not_kept(shared, client):
    before = len(shared.workspace.all_uploads())
    with pytest.raises(BadRequestError, match=r"none of its 2 lines can be learned from\. line 1: ") as error:
        client.files.create(file=("t.jsonl", b"no\nnothing\n"), purpose="fine-tune")
    assert error.value.param == "file"
    with pytest.raises(BadRequestError, match="empty"):
        client.files.create(file=("t.jsonl", b""), purpose="fine-tune")
    assert len(shared.workspace.all_uploads()) == before


def test_lists_are_paged_both_ways_and_by_purpose(make_server, training_file):
    client = make_server().client()
    made = [
        client.files.create(file=(f"{n}.jsonl", io.BytesIO(training_file(12))), purpose="fine-tune") for n in range(3)
    ]
    other = client.files.create(file=("x.txt", b"x"), purpose="user_data")
    ids = [file.id for file in made]
    assert [file.id for file in client.files.list(limit=2)] == [other.id, *reversed(ids)]
    assert [file.id for file in client.files.list(order="asc", purpose="fine-tune")] == ids
    assert [file.id for file in client.files.list(after=ids[1], order="asc", purpose="fine-tune")] == [ids[2]]
    with pytest.raises(BadRequestError, match="there is no 'file-no' in this list"):
        client.files.list(after="file-no")


def test_what_expires_is_said_and_what_has_expired_is_gone(make_server):
    server = make_server()
    client = server.client()
    file = client.files.create(
        file=("x.txt", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == pytest.approx(file.created_at + 3600, abs=2)
    server.workspace._clock = lambda clock=server.workspace._clock: clock().replace(year=clock().year + 1)
    assert not list(client.files.list())
    with pytest.raises(NotFoundError, match="expired"):
        client.files.content(file.id)


def test_a_file_beyond_the_limit_is_refused_and_nothing_is_left(make_server):
    server = make_server(limits=Limits(file_bytes=1000))
    with pytest.raises(Exception, match="more than 1,000 bytes") as error:
        server.client().files.create(file=("x.txt", b"x" * 1001), purpose="user_data")
    assert error.value.status_code == 413
    assert not list((server.workspace.root / "uploads" / "incoming").iterdir())


def test_an_unknown_purpose_is_refused(client):
    with pytest.raises(BadRequestError, match="purpose: 'fun' is not one of"):
        client.files.create(file=("x.txt", b"x"), purpose="fun")
