"""Which files of a version still hold the personal data that was found in its rows, as one sentence or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.data.output.prepared import PreparedData

_CHECK = "personal_data"


def where_it_stands(data: PreparedData) -> str:
    """Returns where personal data stands, by what was found, whether the remedy was done, and `keep_before`."""
    outcome = next((outcome for outcome in data.outcomes if outcome.finding.check == _CHECK), None)
    if outcome is None:
        return (
            "Personal data was not looked for: changed.jsonl and rejected.jsonl hold rows as they were read, and "
            "report.html and report.json show some of them."
        )
    if outcome.finding.remedy is None:
        return "No personal data was found; changed.jsonl and rejected.jsonl hold rows as they were read."
    if not outcome.applied:
        return (
            "Personal data that was found was left as it is: the parts, changed.jsonl and rejected.jsonl may hold it, "
            "and report.html and report.json may show rows with it."
        )
    if _keeps_before(data):
        return (
            "report.html and report.json show rows without the personal data that was found, but changed.jsonl and "
            "rejected.jsonl hold rows as they were read, with it: do not pass these two files on with the data."
        )
    return (
        "The personal data that was found is in none of the files, but for labels, which are never changed: "
        "report.html and report.json show rows without it, and changed.jsonl and rejected.jsonl keep the kinds of the "
        "values only (keep_before = false)."
    )


def _keeps_before(data: PreparedData) -> bool:
    """Whether the plan lets the ledgers keep what was masked or dropped; its default does."""
    checks = data.plan.get("checks")
    settings = checks.get(_CHECK) if isinstance(checks, dict) else None
    return not isinstance(settings, dict) or settings.get("keep_before") is not False
