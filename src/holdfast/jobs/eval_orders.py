"""Evaluations and their runs as they are ordered: checked in full, so that nothing that can be known fails later."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, cast

from holdfast.errors import BusyError, ConfigError, GraderError, HoldfastError, NotFoundError, RequestError
from holdfast.graders import ALL_COLUMNS, grader
from holdfast.graders.asked_model import OWN, AskedModel, Turn
from holdfast.graders.json_schema import JsonSchema, item_check
from holdfast.graders.python_code import PythonCode
from holdfast.graders.regex import Regex
from holdfast.graders.string_check import StringCheck
from holdfast.graders.template import columns_in
from holdfast.graders.text_similarity import TextSimilarity
from holdfast.graders.tool_call_match import GROUND_TRUTH
from holdfast.jobs.asking import schema_of_format, tools_of
from holdfast.jobs.choices import GRADER as PREFERRED
from holdfast.jobs.eval_items import STORED, items_of
from holdfast.jobs.outside import parts_of, require_known_servers
from holdfast.jobs.response_items import chat_format, chat_tools
from holdfast.jobs.served import CURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.graders import Grader
    from holdfast.jobs.served import Served
    from holdfast.store.eval_runs import EvalRunRecord
    from holdfast.store.evals import EvalRecord
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue

MAX_OPEN_RUNS = 256
"""So many runs wait or are under way at most."""
_SAMPLE: JSONValue = {"type": "object", "properties": {"output_text": {"type": "string"}}}
_LOGGED: JSONValue = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "input": {"type": "array"}, "model": {"type": "string"},
                   "metadata": {"type": "object"}},
    "required": ["input"],
}  # fmt: skip
_TURNS, _ANSWERS = ("messages", "prompt"), ("reference", "label")
"""What graders may read of an item under these names: what was asked, and what it is compared with."""
_BY_TEMPLATE = (StringCheck, TextSimilarity, JsonSchema, Regex)
"""Graders that read of the answer what their texts name; of the rest all but `python` read the answer itself."""


def create_eval(workspace: Workspace, served: Served, request: Mapping[str, JSONValue]) -> EvalRecord:
    """Returns a new evaluation.

    Raises:
        ConfigError: the schema or a criterion cannot be used; `param` names it.
    """
    config = _config(cast("dict[str, JSONValue]", request["data_source_config"]))
    criteria = cast("list[dict[str, JSONValue]]", request["testing_criteria"])
    names: set[str] = set()
    for number, criterion in enumerate(criteria):
        place = f"testing_criteria.{number}"
        try:
            made = grader(criterion)
            _require_name(criterion.get("name"), names)
            if made.type == PREFERRED:
                raise ConfigError(f"{PREFERRED} judges which of two answers is likelier, and there is one here.")
            require_known_servers(made, served.grader_servers, asks_here=True)
            _check(made, config)
            _versions(served, made)
            for part in parts_of(made):
                if not is_asked_here(part):
                    part.ready()
        except (ConfigError, GraderError, NotFoundError) as error:
            field = (error.param or "").removeprefix("grader").removeprefix(".").removeprefix("grader")
            where = f"{place}.{field}" if field else place
            raise ConfigError(f"{where}: {error.message}", param=where) from None
    return workspace.add_eval(
        name=str(request.get("name") or "eval"),
        config=config,
        criteria=criteria,
        metadata=cast("dict[str, JSONValue]", request.get("metadata") or {}),
    )


def create_run(
    workspace: Workspace, served: Served, record: EvalRecord, request: Mapping[str, JSONValue]
) -> EvalRunRecord:
    """Returns a new run, which waits; the models it asks are the versions that answer under their names now.

    Raises:
        BusyError: too many runs wait already.
        NotFoundError: a file or a model is not there.
        RequestError: what is asked for cannot be done here.
    """
    if workspace.num_open_eval_runs() >= MAX_OPEN_RUNS:
        raise BusyError(f"{MAX_OPEN_RUNS} eval runs wait already. Try again when some are done.", retry_after=10.0)
    order = cast("dict[str, JSONValue]", request["data_source"])
    source = cast("dict[str, JSONValue]", order["source"])
    _check_order(order, source, record.config)
    versions: dict[str, str] = {}
    if order.get("model") is not None:
        versions[str(order["model"])] = served.version(str(order["model"])).id
    for criterion in record.criteria:
        made = grader(criterion)
        require_known_servers(made, served.grader_servers, asks_here=True)
        versions |= _versions(served, made)
    metadata = cast("dict[str, JSONValue]", record.config.get("metadata") or {})
    return workspace.add_eval_run(
        record.id,
        items_of(workspace, source, metadata),
        name=str(request.get("name") or record.name),
        source=order,
        metadata=cast("dict[str, JSONValue]", request.get("metadata") or {}),
        versions=versions,
        seed=secrets.randbits(31),
    )


def is_asked_here(part: Grader) -> bool:
    """Tells whether a grader asks a model that this workspace serves."""
    return isinstance(part, AskedModel) and part.base_url is None


def served_name(part: AskedModel) -> str:
    """Returns the name under which a grader's model is served."""
    return CURRENT if part.model == OWN else part.model


