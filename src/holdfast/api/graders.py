"""`/v1/fine_tuning/alpha/graders`: a grader is tried on one answer before anything is trained with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter

from holdfast.api.body import Body
from holdfast.api.state import Here, Reply
from holdfast.graders import grader
from holdfast.jobs.outside import require_known_servers
from holdfast.types import Completion, Example, Message

if TYPE_CHECKING:
    from holdfast.api.state import State
    from holdfast.graders import Grader
    from holdfast.types import JSONValue, Score

router = APIRouter(prefix="/v1/fine_tuning/alpha/graders", tags=["Graders"])
_FLAGS = (
    "formula_parse_error", "sample_parse_error", "truncated_observation_error", "unresponsive_reward_error",
    "invalid_variable_error", "other_error", "python_grader_server_error", "python_grader_runtime_error",
    "model_grader_server_error", "model_grader_refusal_error", "model_grader_parse_error",
)  # fmt: skip


class ValidateGrader(Body):
    """A grader's JSON."""

    grader: dict[str, object]


class RunGrader(ValidateGrader):
    """A grader and what it judges."""

    model_sample: str
    item: dict[str, object] | None = None


@router.post("/validate")
def validate(here: Here, body: ValidateGrader) -> Reply:
    """Returns the grader if it is one."""
    _made(here, body)
    return {"grader": body.grader}


@router.post("/run")
def run(here: Here, body: RunGrader) -> Reply:
    """Judges one answer; code runs in the sandbox, as in a training."""
    chosen = _made(here, body)
    chosen.ready()
    columns = cast("dict[str, JSONValue]", body.item or {})
    reference = columns.get("reference")
    label = None if reference is None else str(reference)
    rest = {name: value for name, value in columns.items() if name != "reference"}
    item = Example("item", (Message("user", ""),), label=label, columns=rest)
    begin = time.perf_counter()
    (score,) = chosen.many([(Completion(body.model_sample, (), (), "stop"), item)])
    return {
        "reward": score.value,
        "sub_rewards": {},
        "model_grader_token_usage_per_model": {},
        "metadata": {
            "name": chosen.name or chosen.type,
            "type": chosen.type,
            "errors": _errors(score),
            "execution_time": time.perf_counter() - begin,
            "scores": {},
            "token_usage": None,
            "sampled_model_name": None,
            "explanation": score.explanation,
        },
    }


def _made(here: State, body: ValidateGrader) -> Grader:
    made = grader(cast("dict[str, JSONValue]", body.grader))
    require_known_servers(made, here.served.grader_servers)
    return made


def _errors(score: Score) -> Reply:
    """Returns OpenAI's flags: which way the answer could not be graded, if it could not."""
    flags: Reply = dict.fromkeys(_FLAGS, False)
    flags["python_grader_runtime_error_details"] = None
    flags["model_grader_server_error_details"] = None
    if score.error_type is not None:
        flags["other_error" if score.error_type not in flags else score.error_type] = True
    return flags
