"""The sequences that are written now for whoever asks: they join and leave between two steps, each in its own way.

Unlike `models.running_batch`, which completes many prompts for a training, every row has its own sampling, adapter and
rules, and every token is handed out as soon as it is chosen. Orca's iteration-level scheduling (Yu et al. 2022).

Choices made here:
- A step continues every running row by one token, and then reads waiting prompts, about `PREFILL_TOKENS` tokens.
- Rows are chosen for in groups of equal temperature, top_p and top_k; a row's tokens follow from its seed, its prompt
  and the sample's number, whoever is beside it.
- Equal prompts that wait at the same time are read once, and so are beginnings that were read lately, or that several
  of those that wait share (`prefixes`). From `MIN_TURNS` tokens on, what was written after a prompt counts as read,
  too: the next turn begins with it.
- A step computes as many rows as run, without padding; the last bits of a row's logits may differ with their number.
- A log-probability is the model's own at temperature 1, before penalties, biases and rules, and is computed only for
  those who asked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, cast

import torch

from holdfast.errors import ContextLengthError
from holdfast.models.decode_step import decode_step
from holdfast.models.kv_cache import STEP, RowCache
from holdfast.models.load import context_length
from holdfast.models.prefill import PREFILL_TOKENS, Prompt, PromptReader
from holdfast.models.running_batch import end_ids
from holdfast.models.sampling import choose, uniforms
from holdfast.serving.prefixes import BLOCK, Prefixes, common_beginnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from holdfast.models.adapter_bank import AdapterBank
    from holdfast.models.prefill import State
    from holdfast.models.sampling import Sampling


MIN_TURNS = 128
"""Shorter conversations are read again sooner than copied."""


class Rule(Protocol):
    """What changes the logits of one sequence before its next token is chosen."""

    def apply(self, logits_V: Tensor, written: Sequence[int]) -> Tensor:
        """Returns the logits after the tokens `written` so far."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the sequence `key`; `top` are the likeliest ones. Log-probabilities are 0 where none was wanted."""

    key: int
    id: int
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()
    finish: Literal["stop", "length"] | None = None


@dataclass(slots=True)
class Sequence_:  # noqa: N801 - a sequence of tokens, and no collections.abc.Sequence
    """A prompt with what is written after it; `slot` is its adapter's, `sample` its number among equal prompts.

    `top_logprobs` None: no log-probability is wanted; 0: those of the chosen tokens.
    """

    key: int
    prompt: tuple[int, ...]
    sampling: Sampling
    slot: int = 0
    sample: int = 0
    rules: tuple[Rule, ...] = ()
    top_logprobs: int | None = None
    tokens: list[int] = field(default_factory=list[int])
    draws: list[float] = field(default_factory=list[float])
    ends: frozenset[int] = frozenset()
    limit: int = 0


