"""Watches a run for degenerate text: length, repetition, end of turn, and a KL that says nothing.

What collapse looks like is taken from replications of SDFT (arXiv:2601.19897): answers grow to the
length limit, repeat themselves, stop ending their turn, and the KL to a moving teacher falls to zero
on text that is worthless to both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from holdfast.errors import CollapseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.training.config import GuardsConfig
    from holdfast.training.method import Row

NGRAM = 4


@dataclass(slots=True)
class Monitors:
    """Keeps one number per step of the last window, and raises CollapseError when a mean is out of bounds."""

    config: GuardsConfig
    moving_teacher: bool = False
    lengths: list[float] = field(default_factory=list[float])
    repetition: list[float] = field(default_factory=list[float])
    ended: list[float] = field(default_factory=list[float])
    kl: list[float] = field(default_factory=list[float])
    first_length: float | None = None

    def observe(self, step: int, rows: Sequence[Row], kl: float | None) -> dict[str, float]:
        """Takes in the rollouts of a step and returns its measurements; raises when the window has gone bad."""
        rollouts = [row for row in rows if row.completion_start is not None]
        if not rollouts:
            return {}
        texts = [row.input_ids[row.completion_start :] for row in rollouts]
        measured = {
            "length": sum(len(text) for text in texts) / len(texts),
            "repetition": sum(repeated_share(text) for text in texts) / len(texts),
            "ended": sum(bool(row.ended) for row in rollouts) / len(rollouts),
        }
        self._push(self.lengths, measured["length"])
        self._push(self.repetition, measured["repetition"])
        self._push(self.ended, measured["ended"])
        if kl is not None:
            self._push(self.kl, kl)
        if len(self.lengths) == self.config.window:
            self._check(step)
        return measured

    def state_dict(self) -> dict[str, object]:
        """Returns the windows."""
        return {
            "lengths": list(self.lengths),
            "repetition": list(self.repetition),
            "ended": list(self.ended),
            "kl": list(self.kl),
            "first_length": self.first_length,
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes the windows up."""
        self.lengths = list(cast("list[float]", state["lengths"]))
        self.repetition = list(cast("list[float]", state["repetition"]))
        self.ended = list(cast("list[float]", state["ended"]))
        self.kl = list(cast("list[float]", state["kl"]))
        self.first_length = cast("float | None", state["first_length"])

    def _push(self, window: list[float], value: float) -> None:
        window.append(value)
        del window[: -self.config.window]

    def _check(self, step: int) -> None:
        limits, over = self.config, f"over steps {step - self.config.window + 1} to {step}"
        length, repetition, ended = _mean(self.lengths), _mean(self.repetition), _mean(self.ended)
        first = self.first_length is None
        self.first_length = length if self.first_length is None else self.first_length
        if ended < limits.min_end_rate:
            _collapse(f"only {ended:.0%} of the rollouts ended their turn {over}", "guards.min_end_rate")
        if repetition > limits.max_repetition:
            _collapse(
                f"{repetition:.0%} of the rollouts' {NGRAM}-grams were repetitions {over}", "guards.max_repetition"
            )
        if length > limits.max_length_ratio * max(self.first_length, 1.0):
            _collapse(
                f"rollouts grew from {self.first_length:.0f} to {length:.0f} tokens {over}", "guards.max_length_ratio"
            )
        if self.kl and (first or self.moving_teacher) and _mean(self.kl) < limits.min_kl:
            _collapse(f"the KL to the teacher was {_mean(self.kl):.2g} nats {over}: it says nothing", "guards.min_kl")


def repeated_share(ids: Sequence[int]) -> float:
    """Returns the share of a text's 4-grams that occurred before in it; 0 for a text without any.

    >>> repeated_share([1, 2, 3, 4, 5]), repeated_share([1, 1, 1, 1, 1])
    (0.0, 0.5)
    """
    grams = [tuple(ids[start : start + NGRAM]) for start in range(len(ids) - NGRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _collapse(what: str, param: str) -> None:
    raise CollapseError(
        f"the run was stopped: {what}. Lower the learning rate, or move {param} if this is what you want.",
        param=param,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
