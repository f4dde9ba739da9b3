"""The sequences that one model continues now: shared prefill, rows that leave when done, waiting rows that refill.

On a CPU the tokens of a sequence do not depend on what else is in the batch: rows stand left-aligned in
the cache, the batch is padded to at least `MIN_ROWS` rows (fewer take other kernels, with other rounding),
and the random numbers of a sequence follow from the seed and its own content.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch.nn.functional import pad

from holdfast.errors import ContextLengthError, ModelError
from holdfast.models.decode_step import decode_step
from holdfast.models.kv_cache import STEP, RowCache, round_up
from holdfast.models.load import context_length
from holdfast.models.prefill import Prompt, PromptReader
from holdfast.models.render import end_of_turn
from holdfast.models.sampling import Sampling, choose, uniforms
from holdfast.types import Completion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MIN_ROWS = 16
Ended: TypeAlias = tuple[tuple[int, ...], int, Completion]
"""A sequence that is done: its prompt, its sample, and what was written."""
TABLES = ("tokens", "logprobs", "uniforms", "starts", "written", "last", "limits", "end_kinds")


@dataclass(slots=True)
class _Sequence:
    """What runs in a row: `offset` + the batch's step = its length; `recent` only serves stop strings."""

    ids: tuple[int, ...]
    sample: int
    sampling: Sampling
    offset: int
    recent: list[int]


