"""Labels for examples that have none, from labelling functions that may be wrong or silent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from holdfast.data.example_json import example_id
from holdfast.data.making.label_functions import votes_of
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
    class_shares: dict[str, float] = Field(default_factory=dict[str, float])
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
    votes = votes_of(examples, functions, settings.labels)
    _check_labels(votes, [example.label for example in examples], settings)
    known_N = np.array([_index(votes.labels, example.label) for example in examples], np.int64)
    method = settings.method
    notes: list[str] = []
    num_voting = int((votes.votes != ABSTAIN).any(0).sum())
    if method == "em" and num_voting < FEWEST_FOR_EM and (known_N == ABSTAIN).all():
        method = "majority"
        notes.append(
            f"{num_voting} functions vote, and agreement tells which is the better one from {FEWEST_FOR_EM} on: labels "
            "are those of the majority"
        )
    fitted = majority(votes.votes, len(votes.labels))
    if method == "em":
        by_majority, fitted = fitted, _em(votes, known_N, settings)
        notes += _doubts(by_majority, fitted, votes)
    labelled: list[Example] = []
    unlabelled: list[Unlabelled] = []
    for number, example in enumerate(examples):
        if example.label is None:
            outcome = _outcome(
                example, votes, number, fitted.posterior[number], list(functions), settings.min_confidence
            )
            if isinstance(outcome, Unlabelled):
                unlabelled.append(outcome)
            else:
                labelled.append(outcome)
    given = [example for example in examples if example.label is not None]
    reports = _reports(votes, fitted, known_N, list(functions))
    said = (*notes, *_remarks(reports))
    return WeakLabels(labelled, unlabelled, given, votes.labels, fitted.posterior, reports, method, said)


def _check_labels(votes: Votes, given: Sequence[str | None], settings: WeakLabelSettings) -> None:
    if len(votes.labels) < 2:
        raise DataError(
            f"The labelling functions vote for {votes.labels[0] if votes.labels else 'nothing'} only, so there is "
            "nothing to tell apart. Write functions for at least two labels, or name all labels in `labels`."
        )
    other = sorted({label for label in given if label is not None} - set(votes.labels))
    if other:
        raise DataError(f"Some rows have the label {other[0]!r}, which is not among `labels`. Add it there.")
    if not settings.class_shares:
        return
    if settings.method == "majority":
        raise DataError("class_shares has no effect on a majority vote. Remove it, or use method em.")
    if set(settings.class_shares) != set(votes.labels) or min(settings.class_shares.values()) <= 0:
        raise DataError(f"class_shares must give each of the labels {', '.join(votes.labels)} a share above 0.")


def _index(labels: tuple[str, ...], label: str | None) -> int:
    return ABSTAIN if label is None else labels.index(label)


def _em(votes: Votes, known_N: NDArray[np.int64], settings: WeakLabelSettings) -> Fitted:
    shares = [settings.class_shares[label] for label in votes.labels] if settings.class_shares else None
    return dawid_skene(votes.votes, len(votes.labels), shares, known_N)


def _doubts(by_majority: Fitted, fitted: Fitted, votes: Votes) -> list[str]:
    """Reasons to look at the result of EM before it is used."""
    voted_N = (votes.votes != ABSTAIN).any(1)
    other = by_majority.posterior.argmax(1) != fitted.posterior.argmax(1)
    share = float(other[voted_N].mean()) if voted_N.any() else 0.0
    doubts = [] if fitted.converged else [f"EM was still moving after {fitted.num_rounds} rounds"]
    if share > FAR_FROM_MAJORITY:
        doubts.append(
            f"em and a majority vote disagree on {share:.0%} of the rows with votes: label some by hand (they are used "
            "as a start), and look at the functions with the highest estimated accuracy"
        )
    return doubts


def _outcome(
    example: Example,
    votes: Votes,
    number: int,
    posterior_K: NDArray[np.float64],
    names: list[str],
    min_confidence: float,
) -> Example | Unlabelled:
    row_M = votes.votes[number]
    if (row_M == ABSTAIN).all():
        return Unlabelled(example, "no_vote", "no labelling function votes on it")
    best = int(posterior_K.argmax())
    label, confidence = votes.labels[best], float(posterior_K[best])
    tied = [votes.labels[k] for k in np.flatnonzero(posterior_K >= confidence - 1e-9)]
    if len(tied) > 1:
        return Unlabelled(example, "tie", f"the votes are tied between {' and '.join(tied)}")
    if confidence < min_confidence:
        reason = f"{label} is the most probable label with {confidence:.2f}, below {min_confidence:g}"
        return Unlabelled(example, "unsure", reason)
    given: dict[str, JSONValue] = {names[j]: votes.labels[v] for j, v in enumerate(row_M.tolist()) if v != ABSTAIN}
    weak: dict[str, JSONValue] = {"confidence": round(confidence, 4), "votes": given}
    new = replace(example, label=label, columns={**example.columns, "weak_label": weak})
    return replace(new, id=example_id(new))


def _reports(votes: Votes, fitted: Fitted, known_N: NDArray[np.int64], names: list[str]) -> tuple[FunctionReport, ...]:
    votes_NM = votes.votes
    voted_NM = votes_NM != ABSTAIN
    num_rows = max(len(votes_NM), 1)
    highest_N = np.where(voted_NM, votes_NM, -1).max(1, initial=-1)
    lowest_N = np.where(voted_NM, votes_NM, len(votes.labels)).min(1, initial=len(votes.labels))
    several_N, differ_N = voted_NM.sum(1) > 1, highest_N != lowest_N
    reports: list[FunctionReport] = []
    for j, name in enumerate(names):
        voted = voted_NM[:, j]
        measured = voted & (known_N != ABSTAIN)
        counts = np.bincount(votes_NM[voted, j], minlength=len(votes.labels))
        reports.append(
            FunctionReport(
                name,
                coverage=float(voted.sum() / num_rows),
                overlaps=float((voted & several_N).sum() / num_rows),
                conflicts=float((voted & differ_N).sum() / num_rows),
                accuracy=float(fitted.accuracy[j]) if voted.any() else None,
                learned=bool(fitted.learned[j]),
                measured=float((votes_NM[:, j] == known_N)[measured].mean()) if measured.any() else None,
                num_measured=int(measured.sum()),
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
