"""Completions of many prompts by one model: shared prefill, rows that leave when done, waiting rows that refill.

On a CPU the tokens of a sequence do not depend on what else is in the batch: rows stand left-aligned in
the cache, the batch is padded to at least `MIN_ROWS` rows (fewer take other kernels, with other rounding),
and the random numbers of a sequence follow from the seed and its own content.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from transformers import DynamicCache

from holdfast.errors import ContextLengthError, ModelError
from holdfast.models import packed_attention
from holdfast.models.kv_cache import STEP, RowCache, round_up
from holdfast.models.load import context_length
from holdfast.models.memory import free_bytes
from holdfast.models.render import end_of_turn
from holdfast.models.sampling import Sampling, choose, uniforms
from holdfast.types import Completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Sampling", "generate"]

MIN_ROWS = 16
PREFILL_TOKENS = 4096


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    max_batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Completion]]:
    """Returns `sampling.num_samples` completions of each prompt, in the prompts' order.

    A completion's token ids include the token that ended it. `max_batch` bounds the sequences that run
    at once (chosen from memory when None); `progress` is called with the numbers of sequences done and
    in all.

    Raises:
        ContextLengthError: a prompt leaves no room for a single token.
        ModelError: the model keeps another state than keys and values.
    """
    if not prompts:
        return []
    distinct = sorted({tuple(prompt) for prompt in prompts}, key=lambda ids: (-len(ids), ids))
    with torch.no_grad():
        batch = _Batch(model, tokenizer, distinct, sampling, max_batch, progress)
        done = batch.run()
    return [done[tuple(prompt)] for prompt in prompts]


@dataclass(slots=True)
class _Prompt:
    """A distinct prompt: how many samples still wait, and once it is read, what they start from."""

    ids: tuple[int, ...]
    waiting: int
    state: list[tuple[Tensor, Tensor]] | None = None
    logits: Tensor | None = None


@dataclass(slots=True)
class _Sequence:
    """What runs in a row: `offset` + the batch's step = its length; `recent` only serves stop strings."""

    ids: tuple[int, ...]
    sample: int
    offset: int
    recent: list[int]


