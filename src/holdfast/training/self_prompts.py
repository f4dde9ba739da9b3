"""Lets a chat model write its own user prompts, by giving it its template only up to where one begins.

Paper: Xu et al. 2024, "Magpie" (arXiv:2406.08464).

Choices made here
- Besides bare user turns, a share begins with a system turn that the model writes too (that is where
  tools stand), and a share carries one of the model's own conversations on for another turn or two.
- What precedes a turn's text is found by rendering two conversations that differ in that text only and
  keeping what their token ids have in common, so any chat template works, without rules per family.
- Conversations are written side by side in one running batch, each at its own pace, so that none waits
  for all others to reach its turn.
- A written turn is decoded and rendered again like a user's would be, so a reminder's prompt has the
  tokens that a real one would have. Bytes that made no character are left out: dropping the whole prompt
  would drop most of those in other scripts than Latin, which break most easily.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from holdfast.errors import ModelError
from holdfast.models.generate import Request, Sampling
from holdfast.models.render import render_prompt
from holdfast.seeds import derive_seed
from holdfast.types import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.models.generate import Talk
    from holdfast.models.learner import Learner
    from holdfast.training.config import RehearsalConfig
    from holdfast.types import Completion

Conversation = tuple[Message, ...]

ROUNDS = 4
"""Attempts to fill the wanted number before a model that repeats itself is taken to have run dry."""
BROKEN = "\ufffd"
"""What stands in a text where bytes made no character."""
SPARE = 1.1
"""So many times the wanted number are drawn at first, because some will be dropped and another round costs more."""


@dataclass(frozen=True, slots=True)
class Written:
    """Conversations that end with a self-written user turn, and what was dropped on the way, by reason.

    `begun` counts the conversations that were started, `drawn` what came of them: one for every user turn.
    """

    conversations: list[Conversation]
    begun: int
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
    """Returns up to `wanted` different conversations whose last user turn the frozen `current` wrote.

    `progress` is called with the numbers of conversations ended and begun, as each ends.
    """
    kept: list[Conversation] = []
    seen = NearDuplicates()
    dropped: Counter[str] = Counter()
    drawn = begun = asked = 0

    def count(done: int, total: int) -> None:
        if progress is not None:
            progress(begun + done, begun + total)

    for attempt in range(ROUNDS):
        missing = wanted - len(kept)
        if missing <= 0:
            break
        drawing = math.ceil(missing * (min(asked / len(kept), 4.0) if kept else 1.0) * SPARE)
        writer = _Writer(learner, settings, derive_seed(seed, "self prompts", attempt))
        talks = [writer.talk(plan) for plan in _plan(settings, drawing, derive_seed(seed, "plans", attempt))]
        parts = learner.converse(talks, longest=writer.longest, which="current", progress=count)
        asked, begun = asked + drawing, begun + len(talks)
        batch = [item for part in parts for item in part]
        before = len(kept)
        for conversation, problem in batch:
            drawn += 1
            reason = problem or seen.problem(_text(conversation))
            if reason is None:
                kept.append(conversation)
            else:
                dropped[reason] += 1
        if len(kept) - before < 0.1 * len(batch):
            break
    # In random order, so that what is cut off is not always the end of a round: the last of the plans.
    random.Random(derive_seed(seed, "self prompts kept")).shuffle(kept)
    return Written(kept[:wanted], begun, drawn, dict(dropped))


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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a conversation is to be: whether it begins with a system turn, and how often it carries on."""

    system: bool
    follow_ups: int


def _plan(settings: RehearsalConfig, wanted: int, seed: int) -> list[_Plan]:
    """Returns plans that give about `wanted` conversations: each counts once for every user turn it has.

    Two thirds of the follow-ups are a second user turn and one third a third.
    """
    num_follow_ups = round(settings.follow_up_share * wanted)
    num_system = round(settings.system_turn_share * wanted)
    num = max(wanted - num_follow_ups, num_system, math.ceil(wanted / 3))
    num_second = min(round(num_follow_ups / 1.5), num)
    num_third = min(num_follow_ups - num_second, num_second)
    order = random.Random(seed).sample(range(num), num)  # a conversation with a system turn may carry on as well
    follow_ups = [(place < num_second) + (place < num_third) for place in order]
    return [_Plan(number < num_system, num) for number, num in enumerate(follow_ups)]


