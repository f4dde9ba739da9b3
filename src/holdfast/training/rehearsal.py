"""Self-rehearsal: before a stage, the frozen `current` writes reminders of what it can do and answers them.

Papers: Huang et al. 2024, "Mitigating Catastrophic Forgetting in Large Language Models with
Self-Synthesized Rehearsal" (arXiv:2403.01244); Xu et al. 2024, "Magpie" (arXiv:2406.08464).

A reminder is a prompt with one completion sampled from `current`; `mixing` puts them into the batches
of any method. Prompts come from three sources: self-written, those of registered skills (training
prompts, never answers or held-out tests), and a user's file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from holdfast.errors import TrainingError
from holdfast.models.render import render_prompt
from holdfast.seeds import derive_seed
from holdfast.training.coverage import Coverage, cover, find_kinds
from holdfast.training.self_prompts import answering, write_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast.models.learner import Learner
    from holdfast.training.config import RehearsalConfig
    from holdfast.types import Example, JSONValue

Origin: TypeAlias = Literal["self", "registered", "given"]


@dataclass(frozen=True, slots=True)
class Reminder:
    """A prompt and what `current` answered to it.

    `skill` names the registered skill it comes from; `kind` numbers the kind of a self-written one.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    origin: Origin
    skill: str = ""
    kind: int = 0


@dataclass(frozen=True, slots=True)
class Reminders:
    """The reminders of a stage and what they cover."""

    items: list[Reminder]
    report: Coverage

    def to_json(self) -> dict[str, JSONValue]:
        """Returns plain data that `from_json` turns into these reminders again."""
        items = [[list(r.prompt_ids), list(r.completion_ids), r.origin, r.skill, r.kind] for r in self.items]
        return {"items": cast("JSONValue", items), "report": cast("JSONValue", asdict(self.report))}

    @classmethod
    def from_json(cls, data: Mapping[str, JSONValue]) -> Reminders:
        """Returns the reminders that `to_json` wrote."""
        items = cast("list[tuple[list[int], list[int], Origin, str, int]]", data["items"])
        report = cast("dict[str, JSONValue]", data["report"])
        read = [Reminder(tuple(p), tuple(c), origin, skill, kind) for p, c, origin, skill, kind in items]
        return cls(read, Coverage.of(report))


@dataclass(frozen=True, slots=True)
class _Prompt:
    ids: tuple[int, ...]
    origin: Origin
    skill: str


def make_reminders(
    learner: Learner,
    settings: RehearsalConfig,
    *,
    registered_prompts: Mapping[str, Sequence[Example]] | None = None,
    given_prompts: Sequence[Example] = (),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Reminders:
    """Returns the reminders of a stage, written and answered by the learner's frozen `current`.

    `registered_prompts` maps each earlier skill to its training examples, of which only the prompts are
    read. Raises TrainingError when no source yields anything.
    """
    registered = registered_prompts or {}
    budget = source_sizes(settings, has_registered=any(registered.values()), has_given=bool(given_prompts))
    count = progress or (lambda done, total: None)
    prompts: list[_Prompt] = []
    dropped: dict[str, int] = {}
    begun = drawn = 0
    if budget["self"]:
        to_answer = sum(budget.values())  # prompts and answers are counted as one work
        written = write_prompts(
            learner,
            settings,
            wanted=budget["self"],
            seed=seed,
            progress=lambda done, total: count(done, total + to_answer),
        )
        begun, drawn, dropped = written.begun, written.drawn, written.dropped
        for conversation in written.conversations:
            prompts.append(_Prompt(tuple(render_prompt(learner.tokenizer, conversation, ())), "self", ""))
    num_skills = sum(bool(examples) for examples in registered.values())
    for skill in sorted(registered):
        share = -(-budget["registered"] // max(num_skills, 1))
        prompts += _from_examples(learner, registered[skill], "registered", skill, share, seed)
    prompts += _from_examples(learner, given_prompts, "given", "", budget["given"], seed)
    room = learner.context_length - settings.max_new_tokens
    fitting = [prompt for prompt in prompts if len(prompt.ids) <= room]
    if len(fitting) < len(prompts):
        dropped = {**dropped, "no room for an answer": len(prompts) - len(fitting)}
    if not fitting:
        raise TrainingError(
            f"no reminder could be made: {drawn} prompts were drawn from the model and all dropped ({dropped}), and "
            "there are no registered or given prompts. Give rehearsal.prompts_file, or set rehearsal.enabled = false."
        )
    answer_seed = derive_seed(seed, "reminder answers")
    items = _answer(learner, settings, fitting, answer_seed, lambda done, total: count(begun + done, begun + total))
    texts = learner.tokenizer.batch_decode([list(item.prompt_ids) for item in items], skip_special_tokens=True)
    kinds = find_kinds(texts)
    items = [
        replace(item, kind=kind) if item.origin == "self" else item
        for item, kind in zip(items, kinds.labels, strict=True)
    ]
    sources = [item.origin for item in items], [item.skill for item in items]
    report = cover(texts, *sources, kinds, drawn=drawn, dropped=dropped)
    return Reminders(items, report)


def source_sizes(settings: RehearsalConfig, *, has_registered: bool, has_given: bool) -> dict[Origin, int]:
    """Returns how many reminders each source gives: the shares of those that exist, scaled to the number wanted.

    >>> from holdfast.training.config import RehearsalConfig
    >>> source_sizes(RehearsalConfig(num_reminders=10), has_registered=True, has_given=False)
    {'self': 5, 'registered': 5, 'given': 0}
    """
    shares: dict[Origin, float] = {
        "self": settings.self_written_share,
        "registered": settings.registered_share if has_registered else 0.0,
        "given": settings.given_share if has_given else 0.0,
    }
    total = sum(shares.values())
    return {origin: round(settings.num_reminders * share / total) if total else 0 for origin, share in shares.items()}


def _from_examples(
    learner: Learner, examples: Sequence[Example], origin: Origin, skill: str, wanted: int, seed: int
) -> list[_Prompt]:
    """Returns up to `wanted` different prompts of the examples, drawn by content so that their order is no matter."""
    by_ids = {tuple(render_prompt(learner.tokenizer, e.prompt, e.tools)): e.id for e in examples if e.prompt}
    drawn = sorted(by_ids, key=lambda ids: derive_seed(seed, f"registered {skill} {by_ids[ids]}"))
    return [_Prompt(ids, origin, skill) for ids in drawn[:wanted]]


def _answer(
    learner: Learner,
    settings: RehearsalConfig,
    prompts: Sequence[_Prompt],
    seed: int,
    progress: Callable[[int, int], None],
) -> list[Reminder]:
    asked = [list(prompt.ids) for prompt in prompts]
    groups = learner.generate(asked, answering(settings, seed), which="current", progress=progress)
    return [
        Reminder(prompt.ids, tuple(group[0].token_ids), prompt.origin, prompt.skill)
        for prompt, group in zip(prompts, groups, strict=True)
        if group[0].token_ids
    ]
