"""Requests that no client of good faith sends: each is answered in OpenAI's shape, and the connection stays usable."""

import json
import logging

import httpx2
import pytest

from holdfast.api.state import Limits

JSON = {"content-type": "application/json"}
CHAT = {"model": "current", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}


def _deep(depth):
    return json.loads('{"a":' * depth + "1" + "}" * depth)


def _refused(answer, status, words):
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answer.status_code, words in error["message"]) == (status, True), error
    return error


@pytest.mark.parametrize("depth", [120, 300, 900])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/chat/completions", "tools"),
        ("/fine_tuning/jobs", "recipe"),
        ("/fine_tuning/jobs", "integrations"),
        ("/fine_tuning/alpha/graders/run", "item"),
        ("/responses", "tools"),
        ("/evals", "data_source_config"),
    ],
)
def test_a_body_that_is_nested_too_deeply_is_refused(shared, path, field, depth):
    body = {**CHAT, field: [_deep(depth)]}
    _refused(httpx2.post(shared.url + path, json=body), 400, "The body is nested more than 100 deep.")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"xx", "The body is not JSON: Expecting value (character 1)."),
        (b'{"model": 1,}', "The body is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "cannot be read as JSON"),
        (b'{"model": "\xff"}', "cannot be read as JSON"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
    ],
)
def test_a_body_that_is_not_json_is_refused_by_what_it_is(shared, body, words):
    error = _refused(httpx2.post(f"{shared.url}/chat/completions", content=body, headers=JSON), 400, words)
    assert error["param"] is None


def test_a_body_without_a_length_is_counted_as_it_comes(make_server):
    server = make_server(limits=Limits(body_bytes=10_000))

    def chunks():
        yield b'{"model": "current", "messages": [{"role": "user", "content": "'
        for _ in range(20):
            yield b"x" * 1000
        yield b'"}]}'

    answer = httpx2.post(f"{server.url}/chat/completions", content=chunks(), headers=JSON)
    assert _refused(answer, 413, "more than 10,000 bytes")["code"] == "request_too_large"
    fits = httpx2.post(f"{server.url}/chat/completions", content=iter([json.dumps(CHAT).encode()]), headers=JSON)
    assert fits.status_code == 200


def test_an_error_of_ours_has_an_id_is_counted_and_leaves_the_connection_open(make_server, monkeypatch, caplog):
    server = make_server()

    def broken(**_):
        raise RuntimeError("boom")

    with httpx2.Client(base_url=server.url) as client, caplog.at_level(logging.INFO):
        monkeypatch.setattr(server.workspace, "all_uploads", broken)
        answer = client.get("/files", headers={"x-request-id": "mine"})
        _refused(answer, 500, "The server had an error")
        assert answer.headers["x-request-id"] == "mine"
        assert client.get("/models").status_code == 200
    (told,) = [record for record in caplog.records if record.name == "holdfast.access" and "mine" in record.message]
    assert json.loads(told.message)["status"] == 500
    assert sum(record.exc_info is not None for record in caplog.records) == 1
