"""Making and finding workspaces, and the recipe that an order in one of them gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError, NotFoundError, StoreError
from holdfast.graders.grader_file import is_file, read_grader
from holdfast.jobs.model import chat_template_of
from holdfast.store.workspace import FOLDER_NAME, Workspace
from holdfast.training.config import Recipe
from holdfast.types import Message, Version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.jobs.progress import Reporter
    from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Created:
    """A new workspace and the version it starts from."""

    path: Path
    base: str
    version: str
    database: str


def create(folder: Path, *, base: str, chat_template: Path | None = None, database: str | None = None) -> Created:
    """Makes a workspace in `folder` whose first version is the bare `base`.

    `chat_template` is a Jinja file that replaces the tokenizer's own template in everything done here; `database` the
    URL of an empty PostgreSQL database, where a file in the folder is not to be it.
    """
    from holdfast.models.load import load_tokenizer

    template = read_template(chat_template)
    tokenizer = load_tokenizer(base, chat_template=template)  # what cannot be loaded is better refused now
    if template is not None:
        from holdfast.models.render import render_prompt

        text = str(tokenizer.decode(render_prompt(tokenizer, [Message("user", "PROBE")])))
        if "PROBE" not in text:
            problem = f"--chat-template {chat_template}: it does not write a user's words."
            raise ConfigError(problem, param="chat_template")
    with Workspace.create(folder / FOLDER_NAME, database=database) as workspace:
        first = add_base(workspace, base, chat_template=template)
        return Created(workspace.root, base, first.id, workspace.database)


def add_base(workspace: Workspace, base: str, *, chat_template: str | None = None) -> Version:
    """Registers the bare base as the first version and makes it the current one."""
    facts: dict[str, JSONValue] = {"chat_template": chat_template} if chat_template is not None else {}
    first = Version("", None, base, weights_hash="", recipe={}, status="candidate")
    version = workspace.add_version(first, facts=facts)
    workspace.promote(version.id, expect=None)
    return workspace.version(version.id)


def read_template(path: Path | None) -> str | None:
    """Returns the text of a chat template's file, or None without one."""
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--chat-template {path}: cannot be read ({error}).", param="chat_template") from None
    if "{" not in text:
        raise ConfigError(f"--chat-template {path}: this is no Jinja template.", param="chat_template")
    return text


def find(path: Path | None = None) -> Workspace:
    """Returns the workspace at `path`, or the nearest one upward from the working folder."""
    return Workspace.open(path)


def find_or_create(path: Path | None, *, base: str | None, progress: Reporter) -> Workspace:
    """Returns the workspace as `find` does; where there is none, one is made here if a base was named."""
    try:
        return find(path)
    except NotFoundError:
        if path is not None or base is None:
            raise
    made = create(Path(), base=base)
    progress.say(f"There was no workspace here: made one in {made.path} that starts from {base}.")
    return find()


def reading_here(
    path: Path | None, config: Path | None, overrides: Sequence[str], chat_template: Path | None
) -> tuple[Recipe, str | None]:
    """Returns the recipe and the chat template to look at data with: the workspace's base, where there is one.

    Nothing is learned here, so another base than the workspace's may be named.
    """
    recipe, template = read_recipe(config, overrides), read_template(chat_template)
    try:
        workspace = find(path)
    except NotFoundError:
        if path is not None:
            raise
        return recipe, template
    base = current_version(workspace).base
    if "base" not in recipe.model_fields_set:
        recipe = recipe.model_copy(update={"base": base})
    if template is None and recipe.base == base:
        template = chat_template_of(workspace)
    return recipe, template


def read_recipe(config: Path | None, overrides: Sequence[str]) -> Recipe:
    """Returns the recipe of a file, or the defaults, with overrides; a grader in a file of its own is read in."""
    recipe = Recipe.from_toml(config, overrides) if config is not None else Recipe.from_overrides(overrides)
    if not is_file(recipe.evaluation.grader):
        return recipe
    written = read_grader(recipe.evaluation.grader, config.parent if config is not None else None)
    return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"grader": written})})


def current_version(workspace: Workspace) -> Version:
    """Returns the current version."""
    version = workspace.current()
    if version is None:
        raise StoreError(
            f"{workspace.root}: the workspace has no version yet, so its making was cut short. "
            "Delete that folder (and its tables, if a PostgreSQL database has them) and make it again with "
            "`holdfast init`."
        )
    return version


def chosen_version(workspace: Workspace, version_id: str | None) -> Version:
    """Returns the version of that id, or the current one."""
    return workspace.version(version_id) if version_id is not None else current_version(workspace)


def on_base(workspace: Workspace, recipe: Recipe) -> Recipe:
    """Returns the recipe on the workspace's base; refuses one that names another."""
    base = current_version(workspace).base
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
