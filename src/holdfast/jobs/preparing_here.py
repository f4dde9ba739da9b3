"""The plan and the recipe that a preparation gets: from a file, from overrides, and from the workspace it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.doctor.plan import Plan
from holdfast.jobs.model import chat_template_of
from holdfast.jobs.workspace import current_version
from holdfast.settings import parse_toml
from holdfast.training.config import Recipe
from holdfast.training.recipe_source import apply_overrides

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.store.workspace import Workspace


def plan_of(path: Path | None, overrides: Sequence[str]) -> Plan:
    """Returns the plan of a file, or the defaults, with overrides."""
    values = parse_toml(path) if path is not None else {}
    where = str(path) if path is not None else "plan"
    return Plan.from_mapping(apply_overrides(values, overrides), where=where)


def recipe_here(workspace: Workspace | None, base: str | None) -> tuple[Recipe, str | None]:
    """Returns what the data is for: the recipe on the base named, else the workspace's, and its chat template."""
    if workspace is None:
        return Recipe.from_overrides([f"base={base}"] if base is not None else []), None
    own = current_version(workspace).base
    recipe = Recipe.from_overrides([f"base={base or own}"])
    return recipe, chat_template_of(workspace) if recipe.base == own else None
