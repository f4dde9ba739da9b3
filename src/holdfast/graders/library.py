"""The libraries of the extra `graders`, imported where a grader needs one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from holdfast.errors import ConfigError


def library(name: str, package: str) -> Any:  # noqa: ANN401 - modules of several libraries
    """Returns the module `name`; raises `ConfigError` that says how to install `package` where it is missing."""
    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(
            f"The grader needs {package}, which is not installed: pip install 'holdfast[graders]'.", param="grader"
        ) from None
