"""Labels for examples that have none, from labelling functions that may be wrong or silent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from holdfast.data.example_json import example_id
from holdfast.data.making.label_functions import Ballot
from holdfast.data.making.label_model import ABSTAIN, dawid_skene, majority
from holdfast.errors import DataError
from holdfast.settings import Settings, Share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from holdfast.data.making.label_functions import Faults, LabelFunction, Votes
    from holdfast.data.making.label_model import Fitted
    from holdfast.types import Example, JSONValue

FEWEST_FOR_EM = 3
"""Agreement of two functions does not tell which of them is the better one; three can."""
FAR_FROM_MAJORITY = 0.2
"""A note is made where EM and the majority differ on more than this share of the rows with votes."""


class WeakLabelSettings(Settings):
    """How votes become labels."""

    method: Literal["em", "majority"] = "em"
    """em = functions weigh by their estimated accuracy (Dawid & Skene); majority = all weigh the same."""
    min_confidence: Share = 0.7
    """A row whose most probable label is less probable than this stays without a label."""
    labels: tuple[str, ...] = ()
    """The labels there are; without any, those that occur. A vote for another one counts as an abstention."""
    class_shares: dict[str, float] = Field(default={})
    """How frequent each label is among all rows; without, as the votes are spread. Only em uses it."""


@dataclass(frozen=True, slots=True)
class FunctionReport:
    """How one labelling function did; all shares are of all rows.

    `coverage`: it votes. `overlaps`: it votes and another one too. `conflicts`: another one votes differently.
    `accuracy` is the estimated share of its votes that are right, `learned` False where that is only assumed (it never
    votes for a second label, so that its agreement tells nothing). `measured` is the share of its `num_measured`
    votes on rows that came with a label which are right. `labels` counts its votes.
    """

    name: str
    coverage: float
    overlaps: float
    conflicts: float
    accuracy: float | None
    learned: bool
    measured: float | None
    num_measured: int
    labels: Mapping[str, int]
    faults: Faults


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """A row that stays without a label; `kind` is no_vote, tie or unsure."""

    example: Example
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class WeakLabels:
    """What labelling functions made of examples: each is in exactly one of `labelled`, `unlabelled` and `given`.

    `given` are those that came with a label, unchanged. `posterior` [rows, labels] has a row for each example in their
    order.
    """

    labelled: list[Example]
    unlabelled: list[Unlabelled]
    given: list[Example]
    labels: tuple[str, ...]
    posterior: NDArray[np.float64]
    functions: tuple[FunctionReport, ...]
    method: Literal["em", "majority"]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the votes of functions make of rows: `posterior` [P, K] has a row for each pattern of votes."""

    votes: Votes
    names: tuple[str, ...]
    posterior: NDArray[np.float64]
    functions: tuple[FunctionReport, ...]
    method: Literal["em", "majority"]
    notes: tuple[str, ...]
    min_confidence: float

    def decided(self, pattern: int) -> tuple[str, float] | tuple[str, str]:
        """Returns the label of rows with a pattern of votes and how probable it is; else the kind and reason why not.

        The reasons are those of `Unlabelled`.
        """
        if (self.votes.patterns[pattern] == ABSTAIN).all():
            return "no_vote", "no labelling function votes on it"
        posterior_K, labels = self.posterior[pattern], self.votes.labels
        best = int(posterior_K.argmax())
        confidence = float(posterior_K[best])
        tied = [labels[k] for k in np.flatnonzero(posterior_K >= confidence - 1e-9)]
        if len(tied) > 1:
            return "tie", f"the votes are tied between {' and '.join(tied)}"
        if confidence < self.min_confidence:
            reason = f"{labels[best]} is the most probable label with {confidence:.2f}, below {self.min_confidence:g}"
            return "unsure", reason
        return labels[best], confidence

    def outcome(self, example: Example, pattern: int) -> Example | Unlabelled:
        """Returns an example on which functions voted in this way with its label, or as unlabelled."""
        label, sure = self.decided(pattern)
        if isinstance(sure, str):
            return Unlabelled(example, label, sure)
        weak: dict[str, JSONValue] = {"confidence": round(sure, 4), "votes": dict(self.votes_for(pattern))}
        new = replace(example, label=label, columns={**example.columns, "weak_label": weak})
        return replace(new, id=example_id(new))

    def votes_for(self, pattern: int) -> dict[str, str]:
        """Returns the votes of the functions that vote in a pattern, by their names."""
        voted = zip(self.names, self.votes.patterns[pattern].tolist(), strict=True)
        return {name: self.votes.labels[vote] for name, vote in voted if vote != ABSTAIN}


def label_weakly(
    examples: Sequence[Example], functions: Mapping[str, LabelFunction], settings: WeakLabelSettings | None = None
) -> WeakLabels:
    """Returns the examples with the labels that the functions' votes make probable enough.

    A labelled example has `columns["weak_label"]` with its confidence and votes. Examples that come with a label keep
    it; the functions are measured on them, and em starts from them.

    Raises:
        DataError: fewer than two labels are voted for, or `class_shares` does not name them.
    """
    settings = settings or WeakLabelSettings()
    ballot = Ballot(functions, settings.labels)
    ballot.add(examples)
    judged = judge(ballot.votes(), list(functions), settings)
    labelled: list[Example] = []
    unlabelled: list[Unlabelled] = []
    for pattern, example in zip(judged.votes.row_of, examples, strict=True):
        if example.label is None:
            outcome = judged.outcome(example, int(pattern))
            if isinstance(outcome, Unlabelled):
                unlabelled.append(outcome)
            else:
                labelled.append(outcome)
    given = [example for example in examples if example.label is not None]
    posterior = judged.posterior[judged.votes.row_of]
    return WeakLabels(
        labelled, unlabelled, given, judged.votes.labels, posterior, judged.functions, judged.method, judged.notes
    )


