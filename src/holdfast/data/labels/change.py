"""An example with another label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.types import Example


def labelled(example: Example, label: str) -> Example:
    """Returns the example with another label; an answer that is the old label becomes the new one."""
    last, old = example.demonstration, example.label
    if last is None or old is None or last.content.strip() != old.strip():
        return replace(example, label=label)
    return replace(example, label=label, messages=(*example.prompt, replace(last, content=label)))
