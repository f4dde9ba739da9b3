"""Which model answers under which name, and the engines that they run in.

Names are the base's, a version's id, what a job calls its version, `current`, and aliases that the operator gives (the
name of a hosted model in a script that is not to be changed). A refused version answers under no name.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from threading import RLock, Thread
from typing import TYPE_CHECKING

from holdfast.errors import InvalidStateError, NotFoundError
from holdfast.jobs.classify import is_classifier, stored_classifier
from holdfast.jobs.engines import Engines
from holdfast.jobs.fine_tuned import CURRENT, is_checkpoint, job_of, made_by, who_may_ask
from holdfast.jobs.model import adapter_of, weights_of
from holdfast.jobs.workspace import current_version
from holdfast.store.key_ring import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerBase

    from holdfast.jobs.classify import Predict
    from holdfast.jobs.engines import Vllm
    from holdfast.serving.engine import Engine
    from holdfast.store.workspace import Workspace
    from holdfast.types import Version

_LOG = logging.getLogger(__name__)
MAX_FULL = 3
"""So many versions with weights of their own are kept loaded in this process, those that were asked last."""
MAX_PROCESSES = 2
"""So many engines are kept that are processes of their own, the base's counted: what answers, and what comes next."""
_BASE = ""
"""The key of the engine that has the base's weights."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A version that can be asked: its engine, and its adapter there (None: the engine's own weights)."""

    version: Version
    engine: Engine
    adapter: str | None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer with the workspace's chat template."""
        return self.engine.tokenizer


