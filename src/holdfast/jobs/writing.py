"""A model that writes questions on documents: any OpenAI-compatible server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from holdfast.errors import DataError
from holdfast.graders.server import AT_ONCE, client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.doctor.plan import WriterSettings
    from holdfast.data.making.writer import Conversation, Write


def writer(settings: WriterSettings) -> Write | None:
    """Returns a function from conversations to what the model says to each, or None where no model is named.

    It raises DataError when the server does not answer, so that nothing is taken for written that was not.
    """
    if not settings.model:
        return None
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
