"""What the demo ends with: a cell per skill and ability under each arm, as JSON and as a table for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from holdfast.evaluation.metrics import wilson

if TYPE_CHECKING:
    from holdfast.jobs.comparison import Measured
    from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Cell:
    """One skill or ability under one arm: accuracy before and after, with the teacher's where it was taught."""

    before: Measured
    after: Measured
    teacher: Measured | None
    new: bool
    registered: bool

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the cell as JSON, with a 95 % Wilson interval of `after`."""
        return {
            "before": self.before.value,
            "after": self.after.value,
            "teacher": self.teacher.value if self.teacher else None,
            "new": self.new,
            "registered": self.registered,
            "items": self.after.items,
            "interval": list(interval_of(self.after)),
        }


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm ended with: a cell per skill and ability, the skills after every stage, seconds, and notes."""

    cells: dict[str, Cell]
    stages: list[dict[str, Measured]]
    seconds: float
    notes: list[str]

    @property
    def merit(self) -> float:
        """Mean accuracy at the end, what was taught and what the base could do before weighing the same."""
        groups = ([cell.after.value for cell in self.cells.values() if cell.new is new] for new in (True, False))
        means = [sum(values) / len(values) for values in groups if values]
        return sum(means) / len(means)

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the arm as JSON."""
        return {
            "scores": {name: cell.to_json() for name, cell in self.cells.items()},
            "stages": [{name: score.value for name, score in stage.items()} for stage in self.stages],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Both arms, and the folder of the workspace that Holdfast's arm was taught in, where it was kept."""

    arms: dict[Literal["holdfast", "sft"], ArmResult]
    folder: str | None

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the whole demo as JSON."""
        return {"arms": {name: arm.to_json() for name, arm in self.arms.items()}, "folder": self.folder}


def interval_of(score: Measured) -> tuple[float, float]:
    """Returns the 95 % Wilson interval of an accuracy."""
    found = wilson(round(score.value * score.items), score.items, 0.95)
    return found.lower, found.upper


def demo_text(result: DemoResult) -> str:
    """Returns both arms side by side: before, after with its 95 % interval, and the teacher; then the matrices."""
    ours, sft = result.arms["holdfast"], result.arms["sft"]
    head = f"{'':<16}{'before':>8}{'teacher':>9}   {'Holdfast':^22}{'SFT':^22}"
    lines = ["", head]
    for title, new in (("learned here", True), ("the base's own abilities, none of them registered", False)):
        lines += ["", title]
        for name, cell in ours.cells.items():
            if cell.new is new:
                teacher = f"{cell.teacher.value:>9.1%}" if cell.teacher else f"{'':>9}"
                after, other = _with_interval(cell.after), _with_interval(sft.cells[name].after)
                lines.append(f"  {name:<14}{cell.before.value:>8.1%}{teacher}   {after:^22}{other:^22}")
    lines += ["", *_losses(ours, "Holdfast"), *_losses(sft, "SFT"), ""]
    lines += ["accuracy on each taught skill after each stage (rows) - Holdfast | SFT", *_matrices(ours, sft), ""]
    lines += [f"Holdfast taught for {ours.seconds:.0f} s, SFT for {sft.seconds:.0f} s ({', '.join(sft.notes)})."]
    return "\n".join(lines)


def _with_interval(score: Measured) -> str:
    low, high = interval_of(score)
    return f"{score.value:6.1%} [{low * 100:.0f}, {high * 100:.0f}]"


def _losses(arm: ArmResult, name: str) -> list[str]:
    drops = {key: (cell.after.value - cell.before.value) * 100 for key, cell in arm.cells.items() if not cell.new}
    worst = min(drops, key=lambda key: drops[key])
    mean = sum(drops.values()) / len(drops)
    return [
        f"{name}: the base's abilities changed by {mean:+.1f} points on average, {worst} most ({drops[worst]:+.1f})."
    ]


def _matrices(ours: ArmResult, sft: ArmResult) -> list[str]:
    skills = [name for name, cell in ours.cells.items() if cell.new]
    width = max(*map(len, skills), len("100.0% [100, 100]")) + 2
    head = "".join(f"{name:>{width}}" for name in skills)
    lines = [f"{'':<10}{head}  |{head}"]
    for number, (mine, theirs) in enumerate(zip(ours.stages, sft.stages, strict=True)):
        row = ["base" if number == 0 else f"+ {skills[number - 1]}"]
        for stage in (mine, theirs):
            row.append("".join(f"{_with_interval(stage[s]) if s in stage else '-':>{width}}" for s in skills))
        lines.append(f"{row[0]:<10}{row[1]}  |{row[2]}")
    return lines
