"""What every part of the workspace stands on: the database, the clock, and how values are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

from holdfast.errors import StoreError
from holdfast.store.database import Database
from holdfast.types import JSONValue

Clock = Callable[[], datetime]


class Part:
    """A group of related tables behind methods; `Workspace` is all parts together."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def now(self) -> str:
        """Returns the time as it is written down."""
        return self._now()

    def _now(self) -> str:
        now = self._clock()
        if now.tzinfo is None:
            raise StoreError("The clock gives a time without a zone. Pass a clock that gives UTC.")
        return now.astimezone(UTC).isoformat(timespec="microseconds")

    def _later(self, seconds: float) -> str:
        """Returns the time in so many seconds."""
        moment = datetime.fromisoformat(self._now()) + timedelta(seconds=seconds)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")


def utc_now() -> datetime:
    """Returns the time, in UTC."""
    return datetime.now(UTC)


def to_text(value: Mapping[str, JSONValue] | Mapping[str, float] | Mapping[str, str]) -> str:
    """Returns the mapping as JSON text with sorted keys; what JSON cannot hold is refused."""
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"Cannot store {value!r:.200}: {error}. Give plain JSON values with finite numbers."
        ) from error


def from_text(text: str) -> dict[str, JSONValue]:
    """Returns the mapping that `to_text` wrote."""
    return cast("dict[str, JSONValue]", json.loads(text))