@dataclass(frozen=True, slots=True)
class Classifying:
    """A version that tells the class of a text."""

    version: Version
    predict: Predict


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
        vllm: Vllm | None = None,
        grader_servers: Mapping[str, str] | None = None,
    ) -> None:
        self.workspace = workspace
        self.aliases = dict(aliases or {})
        self.grader_servers = dict(grader_servers or {})
        self._kind = Engines(vllm, max_running, max_waiting)
        self._engines: OrderedDict[str, Future[Engine]] = OrderedDict()
        self._answering: Version | None = None
        self._starting: set[str] = set()
        self._classifiers: dict[str, Predict | None] = {}
        self._lock = RLock()
        self._is_closed = False

    def version(self, name: str) -> Version:
        """Returns the version that answers under a name, without its scores.

        Raises:
            NotFoundError: none does, or whoever is acting may not ask it.
        """
        target = self.aliases.get(name, name)
        found = self.workspace.serving(target)
        if target == CURRENT:
            return self._ready(found or current_version(self.workspace))
        if found is None:
            job = job_of(self.workspace, target)
            # What the operator lets answer under another name is for everybody who knows that name.
            if job is not None and (name in self.aliases or who_may_ask(self.workspace)(job, target)):
                found = made_by(self.workspace, job, target)
        elif found.status != "accepted" or not (name in self.aliases or self._may_ask(found)):
            found = None
        if found is None:
            raise NotFoundError(
                f"The model {name!r} does not exist. GET /v1/models lists those that do; `holdfast serve --alias "
                f"{name}=current` lets it answer under this name.",
                param="model",
            )
        return found

    def _may_ask(self, version: Version) -> bool:
        """Whether whoever is acting may ask a version by its id: what a job made, as by its name."""
        if PROJECT.get() is None or not version.weights_hash:
            return True
        job = self.workspace.job_of_version(version.id)
        return job is None or who_may_ask(self.workspace)(job, job.fine_tuned_model or "")

    def names(self) -> list[Named]:
        """Returns every name that whoever is acting may ask, the base first."""
        current, versions = current_version(self.workspace), self.workspace.versions()
        may_ask = who_may_ask(self.workspace)
        made = [(job, job.fine_tuned_model) for job in reversed(self.workspace.jobs()) if job.fine_tuned_model]
        hidden = {job.version for job, name in made if not may_ask(job, name)}
        times = {version.id: self.workspace.made_at(version.id) for version in versions}
        found = [Named(current.base, versions[0].id, times[versions[0].id], "base")]
        found += [
            Named(one.id, one.id, times[one.id], "version")
            for one in versions
            if one.status == "accepted" and not (one.weights_hash and one.id in hidden)
        ]
        found += [
            Named(name, job.version, times[job.version], "fine-tuned")
            for job, name in made
            if job.version in times and may_ask(job, name)
        ]
        named = {CURRENT: CURRENT, **self.aliases}
        for alias in named:
            version = self.version(alias)
            found.append(Named(alias, version.id, times[version.id], "alias"))
        return found

    def answering(self, name: str) -> Opened | Classifying:
        """Returns what answers under a name, ready to be asked; the first time this loads what it needs."""
        version = self.version(name)
        predict = self.classifier(version)
        return self.open(version) if predict is None else Classifying(version, predict)

    def classifier(self, version: Version) -> Predict | None:
        """Returns what tells the class of a text if the version is a classifier, else None."""
        with self._lock:
            if version.id not in self._classifiers:
                classifies = not is_checkpoint(version) and is_classifier(self.workspace, version)
                self._classifiers[version.id] = stored_classifier(self.workspace, version) if classifies else None
            return self._classifiers[version.id]

    def open(self, version: Version) -> Opened:
        """Returns a version ready to be asked; the first time this loads what it needs."""
        if _key(version) != _BASE:
            return Opened(version, self._engine(version), None)
        base = self._engine(version)
        if not version.weights_hash:
            return Opened(version, base, None)
        folder = weights_of(self.workspace, version)
        assert folder is not None
        base.load(version.id, folder)
        return Opened(version, base, version.id)

    def warm(self) -> None:
        """Opens the current version now, where the first request would wait long for it, or an error come late."""
        current = current_version(self.workspace)
        if self._kind.are_slow and not is_classifier(self.workspace, current):
            self.open(current)
            self._answering = current

    def engines(self) -> list[Engine]:
        """Returns the engines that run now."""
        with self._lock:
            futures = list(self._engines.values())
        return [future.result() for future in futures if future.done() and future.exception() is None]

    def close(self, *, timeout: float | None = None) -> None:
        """Finishes what is being written and stops every engine; one that is being made stops when it is."""
        with self._lock:
            self._is_closed = True
        for engine in self.engines():
            engine.close(timeout=timeout)

    def _engine(self, version: Version) -> Engine:
        """Returns the engine of a version's own weights, or of the base; whoever asks first makes it.

        Meanwhile the others answer, but for the one that was asked longest ago, which makes room.
        """
        key = _key(version)
        with self._lock:
            if self._is_closed:
                raise InvalidStateError("The server is shutting down.")
            future = self._engines.get(key)
            is_mine = future is None
            if future is None:
                future = self._engines[key] = Future()
            self._engines.move_to_end(key)
        if is_mine:
            try:
                self._make_room(key)
                future.set_result(self._kind.make(self.workspace, version, full=key != _BASE))
            except BaseException as error:
                with self._lock:
                    del self._engines[key]
                future.set_exception(error)
                raise
            if self._is_closed:
                future.result().close(timeout=0)
        return future.result()

    def _make_room(self, coming: str) -> None:
        """Closes engines that are idle, so that no more are kept than may be; never what answers as current."""
        most = MAX_PROCESSES if self._kind.are_slow else MAX_FULL
        with self._lock:
            stay = {coming, *([] if self._answering is None else [_key(self._answering)])}
            counted = [key for key in self._engines if key != _BASE or self._kind.are_slow]
            idle = [key for key in counted if key not in stay and _is_idle(self._engines[key])]
            leaving = [self._engines.pop(key).result() for key in idle[: max(0, len(counted) - most)]]
        for engine in leaving:
            engine.close(timeout=0)

    def _ready(self, current: Version) -> Version:
        """Returns what answers as the current version: while an engine starts for it, the one before goes on."""
        with self._lock:
            before = self._answering
            if before is None or before.id == current.id or not self._must_start(current):
                self._answering = current
                return current
            if current.id not in self._starting:
                self._starting.add(current.id)
                Thread(target=self._start, args=(current,), name=f"start-{current.id}", daemon=True).start()
            return before

    def _must_start(self, version: Version) -> bool:
        """Whether a version needs an engine that is not there and takes long to make."""
        if not self._kind.are_slow or is_classifier(self.workspace, version):
            return False
        future = self._engines.get(_key(version))
        return future is None or not future.done()

    def _start(self, version: Version) -> None:
        """Opens a version; from then on it answers, or tells everybody why it cannot."""
        try:
            self.open(version)
        except Exception:  # noqa: BLE001 - whatever it was, the version answers from now on, and says it to who asks
            _LOG.exception("version %s is the current one and cannot be opened", version.id)
        with self._lock:
            self._answering = version
            self._starting.discard(version.id)


def _key(version: Version) -> str:
    """Returns the key of a version's engine: its own weights', or the base's."""
    return version.weights_hash if adapter_of(version) is None else _BASE


def _is_idle(future: Future[Engine]) -> bool:
    if not future.done():
        return False
    load = future.result().status()
    return not load.num_running + load.num_waiting