def judge(votes: Votes, names: Sequence[str], settings: WeakLabelSettings) -> Judged:
    """Returns what the votes of the functions `names` make of each pattern of votes.

    Raises:
        DataError: fewer than two labels are voted for, or `class_shares` does not name them.
    """
    _check_labels(votes, settings)
    counts, known = votes.counts, votes.known
    method = settings.method
    notes: list[str] = []
    num_voting = int((votes.patterns != ABSTAIN).any(0).sum())
    if method == "em" and num_voting < FEWEST_FOR_EM and (known == ABSTAIN).all():
        method = "majority"
        notes.append(
            f"{num_voting} functions vote, and agreement tells which is the better one from {FEWEST_FOR_EM} on: labels "
            "are those of the majority"
        )
    fitted = majority(votes.patterns, len(votes.labels), counts)
    if method == "em":
        shares = [settings.class_shares[label] for label in votes.labels] if settings.class_shares else None
        by_majority, fitted = fitted, dawid_skene(votes.patterns, len(votes.labels), shares, known, counts)
        notes += _doubts(by_majority, fitted, votes)
    reports = _reports(votes, fitted, names)
    said = (*notes, *_remarks(reports))
    return Judged(votes, tuple(names), fitted.posterior, reports, method, said, settings.min_confidence)


def _check_labels(votes: Votes, settings: WeakLabelSettings) -> None:
    if len(votes.labels) < 2:
        raise DataError(
            f"The labelling functions vote for {votes.labels[0] if votes.labels else 'nothing'} only, so there is "
            "nothing to tell apart. Write functions for at least two labels, or name all labels in `labels`."
        )
    if not settings.class_shares:
        return
    if settings.method == "majority":
        raise DataError("class_shares has no effect on a majority vote. Remove it, or use method em.")
    if set(settings.class_shares) != set(votes.labels) or min(settings.class_shares.values()) <= 0:
        raise DataError(f"class_shares must give each of the labels {', '.join(votes.labels)} a share above 0.")


def _doubts(by_majority: Fitted, fitted: Fitted, votes: Votes) -> list[str]:
    """Reasons to look at the result of EM before it is used."""
    voted_P = (votes.patterns != ABSTAIN).any(1)
    other_P = by_majority.posterior.argmax(1) != fitted.posterior.argmax(1)
    share = float(votes.counts[voted_P & other_P].sum() / max(votes.counts[voted_P].sum(), 1))
    doubts = [] if fitted.converged else [f"EM was still moving after {fitted.num_rounds} rounds"]
    if share > FAR_FROM_MAJORITY:
        doubts.append(
            f"em and a majority vote disagree on {share:.0%} of the rows with votes: label some by hand (they are used "
            "as a start), and look at the functions with the highest estimated accuracy"
        )
    return doubts


def _reports(votes: Votes, fitted: Fitted, names: Sequence[str]) -> tuple[FunctionReport, ...]:
    votes_PM, counts_P = votes.patterns, votes.counts
    voted_PM = votes_PM != ABSTAIN
    num_rows = max(int(counts_P.sum()), 1)
    several_P, differ_P = voted_PM.sum(1) > 1, votes.differ()
    reports: list[FunctionReport] = []
    for j, name in enumerate(names):
        voted = voted_PM[:, j]
        measured = voted & (votes.known != ABSTAIN)
        right = measured & (votes_PM[:, j] == votes.known)
        num_measured = int(counts_P[measured].sum())
        counts = np.bincount(votes_PM[voted, j], counts_P[voted], minlength=len(votes.labels))
        reports.append(
            FunctionReport(
                name,
                coverage=float(counts_P[voted].sum() / num_rows),
                overlaps=float(counts_P[voted & several_P].sum() / num_rows),
                conflicts=float(counts_P[voted & differ_P].sum() / num_rows),
                accuracy=float(fitted.accuracy[j]) if voted.any() else None,
                learned=bool(fitted.learned[j]),
                measured=float(counts_P[right].sum() / num_measured) if num_measured else None,
                num_measured=num_measured,
                labels={label: int(count) for label, count in zip(votes.labels, counts, strict=True) if count},
                faults=votes.faults[j],
            )
        )
    return tuple(reports)


def _remarks(reports: tuple[FunctionReport, ...]) -> list[str]:
    remarks: list[str] = []
    for report in reports:
        if report.faults.num_rows:
            kinds = ", ".join(f"{kind} ({count})" for kind, count in report.faults.counts.items())
            remarks.append(
                f"{report.name} gives no usable vote on {report.faults.num_rows} rows and abstains there: {kinds}; "
                f"first at {report.faults.first}"
            )
        if report.accuracy is None:
            remarks.append(f"{report.name} never votes")
        elif report.learned and report.accuracy < 1 / max(len(report.labels), 2):
            remarks.append(f"{report.name} is estimated to be right in {report.accuracy:.0%} of its votes: look at it")
    return remarks
