"""Where the items of an evaluation come from: lines of a file, the request itself, or answers that were kept.

All items are read when a run is ordered, and kept with it: a file that is deleted later, or an answer that is kept
later, changes nothing. A line that cannot be read is an item too, with the reason; none is dropped.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, cast

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import dump, parse
from holdfast.errors import ConfigError, NotFoundError, RequestError
from holdfast.jobs.response_items import items_before, messages_of
from holdfast.store.eval_runs import GivenItem
from holdfast.store.responses import StoredResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from holdfast.jobs.response_items import Item
    from holdfast.store.answers import StoredAnswer
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue

MAX_ITEMS = 50_000
STORED = ("stored_completions", "responses")
"""Sources of which the items are answers that were kept."""
_PARAM = "data_source.source"


def items_of(
    workspace: Workspace, source: Mapping[str, JSONValue], metadata: Mapping[str, JSONValue]
) -> list[GivenItem]:
    """Returns the items of a source; `metadata` is what every kept answer must have besides the source's own.

    Raises:
        NotFoundError: the file is not there.
        ConfigError: the file is not for evaluations, or there are no items, or too many.
    """
    kind = source["type"]
    if kind == "file_content":
        found = [_of_row(row) for row in cast("list[JSONValue]", source["content"])]
    elif kind == "file_id":
        found = list(islice(_of_file(workspace, str(source["id"])), MAX_ITEMS + 1))  # no more than can be refused
    else:
        found = _of_answers(workspace, source, metadata)
    if not found:
        raise ConfigError(f"{_PARAM}: it has no items, so nothing can be asked.", param=_PARAM)
    if len(found) > MAX_ITEMS:
        raise ConfigError(f"{_PARAM}: it has more than {MAX_ITEMS:,} items; a run takes so many.", param=_PARAM)
    return found


def _of_file(workspace: Workspace, name: str) -> Iterator[GivenItem]:
    try:
        record = workspace.upload(name)
    except NotFoundError as error:
        raise NotFoundError(error.message, param=f"{_PARAM}.id") from None
    if record.purpose != "evals":
        raise ConfigError(
            f"{_PARAM}.id: the file {name!r} has the purpose {record.purpose!r}, not 'evals'.", param=f"{_PARAM}.id"
        )
    with workspace.upload_path(name).open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _of_line(line, number)


def _of_line(line: bytes, number: int) -> GivenItem:
    try:
        row = parse(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        dump(row).encode()
    except RowError as error:
        reason = error.reason.encode("utf-8", "replace").decode()[:200]
        return GivenItem({}, problem=f"line {number} is {reason}")
    except UnicodeError:
        return GivenItem({}, problem=f"line {number} is not UTF-8")
    found = _of_row(row)
    return found if found.problem is None else GivenItem({}, problem=f"line {number}: {found.problem}")


def _of_row(row: JSONValue) -> GivenItem:
    if not isinstance(row, dict) or not isinstance(row.get("item"), dict):
        return GivenItem({}, problem='not an object with an "item" that is one, such as {"item": {"question": "…"}}')
    given = row.get("sample")
    if given is not None and not isinstance(given, dict):
        return GivenItem({}, problem='its "sample" is not an object, such as {"output_text": "…"}')
    item = cast("dict[str, JSONValue]", row["item"])
    return GivenItem(item, None if given is None else given_sample(given))


def given_sample(given: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """Returns an answer that came with its item, with its text as `output_text`: its own, or its first choice's."""
    if isinstance(given.get("output_text"), str):
        return dict(given)
    choices = given.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return {**given, "output_text": content if isinstance(content, str) else ""}


def _of_answers(
    workspace: Workspace, source: Mapping[str, JSONValue], metadata: Mapping[str, JSONValue]
) -> list[GivenItem]:
    wanted = {**metadata, **cast("dict[str, JSONValue]", source.get("metadata") or {})}
    is_response = source["type"] == "responses"
    kept = workspace.responses() if is_response else workspace.stored_answers()
    fitting = [
        one
        for one in kept
        if all(one.metadata.get(key) == value for key, value in wanted.items())
        and source.get("model") in (None, one.model)
        and _is_between(one.created_at, source)
        and (not isinstance(one, StoredResponse) or _is_wanted(one, source))
    ]
    newest = fitting[: cast("int", source.get("limit") or MAX_ITEMS + 1)]
    return [
        _of_response(workspace, one) if isinstance(one, StoredResponse) else _of_answer(one) for one in reversed(newest)
    ]


def _is_wanted(stored: StoredResponse, source: Mapping[str, JSONValue]) -> bool:
    """Tells whether a response has what is asked for of its own fields."""
    told = stored.response
    searched, tools, users = (source.get(name) for name in ("instructions_search", "tools", "users"))
    names = {str(tool["name"]) for tool in cast("list[dict[str, JSONValue]]", told["tools"])}
    return (
        all(source.get(name) in (None, told[name]) for name in ("temperature", "top_p"))
        and (searched is None or str(searched) in str(told["instructions"] or ""))
        and (tools is None or set(cast("list[str]", tools)) <= names)
        and (users is None or told["user"] in cast("list[JSONValue]", users))
    )


def _of_response(workspace: Workspace, stored: StoredResponse) -> GivenItem:
    told = stored.response
    output = cast("list[Item]", told["output"])
    (turn,) = messages_of(output, None)
    item: dict[str, JSONValue] = {
        "id": stored.id,
        "model": stored.model,
        "metadata": dict(stored.metadata),
        "instructions": told["instructions"],
    }
    given: dict[str, JSONValue] = {
        "model": stored.model,
        "output_text": turn["content"],
        "output_tools": turn.get("tool_calls") or [],
    }
    try:
        items = [*items_before(workspace, stored.previous), *stored.input]
    except RequestError as error:
        return GivenItem(item, given, problem=error.message)
    instructions = told["instructions"]
    chat = messages_of(items, None if instructions is None else str(instructions))
    return GivenItem({**item, "input": cast("JSONValue", chat)}, given)


def _is_between(created_at: str, source: Mapping[str, JSONValue]) -> bool:
    moment = int(datetime.fromisoformat(created_at).timestamp())
    after, before = source.get("created_after"), source.get("created_before")
    return (after is None or moment >= cast("int", after)) and (before is None or moment <= cast("int", before))


def _of_answer(stored: StoredAnswer) -> GivenItem:
    item: dict[str, JSONValue] = {
        "id": stored.id,
        "input": [dict(turn) for turn in stored.messages],
        "model": stored.model,
        "metadata": dict(stored.metadata),
    }
    given = given_sample({key: stored.answer[key] for key in ("model", "choices", "usage") if key in stored.answer})
    message = cast("list[dict[str, dict[str, JSONValue]]]", given["choices"])[0]["message"]
    return GivenItem(item, {**given, "output_tools": message.get("tool_calls") or []})
