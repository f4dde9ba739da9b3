"""Reads prompts: keys and values of all their tokens, the logits after the last; a shared beginning is read once.

On a CPU what comes of a prompt depends on its tokens and on how long its shared beginning is, and on nothing that is
read beside it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from transformers import DynamicCache

from holdfast.models.kv_cache import STEP, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from holdfast.models.sampling import Sampling

    State: TypeAlias = list[tuple[Tensor, Tensor]]

PREFILL_TOKENS = 4096
SAME_BITS = 256
"""Up to this many tokens the attention kernel adds in the same order whatever the padding (CPU, torch 2.13)."""


@dataclass(slots=True)
class Prompt:
    """A distinct prompt: the samples that still wait, and once it is read, what they start from.

    Its first `shared` tokens are those of other prompts, too.
    """

    ids: tuple[int, ...]
    shared: int = 0
    waiting: deque[tuple[int, Sampling]] = field(default_factory=deque[tuple[int, "Sampling"]])
    state: State | None = None
    logits: Tensor | None = None

    @property
    def beginning(self) -> tuple[int, ...]:
        """The tokens that other prompts begin with, too."""
        return self.ids[: self.shared]


class PromptReader:
    """Runs one model over prompts, about `PREFILL_TOKENS` at a time, padded to multiples of `step` tokens."""

    def __init__(self, model: PreTrainedModel, min_rows: int, *, step: int = STEP) -> None:
        self.decoder = model.get_decoder()
        self.head = cast("torch.nn.Linear", model.get_output_embeddings())
        self.device = model.device
        self.min_rows, self.step = min_rows, step
        self.expected: Counter[tuple[int, ...]] = Counter()
        self.beginnings: dict[tuple[int, ...], State] = {}

    def expect(self, prompt: Prompt) -> None:
        """Says that a prompt will be read, so that its beginning is kept until then."""
        if prompt.shared:
            self.expected[prompt.beginning] += 1

    def forget(self) -> None:
        """Expects nothing any more, and keeps no beginning."""
        self.expected.clear()
        self.beginnings.clear()

    def read(self, prompts: Sequence[Prompt]) -> Iterator[Prompt]:
        """Sets state and logits of each prompt, longest first, and yields it as soon as it is read.

        So the states of one group are all that waits for rows. Above `SAME_BITS` tokens a prompt is padded as it
        would be alone: from there on the padding changes the rounding.
        """
        alone = [prompt for prompt in prompts if not prompt.shared]
        for group, width in _groups(alone, [len(prompt.ids) for prompt in alone], 0, self.step):
            self._run(group, width, None)
            yield from group
        families: dict[tuple[int, ...], list[Prompt]] = {}
        for prompt in prompts:
            if prompt.shared:
                families.setdefault(prompt.beginning, []).append(prompt)
        for beginning, family in families.items():
            state = self._beginning(beginning)
            lengths = [len(each.ids) - len(beginning) for each in family]
            for group, width in _groups(family, lengths, len(beginning), self.step):
                self._run(group, width, state)
                yield from group
            self.expected[beginning] -= len(family)
            if self.expected[beginning] <= 0:
                del self.expected[beginning]
                del self.beginnings[beginning]

    def logits(self, hidden: Tensor) -> Tensor:
        """Returns float32 logits of each hidden state."""
        num = len(hidden)
        if num < self.min_rows:
            hidden = torch.cat([hidden, hidden.new_zeros(self.min_rows - num, hidden.shape[1])])
        return self.head(hidden)[:num].float()

    def _beginning(self, ids: tuple[int, ...]) -> State:
        found = self.beginnings.get(ids)
        if found is None:
            whole = Prompt(ids)
            self._run([whole], round_up(len(ids), self.step), None)
            found = [(keys[:, : len(ids)], values[:, : len(ids)]) for keys, values in cast("State", whole.state)]
            self.beginnings[ids] = found
        return found

    def _run(self, prompts: Sequence[Prompt], width: int, before: State | None) -> None:
        """Runs the model over what comes after `before`, padded on the right to `width` tokens."""
        shared = before[0][0].shape[1] if before else 0
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        for index, prompt in enumerate(prompts):
            ids[index, : len(prompt.ids) - shared] = torch.tensor(prompt.ids[shared:])
        cache = DynamicCache()
        for layer, states in enumerate(before or []):
            keys, values = (state.expand(len(prompts), *state.shape) for state in states)
            cache.update(keys, values, layer)
        output = self.decoder(input_ids=ids.to(self.device), attention_mask=None, past_key_values=cache, use_cache=True)
        last = torch.tensor([len(prompt.ids) - shared - 1 for prompt in prompts], device=self.device)
        logits = self.logits(output.last_hidden_state[torch.arange(len(prompts), device=self.device), last])
        for index, prompt in enumerate(prompts):
            prompt.state = [(cast("Tensor", keys)[index], cast("Tensor", values)[index]) for keys, values, _ in cache]
            prompt.logits = logits[index]


def _groups(
    prompts: Sequence[Prompt], lengths: Sequence[int], shared: int, step: int
) -> Iterator[tuple[list[Prompt], int]]:
    """Yields prompts that are read at once and the width they are padded to; `lengths` are those still to be read."""
    unread = sorted(zip(prompts, lengths, strict=True), key=lambda pair: -pair[1])
    while unread:
        width = round_up(unread[0][1], step)
        num = max(1, PREFILL_TOKENS // width)
        if shared + width > SAME_BITS:
            num = min(num, sum(round_up(length, step) == width for _, length in unread))
        group, unread = unread[:num], unread[num:]
        yield [prompt for prompt, _ in group], width
