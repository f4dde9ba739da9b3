"""Keeps the failed attempts that a training mines in a file beside the run, for people to look at while it goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from holdfast.jobs.folder import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.jobs.job import Job
    from holdfast.training.method import Method
    from holdfast.training.reflection import Failure

FILE = "attempts.jsonl"


@dataclass(slots=True)
class FailureFile:
    """The mined failures of one training, each row with where it comes from; rows of earlier trainings stay."""

    job: Job
    method: Method
    training: int
    _num_seen: int = field(default=0, init=False)

    def keep(self) -> None:
        """Writes what was mined since the last look; methods that mine nothing leave no file.

        A resumed training knows only the failures of its checkpoint, the file perhaps more, which it will mine again
        at the same steps. Until then they stay: what a person has seen does not vanish.
        """
        failures: Sequence[Failure] = getattr(self.method, "failures", [])
        if len(failures) == self._num_seen:
            return
        self._num_seen = len(failures)
        path = self.job.folder.path / FILE
        found = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        earlier = [line for line in found if json.loads(line)["training"] < self.training]
        lines = [*earlier, *(self._line(failure) for failure in failures)]
        if found[: len(lines)] != lines:
            write_atomically(path, "".join(f"{line}\n" for line in lines))

    def _line(self, failure: Failure) -> str:
        recipe = self.job.recipe
        made_by = {
            "training": self.training,
            "version": self.job.parent.id,
            "grader": recipe.evaluation.grader,
            "temperature": getattr(recipe.method, "temperature", None),
            "seed": recipe.seed,
        }
        return json.dumps({**asdict(failure), **made_by}, ensure_ascii=False)
