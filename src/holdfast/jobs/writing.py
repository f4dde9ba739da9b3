"""A model that writes questions on documents and other wordings: on an OpenAI-compatible server, or loaded here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, cast

from holdfast.errors import DataError
from holdfast.graders.server import AT_ONCE, client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.doctor.plan import WriterSettings
    from holdfast.data.making.writer import Conversation, Write
    from holdfast.models.learner import Learner
    from holdfast.types import Role

_LEAST_ROOM = 16
"""An answer of fewer tokens says nothing."""


def writer(settings: WriterSettings) -> Write | None:
    """Returns a function from conversations to what the model says to each, or None where no model is named.

    It raises DataError when the server does not answer, so that nothing is taken for written that was not.
    """
    if not settings.model:
        return None
    if settings.is_local:
        return _here(settings)
    asked = client(settings.model, settings.base_url, settings.api_key_env, settings.seconds)

    def one(talk: Conversation) -> str:
        from openai import OpenAIError

        try:
            found = asked.chat.completions.create(
                model=settings.model, messages=talk, max_completion_tokens=settings.max_tokens
            )
        except OpenAIError as error:
            raise DataError(
                f"{settings.model} did not answer ({error}). Look at writer.model and writer.base_url, or leave them "
                "out: templates alone make questions too.",
                param="writer.model",
            ) from error
        return found.choices[0].message.content or ""

    def write(talks: Sequence[Conversation]) -> list[str]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, talks))

    return write


def _here(settings: WriterSettings) -> Write:
    """Returns what a model says that is loaded at the first question: greedily, so that it says the same every time."""
    from holdfast.models.render import render_prompt
    from holdfast.models.sampling import Sampling
    from holdfast.types import Message

    @cache
    def learner() -> Learner:
        from holdfast.models.learner import Learner
        from holdfast.models.load import load

        return Learner.create(load(settings.model), None, gradient_checkpointing=False)

    def write(talks: Sequence[Conversation]) -> list[str]:
        model = learner()
        turns = [[Message(cast("Role", turn["role"]), turn["content"]) for turn in talk] for talk in talks]
        prompts = [render_prompt(model.tokenizer, talk, ()) for talk in turns]
        longest = max(map(len, prompts), default=0)
        room = model.context_length - longest
        if room < _LEAST_ROOM:
            raise DataError(
                f"{settings.model} reads {model.context_length} tokens, and what it is asked has {longest}. Choose a "
                "model that reads more, or smaller chunks (knowledge.chunks.max_tokens).",
                param="writer.model",
            )
        sampling = Sampling(max_new_tokens=min(settings.max_tokens, room), temperature=0.0)
        return [found[0].text for found in model.generate(prompts, sampling)]

    return write
