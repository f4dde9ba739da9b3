"""The data set's card: README.md as the Hugging Face hub reads it, with a header for programs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from holdfast.data.output.datasheet import made_by
from holdfast.data.output.personal import where_it_stands
from holdfast.data.output.rendering import markdown_environment

if TYPE_CHECKING:
    from holdfast.data.output.prepared import PreparedData
    from holdfast.data.output.version import DataVersion
    from holdfast.types import JSONValue

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
_LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")


def data_card(data: PreparedData, version: DataVersion) -> str:
    """Returns the card as Markdown; `datasets.load_dataset(folder)` finds the parts by its header."""
    return (
        markdown_environment()
        .get_template("card.md")
        .render(
            header=_yaml(_header(data, version)),
            data=data,
            version=version,
            counts=data.counts,
            personal=where_it_stands(data),
            made_by=made_by(data),
            outcomes=[
                (number, outcome)
                for number, outcome in enumerate(data.outcomes, start=1)
                if outcome.finding.level != "ok" or outcome.applied
            ],
        )
    )


def size_category(num_rows: int) -> str:
    """Returns the hub's word for a number of rows.

    >>> size_category(999), size_category(1000), size_category(20_000_000)
    ('n<1K', '1K<n<10K', '10M<n<100M')
    """
    return _SIZES[min(max(0, len(str(num_rows)) - 3), len(_SIZES) - 1)]


def _header(data: PreparedData, version: DataVersion) -> dict[str, JSONValue]:
    num_rows = sum(part.num_rows for part in version.parts.values())
    labelled = any(part.labels for part in version.parts.values())
    header: dict[str, JSONValue] = {
        "pretty_name": data.name,
        "language": [*data.figures.language_codes()],
        **_license(data.about.license),
        "size_categories": [size_category(num_rows)],
        "task_categories": ["text-classification" if labelled else "text-generation"],
        "tags": ["croissant", "holdfast"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": name, "path": part.file} for name, part in version.parts.items() if part.num_rows
                ],
            }
        ],
    }
    return {key: value for key, value in header.items() if value}


def _license(name: str) -> dict[str, JSONValue]:
    """The hub knows licences by short names; any other is "other" with its name or address."""
    if not name or _LICENSE_ID.fullmatch(name):
        return {"license": name}
    link: dict[str, JSONValue] = {"license_link": name} if "://" in name else {}
    return {"license": "other", "license_name": name.rstrip("/").rpartition("/")[2], **link}


def _yaml(values: dict[str, JSONValue]) -> str:
    """JSON is YAML, except that YAML has no DEL and no C1 characters; one key a line."""
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return re.sub(
        r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda match: f"\\u{ord(match[0]):04x}", "\n".join(lines)
    )
