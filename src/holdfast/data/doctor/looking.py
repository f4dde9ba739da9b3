"""Looking at rows in another process: what is sent there, and what it does with a chunk.

A recipe makes a check anew without its state: settings and the functions of the model. The other process goes through
the checks in order, as this one does, and leaves rows as the remedies do that are decided row by row.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from holdfast.data.check import Drop, LookingCheck
from holdfast.data.doctor.examine import after, concerns, take_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from holdfast.data.check import Check
    from holdfast.data.doctor.rows import Tracked

Recipe: TypeAlias = "tuple[type[Check], Any, Any, bool] | None"
"""Class, settings and context of a check, and whether it decides about rows; None for one not needed there."""


def recipes_of(checks: Sequence[Check], deciding: Sequence[bool]) -> list[Recipe]:
    """Returns what makes the checks anew elsewhere: no state, no other data, no encoder."""
    return [
        (type(check), check.settings, replace(check.context, others={}, embed=None), decides)
        if decides or isinstance(check, LookingCheck)
        else None
        for check, decides in zip(checks, deciding, strict=True)
    ]


class Looker:
    """Checks made of recipes, kept by the process that looks; `scratch` is a folder of its own."""

    def __init__(self, recipes: Iterable[Recipe], scratch: Path) -> None:
        self._checks = [one and (one[0](one[1], replace(one[2], scratch=scratch)), one[3]) for one in recipes]

    def look(self, rows: bytes) -> bytes:
        """Returns, pickled, what `look` of each check returns for the rows of a pickled chunk that concern it."""
        now = list(cast("Sequence[Tracked]", pickle.loads(rows)))  # noqa: S301 - our own
        found: list[Any] = []
        for made in self._checks:
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
