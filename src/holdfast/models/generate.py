"""Completions of many prompts by one model, and conversations with it that run side by side.

Both run in one `RunningBatch`: prompts are read once for all their samples, rows that are done leave, and
waiting rows take their place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch

from holdfast.errors import ModelError
from holdfast.models.memory import rows_that_fit
from holdfast.models.running_batch import RunningBatch
from holdfast.models.sampling import Sampling
from holdfast.types import Completion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Request", "Sampling", "Talk", "converse", "generate"]

T = TypeVar("T")
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One completion that a talk waits for; `sampling` must say temperature, top_p and top_k as all others do."""

    prompt: tuple[int, ...]
    sampling: Sampling

    def __post_init__(self) -> None:
        if self.sampling.num_samples != 1:
            raise ModelError("a request is for one completion: let several talks ask for the same prompt.")


Talk: TypeAlias = Generator[Request, Completion, T]
"""What alternates with the model: it yields a request, is sent the completion, and returns what came of it."""


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    shared: Sequence[int] = (),
    max_batch: int | None = None,
    progress: Progress | None = None,
) -> list[list[Completion]]:
    """Returns `sampling.num_samples` completions of each prompt, in the prompts' order.

    A completion's token ids include the token that ended it. `shared` says how many first tokens of each prompt other
    prompts have too: they are read once for all that have them. `max_batch` bounds the sequences that run
    at once (chosen from memory when None); `progress` is called with the numbers of sequences done and
    in all.

    Raises:
        ContextLengthError: a prompt leaves no room for a single token.
        ModelError: the model keeps another state than keys and values.
    """
    if not prompts:
        return []
    beginnings = {tuple(prompt): num for prompt, num in zip(prompts, shared, strict=True)} if shared else {}
    distinct = sorted({tuple(prompt) for prompt in prompts}, key=lambda ids: (-len(ids), ids))
    total = len(distinct) * sampling.num_samples
    capacity = min(total, max_batch or rows_that_fit(model, len(distinct[0]) + sampling.max_new_tokens))
    batch = RunningBatch(model, tokenizer, capacity)
    for ids in distinct:
        for sample in range(sampling.num_samples):
            batch.add(ids, sample, sampling, shared=beginnings.get(ids, 0))
    done: dict[tuple[int, ...], dict[int, Completion]] = {ids: {} for ids in distinct}
    with torch.no_grad():
        for number, (ids, sample, completion) in enumerate(batch.run(), start=1):
            done[ids][sample] = completion
            if progress is not None:
                progress(number, total)
    samples = range(sampling.num_samples)
    return [[done[tuple(prompt)][sample] for sample in samples] for prompt in prompts]


def converse(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    talks: Sequence[Talk[T]],
    *,
    longest: int,
    max_batch: int | None = None,
    progress: Progress | None = None,
) -> list[T]:
    """Runs all talks side by side, each at its own pace, and returns what they return, in their order.

    A talk's number takes the place of a sample's index, so what it is answered depends on its seed, its
    prompts and its number, and on a CPU not on the others. `longest` is the number of tokens that a prompt and its
    completion can have, from which the rows are counted; `progress` is called with the numbers of talks
    ended and in all.

    Raises:
        ContextLengthError: a prompt leaves no room for a single token.
        ModelError: requests differ in temperature, top_p or top_k, or the model keeps another state than
            keys and values.
    """
    results: dict[int, T] = {}
    batch = RunningBatch(model, tokenizer, min(len(talks), max_batch or rows_that_fit(model, longest)))

    def go_on(number: int, completion: Completion | None) -> None:
        try:
            request = next(talks[number]) if completion is None else talks[number].send(completion)
        except StopIteration as end:
            results[number] = end.value
            if progress is not None:
                progress(len(results), len(talks))
        else:
            batch.add(request.prompt, number, request.sampling, first=completion is not None)

    for number in range(len(talks)):
        go_on(number, None)
    with torch.no_grad():
        for _, number, completion in batch.run():
            go_on(number, completion)
    return [results[number] for number in range(len(talks))]
