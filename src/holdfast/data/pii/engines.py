"""What looks for personal data, by its settings: the recognisers of this package, Presidio, or both."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from holdfast.data.pii.find import find
from holdfast.data.pii.kinds import expand
from holdfast.data.pii.presidio import presidio_finder
from holdfast.data.pii.spans import Span, without_overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.pii.rewrite import Finder

_REMEMBERED = 4096
_SHORT = 8192
"""Texts up to this length are remembered: instructions and descriptions of tools stand in every row."""


class FinderSettings(Protocol):
    """What of a check's settings says how is looked."""

    @property
    def kinds(self) -> tuple[str, ...]: ...  # noqa: D102 - see PersonalDataSettings
    @property
    def allow(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def engine(self) -> str: ...  # noqa: D102
    @property
    def spacy_model(self) -> str: ...  # noqa: D102
    @property
    def languages(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def min_confidence(self) -> float: ...  # noqa: D102


def finder_of(settings: FinderSettings) -> Finder:
    """Returns the function from a text to its places; raises DataError where Presidio or its model is missing."""
    kinds, threshold, languages = expand(settings.kinds), settings.min_confidence, settings.languages
    engines: list[Finder] = []
    if settings.engine in ("builtin", "both"):
        engines.append(lambda text: find(text, kinds=kinds, min_confidence=threshold, languages=languages))
    if settings.engine in ("presidio", "both"):
        engines.append(presidio_finder(kinds, threshold, languages[0], settings.spacy_model))
    allowed = _allowed(settings.allow)

    def look(text: str) -> list[Span]:
        spans = [span for engine in engines for span in engine(text)]
        if allowed is not None:
            spans = [span for span in spans if not allowed.fullmatch(span.text)]
        return without_overlap(spans) if len(engines) > 1 else spans

    remembered = lru_cache(maxsize=_REMEMBERED)(look)
    return lambda text: remembered(text) if len(text) <= _SHORT else look(text)


def _allowed(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns), re.IGNORECASE)
