"""The way to any OpenAI-compatible server: its address, its key, and the words for one that does not answer."""

from __future__ import annotations

import os
from typing import Any

from holdfast.errors import ConfigError, GraderError
from holdfast.graders.library import library
from holdfast.graders.reference import shown

AT_ONCE = 8
"""Questions that are under way at the same time."""


def client(model: str, base_url: str | None, api_key_env: str, seconds: float) -> Any:  # noqa: ANN401 - an extra's class
    """Returns OpenAI's client for the server that has `model`; raises `ConfigError` where a key is missing."""
    openai = library("openai", "openai")
    key = os.environ.get(api_key_env)
    if key is None and base_url is None:
        raise ConfigError(
            f"The grader asks {model}: set {api_key_env}, or give the base_url of a server of yours.",
            param="grader.api_key_env",
        )
    return openai.OpenAI(api_key=key or "none", base_url=base_url, timeout=seconds, max_retries=4)


def ready(model: str, base_url: str | None, api_key_env: str, seconds: float) -> list[str]:
    """Returns where answers are sent, as a sentence; raises `ConfigError` where the client or its key is missing."""
    client(model, base_url, api_key_env, seconds)
    return [f"The grader sends every answer to {model} at {base_url or 'the address of OpenAI'}."]


def unanswered(model: str, error: Exception) -> GraderError:
    """Returns that the server gave no answer, and why."""
    return GraderError(f"{model} did not answer: {shown(str(error))}", kind="model_unreachable")