class LiveBatch:
    """Up to `capacity` sequences of one model that run at once, and those that wait. Used by one thread."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, bank: AdapterBank, capacity: int
    ) -> None:
        self.model, self.tokenizer, self.bank = model, tokenizer, bank
        self.context = context_length(model.config)
        self.capacity = max(1, capacity)
        self._decode_step = decode_step(model)
        self._reader = PromptReader(model, 1, step=1)
        self._prefixes = Prefixes()
        self._waiting: deque[Sequence_] = deque()
        self._rows: list[Sequence_ | None] = [None] * self.capacity
        self._cache: RowCache | None = None

    @property
    def num_running(self) -> int:
        """How many sequences are being written."""
        return sum(row is not None for row in self._rows)

    @property
    def num_waiting(self) -> int:
        """How many sequences wait for a row."""
        return len(self._waiting)

    def check(self, prompt: Sequence[int]) -> None:
        """Raises ContextLengthError where a prompt leaves no room for a token."""
        if len(prompt) >= self.context:
            raise ContextLengthError(
                f"The prompt has {len(prompt)} tokens and the model reads {self.context}. Shorten it; nothing is "
                "cut off.",
                param="messages",
            )

    def add(self, sequence: Sequence_) -> None:
        """Lets a sequence wait for a row."""
        self.check(sequence.prompt)
        sampling = sequence.sampling
        sequence.limit = min(sampling.max_new_tokens, self.context - len(sequence.prompt))
        sequence.ends = frozenset(end_ids(self.model, self.tokenizer, sampling))
        if sampling.temperature > 0:
            drawn = uniforms(sampling.seed, sequence.prompt, sequence.sample, sampling.max_new_tokens)
            sequence.draws = drawn[: sequence.limit].tolist()
        self._waiting.append(sequence)

    def remove(self, key: int) -> None:
        """Forgets a sequence, whether it waits or runs; one that is gone already is no error."""
        self._waiting = deque(one for one in self._waiting if one.key != key)
        for index, row in enumerate(self._rows):
            if row is not None and row.key == key:
                self._rows[index] = None

    def forget(self) -> None:
        """Forgets every sequence, and all that was read: after a step that failed midway nothing is trusted."""
        self._waiting.clear()
        self._rows = [None] * self.capacity
        self._cache = None
        self._prefixes = Prefixes()
        self._reader.forget()

    @torch.no_grad()
    def step(self) -> list[Token]:
        """Returns the tokens that were chosen: the first of those that got a row, the next of those that had one."""
        running = [index for index, row in enumerate(self._rows) if row is not None]
        tokens = self._decode(running) if running else []
        return [*tokens, *self._fill()] if self._waiting else tokens

    def _fill(self) -> list[Token]:
        """Gives free rows to those that wait, reads their prompts and chooses their first tokens."""
        free = deque(index for index, row in enumerate(self._rows) if row is None)
        taken: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        num_tokens = 0
        while free and self._waiting and num_tokens < PREFILL_TOKENS:
            one = self._waiting.popleft()
            row = free.popleft()
            self._rows[row] = one
            if (one.slot, one.prompt) not in taken:
                num_tokens += len(one.prompt)
            taken.setdefault((one.slot, one.prompt), []).append(row)
        tokens: list[Token] = []
        for slot in sorted({slot for slot, _ in taken}):
            self.bank.use(slot)
            for prompt in self._reader.read(self._prompts(slot, [ids for other, ids in taken if other == slot])):
                rows = taken[slot, prompt.ids]
                state = cast("State", prompt.state)
                if self._cache is None:
                    self._cache = RowCache(len(self._rows), len(prompt.ids) + STEP, state)
                self._cache.put(rows, state, len(prompt.ids))
                self._prefixes.keep(self.bank.serial(slot), prompt.ids, state)
                logits = cast("Tensor", prompt.logits).expand(len(rows), -1)
                prompt.state = prompt.logits = None
                tokens += self._advance(rows, logits)
        return tokens

    def _prompts(self, slot: int, wanted: list[tuple[int, ...]]) -> list[Prompt]:
        """Returns the prompts to read, each with as much of its beginning as need not be read for it alone."""
        together = common_beginnings(wanted)
        prompts: list[Prompt] = []
        self._reader.forget()  # what another adapter read is no beginning of these
        for ids in wanted:
            places = self._prefixes.find(self.bank.serial(slot), ids)
            prompt = Prompt(ids, max(len(places) * BLOCK, together.get(ids, 0)))
            if places and len(places) * BLOCK == prompt.shared and prompt.beginning not in self._reader.beginnings:
                self._reader.beginnings[prompt.beginning] = self._prefixes.state(places)
            self._reader.expect(prompt)
            prompts.append(prompt)
        return prompts

    def _decode(self, running: list[int]) -> list[Token]:
        """Runs the model over the newest token of every row and chooses the next ones."""
        self._close_ranks(running)
        sequences = [cast("Sequence_", row) for row in self._rows[: len(running)]]
        device = self.model.device
        places = [len(one.prompt) + len(one.tokens) - 1 for one in sequences]
        positions = torch.tensor(places, device=device)
        last = torch.tensor([one.tokens[-1] for one in sequences], device=device)
        cache = cast("RowCache", self._cache)
        cache.at(positions, max(places))
        self.bank.use([one.slot for one in sequences])
        hidden = self._decode_step(last, positions, cache)
        return self._advance(range(len(running)), self._reader.logits(hidden))

    def _advance(self, rows: Sequence[int], logits: Tensor) -> list[Token]:
        """Chooses one token for each of `rows`; a row that ends is free afterwards."""
        sequences = [cast("Sequence_", self._rows[row]) for row in rows]
        chosen = self._chosen(sequences, self._ruled(sequences, logits))
        tokens: list[Token] = []
        for place, (row, one, token) in enumerate(zip(rows, sequences, chosen.tolist(), strict=True)):
            one.tokens.append(token)
            finish = "stop" if token in one.ends else "length" if len(one.tokens) >= one.limit else None
            logprob, top = _likely(logits[place], token, one.top_logprobs)
            tokens.append(Token(one.key, token, logprob, top, finish))
            if finish is not None:
                self._leave(row)
        return tokens

    def _leave(self, row: int) -> None:
        """Frees a row; what was read and written there may be the beginning of a later prompt."""
        one = cast("Sequence_", self._rows[row])
        self._rows[row] = None
        ids = (*one.prompt, *one.tokens[:-1])
        if len(ids) >= MIN_TURNS:
            self._prefixes.keep(self.bank.serial(one.slot), ids, cast("RowCache", self._cache).row(row, len(ids)))

    def _ruled(self, sequences: Sequence[Sequence_], logits: Tensor) -> Tensor:
        """Returns the logits as the rules of each sequence want them."""
        if not any(one.rules for one in sequences):
            return logits
        logits = logits.clone()
        for place, one in enumerate(sequences):
            for rule in one.rules:
                logits[place] = rule.apply(logits[place], one.tokens)
        return logits

    def _chosen(self, sequences: Sequence[Sequence_], logits: Tensor) -> Tensor:
        """Returns the next token of each sequence."""
        groups: dict[tuple[float, float, int], list[int]] = {}
        for place, one in enumerate(sequences):
            groups.setdefault((one.sampling.temperature, one.sampling.top_p, one.sampling.top_k), []).append(place)
        if len(groups) == 1:
            return self._drawn(sequences, logits)
        chosen = torch.zeros(len(sequences), dtype=torch.long, device=logits.device)
        for places in groups.values():
            chosen[places] = self._drawn([sequences[place] for place in places], logits[places])
        return chosen

    def _drawn(self, sequences: Sequence[Sequence_], logits: Tensor) -> Tensor:
        """Returns the next token of each of these sequences, which are sampled alike."""
        sampling = sequences[0].sampling
        if sampling.temperature == 0:
            return logits.argmax(dim=-1)
        drawn = [one.draws[len(one.tokens)] for one in sequences]
        return choose(logits, sampling, torch.tensor(drawn, dtype=torch.float64, device=logits.device))[0]

    def _close_ranks(self, running: Sequence[int]) -> None:
        """Moves the last of the rows that run into the gaps, so that they are the first ones."""
        gaps = (index for index in range(len(running)) if self._rows[index] is None)
        for source in [index for index in running if index >= len(running)]:
            target = next(gaps)
            one = cast("Sequence_", self._rows[source])
            cast("RowCache", self._cache).move(source, target, len(one.prompt) + len(one.tokens))
            self._rows[target], self._rows[source] = one, None


def _likely(logits_V: Tensor, token: int, num_top: int | None) -> tuple[float, tuple[tuple[int, float], ...]]:
    """Returns the log-probability of `token` and the `num_top` likeliest tokens; None: nothing is wanted."""
    if num_top is None:
        return 0.0, ()
    logprobs_V = logits_V.log_softmax(dim=-1)
    best = logprobs_V.topk(min(num_top, len(logprobs_V)))
    top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)) if num_top else ()
    return float(logprobs_V[token]), top
