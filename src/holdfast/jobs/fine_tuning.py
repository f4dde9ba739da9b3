"""Orders to learn as the OpenAI API words them: checked, stored, and turned into the recipe that `learn` takes.

What the hosted service calls a fine-tuning job is here a stage in the life of one model: the job learns a skill on top
of the current version, the gate decides, and `fine_tuned_model` names the version only if it was accepted.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from holdfast.data.read import read
from holdfast.data.strict_json import kind_of
from holdfast.errors import ConfigError, DataError, InvalidStateError, NotFoundError
from holdfast.graders import grader
from holdfast.jobs.order import require_name
from holdfast.jobs.outside import require_harmless
from holdfast.jobs.tracking import require_known
from holdfast.jobs.workspace import current_version
from holdfast.store.key_ring import PROJECT
from holdfast.training.config import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.store.job_queue import JobRecord
    from holdfast.store.uploads import UploadRecord
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue

METHODS = {"supervised": "sft", "sft": "sft", "sdft": "sdft", "dpo": "dpo", "reflect": "reflect",
           "reinforcement": "reflect", "classify": "classify"}  # fmt: skip
"""What a job's `method.type` is in a recipe."""
MIN_EXAMPLES = 10
"""As the hosted service: fewer teach nothing that could be tested."""
MANY_PROBLEMS = 1000
FINAL = ("succeeded", "failed", "cancelled")
_OF_METHODS = ("hyperparameters", "grader")
_SHARED = ("n_epochs", "batch_size", "learning_rate_multiplier")


def judge_file(workspace: Workspace, record: UploadRecord) -> tuple[UploadRecord, list[dict[str, JSONValue]]]:
    """Returns an uploaded file as judged, and every line that is not used; only a training file is read."""
    if record.purpose != "fine-tune":
        return workspace.judge_upload(record.id, "processed"), []
    return judge_training_file(workspace, record)


def judge_training_file(workspace: Workspace, record: UploadRecord) -> tuple[UploadRecord, list[dict[str, JSONValue]]]:
    """Reads an uploaded training file in full; returns its record as judged, and every line that is not used.

    Raises:
        DataError: not one line can be used; the message names the first ones.
    """
    path = workspace.upload_path(record.id)
    try:
        found = read(str(path), need_demonstration=False)
    except DataError as error:
        message = error.message.replace(str(path), record.filename).replace(path.name, record.filename)
        workspace.judge_upload(record.id, "error", message)
        raise DataError(message, param="file") from None
    problems: list[dict[str, JSONValue]] = [{"line": row.line, "reason": row.reason} for row in found.rejected]
    if not found.examples:
        told = "; ".join(f"line {one['line']}: {one['reason']}" for one in problems[:20])
        message = f"{record.filename}: none of its {len(problems)} lines can be learned from. {told}"
        workspace.judge_upload(record.id, "error", message)
        raise DataError(message, param="file")
    details = None
    if problems:
        told = "; ".join(f"line {one['line']}: {one['reason']}" for one in problems[:20])
        details = f"{len(problems)} of {found.num_rows} lines are not used: {told}"
    return workspace.judge_upload(record.id, "processed", details), problems[:MANY_PROBLEMS]


