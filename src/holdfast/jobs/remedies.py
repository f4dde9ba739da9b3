"""What to try when the gate refuses, in the recipe's order and within its budget.

An earlier checkpoint and an interpolation towards `current` cost an evaluation; more rehearsal and a lower
learning rate cost a training. All of them trade some of the new skill for the old ones, so none is tried
when the old skills were kept and only the new one was not learned. A budget larger than the number of
kinds goes round again with stronger settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind: TypeAlias = Literal["trained", "earlier_checkpoint", "interpolation", "rehearsal", "lower_learning_rate"]

CHECKPOINT_SHARES = (0.6, 0.35)
"""Shares of the training at which the candidate is looked at again."""
BLENDS = (0.3, 0.5)
"""How far to go back towards `current`, 1 = all the way."""
REHEARSAL_FACTORS = (2.0, 4.0)
RATE_FACTORS = (0.4, 0.15)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate to make and judge: `index` 0 is the training itself, the others are remedies.

    `training` is the index of the attempt whose weights it takes: its own, if it trains.
    """

    index: int
    kind: Kind
    words: str
    training: int = 0
    at_share: float = 1.0
    towards_current: float = 0.0
    rehearsal_factor: float = 1.0
    rate_factor: float = 1.0

    @property
    def trains(self) -> bool:
        """True if the attempt is a training run of its own."""
        return self.training == self.index


def attempts(kinds: Sequence[str], budget: int, *, rehearsed: bool = True) -> list[Attempt]:
    """Returns the training and at most `budget` remedies, in the order to try them.

    Without rehearsal (`rehearsed`) there is no more of it to give: that remedy is left out, and a lower learning
    rate comes alone.

    >>> [attempt.kind for attempt in attempts(["interpolation", "rehearsal"], 3)]
    ['trained', 'interpolation', 'rehearsal', 'interpolation']
    """
    plan = [Attempt(0, "trained", "the trained weights")]
    rounds = [(strength, kind) for strength in range(2) for kind in kinds if rehearsed or kind != "rehearsal"]
    chosen = enumerate(rounds[:budget], start=1)
    return plan + [_remedy(index, kind, strength, rehearsed=rehearsed) for index, (strength, kind) in chosen]


def _remedy(index: int, kind: str, strength: int, *, rehearsed: bool) -> Attempt:
    share, blend = CHECKPOINT_SHARES[strength], BLENDS[strength]
    more, slower = REHEARSAL_FACTORS[strength] if rehearsed else 1.0, RATE_FACTORS[strength]
    if kind == "earlier_checkpoint":
        words = f"an earlier checkpoint, at {share:.0%} of the training"
        return Attempt(index, "earlier_checkpoint", words, at_share=share)
    if kind == "interpolation":
        words = f"interpolation, {blend:.0%} of the way back to the current version"
        return Attempt(index, "interpolation", words, towards_current=blend)
    if kind == "rehearsal":
        words = f"training again with {more:g} times the reminders"
        return Attempt(index, "rehearsal", words, training=index, rehearsal_factor=more)
    also = f"{more:g} times the reminders and " if rehearsed else ""
    words = f"training again with {also}{slower:g} times the learning rate"
    return Attempt(index, "lower_learning_rate", words, training=index, rehearsal_factor=more, rate_factor=slower)


def worth_a_remedy(lost: Sequence[str], undecided: Sequence[str]) -> tuple[bool, str]:
    """Tells whether remedies can help, and why: `lost` are earlier skills that fell, `undecided` those unproven.

    >>> worth_a_remedy([], [])[0]
    False
    """
    if lost:
        return True, f"{listed(lost)} slipped, so remedies that keep more of the current version are tried"
    if undecided:
        text = f"{listed(undecided)} did not visibly slip: there are only too few test items to prove it"
        return False, f"{text}, and no remedy changes that"
    return False, "no earlier skill slipped; the new one was not learned well enough, which no remedy improves"


def listed(names: Sequence[str]) -> str:
    """Returns names as a person lists them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
