"""Who may ask a fine-tuned model: its own project, none, and those that were let, through the stock client."""

import asyncio
import warnings

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, PermissionDeniedError
from typer.testing import CliRunner

from holdfast.cli.app import app

BASE = "holdfast:tiny"


def fine_tuned(workspace, name, project):
    """A model of that name, as an accepted job of `project` leaves it, with a checkpoint after step 4."""
    job = workspace.add_job(request={}, metadata={}, recipe={}, skill="x", project=project)
    first = workspace.versions()[0]
    workspace.change_job(job.id, {"status": "succeeded", "fine_tuned_model": name, "version": first.id})
    workspace.add_job_checkpoint(job.id, 4, {"step": 4})
    return name


@pytest.fixture
def place(make_server):
    """A server with models of two projects and of none, and clients by project."""
    server = make_server(aliases={"shared-name": "ft:a"})
    for name, project in (("ft:a", "alpha"), ("ft:b", "beta"), ("ft:open", None)):
        fine_tuned(server.workspace, name, project)

    def client(project=None, *scopes):
        key, _ = server.workspace.add_key("k", scopes or ("serve",), project=project)
        return server.client(key)

    return server, client


def may_ask(client, name):
    try:
        client.models.retrieve(name)
        client.completions.create(model=name, prompt="a", max_tokens=1)
    except NotFoundError:
        return False
    return True


def listed(client):
    return {model.id for model in client.models.list() if model.id.startswith("ft:")}


def test_a_project_asks_its_own_models_and_those_of_none(place):
    _, client = place
    alpha, beta, nobody = client("alpha"), client("beta"), client()
    names = ("ft:a", "ft:b", "ft:open")
    assert [may_ask(alpha, name) for name in names] == [True, False, True]
    assert [may_ask(beta, name) for name in names] == [False, True, True]
    assert [may_ask(nobody, name) for name in names] == [True, True, True]
    assert [may_ask(beta, f"{name}:ckpt-step-4") for name in names] == [False, True, True]
    assert not may_ask(beta, "ft:b:ckpt-step-5")
    with pytest.raises(NotFoundError, match="The model 'ft:a' does not exist") as error:
        beta.models.retrieve("ft:a")
    assert error.value.code == "model_not_found"
    assert listed(alpha) == {"ft:a", "ft:open"}
    assert listed(beta) == {"ft:b", "ft:open"}
    assert listed(nobody) == set(names)
    assert all(may_ask(beta, name) for name in (BASE, "current", "v1", "shared-name"))


def test_without_a_key_all_models_answer(make_server):
    server = make_server()
    fine_tuned(server.workspace, "ft:a", "alpha")
    assert may_ask(server.client(), "ft:a")


