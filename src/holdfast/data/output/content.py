"""Content ids and content hashes row by row, equal to those of `example_json`, in 32 bytes a row."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.example_json import to_json
from holdfast.data.rejected import visible
from holdfast.errors import DataError

if TYPE_CHECKING:
    from holdfast.types import Example

_DIGEST_BYTES = 32
_JOINED_ROWS = 65_536


class ContentHash:
    """The hash of a data set's content, whatever the order of its rows; also gives each row its content id."""

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, example: Example) -> str:
        """Takes in one row and returns its content id; raises `DataError` if no JSON file can hold it."""
        row = to_json(example)
        columns = row.pop("columns", {})
        for name in ("id", "source"):
            row.pop(name, None)
        try:
            content = _canonical(row)
            # The same bytes as those of the list [content, columns].
            self._digests += hashlib.sha256(b"[%b,%b]" % (content, _canonical(columns))).digest()
        except (ValueError, TypeError, RecursionError) as error:  # half a surrogate pair, NaN, or what is no JSON
            raise DataError(
                f"{visible(example.source) or 'a row'}: cannot be written ({visible(str(error))}). Drop the row, or "
                "correct it."
            ) from None
        return hashlib.sha256(content).hexdigest()[:16]

    def hexdigest(self) -> str:
        """Returns the hash of all rows added so far (sha256, hex)."""
        # A copy in sorted order: bytes of fixed width sort as their hexadecimal spelling does.
        ordered = np.sort(np.frombuffer(bytes(self._digests), dtype=f"S{_DIGEST_BYTES}")).tobytes()
        whole = hashlib.sha256()
        step = _JOINED_ROWS * _DIGEST_BYTES
        for start in range(0, len(ordered), step):
            lines = ordered[start : start + step].hex("\n", _DIGEST_BYTES)
            whole.update((("\n" if start else "") + lines).encode())
        return whole.hexdigest()


def _canonical(value: object) -> bytes:
    spelled = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return spelled.encode()