def create_job(
    workspace: Workspace,
    request: Mapping[str, JSONValue],
    defaults: Mapping[str, JSONValue] | None = None,
    *,
    grader_servers: Mapping[str, str] | None = None,
) -> JobRecord:
    """Returns a new job that waits for a worker; `defaults` is the server's own recipe.

    `grader_servers` are what its graders may ask, as in `outside.require_known_servers`.

    Raises:
        NotFoundError: a file is not there.
        ConfigError: a field is wrong, or asks for what cannot be done here; `param` names it.
        DataError: the training file has too few examples.
    """
    training = _file(workspace, request, "training_file")
    validation = _file(workspace, request, "validation_file") if request.get("validation_file") else None
    recipe = recipe_of(workspace, request, defaults)
    require_harmless(_given_recipe(request), grader_servers or {})
    require_known(request.get("integrations"))
    found = read(str(workspace.upload_path(training.id)), need_demonstration=False)
    if len(found.examples) < MIN_EXAMPLES:
        raise DataError(
            f"The training file has {len(found.examples)} usable examples, and needs {MIN_EXAMPLES} at least.",
            param="training_file",
        )
    metadata = cast("dict[str, JSONValue]", request.get("metadata") or {})
    skill = _skill(request, metadata, training)
    require_name(skill)
    job = workspace.add_job(
        request=request,
        metadata=metadata,
        recipe=recipe.model_dump(mode="json", exclude_unset=True),
        skill=skill,
        priority=int(cast("int", request.get("priority") or 0)),
        project=PROJECT.get(),
    )
    workspace.add_job_event(job.id, f"Created fine-tuning job: {job.id}")
    workspace.add_job_event(job.id, f"Validating training file: {training.id}")
    if validation is not None:
        workspace.add_job_event(job.id, f"Validating validation file: {validation.id}")
    if found.rejected:
        first = found.rejected[0]
        told = f"{len(found.rejected)} of {found.num_rows} lines are not used; line {first.line}: {first.reason}"
        data: dict[str, JSONValue] = {
            "rejected": [{"line": row.line, "reason": row.reason} for row in found.rejected[:MANY_PROBLEMS]]
        }
        workspace.add_job_event(job.id, told, level="warn", data=data)
    workspace.add_job_event(job.id, "Files validated, moving job to queued state")
    return cast("JobRecord", workspace.change_job(job.id, {"status": "queued"}))


