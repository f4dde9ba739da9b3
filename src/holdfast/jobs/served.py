"""Which model answers under which name, and the engines that they run in.

Names are the base's, a version's id, what a job calls its version, `current`, and aliases that the operator gives (the
name of a hosted model in a script that is not to be changed). A refused version answers under no name.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING

from holdfast.errors import NotFoundError
from holdfast.jobs.classify import is_classifier, stored_classifier
from holdfast.jobs.model import adapter_of, open_base, weights_of
from holdfast.jobs.workspace import current_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

    from holdfast.jobs.classify import Predict
    from holdfast.serving.in_process import InProcessEngine
    from holdfast.store.workspace import Workspace
    from holdfast.types import Version

CURRENT = "current"
MAX_FULL = 3
"""So many versions with weights of their own are kept loaded, those that were asked last."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A version that can be asked: its engine, and its adapter there (None: the engine's own weights)."""

    version: Version
    engine: InProcessEngine
    adapter: str | None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer with the workspace's chat template."""
        return self.engine.tokenizer


@dataclass(frozen=True, slots=True)
class Named:
    """A name under which something answers."""

    name: str
    version: str
    created_at: str
    kind: str
    """`base`, `version`, `fine-tuned` or `alias`."""


class Served:
    """Opens versions by name. Engines are made when they are first asked for; adapters share the base's."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        aliases: Mapping[str, str] | None = None,
        max_running: int = 32,
        max_waiting: int = 256,
    ) -> None:
        self.workspace = workspace
        self.aliases = dict(aliases or {})
        self._sizes = {"max_running": max_running, "max_waiting": max_waiting}
        self._base: InProcessEngine | None = None
        self._full: OrderedDict[str, InProcessEngine] = OrderedDict()
        self._classifiers: dict[str, Predict] = {}
        self._lock = RLock()
        self._is_closed = False

    def version(self, name: str) -> Version:
        """Returns the version that answers under a name.

        Raises:
            NotFoundError: none does.
        """
        name = self.aliases.get(name, name)
        current = current_version(self.workspace)
        if name == CURRENT:
            return current
        versions = {version.id: version for version in self.workspace.versions()}
        found = versions.get(name)
        if found is None and name == current.base:
            found = next(version for version in versions.values() if not version.weights_hash)
        if found is None:
            job = self.workspace.job_of_model(name.partition(":ckpt-step-")[0])
            found = versions.get(job.version or "") if job is not None else None
        if found is None or found.status != "accepted":
            raise NotFoundError(
                f"The model {name!r} does not exist. GET /v1/models lists those that do; `holdfast serve --alias "
                f"{name}=current` lets it answer under this name.",
                param="model",
            )
        return found

    def names(self) -> list[Named]:
        """Returns every name, the base first."""
        current, versions = current_version(self.workspace), self.workspace.versions()
        times = {version.id: self.workspace.made_at(version.id) for version in versions}
        found = [Named(current.base, versions[0].id, times[versions[0].id], "base")]
        found += [Named(one.id, one.id, times[one.id], "version") for one in versions if one.status == "accepted"]
        found += [
            Named(job.fine_tuned_model, job.version, times[job.version], "fine-tuned")
            for job in reversed(self.workspace.jobs())
            if job.fine_tuned_model is not None and job.version in times
        ]
        named = {CURRENT: CURRENT, **self.aliases}
        for alias in named:
            version = self.version(alias)
            found.append(Named(alias, version.id, times[version.id], "alias"))
        return found

    def classifier(self, version: Version) -> Predict | None:
        """Returns what tells the class of a text if the version is a classifier, else None."""
        if not is_classifier(self.workspace, version):
            return None
        with self._lock:
            if version.id not in self._classifiers:
                self._classifiers[version.id] = stored_classifier(self.workspace, version)
            return self._classifiers[version.id]

    def open(self, version: Version) -> Opened:
        """Returns a version ready to be asked; the first time this loads what it needs."""
        with self._lock:
            if version.weights_hash and adapter_of(version) is None:
                return Opened(version, self._full_engine(version), None)
            if self._base is None:
                self._base = self._engine(version)
            if not version.weights_hash:
                return Opened(version, self._base, None)
            folder = weights_of(self.workspace, version)
            assert folder is not None
            self._base.load(version.id, folder)
            return Opened(version, self._base, version.id)

    def engines(self) -> list[InProcessEngine]:
        """Returns the engines that run now."""
        with self._lock:
            return [*([self._base] if self._base is not None else []), *self._full.values()]

    def close(self, *, timeout: float | None = None) -> None:
        """Finishes what is being written and stops every engine."""
        for engine in self.engines():
            engine.close(timeout=timeout)

    def _full_engine(self, version: Version) -> InProcessEngine:
        """Returns the engine of a version that has all weights of its own; the one asked longest ago makes room."""
        engine = self._full.pop(version.weights_hash, None)
        if engine is None:
            engine = self._engine(version, full=True)
        self._full[version.weights_hash] = engine
        while len(self._full) > MAX_FULL:
            idle = next((key for key, one in self._full.items() if not one.status().num_running), None)
            if idle is None or idle == version.weights_hash:
                break
            self._full.pop(idle).close(timeout=0)
        return engine

    def _engine(self, version: Version, *, full: bool = False) -> InProcessEngine:
        from holdfast.models import weights_io
        from holdfast.serving.in_process import InProcessEngine

        loaded = open_base(self.workspace, version.base)
        loaded.model.requires_grad_(requires_grad=False).eval()
        folder = weights_of(self.workspace, version)
        if full and folder is not None:
            weights_io.read_full(loaded.model, folder)
        return InProcessEngine(loaded.model, loaded.tokenizer, **self._sizes)
