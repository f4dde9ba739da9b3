"""The sequences that are written now for whoever asks: they join and leave between two steps, each in its own way.

Unlike `models.running_batch`, which completes many prompts for a training, every row has its own sampling, adapter and
rules, and every token is handed out as soon as it is chosen. Orca's iteration-level scheduling (Yu et al. 2022).

Choices made here:
- A step continues every running row by one token, and then reads waiting prompts, about `PREFILL_TOKENS` tokens.
- Rows are chosen for in groups of equal temperature, top_p and top_k; a row's tokens follow from its seed, its prompt
  and the sample's number, whoever is beside it.
- Equal prompts that wait at the same time are read once.
- A sequence that runs alone is computed alone, which takes two thirds of the time that a padded batch takes on a CPU;
  the last bits of its logits may differ from those beside others, as on a GPU they do anyway.
- A log-probability is the model's own at temperature 1, before penalties, biases and rules.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, cast

import torch

from holdfast.errors import ContextLengthError
from holdfast.models.attention_mask import mask_maker
from holdfast.models.kv_cache import STEP, RowCache, round_up
from holdfast.models.load import context_length
from holdfast.models.prefill import PREFILL_TOKENS, Prompt, PromptReader
from holdfast.models.running_batch import MIN_ROWS, end_ids
from holdfast.models.sampling import choose, uniforms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from holdfast.models.adapter_bank import AdapterBank
    from holdfast.models.sampling import Sampling


class Rule(Protocol):
    """What changes the logits of one sequence before its next token is chosen."""

    def apply(self, logits_V: Tensor, written: Sequence[int]) -> Tensor:
        """Returns the logits after the tokens `written` so far."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the sequence `key`; `top` are the likeliest ones with their log-probabilities, if asked for."""

    key: int
    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    finish: Literal["stop", "length"] | None = None


@dataclass(slots=True)
class Sequence_:  # noqa: N801 - a sequence of tokens, and no collections.abc.Sequence
    """A prompt with what is written after it; `slot` is its adapter's, `sample` its number among equal prompts."""

    key: int
    prompt: tuple[int, ...]
    sampling: Sampling
    slot: int = 0
    sample: int = 0
    rules: tuple[Rule, ...] = ()
    top_logprobs: int = 0
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
        self._decoder = model.get_decoder()
        self._mask = mask_maker(model)
        self._min_rows = MIN_ROWS if model.device.type == "cpu" else 1
        self._reader = PromptReader(model, self._min_rows)
        self._waiting: deque[Sequence_] = deque()
        self._rows: list[Sequence_ | None] = [None] * round_up(self.capacity, self._min_rows)
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

    @torch.no_grad()
    def step(self) -> list[Token]:
        """Returns the tokens that were chosen: the first of those that got a row, the next of those that had one."""
        running = [index for index, row in enumerate(self._rows) if row is not None]
        tokens = self._decode(running) if running else []
        return [*tokens, *self._fill()] if self._waiting else tokens

    def _fill(self) -> list[Token]:
        """Gives free rows to those that wait, reads their prompts and chooses their first tokens."""
        free = deque(index for index, row in enumerate(self._rows[: self.capacity]) if row is None)
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
            prompts = [Prompt(ids) for other, ids in taken if other == slot]
            for prompt in self._reader.read(prompts):
                rows = taken[slot, prompt.ids]
                state = cast("list[tuple[Tensor, Tensor]]", prompt.state)
                if self._cache is None:
                    self._cache = RowCache(len(self._rows), len(prompt.ids) + STEP, state)
                self._cache.put(rows, state, len(prompt.ids))
                logits = cast("Tensor", prompt.logits).expand(len(rows), -1)
                prompt.state = prompt.logits = None
                tokens += self._advance(rows, logits)
        return tokens

    def _decode(self, running: list[int]) -> list[Token]:
        """Runs the model over the newest token of every row and chooses the next ones."""
        running = self._close_ranks(running)
        num_rows = 1 if running == [0] else round_up(running[-1] + 1, self._min_rows)
        positions, last = torch.zeros(num_rows, dtype=torch.long), torch.zeros(num_rows, dtype=torch.long)
        slots = [0] * num_rows
        for index in running:
            one = cast("Sequence_", self._rows[index])
            positions[index], last[index] = len(one.prompt) + len(one.tokens) - 1, one.tokens[-1]
            slots[index] = one.slot
        positions, last = positions.to(self.model.device), last.to(self.model.device)
        cache = cast("RowCache", self._cache)
        cache.at(positions, int(positions.max()))
        self.bank.use(slots)
        output = self._decoder(
            input_ids=last[:, None],
            attention_mask=self._mask(positions, cache.places.length),
            position_ids=positions[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        return self._advance(running, self._reader.logits(output.last_hidden_state[:, 0])[running])

    def _advance(self, rows: Sequence[int], logits: Tensor) -> list[Token]:
        """Chooses one token for each of `rows`; a row that ends is free afterwards."""
        sequences = [cast("Sequence_", self._rows[row]) for row in rows]
        chosen = self._chosen(sequences, self._ruled(sequences, logits))
        raw = logits.log_softmax(dim=-1)
        logprobs = raw.gather(1, chosen[:, None])[:, 0].tolist()
        tokens: list[Token] = []
        for place, (row, one, token) in enumerate(zip(rows, sequences, chosen.tolist(), strict=True)):
            one.tokens.append(token)
            finish = "stop" if token in one.ends else "length" if len(one.tokens) >= one.limit else None
            top: tuple[tuple[int, float], ...] = ()
            if one.top_logprobs:
                best = raw[place].topk(min(one.top_logprobs, raw.shape[1]))
                top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
            tokens.append(Token(one.key, token, logprobs[place], top, finish))
            if finish is not None:
                self._rows[row] = None
        return tokens

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
        chosen = torch.zeros(len(sequences), dtype=torch.long, device=logits.device)
        for places in groups.values():
            sampling, draws = sequences[places[0]].sampling, None
            if sampling.temperature > 0:
                drawn = [sequences[place].draws[len(sequences[place].tokens)] for place in places]
                draws = torch.tensor(drawn, dtype=torch.float64, device=logits.device)
            chosen[places], _ = choose(logits[places], sampling, draws)
        return chosen

    def _close_ranks(self, running: list[int]) -> list[int]:
        """Moves the last rows into gaps where that makes the batch smaller, and returns the rows that run."""
        wanted = 1 if len(running) == 1 else round_up(len(running), self._min_rows)
        gaps = (index for index in range(wanted) if self._rows[index] is None)
        for source in [index for index in running if index >= wanted]:
            target = next(gaps)
            one = cast("Sequence_", self._rows[source])
            cast("RowCache", self._cache).move(source, target, len(one.prompt) + len(one.tokens))
            self._rows[target], self._rows[source] = one, None
        return [index for index, row in enumerate(self._rows) if row is not None]
