"""Lets a chat model write its own user prompts, by giving it its template only up to where one begins.

Paper: Xu et al. 2024, "Magpie" (arXiv:2406.08464).

Choices made here
- Besides bare user turns, a share begins with a system turn that the model writes too (that is where
  tools stand), and a share carries one of the model's own conversations on for another turn or two.
- What precedes a turn's text is found by rendering two conversations that differ in that text only and
  keeping what their token ids have in common, so any chat template works, without rules per family.
- A written turn is decoded and rendered again like a user's would be, so a reminder's prompt has the
  tokens that a real one would have.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from holdfast.errors import ModelError
from holdfast.models.generate import Sampling
from holdfast.models.render import render_prompt
from holdfast.seeds import derive_seed
from holdfast.types import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.models.learner import Learner
    from holdfast.training.config import RehearsalConfig
    from holdfast.types import Completion

Conversation = tuple[Message, ...]

ROUNDS = 4
"""Attempts to fill the wanted number before a model that repeats itself is taken to have run dry."""
SPARE = 1.1
"""So many times the wanted number are drawn at first, because some will be dropped and another round costs more."""


@dataclass(frozen=True, slots=True)
class Written:
    """Conversations that end with a self-written user turn, and what was dropped on the way, by reason."""

    conversations: list[Conversation]
    drawn: int
    dropped: dict[str, int]


def write_prompts(
    learner: Learner,
    settings: RehearsalConfig,
    *,
    wanted: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Returns up to `wanted` different conversations whose last user turn the frozen `current` wrote."""
    kept: list[Conversation] = []
    seen = NearDuplicates()
    dropped: Counter[str] = Counter()
    drawn = 0
    for attempt in range(ROUNDS):
        missing = wanted - len(kept)
        if missing <= 0:
            break
        drawing = math.ceil(missing * min(drawn / len(kept), 4.0) if kept else missing * SPARE)
        batch = _write_round(learner, settings, drawing, derive_seed(seed, "self prompts", attempt), kept)
        before = len(kept)
        for conversation, problem in batch:
            drawn += 1
            text = _text(conversation)
            reason = problem or seen.problem(text)
            if reason is None:
                kept.append(conversation)
            else:
                dropped[reason] += 1
        if progress is not None:
            progress(min(len(kept), wanted), wanted)
        if len(kept) - before < 0.1 * len(batch):
            break
    # In random order, so that what is cut off is not always the end of a round: the longest conversations.
    random.Random(derive_seed(seed, "self prompts kept")).shuffle(kept)
    return Written(kept[:wanted], drawn, dict(dropped))


def open_turn(learner: Learner, before: Sequence[Message], role: str) -> tuple[list[int], list[int]]:
    """Returns the token ids up to where a turn's text begins after `before`, and those that follow its text."""
    renderings: list[list[int]] = []
    for text in ("a", "7 zq"):
        messages = [*before, Message("system" if role == "system" else "user", text)]
        if role == "system":
            messages.append(Message("user", "x"))
        renderings.append(list(render_prompt(learner.tokenizer, messages, ())))
    first, second = renderings
    start = _common(first, second)
    end = _common(first[::-1], second[::-1])
    if start == 0 or end == 0:
        raise ModelError(
            f"{role} turns cannot be opened with this chat template: nothing stands around their text. "
            "Set rehearsal.self_written_share = 0, or give the model a chat template with role marks."
        )
    return first[:start], first[len(first) - end :]


def _write_round(
    learner: Learner, settings: RehearsalConfig, wanted: int, seed: int, known: Sequence[Conversation]
) -> list[tuple[Conversation, str | None]]:
    """Returns newly written conversations with what is wrong with each (None = nothing)."""
    num_follow_ups = round(settings.follow_up_share * wanted)
    num_system = round(settings.system_turn_share * wanted)
    num_plain = max(wanted - num_follow_ups - num_system, 0)
    written = _write_turns(learner, settings, [()] * num_plain, "user", derive_seed(seed, "plain"))
    if num_system:
        systems = _write_turns(learner, settings, [()] * num_system, "system", derive_seed(seed, "system"))
        fine = [conversation for conversation, problem in systems if problem is None]
        written += [item for item in systems if item[1] is not None]
        written += _write_turns(learner, settings, fine, "user", derive_seed(seed, "after system"))
    for depth in (1, 2):
        num = round(num_follow_ups / depth / 1.5)
        starts = [conversation for conversation, problem in written if problem is None] or list(known)
        starts = [conversation for conversation in starts if _num_user_turns(conversation) == depth]
        starts = random.Random(derive_seed(seed, "follow-up starts", depth)).sample(starts, min(num, len(starts)))
        answered = answer(learner, settings, starts, derive_seed(seed, "follow-up answers", depth))
        continued = [
            (*conversation, Message("assistant", completion.text))
            for conversation, completion in zip(starts, answered, strict=True)
            if completion.finish_reason == "stop" and completion.text.strip()
        ]
        written += _write_turns(learner, settings, continued, "user", derive_seed(seed, "follow-up", depth))
    return written


