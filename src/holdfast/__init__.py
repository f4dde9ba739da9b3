"""Holdfast: teach one language model skill after skill, and never lose a skill it already has."""

from holdfast.errors import HoldfastError
from holdfast.seeds import derive_seed
from holdfast.types import Completion, Example, Message, Score, Skill, ToolCall, Usage, Version

__version__ = "0.1.0"
__all__ = [
    "Completion",
    "Example",
    "HoldfastError",
    "Message",
    "Score",
    "Skill",
    "ToolCall",
    "Usage",
    "Version",
    "derive_seed",
]
