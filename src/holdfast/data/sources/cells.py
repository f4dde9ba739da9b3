"""Values of tables as JSON knows them: dates as ISO 8601, decimals as numbers, bytes as text where they are text."""

from __future__ import annotations

import base64
import math
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.types import JSONValue


def plain(value: object) -> JSONValue:
    """Returns a cell's value as JSON has it; bytes that are no text in base 64, what is unknown as Python shows it.

    Nulls inside objects are left out: Arrow gives every object the keys of all others.

    >>> from datetime import date
    >>> plain({"day": date(2026, 1, 2), "none": None, "cost": Decimal("1.50")})
    {'day': '2026-01-02', 'cost': 1.5}
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value))
    if isinstance(value, timedelta | UUID):
        return str(value)
    if isinstance(value, dict):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): plain(item) for key, item in items if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in cast("list[object]", value)]
    return str(value)


def _number(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and value.adjusted() < 300:
        return int(value)
    return float(value) if math.isfinite(float(value)) else str(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
