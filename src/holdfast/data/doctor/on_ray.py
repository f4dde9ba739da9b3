"""Looking at rows on a Ray cluster, with Ray Data: the part of a preparation that needs no row but the one at hand.

Tokens, languages, patterns of personal data, flaws and shingles are computed on the cluster, chunk by chunk; what
compares rows with each other, and what is decided, stays in this process, which sees chunks in the order in which they
were read. So the outcome is that of a run without Ray, whatever the number of workers and the order in which they end.
Workers need Holdfast with the same extras, and no shared disk. Rows travel to them and looks travel back.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import shutil
import socket
import tempfile
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.data.doctor.looking import Looker, recipes_of
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

    def is_worth_it(self, num_chunks: int) -> bool:
        """Returns True: who names a cluster wants it used."""
        return True

    def looks(
        self, checks: Sequence[Check], deciding: Sequence[bool], chunks: Iterable[Sequence[Tracked]]
    ) -> Iterator[Sequence[Any]]:
        """Yields, for every chunk in order, what `look` of each check returns for the rows that it concerns."""
        import ray

        sent = ray.put(recipes_of(checks, deciding))
        key = sent.hex()

        def look(item: dict[str, Any]) -> dict[str, Any]:
            return {"place": item["place"], "looks": _looker(key, sent).look(item["rows"])}

        waiting = iter(chunks)
        while window := list(islice(waiting, AT_A_TIME)):
            items = [{"place": place, "rows": pickle.dumps(chunk)} for place, chunk in enumerate(window)]
            found = ray.data.from_items(items, override_num_blocks=len(items)).map(look).iter_rows()
            by_place = {cast("int", row["place"]): cast("bytes", row["looks"]) for row in found}
            for place in range(len(window)):
                yield pickle.loads(by_place.pop(place))  # noqa: S301 - our own


@lru_cache(maxsize=4)
def _looker(key: str, sent: object) -> Looker:
    """Returns the checks of a worker process, made once; `key` names what they are made of."""
    import ray

    del key
    scratch = Path(tempfile.mkdtemp(prefix="holdfast-look-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return Looker(ray.get(cast("Any", sent)), scratch)


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
