"""Who gets in: a key with the scope that a path needs, and not too often."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import AuthenticationError, BusyError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast.store.key_ring import KeyRecord, Scope

OPEN = ("/healthz", "/readyz", "/openapi.json")
"""Paths that need no key."""
_TRAIN = ("/v1/files", "/v1/uploads", "/v1/fine_tuning", "/v1/evals")
_MANY = 10_000
"""So many keys and addresses are remembered."""


def scope_of(method: str, path: str) -> Scope | None:
    """Returns the scope that a request needs, or None."""
    if path in OPEN:
        return None
    if path.startswith("/v1/fine_tuning/checkpoints") or (method == "DELETE" and path.startswith("/v1/models")):
        return "admin"
    return "train" if path.startswith(_TRAIN) else "serve"


def admitted(
    headers: Mapping[str, str], scope: Scope, known: Callable[[str], KeyRecord | None], has_keys: Callable[[], bool]
) -> KeyRecord | None:
    """Returns the key of a request; None where it has none and there is none in the workspace either.

    Raises:
        AuthenticationError: no key is there, or it is not valid.
        PermissionDeniedError: its scopes do not allow this.
    """
    kind, _, key = headers.get("authorization", "").partition(" ")
    record = known(key) if kind.lower() == "bearer" and key else None
    if record is None:
        if not has_keys():
            return None
        told = "You did not provide an API key" if not key else "Incorrect API key provided"
        raise AuthenticationError(f"{told}. Make one with `holdfast keys create NAME`, and send it as Bearer token.")
    if not record.allows(scope):
        raise PermissionDeniedError(
            f"The key {record.id} has the scopes {', '.join(record.scopes)}, and this needs {scope}."
        )
    return record


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Pace:
    """Lets everybody ask so many times a minute: a token bucket each, filled evenly, that holds one minute's worth."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def count(self, who: str) -> None:
        """Counts one request; raises BusyError where it is one too many."""
        if not self._most:
            return
        now = self._clock()
        bucket = self._buckets.pop(who, None) or _Bucket(float(self._most), now)
        bucket.left = min(self._most, bucket.left + (now - bucket.at) * self._most / 60)
        bucket.at = now
        self._buckets[who] = bucket
        if len(self._buckets) > _MANY:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            wait = (1 - bucket.left) * 60 / self._most
            raise BusyError(f"More than {self._most} requests a minute. Try again in {wait:.1f} s.", retry_after=wait)
        bucket.left -= 1