class _Writer:
    """Writes conversations as `current` does."""

    def __init__(self, learner: Learner, settings: RehearsalConfig, seed: int) -> None:
        self.learner, self.settings = learner, settings
        self.answering = answering(settings, seed)
        self.writing = replace(self.answering, max_new_tokens=settings.max_prompt_tokens)
        self.longest = min(4 * settings.max_prompt_tokens + 3 * settings.max_new_tokens, learner.context_length)
        self._first_turns: dict[str, tuple[list[int], list[int]]] = {}

    def talk(self, plan: _Plan) -> Talk[list[tuple[Conversation, str | None]]]:
        """Writes turns and answers in turn; returns a conversation for every user turn, and what is wrong with it.

        A conversation ends early with a turn that is no good, and a follow-up needs an answer that ended.
        """
        conversation: Conversation = ()
        if plan.system:
            conversation, problem = yield from self._turn((), "system")
            if problem is not None:
                return [(conversation, problem)]
        written: list[tuple[Conversation, str | None]] = []
        for turn in range(1 + plan.follow_ups):
            if turn:
                prompt = tuple(render_prompt(self.learner.tokenizer, conversation, ()))
                if len(prompt) + self.settings.max_new_tokens > self.learner.context_length:
                    break
                answer = yield Request(prompt, self.answering)
                if answer.finish_reason != "stop" or not answer.text.strip():
                    break
                conversation = (*conversation, Message("assistant", answer.text))
            conversation, problem = yield from self._turn(conversation, "user")
            written.append((conversation, problem))
            if problem is not None:
                break
        return written

    def _turn(self, before: Conversation, role: str) -> Talk[tuple[Conversation, str | None]]:
        """Returns the conversation with one more turn, and what is wrong with it."""
        prefix, suffix = self._open(before, role)
        room = self.learner.context_length - self.settings.max_prompt_tokens - self.settings.max_new_tokens
        if len(prefix) > room:
            return before, "no room for another turn"
        sampling = replace(self.writing, **_stops(self.learner, suffix))
        completion = yield Request(tuple(prefix), sampling)
        return _judge(self.learner, before, completion, role)

    def _open(self, before: Conversation, role: str) -> tuple[list[int], list[int]]:
        """Returns what `open_turn` does; most turns are first turns, so those are rendered once."""
        if before:
            return open_turn(self.learner, before, role)
        if role not in self._first_turns:
            self._first_turns[role] = open_turn(self.learner, (), role)
        return self._first_turns[role]


def answering(settings: RehearsalConfig, seed: int) -> Sampling:
    """Returns how `current` answers a prompt."""
    return Sampling(max_new_tokens=settings.max_new_tokens, temperature=settings.temperature, seed=seed)


def _judge(
    learner: Learner, before: Conversation, completion: Completion, role: str
) -> tuple[Conversation, str | None]:
    text = completion.text.replace(BROKEN, "")
    turn = Message("system" if role == "system" else "user", text)
    conversation = (*before, turn)
    if completion.finish_reason == "length":
        return conversation, "truncated"
    if not text.strip():
        return conversation, "empty"
    inside = completion.token_ids[:-1]
    if _special_ids(learner).intersection(inside):
        return conversation, "breaks the template"
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
        candidates = {other for band in bands for other in self._bands.get(band, ())}
        if any(_is_near(shingles, other) for other in candidates):
            return "near duplicate"
        for band in bands:
            self._bands.setdefault(band, []).append(shingles)
        return None


def _is_near(shingles: frozenset[str], other: frozenset[str]) -> bool:
    """Returns whether the Jaccard index of the two sets is at least 0.8, which sets of unlike sizes cannot have."""
    few, many = sorted((len(shingles), len(other)))
    return few >= 0.8 * many and len(shingles & other) >= 0.8 * len(shingles | other)


def _hash(text: str) -> int:
    return derive_seed(0, text) & 0xFFFFFFFF


def _text(conversation: Conversation) -> str:
    return "\n".join(f"{message.role}: {message.content}" for message in conversation)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Returns how many leading token ids two renderings share."""
    count = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        count += 1
    return count
