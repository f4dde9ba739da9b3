"""Writing a version to a folder that stock transformers and peft load as it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError
from holdfast.jobs.classify import is_classifier, open_classifier
from holdfast.jobs.model import adapter_of, open_base, weights_of
from holdfast.jobs.workspace import chosen_version

if TYPE_CHECKING:
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue, Version

CARD = "holdfast.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where."""

    version: str
    folder: str
    form: str
    text: str

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the record as JSON."""
        return asdict(self)


def export(workspace: Workspace, to: Path, *, version: str | None = None, merge: bool = False) -> Exported:
    """Writes a version (default: the current one) to the new folder `to`.

    An adapter is written as peft writes one, or with `merge` as full weights without it; full weights and
    the bare base are written as transformers writes a model. `holdfast.json` beside them names the skills.
    """
    chosen = chosen_version(workspace, version)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"{to}: exists and is not an empty folder. Give a new one.", param="to")
    with_adapter = bool(chosen.weights_hash) and adapter_of(chosen) is not None
    if merge and not with_adapter:
        raise ConfigError(f"Version {chosen.id} has no adapter to merge; leave --merge out.", param="merge")
    beside = to.with_name(f".{to.name}.unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    form, loader = _write(workspace, chosen, beside, merge=merge)
    (beside / CARD).write_text(json.dumps(_card(workspace, chosen), ensure_ascii=False, indent=2), encoding="utf-8")
    if to.exists():
        to.rmdir()
    beside.rename(to)
    text = f"Wrote version {chosen.id} to {to} as {form}. Load it with: {loader.format(folder=str(to))}"
    return Exported(chosen.id, str(to), form, text)


def _write(workspace: Workspace, version: Version, to: Path, *, merge: bool) -> tuple[str, str]:
    """Writes the files; returns their form and how to load them."""
    to.parent.mkdir(parents=True, exist_ok=True)
    folder = weights_of(workspace, version)
    if folder is not None and is_classifier(workspace, version):
        learner, method = open_classifier(workspace, version)
        learner.save(to)
        method.save(learner, to)
        return "a classifier", "AutoModelForSequenceClassification.from_pretrained({folder!r})"
    if folder is not None and not merge:
        shutil.copytree(folder, to)
        if adapter_of(version) is not None:
            loaded = open_base(workspace, version.base)
            loaded.tokenizer.save_pretrained(to)  # with the workspace's chat template
            base = loaded.model.config.name_or_path or version.base
            return (
                "an adapter",
                f"PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base!r}), {{folder!r}})",
            )
        return "full weights", "AutoModelForCausalLM.from_pretrained({folder!r})"
    loaded = open_base(workspace, version.base)
    model = loaded.model
    if folder is not None:
        from holdfast.models.merge import merged

        model = merged(loaded, folder)
    model.save_pretrained(to)
    loaded.tokenizer.save_pretrained(to)
    return "full weights", "AutoModelForCausalLM.from_pretrained({folder!r})"


def _card(workspace: Workspace, version: Version) -> dict[str, JSONValue]:
    return {
        "version": version.id,
        "parent": version.parent,
        "base": version.base,
        "skill": version.skill,
        "scores": cast("JSONValue", dict(version.scores)),
        "recipe": cast("JSONValue", dict(version.recipe)),
        "how": cast("JSONValue", workspace.facts(version.id)),
    }
