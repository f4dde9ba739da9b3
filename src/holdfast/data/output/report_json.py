"""The report of a preparation for programs: every number and finding of the page."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from holdfast.data.output.prepared import Outcome, PreparedData
    from holdfast.data.output.version import DataVersion
    from holdfast.types import JSONValue


def report_json(data: PreparedData, version: DataVersion) -> dict[str, JSONValue]:
    """Returns the report as one JSON object; findings are numbered as on the page."""
    counts = data.counts
    return {
        "hash": version.hash,
        "skill": data.name,
        "created_at": version.created_at,
        "counts": {
            "read": counts.read,
            "unchanged": counts.unchanged,
            "changed": counts.changed,
            "rejected": counts.num_rejected,
            "rejected_by_kind": dict(counts.rejected),
            "made": counts.made,
            "documents": counts.documents,
            "lost_documents_by_kind": dict(counts.lost_documents),
        },
        "parts": {name: cast("JSONValue", asdict(part)) for name, part in version.parts.items()},
        "findings": [_outcome(number, outcome) for number, outcome in enumerate(data.outcomes, start=1)],
        "figures": _figures(data),
        "sources": [cast("JSONValue", asdict(source)) for source in data.sources],
        "compared_with": dict(data.compared_with),
        "plan": dict(data.plan),
    }


def _outcome(number: int, outcome: Outcome) -> JSONValue:
    finding = outcome.finding
    return {
        "number": number,
        "check": finding.check,
        "level": finding.level,
        "title": finding.title,
        "num_rows": finding.num_rows,
        "remedy": finding.remedy,
        "applied": outcome.applied,
        "num_changed": outcome.num_changed,
        "num_dropped": outcome.num_dropped,
        "figures": dict(finding.figures),
        "shown": [cast("JSONValue", asdict(row)) for row in finding.shown],
    }


def _figures(data: PreparedData) -> JSONValue:
    figures = data.figures
    return {
        "lengths": [cast("JSONValue", asdict(each)) for each in figures.lengths],
        "max_tokens": figures.max_tokens,
        "tokenizer": figures.tokenizer,
        "tokens": {part: cast("JSONValue", asdict(tokens)) for part, tokens in figures.tokens.items()},
        "languages": dict(figures.languages),
        "duplicates": dict(figures.duplicates),
        "cluster_sizes": {str(size): count for size, count in sorted(figures.cluster_sizes.items())},
        "labels": {part: dict(labels) for part, labels in figures.labels.items()},
    }