def answer(
    learner: Learner,
    settings: RehearsalConfig,
    conversations: Sequence[Conversation],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Completion]:
    """Returns one completion of each conversation, sampled from the frozen `current`."""
    prompts = [list(render_prompt(learner.tokenizer, conversation, ())) for conversation in conversations]
    sampling = Sampling(max_new_tokens=settings.max_new_tokens, temperature=settings.temperature, seed=seed)
    groups = learner.generate(prompts, sampling, which="current", progress=progress)
    return [group[0] for group in groups]


def _write_turns(
    learner: Learner, settings: RehearsalConfig, before: Sequence[Conversation], role: str, seed: int
) -> list[tuple[Conversation, str | None]]:
    """Returns each conversation with one more turn that `current` wrote, and what is wrong with it."""
    copies = Counter(before)
    result: list[tuple[Conversation, str | None]] = []
    prompts: list[list[int]] = []
    owners: list[Conversation] = []
    suffix: list[int] = []
    for conversation in copies:
        prefix, suffix = open_turn(learner, conversation, role)
        if len(prefix) + settings.max_prompt_tokens + settings.max_new_tokens > learner.context_length:
            result += [(conversation, "no room for another turn")] * copies[conversation]
            continue
        prompts.append(prefix)
        owners.append(conversation)
    for num_samples in sorted(set(copies.values())):
        chosen = [index for index, owner in enumerate(owners) if copies[owner] == num_samples]
        sampling = Sampling(
            max_new_tokens=settings.max_prompt_tokens,
            temperature=settings.temperature,
            num_samples=num_samples,
            seed=seed,
            **_stops(learner, suffix),
        )
        for index, group in zip(
            chosen, learner.generate([prompts[index] for index in chosen], sampling, which="current"), strict=True
        ):
            result += [_judge(learner, owners[index], completion, role) for completion in group]
    return result


def _judge(
    learner: Learner, before: Conversation, completion: Completion, role: str
) -> tuple[Conversation, str | None]:
    text = completion.text
    turn = Message("system" if role == "system" else "user", text)
    conversation = (*before, turn)
    if completion.finish_reason == "length":
        return conversation, "truncated"
    if not text.strip():
        return conversation, "empty"
    inside = completion.token_ids[:-1]
    if _special_ids(learner).intersection(inside):
        return conversation, "breaks the template"
    if "\ufffd" in text:
        return conversation, "not text"
    return conversation, None


def _stops(learner: Learner, suffix: Sequence[int]) -> _Stops:
    """Returns what ends a turn whose text is followed by `suffix`: a special token, or else that text."""
    if suffix and suffix[0] in _special_ids(learner):
        return {"stop_token_ids": (suffix[0],)}
    text = str(learner.tokenizer.decode(list(suffix))).strip()
    return {"stop": (text,)} if text else {}


def _special_ids(learner: Learner) -> set[int]:
    added = learner.tokenizer.added_tokens_decoder
    return {*learner.tokenizer.all_special_ids, *(index for index, token in added.items() if token.special)}


class _Stops(TypedDict, total=False):
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]


class NearDuplicates:
    """Remembers texts and tells exact and near duplicates (MinHash over 3-word shingles, Jaccard >= 0.8)."""

    def __init__(self, *, num_hashes: int = 64, rows_per_band: int = 4) -> None:
        rng = np.random.default_rng(20_240_301)
        self._factors = rng.integers(1, 2**31, num_hashes, dtype=np.uint64) | np.uint64(1)
        self._shifts = rng.integers(0, 2**31, num_hashes, dtype=np.uint64)
        self._rows_per_band = rows_per_band
        self._exact: set[str] = set()
        self._bands: dict[tuple[int, bytes], list[frozenset[str]]] = {}

    def problem(self, text: str) -> str | None:
        """Returns why `text` is a duplicate, or None; remembers it if it is none."""
        words = text.split()
        normal = " ".join(words)
        if normal in self._exact:
            return "duplicate"
        self._exact.add(normal)
        shingles = frozenset(" ".join(words[start : start + 3]) for start in range(len(words) - 2))
        if len(shingles) < 8:  # a short prompt that differs in a word is another prompt
            return None
        codes = np.array([_hash(shingle) for shingle in shingles], dtype=np.uint64)
        signature = (codes[:, None] * self._factors + self._shifts).min(axis=0)
        bands = [
            (start, signature[start : start + self._rows_per_band].tobytes())
            for start in range(0, len(signature), self._rows_per_band)
        ]
        for band in bands:
            for other in self._bands.get(band, ()):
                if len(shingles & other) >= 0.8 * len(shingles | other):
                    return "near duplicate"
        for band in bands:
            self._bands.setdefault(band, []).append(shingles)
        return None


def _hash(text: str) -> int:
    return derive_seed(0, text) & 0xFFFFFFFF


def _text(conversation: Conversation) -> str:
    return "\n".join(f"{message.role}: {message.content}" for message in conversation)


def _num_user_turns(conversation: Conversation) -> int:
    return sum(message.role == "user" for message in conversation)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Returns how many leading token ids two renderings share."""
    count = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        count += 1
    return count
