"""The checks of the data doctor by name, in the order in which rows go through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.data.doctor.check import Check

CHECKS: dict[str, type[Check]] = {}
"""Before the split, all rows."""
AFTER_SPLIT: dict[str, type[Check]] = {}
"""After it: what is asked of the training part."""
