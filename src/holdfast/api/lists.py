"""Lists as the client pages through them, and times as it reads them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from holdfast.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast.api.state import Reply

T = TypeVar("T")
_METADATA = "metadata["


def page(
    items: Sequence[T],
    shown: Callable[[T], Reply],
    *,
    after: str | None,
    limit: int,
    order: Literal["asc", "desc"] = "desc",
) -> Reply:
    """Returns up to `limit` of `items` (newest first) that come after the one with the id `after`.

    Raises:
        RequestError: nothing has that id.
    """
    wanted = [shown(item) for item in (items if order == "desc" else list(reversed(items)))]
    if after is not None:
        place = next((number for number, item in enumerate(wanted) if item["id"] == after), None)
        if place is None:
            raise RequestError(f"after: there is no {after!r} in this list.", param="after")
        wanted = wanted[place + 1 :]
    return listed(wanted[:limit], has_more=len(wanted) > limit)


def listed(items: Sequence[Reply], *, has_more: bool) -> Reply:
    """Returns a list object."""
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return {"object": "list", "data": list(items), "first_id": first, "last_id": last, "has_more": has_more}


def has_wanted_metadata(metadata: Mapping[str, object], query: Mapping[str, str]) -> bool:
    """Tells whether an object has what a list's query asks for by `metadata[KEY]=VALUE`."""
    wanted = {key: value for key, value in query.items() if key.startswith(_METADATA)}
    return all(metadata.get(key.removeprefix(_METADATA).removesuffix("]")) == value for key, value in wanted.items())


def seconds(time: str | None) -> int | None:
    """Returns whole seconds since 1970 for a time as it is stored."""
    return None if time is None else int(datetime.fromisoformat(time).timestamp())
