"""Train and test parts that share no prompt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.example_json import prompt_id, reject
from holdfast.errors import DataError
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.data.rejected import Rejected
    from holdfast.types import Example


@dataclass(frozen=True, slots=True)
class Parts:
    """The two sides of a split; unpacks as `train, test = split(…)`."""

    train: list[Example]
    test: list[Example]

    def __iter__(self) -> Iterator[list[Example]]:
        return iter((self.train, self.test))


def split(examples: Sequence[Example], *, test_share: float, seed: int = 0) -> Parts:
    """Returns train and test parts; `test_share` of the prompts, rounded, goes to the test.

    Which prompts go where depends on their content and `seed`, never on the order of the file. All
    answers to one prompt land on the same side. Both sides get at least one prompt where there are
    two. Raises `DataError` if `test_share` is not in [0, 1).
    """
    if not 0 <= test_share < 1:
        raise DataError(
            f"test_share is {test_share}; it must be at least 0 and below 1 (0.2 keeps a fifth for the test).",
            param="test_share",
        )
    prompts = [prompt_id(example) for example in examples]
    drawn = sorted(set(prompts), key=lambda prompt: (derive_seed(seed, f"test split {prompt}"), prompt))
    num_test = math.floor(len(drawn) * test_share + 0.5)
    if test_share > 0 and len(drawn) > 1:
        num_test = min(max(num_test, 1), len(drawn) - 1)
    held_out = set(drawn[:num_test])
    train = [example for example, prompt in zip(examples, prompts, strict=True) if prompt not in held_out]
    test = [example for example, prompt in zip(examples, prompts, strict=True) if prompt in held_out]
    return Parts(train, test)


@dataclass(frozen=True, slots=True)
class Disjoint:
    """Training examples whose prompt is in no test, and the others."""

    kept: list[Example]
    rejected: list[Rejected]


def without_overlap(train: Sequence[Example], test: Sequence[Example]) -> Disjoint:
    """Returns `train` without the examples whose prompt also stands in `test`, which would make the test easy."""
    held_out = {prompt_id(example): example.source for example in test}
    kept: list[Example] = []
    rejected: list[Rejected] = []
    for example in train:
        source = held_out.get(prompt_id(example))
        if source is None:
            kept.append(example)
        else:
            rejected.append(reject(example, "in_test", f"asks the same as the test item {source}"))
    return Disjoint(kept, rejected)
