"""One order to learn while it is worked on: what was asked, where its parts lie, which stage it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.jobs.stages import Stage, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from holdfast.jobs.folder import RunFolder
    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.progress import Reporter
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import Recipe
    from holdfast.types import JSONValue, Version

    Checkpointed: TypeAlias = Callable[[int, Mapping[str, float], str, JSONValue], None]
    """Takes a step's number, its metrics, the hash of the stored weights, and the adapter's settings ("none": full)."""

WORDS: dict[Stage, str] = {
    "reminding": "The current version writes its reminders.",
    "guarding": "Checking before the training.",
    "evaluating": "Testing the candidate on every skill.",
}
"""What is said when a stage begins; the others speak for themselves."""


@dataclass(slots=True)
class Job:
    """An order on its way through the stages. `recipe` becomes the resolved one, in which nothing is "auto"."""

    workspace: Workspace
    skill: str
    recipe: Recipe
    parent: Version
    run_id: str
    folder: RunFolder
    progress: Reporter
    stop: StopSwitch
    stage: Stage = "validating_files"
    checkpointed: Checkpointed | None = None
    """Is told of the weights after each of the last epochs, if somebody wants them."""

    def enter(self, stage: Stage) -> None:
        """Goes on to `stage`: a safe point to stop; stored and said."""
        self.stop.check()
        if stage == self.stage:
            return
        self.mark(stage)
        if stage in WORDS:
            self.progress.say(WORDS[stage])

    def mark(self, stage: Stage) -> None:
        """Stores that the run is in `stage`."""
        self.stage = checked(self.stage, stage)
        self.workspace.update_run(self.run_id, state=stage)

    def note(self, text: str, *, warning: bool = False) -> None:
        """Says a sentence and keeps it with the run."""
        (self.progress.warn if warning else self.progress.say)(text)
        self.workspace.add_event(self.run_id, text, level="warning" if warning else "info")