class _Batch:
    """The rows that run now, the prompts that wait, and the completions that are done."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: list[tuple[int, ...]],
        sampling: Sampling,
        max_batch: int | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.tokenizer, self.sampling, self.progress = tokenizer, sampling, progress
        self.decoder = model.get_decoder()
        self.head = cast("torch.nn.Linear", model.get_output_embeddings())
        self.device = model.device
        self.mask = mask_maker(model)
        self.context = _check_room(model, prompts)
        self.prompts = [_Prompt(ids, sampling.num_samples) for ids in prompts]
        self.queue = deque(self.prompts)
        self.total = len(prompts) * sampling.num_samples
        self.capacity = min(self.total, max_batch or rows_that_fit(model, len(prompts[0]) + sampling.max_new_tokens))
        self.min_rows = MIN_ROWS if self.device.type == "cpu" else 1
        self.cache: RowCache | None = None
        self.step = 0
        self.rows: list[_Sequence | None] = [None] * round_up(self.capacity, self.min_rows)
        num_rows, width = len(self.rows), sampling.max_new_tokens
        self.tokens = torch.zeros((num_rows, width), dtype=torch.long, device=self.device)
        self.logprobs = torch.zeros((num_rows, width), dtype=torch.float64, device=self.device)
        self.uniforms = torch.zeros((num_rows, width), dtype=torch.float64, device=self.device)
        self.starts = torch.ones(num_rows, dtype=torch.long, device=self.device)
        self.written = torch.zeros(num_rows, dtype=torch.long, device=self.device)
        self.last = torch.zeros(num_rows, dtype=torch.long, device=self.device)
        self.limits = torch.ones(num_rows, dtype=torch.long, device=self.device)
        self.running = torch.zeros(0, dtype=torch.long, device=self.device)
        self.longest_offset = 0
        self.done: dict[tuple[int, ...], dict[int, Completion]] = {ids: {} for ids in prompts}
        self.num_done = 0
        vocab_size = int(self.head.weight.shape[0])
        self.ends = torch.zeros(vocab_size, dtype=torch.bool, device=self.device)
        self.ends[[i for i in end_ids(model, tokenizer, sampling) if i < vocab_size]] = True

    def run(self) -> dict[tuple[int, ...], list[Completion]]:
        """Returns the completions of every prompt, samples in order."""
        while self.num_done < self.total:
            free = self.capacity - len(self.running)
            if self.queue and (free >= max(1, self.capacity // 8) or not len(self.running)):
                self._fill()
            else:
                self._decode()
        return {ids: [by_sample[k] for k in sorted(by_sample)] for ids, by_sample in self.done.items()}

    def _fill(self) -> None:
        """Gives the free rows to waiting samples, reads their prompts and chooses their first tokens."""
        free = deque(i for i, row in enumerate(self.rows[: self.capacity]) if row is None)
        taken: list[tuple[_Prompt, list[int]]] = []
        while free and self.queue:
            prompt = self.queue[0]
            rows = [free.popleft() for _ in range(min(len(free), prompt.waiting))]
            taken.append((prompt, rows))
            self._start(prompt, rows)
            if prompt.waiting == 0:
                self.queue.popleft()
        new_rows: list[int] = []
        logits: list[Tensor] = []
        for prompt, rows in self._read(taken):
            state, first = cast("list[tuple[Tensor, Tensor]]", prompt.state), cast("Tensor", prompt.logits)
            if self.cache is None:
                self.cache = RowCache(len(self.rows), len(prompt.ids) + STEP, state)
            self.cache.put(rows, state, len(prompt.ids))
            new_rows += rows
            logits += [first] * len(rows)
            if prompt.waiting == 0:
                prompt.state = prompt.logits = None
        self._note_rows()
        self._advance(torch.tensor(new_rows, device=self.device), torch.stack(logits))

    def _start(self, prompt: _Prompt, rows: Sequence[int]) -> None:
        """Writes the tables' entries of new samples."""
        sampling, length = self.sampling, len(prompt.ids)
        for row in rows:
            sample = sampling.num_samples - prompt.waiting
            prompt.waiting -= 1
            self.rows[row] = _Sequence(prompt.ids, sample, offset=length - self.step, recent=[])
            self.starts[row] = length
            self.written[row] = 0
            self.limits[row] = min(sampling.max_new_tokens, self.context - length)
            if sampling.temperature > 0:
                self.uniforms[row] = uniforms(sampling.seed, prompt.ids, sample, sampling.max_new_tokens)

    def _read(self, taken: list[tuple[_Prompt, list[int]]]) -> Iterator[tuple[_Prompt, list[int]]]:
        """Runs the model over prompts that were not read yet, about `PREFILL_TOKENS` at a time.

        Yields each as soon as it is read, so that the states of one such group are all that waits for rows.
        """
        read = [each for each in taken if each[0].state is not None]
        yield from read
        taken = taken[len(read) :]  # only the first can have been read: its samples did not all find a row
        while taken:
            width = round_up(len(taken[0][0].ids), STEP)
            group = taken[: max(1, PREFILL_TOKENS // width)]
            taken = taken[len(group) :]
            self._prefill([prompt for prompt, _ in group], width)
            yield from group

    def _prefill(self, prompts: Sequence[_Prompt], width: int) -> None:
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        for index, prompt in enumerate(prompts):
            ids[index, : len(prompt.ids)] = torch.tensor(prompt.ids)
        cache = DynamicCache()
        output = self.decoder(input_ids=ids.to(self.device), attention_mask=None, past_key_values=cache, use_cache=True)
        last = torch.tensor([len(prompt.ids) - 1 for prompt in prompts], device=self.device)
        logits = self._logits(output.last_hidden_state[torch.arange(len(prompts), device=self.device), last])
        for index, prompt in enumerate(prompts):
            prompt.state = [(cast("Tensor", keys)[index], cast("Tensor", values)[index]) for keys, values, _ in cache]
            prompt.logits = logits[index]

    def _decode(self) -> None:
        """Runs the model over the newest token of every row and chooses the next ones."""
        num_rows = round_up(int(self.running[-1]) + 1, self.min_rows)
        positions = self.starts[:num_rows] + self.written[:num_rows] - 1
        positions.clamp_(min=0)
        cache = cast("RowCache", self.cache)
        cache.at(positions, self.longest_offset + self.step)
        output = self.decoder(
            input_ids=self.last[:num_rows, None],
            attention_mask=self.mask(positions, cache.places.length),
            position_ids=positions[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        logits = self._logits(output.last_hidden_state[:, 0])
        self.step += 1
        self._advance(self.running, logits[self.running])

    def _logits(self, hidden: Tensor) -> Tensor:
        """Returns float32 logits of each hidden state."""
        num = len(hidden)
        if num < self.min_rows:
            hidden = torch.cat([hidden, hidden.new_zeros(self.min_rows - num, hidden.shape[1])])
        return self.head(hidden)[:num].float()

    def _advance(self, rows: Tensor, logits: Tensor) -> None:
        """Chooses one token for each of `rows`, notes it, and lets go of the sequences that it ends."""
        written = self.written[rows]
        draws = self.uniforms[rows, written] if self.sampling.temperature > 0 else None
        tokens, logprobs = choose(logits, self.sampling, draws)
        self.tokens[rows, written] = tokens
        self.logprobs[rows, written] = logprobs
        self.last[rows] = tokens
        self.written[rows] = written + 1
        over = self.ends[tokens] | (written + 1 >= self.limits[rows])
        if self.sampling.stop:
            over = over | self._stopped(rows.tolist(), tokens.tolist())
        ended = rows[over].tolist()
        if ended:
            self._finish(ended)

    def _stopped(self, rows: list[int], tokens: list[int]) -> Tensor:
        """Returns for each row whether its newest token completed a stop string."""
        longest = max(len(text.encode()) for text in self.sampling.stop) + 4
        found = []
        for row, token in zip(rows, tokens, strict=True):
            recent = cast("_Sequence", self.rows[row]).recent
            recent.append(token)
            del recent[:-longest]
            text = cast("str", self.tokenizer.decode(recent, skip_special_tokens=True))
            found.append(any(stop in text for stop in self.sampling.stop))
        return torch.tensor(found, device=self.device)

    def _finish(self, rows: list[int]) -> None:
        """Turns the rows' tokens into completions and frees the rows."""
        for row in rows:
            sequence = cast("_Sequence", self.rows[row])
            num = int(self.written[row])
            ids, logprobs = self.tokens[row, :num].tolist(), self.logprobs[row, :num].tolist()
            self.done[sequence.ids][sequence.sample] = self._completion(ids, logprobs)
            self.rows[row] = None
            self.written[row] = 0
        self.num_done += len(rows)
        if self.progress is not None:
            self.progress(self.num_done, self.total)
        if not self.queue:
            self._close_ranks()
        self._note_rows()

    def _completion(self, ids: list[int], logprobs: list[float]) -> Completion:
        ended = bool(self.ends[ids[-1]])
        text = cast("str", self.tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True))
        cuts = [at for at in (text.find(stop) for stop in self.sampling.stop) if at >= 0]
        if cuts:
            text = text[: min(cuts)]
        reason = "stop" if ended or cuts else "length"
        return Completion(text=text, token_ids=tuple(ids), logprobs=tuple(logprobs), finish_reason=reason)

    def _close_ranks(self) -> None:
        """Moves the last rows into gaps when that makes the batch smaller; nobody waits for the gaps."""
        occupied = [i for i, row in enumerate(self.rows) if row is not None]
        wanted = round_up(len(occupied), self.min_rows)
        gaps = (i for i in range(wanted) if self.rows[i] is None)
        for source in [i for i in occupied if i >= wanted]:
            target = next(gaps)
            sequence = cast("_Sequence", self.rows[source])
            cast("RowCache", self.cache).move(source, target, sequence.offset + self.step)
            self.rows[target], self.rows[source] = sequence, None
            for table in (self.tokens, self.logprobs, self.uniforms, self.starts, self.written, self.last, self.limits):
                table[target] = table[source]
            self.written[source] = 0

    def _note_rows(self) -> None:
        running = [i for i, row in enumerate(self.rows) if row is not None]
        self.running = torch.tensor(running, dtype=torch.long, device=self.device)
        self.longest_offset = max((cast("_Sequence", self.rows[i]).offset for i in running), default=0)


def _check_room(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> int:
    """Returns the model's context length, or says which prompt leaves no room in it."""
    context = context_length(model)
    for prompt in prompts:
        if not prompt:
            raise ModelError("a prompt has no token, so there is nothing to continue.")
        if len(prompt) >= context:
            raise ContextLengthError(
                f"a prompt of {len(prompt)} tokens leaves no room in the model's context of {context}. "
                "Shorten it; nothing is truncated."
            )
    return context


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sampling: Sampling) -> set[int]:
    """Returns the tokens that end a completion: of a text, of a turn in this chat template, and the asked ones."""
    ids = {*sampling.stop_token_ids, *end_of_turn(tokenizer)}
    config = model.generation_config
    for given in (tokenizer.eos_token_id, config.eos_token_id if config is not None else None):
        ids.update(cast("list[int]", given if isinstance(given, list) else [given] if given is not None else []))
    return ids


def rows_that_fit(model: PreTrainedModel, num_tokens: int) -> int:
    """Returns how many sequences of `num_tokens` to run at once: a quarter of the free memory, 128 on a CPU at most."""
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    row_bytes = 2 * int(config.num_hidden_layers) * heads * width * model.dtype.itemsize * num_tokens
    most = 128 if model.device.type == "cpu" else 256
    return max(1, min(most, free_bytes(model.device) // 4 // row_bytes))


def mask_maker(model: PreTrainedModel) -> Callable[[Tensor, int], object]:
    """Returns a function of (positions [B], length) that gives the attention mask [B, 1, 1, length].

    Raises:
        ModelError: the model mixes tokens otherwise than by full or sliding attention.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    implementation = config._attn_implementation
    if kinds - {"full_attention", "sliding_attention"} or implementation not in (
        "sdpa",
        packed_attention.NAME,
        "eager",
    ):
        odd = sorted(kinds - {"full_attention", "sliding_attention"}) or [implementation]
        raise ModelError(f"generation supports full and sliding attention under sdpa or eager, not {', '.join(odd)}.")

    def mask(positions: Tensor, length: int) -> object:
        places = torch.arange(length, device=positions.device)
        full = as_needed(places <= positions[:, None])
        if window is None or (kinds and "sliding_attention" not in kinds):
            return full
        near = as_needed((places <= positions[:, None]) & (places > positions[:, None] - window))
        return {"full_attention": full, "sliding_attention": near} if kinds else near

    def as_needed(seen: Tensor) -> Tensor:
        seen = seen[:, None, None]
        if implementation != "eager":
            return seen
        lowest = torch.finfo(model.dtype).min
        return torch.zeros(seen.shape, dtype=model.dtype, device=seen.device).masked_fill(~seen, lowest)

    return mask
