"""Which settings a method never looks at: set, they would change nothing, so they are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

_TEACHER = (
    "guards.teacher_check",
    "guards.teacher_check_examples",
    "guards.window",
    "guards.min_end_rate",
    "guards.max_repetition",
    "guards.max_length_ratio",
    "guards.min_kl",
)
"""What watches a teacher and the rollouts that it is asked about."""
_REFLECTION = ("guards.reflection_check", "guards.reflection_check_tasks")
"""What looks at reflections before a run."""

UNREAD: dict[str, tuple[str, ...]] = {
    "sdft": _REFLECTION,
    "sft": (*_TEACHER, *_REFLECTION),
    "dpo": (*_TEACHER, *_REFLECTION),
    "reflect": _TEACHER,
    "classify": (
        "rehearsal",
        "guards",
        "gate.margin",
        "gate.remedies",
        "gate.remedy_budget",
        "evaluation.max_new_tokens",
        "evaluation.max_items",
    ),
}
"""Settings and tables that a method never looks at: plain fine-tuning and DPO sample no rollouts, reflections
are watched by the method itself, a classifier has weights of
its own and nothing to rehearse."""


def unread_settings(recipe: BaseModel, method: str) -> list[str]:
    """Returns the dotted names of settings that differ from their defaults although `method` does not read them."""
    found: list[str] = []
    for name in UNREAD.get(method, ()):
        table, _, setting = name.partition(".")
        given, default = getattr(recipe, table), type(recipe).model_fields[table].default
        if (getattr(given, setting) != getattr(default, setting)) if setting else given != default:
            found.append(name)
    return found
