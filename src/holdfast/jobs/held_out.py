"""How a training looks while it runs: loss and token accuracy on some of its examples and on those of the test.

Nothing is decided by these figures: the gate asks the model and grades its answers. They are what people know from
other trainers, and what the result file of a fine-tuning job lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import ContextLengthError, NothingToLearnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.models.learner import Learner
    from holdfast.training.method import Row
    from holdfast.types import Example

FEW, MANY = 32, 1000
"""How many examples are looked at while a training runs, and at its end."""


class HeldOut:
    """Measures a learner's candidate on demonstrations; examples without one, or too long, are left out."""

    def __init__(self, learner: Learner, train: Sequence[Example], test: Sequence[Example]) -> None:
        self._learner = learner
        self._train = _rows(learner, train, FEW)
        self._test = _rows(learner, test, MANY)

    def measure(self, *, last: bool) -> dict[str, float]:
        """Returns losses in nats per token, and the share of tokens that were the likeliest; `full_` at the end."""
        found: dict[str, float] = {}
        if self._train:
            found["train_mean_token_accuracy"] = self._read(self._train)[1]
        if self._test:
            found["valid_loss"], found["valid_mean_token_accuracy"] = self._read(self._test[:FEW])
            if last:
                found["full_valid_loss"], found["full_valid_mean_token_accuracy"] = self._read(self._test)
        return found

    def _read(self, rows: Sequence[Row]) -> tuple[float, float]:
        from holdfast.models.logprobs import row_logprobs
        from holdfast.training.method import token_rows

        read = row_logprobs(self._learner, token_rows(rows), "candidate")
        num_tokens = sum(len(one.logprobs) for one in read)
        loss = -sum(sum(one.logprobs) for one in read) / num_tokens
        return loss, sum(one.num_likeliest for one in read) / num_tokens


def _rows(learner: Learner, examples: Sequence[Example], most: int) -> list[Row]:
    from holdfast.training.method_config import SftConfig
    from holdfast.training.methods.sft import Sft

    render, rows = Sft(SftConfig()), list["Row"]()
    for example in examples:
        if len(rows) == most:
            break
        if example.demonstration is None:
            continue
        try:
            rows += render.make_batch(learner, [example], 0)
        except (ContextLengthError, NothingToLearnError):
            continue
    return rows
