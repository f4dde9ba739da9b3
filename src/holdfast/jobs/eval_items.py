"""Where the items of an evaluation come from: lines of a file, the request itself, or answers that were kept.

All items are read when a run is ordered, and kept with it: a file that is deleted later, or an answer that is kept
later, changes nothing. A line that cannot be read is an item too, with the reason; none is dropped.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import dump, parse
from holdfast.errors import ConfigError, NotFoundError, RequestError
from holdfast.store.eval_runs import GivenItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        found = list(_of_file(workspace, str(source["id"])))
    else:
        found = _of_answers(workspace, source, metadata)
    if not found:
        raise ConfigError(f"{_PARAM}: it has no items, so nothing can be asked.", param=_PARAM)
    if len(found) > MAX_ITEMS:
        raise ConfigError(f"{_PARAM}: {len(found):,} items; a run takes {MAX_ITEMS:,} at most.", param=_PARAM)
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
    if source["type"] not in STORED:
        raise RequestError(f"{_PARAM}.type: {source['type']!r} is not known here.", param=f"{_PARAM}.type")
    answers = [
        one
        for one in workspace.stored_answers()
        if all(one.metadata.get(key) == value for key, value in wanted.items())
        and source.get("model") in (None, one.model)
        and _is_between(one.created_at, source)
    ]
    newest = answers[: cast("int", source.get("limit") or MAX_ITEMS + 1)]
    return [_of_answer(one) for one in reversed(newest)]


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
