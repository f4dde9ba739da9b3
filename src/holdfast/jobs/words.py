"""What a person is told at the end: what was learned, what was kept, what the gate decided, where the report is."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal, cast

from holdfast.jobs.remedies import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.evaluation.verdict import Finding, Verdict
    from holdfast.jobs.result import LearnResult
    from holdfast.types import JSONValue


def verdict_sentences(
    skill: str, verdict: Verdict, *, version: str, parent: str, kind: Literal["chat", "classify"] = "chat"
) -> list[str]:
    """Returns what was learned and what was kept, one sentence each.

    The last sentence says which version is current now.
    """
    findings = list(verdict.per_skill.values())
    sentences = [f"{_change(f)}." for f in findings if f.role == "new"]
    earlier = [f for f in findings if f.role == "earlier"]
    if earlier:
        kept = [f.skill for f in earlier if f.decision == "accept"]
        if kept:
            sentences.append(f"Kept: {listed(kept)} ({'; '.join(_change(f) for f in earlier if f.skill in kept)}).")
        slipped = [f for f in earlier if f.decision == "reject"]
        if slipped:
            sentences.append(f"Lost: {'; '.join(_change(f) for f in slipped)}.")
        unsure = [f for f in earlier if f.decision == "inconclusive"]
        if unsure:
            sentences.append(f"Not proven to be kept: {'; '.join(_change(f) for f in unsure)}.")
    else:
        sentences.append("No skill was taught before this one, so there was no registered skill to keep.")
    if verdict.decision == "accept" and kind == "classify":
        sentences.append(f"The gate accepted {version}: it classifies {skill} from now on, beside the current version.")
    elif verdict.decision == "accept":
        sentences.append(f"The gate accepted {version}: it is the current version now ({parent} before it is kept).")
    else:
        found = "refused" if verdict.decision == "reject" else "could not accept"
        sentences.append(
            f"The gate {found} {version}: {parent} stays the current version; {version} is kept, not served."
        )
        if verdict.decision == "inconclusive" and verdict.more_items_needed:
            sentences.append(f"About {verdict.more_items_needed} more test items would decide.")
    return sentences


def _change(finding: Finding) -> str:
    return f"{finding.skill} {finding.current:.1%} before, {finding.candidate:.1%} after on {finding.items} items"


def attempt_sentence(attempt: Mapping[str, JSONValue]) -> str:
    """Returns one line about a candidate: how it was made, its scores and the decision."""
    scores = cast("Mapping[str, float]", attempt["scores"])
    said = ", ".join(f"{name} {value:.1%}" for name, value in scores.items())
    return f"{attempt['version']}, {attempt['how']}: {said} ({attempt['decision']})"


def outcome_text(result: LearnResult) -> str:
    """Returns the whole outcome for the terminal."""
    lines: list[str] = []
    if result.already:
        lines.append(f"This very order was done before ({result.run_id}); nothing was done now. --again does it anew.")
    lines += result.words
    if len(result.attempts) > 1:
        lines.append("Candidates that were tried:")
        lines += [f"  {attempt_sentence(attempt)}" for attempt in result.attempts]
    lines.append(f"Report: {result.report_path}")
    return "\n".join(lines)


def resume_hint(arguments: Sequence[str]) -> str:
    """Returns how to go on after a stop; `arguments` is the command line as it was given."""
    command = shlex.join(["holdfast", *arguments])
    return f"Stopped; everything finished so far is kept. To go on, run the same command again: {command}"
