"""Looking at rows on a Ray cluster, with Ray Data: the part of a preparation that needs no row but the one at hand.

Tokens, languages, patterns of personal data, flaws and shingles are computed on the cluster, chunk by chunk; what
compares rows with each other, and what is decided, stays in this process, which sees chunks in the order in which they
were read. So the outcome is that of a run without Ray, whatever the number of workers and the order in which they end.
Workers need Holdfast with the same extras, and no shared disk. Rows travel to them and looks travel back.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.data.check import Drop, LookingCheck
from holdfast.data.doctor.examine import after, concerns, take_in
from holdfast.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from holdfast.data.check import Check
    from holdfast.data.doctor.rows import Tracked

AT_A_TIME = 64
"""Chunks on their way at once; this process holds the looks of so many."""
_KNOCK_SECONDS = 10.0


class OnRay:
    """Looks at chunks on the cluster that this process is connected to (see `connected`)."""

    def looks(
        self, checks: Sequence[Check], deciding: Sequence[bool], chunks: Iterable[Sequence[Tracked]]
    ) -> Iterator[Sequence[Any]]:
        """Yields, for every chunk in order, what `look` of each check returns for the rows that it concerns."""
        import ray

        sent = ray.put([_recipe(check, decides) for check, decides in zip(checks, deciding, strict=True)])
        key = sent.hex()

        def look(item: dict[str, Any]) -> dict[str, Any]:
            return {"place": item["place"], "looks": _look(key, sent, item["rows"])}

        waiting = iter(chunks)
        while window := list(islice(waiting, AT_A_TIME)):
            items = [{"place": place, "rows": pickle.dumps(chunk)} for place, chunk in enumerate(window)]
            found = ray.data.from_items(items, override_num_blocks=len(items)).map(look).iter_rows()
            by_place = {cast("int", row["place"]): cast("bytes", row["looks"]) for row in found}
            for place in range(len(window)):
                yield pickle.loads(by_place.pop(place))  # noqa: S301 - our own


def _recipe(check: Check, decides: bool) -> tuple[type[Check], Any, Any, bool] | None:  # noqa: FBT001 - as pickled
    """Returns what makes a check anew elsewhere: no state, no other data, no encoder; None for one not needed there."""
    if not (decides or isinstance(check, LookingCheck)):
        return None
    return type(check), check.settings, replace(check.context, others={}, embed=None), decides


@lru_cache(maxsize=4)
def _checks(key: str, sent: object) -> list[tuple[Check, bool] | None]:
    """Returns the checks of a worker process, made once; `key` names what they are made of."""
    import ray

    del key
    scratch = Path(tempfile.mkdtemp(prefix="holdfast-look-"))
    recipes: list[Any] = ray.get(cast("Any", sent))
    return [one and (one[0](one[1], replace(one[2], scratch=scratch)), one[3]) for one in recipes]


def _look(key: str, sent: object, rows: bytes) -> bytes:
    now = list(cast("Sequence[Tracked]", pickle.loads(rows)))  # noqa: S301 - our own
    found: list[Any] = []
    for made in _checks(key, sent):
        if made is None:
            found.append(None)
            continue
        check, decides = made
        concerned = [one.row for one in now if concerns(check, one)]
        look = cast("LookingCheck[Any, Any]", check).look(concerned) if isinstance(check, LookingCheck) else None
        found.append(look)
        if decides:
            take_in(check, concerned, look)
            left = [after(check, one) if concerns(check, one) else one for one in now]
            now = [one for one in left if not isinstance(one, Drop)]
    return pickle.dumps(found)


@contextmanager
def connected(address: str) -> Iterator[OnRay]:
    """Connects to a cluster: `auto` for the one of this machine, `local` to start one here, or its address.

    Raises:
        ConfigError: Ray is not installed.
        DataError: no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
        import ray.data
    except ImportError:
        raise ConfigError(
            "--ray needs Ray Data, which is not installed: pip install 'holdfast[dist]'", param="ray"
        ) from None
    was_connected = ray.is_initialized()
    if not was_connected:
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(
                f"No Ray cluster answers at {address} ({error}). Start one with `ray start --head`, name its address, "
                "or say --ray local.",
                param="ray",
            ) from None
    context, said = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    shown, level = context.enable_progress_bars, said.level
    context.enable_progress_bars = False
    said.setLevel(logging.ERROR)  # it tells of every execution
    try:
        yield OnRay()
    finally:
        context.enable_progress_bars = shown
        said.setLevel(level)
        if not was_connected:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at a HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
