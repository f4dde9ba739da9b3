"""Who gets in, how often, and what is written down about it."""

import json

import pytest
from openai import AuthenticationError, BadRequestError, PermissionDeniedError, RateLimitError

from holdfast.api.entry import Pace
from holdfast.api.server import _require_key
from holdfast.api.state import Limits
from holdfast.errors import BusyError, ConfigError


def test_without_a_key_in_the_workspace_none_is_needed_and_with_one_it_is(make_server, training_file):
    server = make_server()
    assert server.client().models.list().data
    key, record = server.workspace.add_key("ann", ("serve",))
    with pytest.raises(AuthenticationError, match="Incorrect API key provided") as error:
        server.client().models.list()
    assert (error.value.status_code, error.value.code) == (401, "invalid_api_key")
    client = server.client(key)
    assert client.models.list().data
    with pytest.raises(PermissionDeniedError, match="has the scopes serve, and this needs train"):
        client.files.create(file=("t.jsonl", training_file(12)), purpose="fine-tune")
    trains, trainer = server.workspace.add_key("bob", ("train",))
    file = server.client(trains).files.create(file=("t.jsonl", training_file(12)), purpose="fine-tune")
    (entry,) = [one for one in server.workspace.audit_entries() if one.subject == file.id]
    assert (entry.action, entry.actor) == ("file.create", f"key:{trainer.id}")
    server.workspace.revoke_key(record.id)
    with pytest.raises(AuthenticationError):
        client.models.list()
    server.workspace.revoke_key(trainer.id)
    with pytest.raises(AuthenticationError):  # the last one is gone: that opens nothing
        server.client().models.list()


def test_health_needs_no_key(make_server):
    import httpx2

    server = make_server()
    server.workspace.add_key("ann", ("serve",))
    root = server.url.removesuffix("/v1")
    assert httpx2.get(f"{root}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{root}/readyz").json()["status"] == "ok"


def test_too_many_requests_are_429_with_the_time_to_wait(make_server):
    client = make_server(limits=Limits(requests_per_minute=2)).client()
    client.models.list()
    client.models.list()
    with pytest.raises(RateLimitError, match="More than 2 requests a minute") as error:
        client.models.list()
    assert 0 < float(error.value.response.headers["retry-after"]) <= 30


def test_a_bucket_fills_evenly_and_holds_a_minutes_worth():
    now = [0.0]
    pace = Pace(60, lambda: now[0])
    for _ in range(60):
        pace.count("ann")
    with pytest.raises(BusyError):
        pace.count("ann")
    pace.count("bob")
    now[0] = 1.0
    pace.count("ann")
    with pytest.raises(BusyError):
        pace.count("ann")
    now[0] = 1000.0
    for _ in range(60):
        pace.count("ann")
    with pytest.raises(BusyError):
        pace.count("ann")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.org"])
def test_a_server_that_others_reach_needs_a_key_to_start(host):
    with pytest.raises(ConfigError, match="holdfast keys create"):
        _require_key(host, has_keys=False)
    _require_key(host, has_keys=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_server_for_this_machine_alone_may_do_without(host):
    _require_key(host, has_keys=False)


def test_every_answer_carries_the_requests_id(make_server):
    client = make_server().client()
    answer = client.models.with_raw_response.list(extra_headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    odd = client.models.with_raw_response.list(extra_headers={"x-request-id": "x" * 500})
    assert odd.headers["x-request-id"].startswith("req_")


def asks(address=None, **more):
    told = {"type": "score_model", "name": "judge", "model": "judge", "input": [{"role": "user", "content": "x"}]}
    return told | ({"base_url": address} if address else {}) | more


@pytest.mark.parametrize(
    "grader",
    [
        asks("http://127.0.0.1:9/v1"),
        asks(),
        asks("https://judges.example.org/v1", api_key_env="PATH"),
        {"type": "multi", "graders": {"a": asks("http://169.254.169.254/")}, "calculate_output": "a"},
        {"type": "text_similarity", "input": "x", "reference": "y", "evaluation_metric": "cosine",
         "embedding_model": "m", "base_url": "http://127.0.0.1:9/v1"},
    ],
)  # fmt: skip
def test_no_request_has_a_key_sent_to_where_the_operator_did_not_say(make_server, training_file, grader):
    server = make_server(grader_servers={"https://judges.example.org/v1": "JUDGES_KEY"})
    client = server.client()
    with pytest.raises(BadRequestError, match=r"--grader-server|it is JUDGES_KEY"):
        client.fine_tuning.alpha.graders.validate(grader=grader)
    with pytest.raises(BadRequestError, match=r"--grader-server|it is JUDGES_KEY"):
        client.fine_tuning.alpha.graders.run(grader=grader, model_sample="x", item={})
    file = client.files.create(file=("t.jsonl", training_file(12)), purpose="fine-tune")
    given = {"model": "holdfast:tiny", "training_file": file.id}
    for more in (
        {"method": {"type": "reinforcement", "reinforcement": {"grader": grader}}},
        {"extra_body": {"recipe": {"evaluation": {"grader": grader}}}},
        {"extra_body": {"recipe": {"evaluation": {"grader": json.dumps(grader)}}}},
    ):
        with pytest.raises(BadRequestError, match=r"--grader-server|it is JUDGES_KEY"):
            client.fine_tuning.jobs.create(**given, **more)
    assert not server.workspace.jobs()


def test_a_server_that_the_operator_named_may_be_asked(make_server):
    client = make_server(grader_servers={"https://judges.example.org/v1": "JUDGES_KEY"}).client()
    grader = asks("https://judges.example.org/v1/", api_key_env="JUDGES_KEY")
    assert client.fine_tuning.alpha.graders.validate(grader=grader)


@pytest.mark.parametrize("recipe", [{"rehearsal": {"prompts_file": "/etc/passwd"}}, {"base": "/tmp/model"}])
def test_a_recipe_from_outside_names_no_file_of_the_server(make_server, training_file, recipe):
    client = make_server().client()
    file = client.files.create(file=("t.jsonl", training_file(12)), purpose="fine-tune")
    with pytest.raises(BadRequestError, match=r"names no file of the server|the model of this workspace"):
        client.fine_tuning.jobs.create(model="holdfast:tiny", training_file=file.id, extra_body={"recipe": recipe})