class RunningBatch:
    """The rows that run now and the prompts that wait; more may be added at any time, also while it runs.

    `run` is to be iterated to its end: what ended in the same step as the last that was taken is lost otherwise.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, capacity: int) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.decode_step = decode_step(model)
        self.head = cast("torch.nn.Linear", model.get_output_embeddings())
        self.device = model.device
        self.context = context_length(model.config)
        self.queue: deque[Prompt] = deque()
        self.queued: dict[tuple[int, ...], Prompt] = {}
        self.num_waiting = 0
        self.sampling: Sampling | None = None
        self.uses_stops = False
        self.capacity = max(capacity, 1)
        self.min_rows = MIN_ROWS if self.device.type == "cpu" else 1
        self.reader = PromptReader(model, self.min_rows)
        self.cache: RowCache | None = None
        self.step = 0
        num_rows = round_up(self.capacity, self.min_rows)
        self.rows: list[_Sequence | None] = [None] * num_rows
        self.tokens = torch.zeros((num_rows, 0), dtype=torch.long, device=self.device)
        self.logprobs = torch.zeros((num_rows, 0), dtype=torch.float64, device=self.device)
        self.uniforms = torch.zeros((num_rows, 0), dtype=torch.float64, device=self.device)
        self.starts = torch.ones(num_rows, dtype=torch.long, device=self.device)
        self.written = torch.zeros(num_rows, dtype=torch.long, device=self.device)
        self.last = torch.zeros(num_rows, dtype=torch.long, device=self.device)
        self.limits = torch.ones(num_rows, dtype=torch.long, device=self.device)
        self.end_kinds = torch.zeros(num_rows, dtype=torch.long, device=self.device)
        self.ends = torch.zeros((0, int(self.head.weight.shape[0])), dtype=torch.bool, device=self.device)
        self.kinds: dict[tuple[int, ...], int] = {}
        self.running = torch.zeros(0, dtype=torch.long, device=self.device)
        self.longest_offset = 0

    def add(
        self, ids: tuple[int, ...], sample: int, sampling: Sampling, *, first: bool = False, shared: int = 0
    ) -> None:
        """Lets a sample of a prompt wait for a row; with `first`, a prompt that does not wait yet is served next.

        Its first `shared` tokens, which other prompts have too, are read once for all of them.

        Raises ContextLengthError when the prompt leaves no room, ModelError when it is empty or the request
        is to be sampled otherwise than those before.
        """
        self._check(ids, sampling)
        prompt = self.queued.get(ids)
        if prompt is None:
            prompt = self.queued[ids] = Prompt(ids, shared)
            self.reader.expect(prompt)
            (self.queue.appendleft if first else self.queue.append)(prompt)
        prompt.waiting.append((sample, sampling))
        self.num_waiting += 1
        self.uses_stops |= bool(sampling.stop)

    def run(self) -> Iterator[Ended]:
        """Yields prompt, sample and completion of each sequence as it ends, until nothing runs or waits."""
        while self.num_waiting or len(self.running):
            yield from self._fill() if self._is_time_to_fill() else self._decode()

    def _is_time_to_fill(self) -> bool:
        """Filling has a price of its own: it waits until there is enough to fill, or for the last ones a place."""
        free = self.capacity - len(self.running)
        ready = min(self.num_waiting, free)
        all_fit = ready == self.num_waiting and free >= self.capacity // 8
        return ready > 0 and (all_fit or ready >= len(self.running) // 8)

    def _check(self, ids: tuple[int, ...], sampling: Sampling) -> None:
        if not ids:
            raise ModelError("a prompt has no token, so there is nothing to continue.")
        if len(ids) >= self.context:
            raise ContextLengthError(
                f"a prompt of {len(ids)} tokens leaves no room in the model's context of {self.context}. "
                "Shorten it; nothing is truncated."
            )
        known = self.sampling = self.sampling or sampling
        if (sampling.temperature, sampling.top_p, sampling.top_k) != (known.temperature, known.top_p, known.top_k):
            raise ModelError("requests of one batch must have the same temperature, top_p and top_k.")

    def _fill(self) -> Iterator[Ended]:
        """Gives the free rows to waiting samples, reads their prompts and chooses their first tokens."""
        free = deque(i for i, row in enumerate(self.rows[: self.capacity]) if row is None)
        taken: list[tuple[Prompt, list[int]]] = []
        while free and self.queue:
            prompt = self.queue[0]
            rows = [free.popleft() for _ in range(min(len(free), len(prompt.waiting)))]
            taken.append((prompt, rows))
            self._start(prompt, rows)
            if not prompt.waiting:
                del self.queued[self.queue.popleft().ids]
        new_rows: list[int] = []
        logits: list[Tensor] = []
        rows_of = {prompt.ids: rows for prompt, rows in taken}
        known = [prompt for prompt, _ in taken if prompt.state is not None]
        for prompt in chain(known, self.reader.read([prompt for prompt, _ in taken if prompt.state is None])):
            rows = rows_of[prompt.ids]
            state, first = cast("list[tuple[Tensor, Tensor]]", prompt.state), cast("Tensor", prompt.logits)
            if self.cache is None:
                self.cache = RowCache(len(self.rows), len(prompt.ids) + STEP, state)
            self.cache.put(rows, state, len(prompt.ids))
            new_rows += rows
            logits += [first] * len(rows)
            if not prompt.waiting:
                prompt.state = prompt.logits = None
        self._note_rows()
        return self._advance(torch.tensor(new_rows, device=self.device), torch.stack(logits))

    def _start(self, prompt: Prompt, rows: Sequence[int]) -> None:
        """Writes the tables' entries of new samples."""
        length = len(prompt.ids)
        for row in rows:
            sample, sampling = prompt.waiting.popleft()
            self.num_waiting -= 1
            self._widen(sampling.max_new_tokens)
            self.rows[row] = _Sequence(prompt.ids, sample, sampling, offset=length - self.step, recent=[])
            self.starts[row] = length
            self.written[row] = 0
            self.limits[row] = min(sampling.max_new_tokens, self.context - length)
            self.end_kinds[row] = self._end_kind(sampling)
            if sampling.temperature > 0:
                num = sampling.max_new_tokens
                self.uniforms[row, :num] = uniforms(sampling.seed, prompt.ids, sample, num)

    def _widen(self, width: int) -> None:
        """Makes room for completions of `width` tokens."""
        more = width - self.tokens.shape[1]
        if more > 0:
            self.tokens, self.logprobs, self.uniforms = (
                pad(table, (0, more)) for table in (self.tokens, self.logprobs, self.uniforms)
            )

    def _end_kind(self, sampling: Sampling) -> int:
        """Returns the row of `ends` that marks the tokens which end this completion."""
        kind = self.kinds.get(sampling.stop_token_ids)
        if kind is None:
            kind = self.kinds[sampling.stop_token_ids] = len(self.kinds)
            marks = self.ends.new_zeros(1, self.ends.shape[1])
            marks[0, [i for i in end_ids(self.model, self.tokenizer, sampling) if i < marks.shape[1]]] = True
            self.ends = torch.cat([self.ends, marks])
        return kind

    def _decode(self) -> Iterator[Ended]:
        """Runs the model over the newest token of every row and chooses the next ones."""
        num_rows = round_up(int(self.running[-1]) + 1, self.min_rows)
        positions = self.starts[:num_rows] + self.written[:num_rows] - 1
        positions.clamp_(min=0)
        cache = cast("RowCache", self.cache)
        cache.at(positions, self.longest_offset + self.step)
        logits = self.reader.logits(self.decode_step(self.last[:num_rows], positions, cache))
        self.step += 1
        return self._advance(self.running, logits[self.running])

    def _advance(self, rows: Tensor, logits: Tensor) -> Iterator[Ended]:
        """Chooses one token for each of `rows`, notes it, and yields the sequences that it ends."""
        written, sampling = self.written[rows], cast("Sampling", self.sampling)
        draws = self.uniforms[rows, written] if sampling.temperature > 0 else None
        tokens, logprobs = choose(logits, sampling, draws)
        self.tokens[rows, written] = tokens
        self.logprobs[rows, written] = logprobs
        self.last[rows] = tokens
        self.written[rows] = written + 1
        over = self.ends[self.end_kinds[rows], tokens] | (written + 1 >= self.limits[rows])
        if self.uses_stops:
            over |= self._stopped(rows.tolist(), tokens.tolist())
        ended = rows[over].tolist()
        if ended:
            yield from self._finish(ended)

    def _stopped(self, rows: list[int], tokens: list[int]) -> Tensor:
        """Returns for each row whether its newest token completed a stop string."""
        found = [False] * len(rows)
        for index, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            sequence = cast("_Sequence", self.rows[row])
            if not sequence.sampling.stop:
                continue
            sequence.recent.append(token)
            del sequence.recent[: -4 - max(len(text.encode()) for text in sequence.sampling.stop)]
            text = cast("str", self.tokenizer.decode(sequence.recent, skip_special_tokens=True))
            found[index] = any(stop in text for stop in sequence.sampling.stop)
        return torch.tensor(found, device=self.device)

    def _finish(self, rows: list[int]) -> Iterator[Ended]:
        """Frees the rows and yields what their tokens are."""
        ended: list[tuple[_Sequence, list[int], list[float]]] = []
        for row in rows:
            num = int(self.written[row])
            ids, logprobs = self.tokens[row, :num].tolist(), self.logprobs[row, :num].tolist()
            ended.append((cast("_Sequence", self.rows[row]), ids, logprobs))
            self.rows[row] = None
            self.written[row] = 0
        self._note_rows()
        for sequence, ids, logprobs in ended:
            yield sequence.ids, sequence.sample, self._completion(sequence.sampling, ids, logprobs)
        if not self.queue:
            self._close_ranks()

    def _completion(self, sampling: Sampling, ids: list[int], logprobs: list[float]) -> Completion:
        ended = bool(self.ends[self.kinds[sampling.stop_token_ids], ids[-1]])
        text = cast("str", self.tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True))
        cuts = [at for at in (text.find(stop) for stop in sampling.stop) if at >= 0]
        if cuts:
            text = text[: min(cuts)]
        reason = "stop" if ended or cuts else "length"
        return Completion(text=text, token_ids=tuple(ids), logprobs=tuple(logprobs), finish_reason=reason)

    def _close_ranks(self) -> None:
        """Moves the last rows into gaps when that makes the batch smaller; nobody waits for the gaps."""
        occupied = [i for i, row in enumerate(self.rows) if row is not None]
        wanted = round_up(len(occupied), self.min_rows)
        moving = [i for i in occupied if i >= wanted]
        if not moving:
            return
        gaps = (i for i in range(wanted) if self.rows[i] is None)
        for source in moving:
            target = next(gaps)
            sequence = cast("_Sequence", self.rows[source])
            cast("RowCache", self.cache).move(source, target, sequence.offset + self.step)
            self.rows[target], self.rows[source] = sequence, None
            for table in TABLES:
                getattr(self, table)[target] = getattr(self, table)[source]
            self.written[source] = 0
        self._note_rows()

    def _note_rows(self) -> None:
        running = [i for i, row in enumerate(self.rows) if row is not None]
        self.running = torch.tensor(running, dtype=torch.long, device=self.device)
        self.longest_offset = max((cast("_Sequence", self.rows[i]).offset for i in running), default=0)


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sampling: Sampling) -> set[int]:
    """Returns the tokens that end a completion: of a text, of a turn in this chat template, and the asked ones."""
    ids = {*sampling.stop_token_ids, *end_of_turn(tokenizer)}
    config = model.generation_config
    for given in (tokenizer.eos_token_id, config.eos_token_id if config is not None else None):
        ids.update(cast("list[int]", given if isinstance(given, list) else [given] if given is not None else []))
    return ids