def reads_sample(config: Mapping[str, JSONValue]) -> bool:
    """Tells whether the items of an evaluation come with an answer."""
    schema = cast("dict[str, dict[str, JSONValue]]", config["schema"])
    return "sample" in schema["properties"]


def _config(given: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """Returns where items come from as it is kept: with the schema of what a line holds."""
    if given["type"] != "custom":
        metadata = cast("dict[str, JSONValue]", given.get("metadata") or {})
        return {"type": given["type"], "metadata": metadata, "schema": _schema(_LOGGED, has_sample=True)}
    item = cast("dict[str, JSONValue]", given["item_schema"])
    param = "data_source_config.item_schema"
    try:
        item_check(item)
    except (GraderError, HoldfastError) as error:
        raise ConfigError(f"{param}: {error.message}", param=param) from None
    return {"type": "custom", "schema": _schema(item, has_sample=bool(given.get("include_sample_schema")))}


def _schema(item: JSONValue, *, has_sample: bool) -> JSONValue:
    properties: dict[str, JSONValue] = {"item": item, **({"sample": _SAMPLE} if has_sample else {})}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _require_name(name: JSONValue, names: set[str]) -> None:
    if not isinstance(name, str) or not name:
        raise ConfigError("it has no name, by which its results are told apart. Give it one.", param="grader.name")
    if name in names:
        raise ConfigError(f"another criterion is called {name!r} too. Give each its own name.", param="grader.name")
    names.add(name)


def _check(made: Grader, config: Mapping[str, JSONValue]) -> None:
    """Raises ConfigError where a criterion reads what no item has."""
    if not reads_sample(config) and _needs_sample(made):
        raise ConfigError(
            "it reads the answer (sample), and these items come without one. Set include_sample_schema to true in "
            "data_source_config."
        )
    schema = cast("dict[str, dict[str, dict[str, JSONValue]]]", config["schema"])["properties"]["item"]
    columns = cast("dict[str, JSONValue]", schema.get("properties") or {})
    known = {*columns, *_TURNS}
    if known & set(_ANSWERS):
        known |= {*_ANSWERS, GROUND_TRUTH}
    unknown = sorted(made.columns() - {ALL_COLUMNS} - known)
    if columns and unknown and schema.get("additionalProperties") is not True and "patternProperties" not in schema:
        raise ConfigError(
            f"it reads item.{unknown[0]}, which the item_schema does not name. It has: {', '.join(columns)}."
        )


def _needs_sample(made: Grader) -> bool:
    for part in parts_of(made):
        if isinstance(part, PythonCode):
            continue
        if isinstance(part, AskedModel):
            texts = [turn.content for turn in part.input]
        elif isinstance(part, _BY_TEMPLATE):
            texts = [value for value in part.model_dump().values() if isinstance(value, str)]
        else:
            return True
        if any(columns_in(text, "sample") for text in texts):
            return True
    return False


def _versions(served: Served, made: Grader) -> dict[str, str]:
    """Returns which versions answer a criterion's questions now."""
    found: dict[str, str] = {}
    for part in parts_of(made):
        if isinstance(part, AskedModel) and is_asked_here(part):
            version = served.version(served_name(part))
            if served.classifier(version) is not None:
                raise ConfigError(f"{part.model!r} is a classifier, and cannot be asked for a grade.", param="model")
            if part.sampling_params.reasoning_effort is not None:
                raise ConfigError("reasoning_effort has no effect here. Leave it out.", param="sampling_params")
            found[served_name(part)] = version.id
    return found


def _check_order(
    order: Mapping[str, JSONValue], source: Mapping[str, JSONValue], config: Mapping[str, JSONValue]
) -> None:
    """Raises RequestError where a run's data source says too little, or what would have no effect."""
    is_stored, is_logged = source["type"] in STORED, config["type"] != "custom"
    if is_logged and not is_stored:
        raise RequestError(
            f"data_source.source: this eval reads answers that were kept ({config['type']}); take the source "
            "stored_completions or responses.",
            param="data_source.source",
        )
    if order["type"] == "jsonl":
        return
    if order.get("model") is None:
        unread = [name for name in ("input_messages", "sampling_params") if order.get(name) is not None]
        if unread or not is_stored:
            told = "no model is named" if not is_stored else f"{unread[0]} has no effect without a model"
            raise RequestError(f"data_source.model: {told}. Name the one that answers.", param="data_source.model")
        return
    if not reads_sample(config):
        raise RequestError(
            "data_source.model: this eval's items come without an answer (sample), so none would be read. Make the "
            "eval with include_sample_schema: true, or run it with data source jsonl.",
            param="data_source.model",
        )
    if order.get("input_messages") is None and not is_stored:
        raise RequestError(
            "data_source.input_messages: say what the model is asked: a template, or an item_reference.",
            param="data_source.input_messages",
        )
    _check_messages(cast("dict[str, JSONValue]", order.get("input_messages") or {}))
    sampling = sampling_in(order)
    tools_of(sampling.get("tools"))
    place = "response_format" if order["type"] == "completions" else "text.format"
    given = cast("dict[str, object] | None", sampling.get("response_format"))
    schema_of_format(given, f"data_source.sampling_params.{place}")


def sampling_in(order: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """Returns how a run's model answers, in chat's words."""
    given = cast("dict[str, JSONValue]", order.get("sampling_params") or {})
    if order["type"] != "responses":
        return given
    kept = {key: value for key, value in given.items() if key not in ("text", "tools")}
    text = cast("dict[str, dict[str, object]]", given.get("text") or {})
    tools = chat_tools(cast("list[dict[str, object]] | None", given.get("tools")))
    return {
        **kept,
        "tools": cast("JSONValue", tools),
        "response_format": cast("JSONValue", chat_format(text.get("format"))),
    }


def template_of(asked: Mapping[str, JSONValue]) -> list[Turn]:
    """Returns the turns of a template; raises ValueError for what is no text."""
    turns = cast("list[dict[str, JSONValue]]", asked.get("template") or [])
    return [Turn.model_validate({"role": turn["role"], "content": turn["content"]}) for turn in turns]


def _check_messages(asked: Mapping[str, JSONValue]) -> None:
    param = "data_source.input_messages"
    try:
        texts = [turn.content for turn in template_of(asked)]
    except ValueError as error:
        raise RequestError(f"{param}: {error}", param=param) from None
    texts += [f"{{{{ {asked['item_reference']} }}}}"] if "item_reference" in asked else []
    for text in texts:
        try:
            wrong = columns_in(text, "sample")
            columns_in(text)
        except GraderError as error:
            raise RequestError(f"{param}: {error.message}.", param=param) from None
        if wrong:
            raise RequestError(f"{param}: there is no sample yet when the model is asked.", param=param)