def test_a_permission_lets_a_project_ask_until_it_is_taken_back(place):
    server, client = place
    admin, beta, gamma = client(None, "admin"), client("beta"), client("gamma")
    permissions = admin.fine_tuning.checkpoints.permissions
    made = permissions.create("ft:a", project_ids=["beta", "gamma"])
    assert [(one.object, one.project_id) for one in made] == [
        ("checkpoint.permission", "beta"),
        ("checkpoint.permission", "gamma"),
    ]
    again = permissions.create("ft:a", project_ids=["beta"])
    assert [one.id for one in again] == [made.data[0].id]
    assert may_ask(beta, "ft:a")
    assert may_ask(gamma, "ft:a:ckpt-step-4")
    assert listed(beta) == {"ft:a", "ft:b", "ft:open"}
    assert [one.project_id for one in permissions.list("ft:a", limit=1)] == ["gamma", "beta"]
    assert [one.project_id for one in permissions.list("ft:a", order="ascending")] == ["beta", "gamma"]
    assert [one.project_id for one in permissions.list("ft:a", project_id="gamma")] == ["gamma"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert len(permissions.retrieve("ft:a").data) == 2
    gone = permissions.delete(made.data[0].id, fine_tuned_model_checkpoint="ft:a")
    assert (gone.id, gone.deleted) == (made.data[0].id, True)
    assert not may_ask(beta, "ft:a")
    assert may_ask(gamma, "ft:a")
    with pytest.raises(NotFoundError, match="no permission"):
        permissions.delete(made.data[0].id, fine_tuned_model_checkpoint="ft:a")
    told = [one.action for one in server.workspace.audit_entries() if one.action.startswith("permission")]
    assert told == ["permission.create", "permission.create", "permission.delete"]
    assert server.workspace.verify_audit().problem is None


def test_a_permission_for_a_checkpoint_is_for_that_one(place):
    _, client = place
    beta = client("beta")
    permissions = client(None, "admin").fine_tuning.checkpoints.permissions
    permissions.create("ft:a:ckpt-step-4", project_ids=["beta"])
    assert may_ask(beta, "ft:a:ckpt-step-4")
    assert not may_ask(beta, "ft:a")
    assert "ft:a" not in listed(beta)
    for name in ("ft:a:ckpt-step-5", "ft:none", BASE):
        with pytest.raises(NotFoundError, match="no fine-tuned model or checkpoint"):
            permissions.create(name, project_ids=["beta"])
        with pytest.raises(NotFoundError):
            permissions.list(name)


def test_only_an_admin_lets_others_ask(place):
    _, client = place
    for scopes in (("serve",), ("train",)):
        permissions = client("alpha", *scopes).fine_tuning.checkpoints.permissions
        with pytest.raises(PermissionDeniedError, match="needs admin"):
            permissions.create("ft:a", project_ids=["beta"])
        with pytest.raises(PermissionDeniedError):
            permissions.list("ft:a")
        with pytest.raises(PermissionDeniedError):
            permissions.delete("cp_1", fine_tuned_model_checkpoint="ft:a")
    admin = client(None, "admin").fine_tuning.checkpoints.permissions
    for wrong in ([], ["no spaces"], [""]):
        with pytest.raises(BadRequestError, match="project_ids"):
            admin.create("ft:a", project_ids=wrong)


def test_a_job_is_of_the_project_whose_key_ordered_it(place, training_file):
    server, client = place
    for project in ("alpha", None):
        ordering = client(project, "train")
        file = ordering.files.create(file=("t.jsonl", training_file(12)), purpose="fine-tune")
        job = ordering.fine_tuning.jobs.create(model=BASE, training_file=file.id)
        assert server.workspace.job(job.id).project == project


def test_an_eval_asks_no_model_that_its_key_may_not(place):
    _, client = place
    beta = client("beta", "train", "serve")
    same = {"type": "string_check", "name": "s", "operation": "eq", "input": "{{sample.output_text}}", "reference": "x"}
    record = beta.evals.create(
        data_source_config={"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True},
        testing_criteria=[same],
    )
    source = {
        "type": "completions", "model": "ft:a", "source": {"type": "file_content", "content": [{"item": {}}]},
        "input_messages": {"type": "template", "template": [{"role": "user", "content": "hi"}]},
    }  # fmt: skip
    with pytest.raises(NotFoundError, match="'ft:a' does not exist"):
        beta.evals.runs.create(record.id, data_source=source)


def test_a_name_is_looked_up_without_the_scores_of_every_version(place, monkeypatch):
    server, client = place
    asking = client("alpha")
    asking.completions.create(model=BASE, prompt="a", max_tokens=1)  # what is loaded once
    monkeypatch.setattr(server.workspace, "versions", None)
    monkeypatch.setattr(server.workspace, "current", None)
    for name in (BASE, "current", "v1", "ft:a", "shared-name"):
        assert asking.completions.create(model=name, prompt="a", max_tokens=1).model == name


def test_the_command_line_makes_keys_of_a_project(make_server):
    root = str(make_server().workspace.root)
    run = CliRunner().invoke
    made = run(app, ["keys", "create", "ann", "--project", "alpha", "--workspace", root, "--json"])
    assert '"project": "alpha"' in made.stdout
    assert run(app, ["keys", "ls", "--workspace", root]).stdout.split()[1:] == ["ann", "serve", "alpha"]
    wrong = run(app, ["keys", "create", "bob", "--project", "no spaces", "--workspace", root])
    assert wrong.exit_code == 2
    assert "project: 'no spaces'" in wrong.stderr


def test_the_same_in_an_async_client(place):
    server, _ = place
    key, _ = server.workspace.add_key("k", ("admin",))

    async def go():
        async with AsyncOpenAI(base_url=server.url, api_key=key, max_retries=0) as client:
            permissions = client.fine_tuning.checkpoints.permissions
            made = await permissions.create("ft:a", project_ids=["beta"])
            assert [one.id async for one in permissions.list("ft:a")] == [made.data[0].id]
            assert (await permissions.delete(made.data[0].id, fine_tuned_model_checkpoint="ft:a")).deleted

    asyncio.run(go())