def _given_recipe(request: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """Returns what a request itself says of the recipe, its method's grader included."""
    values, (_, told) = dict(_object(request, "recipe")), _method_of(request)
    if told.get("grader") is not None:
        values["evaluation"] = {**_object(values, "evaluation", "recipe."), "grader": told["grader"]}
    return values


def recipe_of(
    workspace: Workspace, request: Mapping[str, JSONValue], defaults: Mapping[str, JSONValue] | None = None
) -> Recipe:
    """Returns the recipe that a request asks for, on the workspace's base.

    `supervised` is SFT, or the method of `defaults` or of the request's `recipe` where one is named there.

    `n_epochs` are epochs, `batch_size` is `batch.examples`, `learning_rate_multiplier` scales the rate that would be
    chosen; "auto" leaves each to Holdfast. A `recipe` beside them is taken as it is (see the reference of recipes).
    """
    own, base = _object(request, "recipe"), current_version(workspace).base
    if own.get("base") not in (None, base):
        raise ConfigError(f"recipe.base: a job teaches the model of this workspace, {base}.", param="recipe.base")
    values = {**(defaults or {}), **own}
    kind, told = _method_of(request)
    given = _object(told, "hyperparameters", f"method.{kind}.") or _object(request, "hyperparameters")
    chosen = {name: value for name, value in given.items() if value is not None and value != "auto"}
    _take_shared(values, chosen)
    rest = {name: value for name, value in chosen.items() if name not in _SHARED}
    if kind != "supervised" or "method" not in values:
        values["method"] = {"type": METHODS[kind], **rest}
    elif rest:
        raise ConfigError(f"hyperparameters.{next(iter(rest))} is not one of supervised learning.", param="method")
    if told.get("grader") is not None:
        values["evaluation"] = {**_object(values, "evaluation", "recipe."), "grader": told["grader"]}
    if request.get("seed") is not None:
        values["seed"] = request["seed"]
    recipe = Recipe.from_mapping(values, where="the request")
    if recipe.evaluation.grader != "auto":
        grader(recipe.evaluation.grader)  # raises for one that there is not
    elif kind == "reinforcement":
        raise ConfigError("method.reinforcement.grader: say how an answer is judged.", param="method.reinforcement")
    return recipe.model_copy(update={"base": base})


def _take_shared(values: dict[str, JSONValue], chosen: Mapping[str, JSONValue]) -> None:
    """Puts the hyperparameters that every method has where a recipe has them."""
    if "n_epochs" in chosen:
        values["epochs"] = chosen["n_epochs"]
    if "batch_size" in chosen:
        values["batch"] = {**_object(values, "batch", "recipe."), "examples": chosen["batch_size"]}
    if "learning_rate_multiplier" in chosen:
        optimizer = _object(values, "optimizer", "recipe.")
        values["optimizer"] = {**optimizer, "learning_rate_factor": chosen["learning_rate_multiplier"]}


def _method_of(request: Mapping[str, JSONValue]) -> tuple[str, dict[str, JSONValue]]:
    """Returns which method a request asks for, and what it says of it; raises ConfigError for what has no effect."""
    method = _object(request, "method")
    kind = str(method.get("type") or "supervised")
    if kind not in METHODS:
        raise ConfigError(
            f"method.type: {kind!r} is not known here. Choose one of {', '.join(METHODS)}.", param="method.type"
        )
    told = _object(method, kind, "method.")
    for place, found, known in (("method", method, ("type", kind)), (f"method.{kind}", told, _OF_METHODS)):
        odd = [name for name, value in found.items() if name not in known and value is not None]
        if odd:
            raise ConfigError(
                f"{place}.{odd[0]} would have no effect here: only {' and '.join(known)} are read.",
                param=f"{place}.{odd[0]}",
            )
    return kind, told


def _object(values: Mapping[str, JSONValue], name: str, within: str = "") -> dict[str, JSONValue]:
    """Returns the object that `values` has under a name, an empty one where it has none."""
    found = values.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{within}{name} is {kind_of(found)}, not an object.", param=f"{within}{name}")
    return found


def stop_job(workspace: Workspace, name: str, wanted: str) -> JobRecord:
    """Asks for a job to be paused or cancelled; one that waits is so at once, one that runs within a step.

    Raises:
        InvalidStateError: the job is decided already, or paused.
    """
    job = workspace.job(name)
    status = {"pause": "paused", "cancel": "cancelled"}[wanted]
    if job.status in FINAL or job.status == status:
        raise InvalidStateError(f"The job is {job.status}, so it cannot be {status}.", param="fine_tuning_job_id")
    waits = ("validating_files", "queued", "paused")
    found = workspace.change_job(name, {"status": status, "wanted": wanted}, when=waits)
    if found is None:
        workspace.change_job(name, {"wanted": wanted})
        workspace.add_job_event(name, f"The job is asked to be {status}")
    else:
        _said_to_stop(workspace, found)
    return workspace.job(name)


def resume_job(workspace: Workspace, name: str) -> JobRecord:
    """Lets a paused job wait for a worker again, which goes on where it was.

    Raises:
        InvalidStateError: the job is not paused.
    """
    found = workspace.change_job(name, {"status": "queued", "wanted": "run"}, when=("paused",))
    if found is None:
        raise InvalidStateError(f"The job is {workspace.job(name).status}, not paused.", param="fine_tuning_job_id")
    workspace.add_job_event(name, "The job is resumed")
    return found


def _said_to_stop(workspace: Workspace, job: JobRecord) -> None:
    workspace.add_job_event(job.id, f"The job is {job.status}")
    if job.status == "cancelled":
        workspace.change_job(job.id, {"finished_at": workspace.now()})


def model_name(job: JobRecord, base: str) -> str:
    """Returns the name of the version that a job made: `ft:BASE:holdfast:SUFFIX:ID`."""
    suffix = str(job.request.get("suffix") or job.skill)
    return f"ft:{base}:holdfast:{_slug(suffix)}:{job.id[-8:]}"


def estimated_finish(workspace: Workspace, job: JobRecord) -> str | None:
    """Returns when the training that runs now will have made its last step, or None; tests and the gate follow it."""
    newest = workspace.job_events(job.id, limit=1, type="metrics") if job.status == "running" else []
    if not newest:
        return None
    left = timedelta(seconds=float(cast("float", newest[0].data["training_seconds_left"])))
    return (datetime.fromisoformat(newest[0].at) + left).isoformat()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:40]


def _file(workspace: Workspace, request: Mapping[str, JSONValue], field: str) -> UploadRecord:
    name = str(request.get(field) or "")
    try:
        found = workspace.upload(name)
    except NotFoundError as error:
        raise NotFoundError(error.message, param=field) from None
    if found.purpose != "fine-tune":
        raise ConfigError(f"The file {name!r} has the purpose {found.purpose!r}, not 'fine-tune'.", param=field)
    if found.status == "error":
        raise ConfigError(f"The file {name!r} cannot be used: {found.status_details}", param=field)
    return found


def _skill(request: Mapping[str, JSONValue], metadata: Mapping[str, JSONValue], training: UploadRecord) -> str:
    """Returns the name of the skill: as asked for, else the suffix, else the name of the training file."""
    for value in (request.get("skill"), metadata.get("skill"), request.get("suffix")):
        if value:
            return str(value)[:80]
    return PurePath(training.filename).stem[:80] or "skill"
