"""Requests made up from the published schema: never a 5xx, and every refusal in OpenAI's shape."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from holdfast.api.app import create_app
from holdfast.api.state import Limits, State
from holdfast.jobs.served import Served
from holdfast.jobs.workspace import create
from holdfast.store.workspace import Workspace


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    """Every operation of the schema."""
    workspace = Workspace.open(create(tmp_path_factory.mktemp("schema"), base="holdfast:tiny").path)
    served = Served(workspace)
    app = create_app(State(workspace, served, Limits(seconds=0.2)))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    yield {found.ok().label: found.ok() for found in schema.get_all_operations()}
    served.close(timeout=0)
    workspace.close()


def test_every_endpoint_is_published(operations):
    paths = {label.split(" ")[1] for label in operations}
    assert {
        "/v1/files",
        "/v1/uploads",
        "/v1/fine_tuning/jobs",
        "/v1/models",
        "/v1/chat/completions",
        "/v1/evals",
        "/v1/responses",
    } <= paths
    assert len(operations) > 30


def test_no_request_is_answered_with_a_5xx(operations):
    for operation in operations.values():

        @settings(
            max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def check(case):
            response = case.call()
            assert response.status_code < 500, f"{case.method} {case.path}: {response.text}"
            if response.status_code >= 400:
                assert set(response.json()["error"]) == {"message", "type", "param", "code"}

        check()
