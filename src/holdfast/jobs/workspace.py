"""Making and finding workspaces, and the recipe that an order in one of them gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError, StoreError
from holdfast.store.workspace import FOLDER_NAME, Workspace
from holdfast.training.config import Recipe
from holdfast.types import Version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Created:
    """A new workspace and the version it starts from."""

    path: Path
    base: str
    version: str


def create(folder: Path, *, base: str) -> Created:
    """Makes a workspace in `folder` whose first version is the bare `base`."""
    from holdfast.models.load import load_tokenizer

    load_tokenizer(base)  # a base that cannot be loaded is better refused now than at the first lesson
    with Workspace.create(folder / FOLDER_NAME) as workspace:
        return Created(workspace.root, base, add_base(workspace, base).id)


def add_base(workspace: Workspace, base: str) -> Version:
    """Registers the bare base as the first version and makes it the current one."""
    version = workspace.add_version(Version("", None, base, weights_hash="", recipe={}, status="candidate"))
    workspace.promote(version.id, expect=None)
    return workspace.version(version.id)


def find(path: Path | None = None) -> Workspace:
    """Returns the workspace at `path`, or the nearest one upward from the working folder."""
    return Workspace.open(path)


def current_version(workspace: Workspace) -> Version:
    """Returns the current version."""
    version = workspace.current()
    if version is None:
        raise StoreError(
            f"{workspace.root}: the workspace has no version yet, so its making was cut short. "
            "Delete that folder and make it again with `holdfast init`."
        )
    return version


def chosen_version(workspace: Workspace, version_id: str | None) -> Version:
    """Returns the version of that id, or the current one."""
    return workspace.version(version_id) if version_id is not None else current_version(workspace)


def recipe_for(workspace: Workspace, config: Path | None, overrides: Sequence[str]) -> Recipe:
    """Returns the recipe of a file (or the defaults) with overrides, on the workspace's base."""
    base = current_version(workspace).base
    recipe = Recipe.from_toml(config, overrides) if config is not None else Recipe.from_overrides(overrides)
    if "base" not in recipe.model_fields_set:
        return recipe.model_copy(update={"base": base})
    if recipe.base != base:
        raise ConfigError(
            f"base: this workspace builds on {base}, not on {recipe.base}. A version is a base plus what was learned "
            f"on it, so another base needs a workspace of its own: holdfast init FOLDER --model {recipe.base}",
            param="base",
        )
    return recipe


def roll_back(workspace: Workspace, to: str | None) -> tuple[str, str]:
    """Makes `to` (default: the version before) current; returns the ids before and after.

    Raises StoreError for a classifier: it serves beside the chat versions and is never current.
    """
    from holdfast.jobs.classify import is_classifier

    before = current_version(workspace)
    if to is not None and is_classifier(workspace, workspace.version(to)):
        raise StoreError(f"Version {to!r} is a classifier. It serves beside the chat versions and is never current.")
    return before.id, workspace.rollback(to, expect=before.id).id
