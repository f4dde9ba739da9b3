"""Rows that say the same as another row, letter case and spacing apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.checks.duplicates import DuplicateCheck, DuplicateSettings, Outcome, conflicts_of
from holdfast.data.dedup.compared import normalised, whole
from holdfast.data.dedup.exact import KEY, best_of, content_keys, equal_groups
from holdfast.data.dedup.groups import Standing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.check import Context, Row


class ExactSettings(DuplicateSettings):
    """Which differences make no other text."""

    unicode: bool = True
    """Whether characters that mean the same are equal (NFKC): full-width letters, ligatures, composed accents."""
    case: bool = True
    """Whether large and small letters are equal."""
    spaces: bool = True
    """Whether all white space is one space, and none at the ends."""


class ExactDuplicates(DuplicateCheck[ExactSettings]):
    """Finds rows of equal content by a 128-bit hash, and keeps the best of each."""

    name = "exact_duplicates"
    Settings = ExactSettings
    compares_wordings = True
    kind = "duplicate"

    def __init__(self, settings: ExactSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._keys = self._column("keys", KEY)

    def see(self, rows: Sequence[Row]) -> None:
        """Notes the hash of each row's content."""
        self.note(rows)
        told = self.settings
        self._keys.append(
            content_keys(
                normalised(
                    whole(row.example, told.on, told.columns), unicode=told.unicode, case=told.case, spaces=told.spaces
                )
                for row in rows
            )
        )

    def _outcome(self) -> Outcome:
        keys, labels = self._keys.read(), self._labels.read()
        with_label = np.empty(len(keys), dtype=KEY)
        with_label["high"], with_label["low"] = keys["high"], keys["low"] ^ labels
        group = equal_groups(with_label)
        standing = Standing(best_of(group, self._ranks()), np.ones(len(keys), dtype=np.float32))
        return Outcome(standing, *conflicts_of(equal_groups(keys), labels))

    def _alike(self, similarity: float) -> str:
        return "says the same as"

    @property
    def _said(self) -> str:
        return "say the same as"
