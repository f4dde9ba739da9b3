"""The MLCommons Croissant description of a version: JSON-LD that tells machines which files, rows and fields there are.

Written by hand after the Croissant format specification 1.1 (https://docs.mlcommons.org/croissant/), so that no
library is needed to describe data; the tests have MLCommons' own validator read it and the records behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.output.rendering import number_of

if TYPE_CHECKING:
    from holdfast.data.output.prepared import PreparedData
    from holdfast.data.output.version import DataVersion
    from holdfast.types import JSONValue

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_CONTEXT: dict[str, JSONValue] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_FIELDS = {
    "id": "Content id: the first 16 hexadecimal digits of the sha256 of what the row says.",
    "rejected": "The answer that the last turn is preferred to, as the JSON text of one turn.",
    "tools": "The tools that the assistant may call, as JSON text in OpenAI's shape.",
    "label": "The class, of rows that are classified.",
    "document": "A text that is read before the question.",
    "privileged_context": "What only the teacher reads besides the prompt.",
    "columns": "The row's other columns, as JSON text, for a grader that reads them.",
    "source": "Lineage: the file, or what else was read, and the row in it.",
}
_TURN = {
    "role": "Who speaks: system, user, assistant or tool.",
    "content": "What is said.",
    "tool_call_id": "The call that a tool's turn answers.",
}
_LEDGERS = {
    "changed.jsonl": "Every changed row before and after, with the checks that changed it.",
    "rejected.jsonl": "Every row that is not used, with the reason.",
}


def croissant(data: PreparedData, version: DataVersion) -> dict[str, JSONValue]:
    """Returns the JSON-LD of a version whose data files are written; what nobody told is left out."""
    about = data.about
    told: dict[str, JSONValue] = {
        "license": about.license,
        "url": about.url,
        "citeAs": about.citation,
        "creator": [{"@type": "sc:Person", "name": name} for name in about.creators],
        "inLanguage": [*data.figures.language_codes()],
        "rai:dataPreprocessingProtocol": [
            f"{outcome.finding.title} {outcome.finding.remedy or ''}".strip()
            for outcome in data.outcomes
            if outcome.applied
        ],
        "prov:wasDerivedFrom": [_origin(path, sha256) for path, sha256 in _sources(version)],
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": data.name,
        "description": about.description or f"Examples that teach a language model the skill {data.name}.",
        "version": f"1.0.0+{version.hash[:12]}",
        "datePublished": version.created_at[:10],
        **{key: value for key, value in told.items() if value},
        "distribution": [_file(version, name) for name in (*_LEDGERS, *(p.file for p in version.parts.values()))],
        "recordSet": [_split_names(version), *(_records(version, part) for part in version.parts)],
    }


def _sources(version: DataVersion) -> list[tuple[str, str]]:
    return [(source.path, source.sha256) for source in version.sources]


def _origin(path: str, sha256: str) -> dict[str, JSONValue]:
    return {"@type": "prov:Entity", "name": path, **({"sha256": sha256} if sha256 else {})}


def _file(version: DataVersion, name: str) -> dict[str, JSONValue]:
    written = version.files[name]
    part = next((key for key, part in version.parts.items() if part.file == name), None)
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": _LEDGERS[name] if part is None else f"The rows for {_purpose(part)}.",
        "contentUrl": name,
        "contentSize": f"{written.num_bytes} B",
        "encodingFormat": "application/jsonlines" if part is None else "application/x-parquet",
        "sha256": written.sha256,
    }


def _purpose(part: str) -> str:
    return {"train": "training", "test": "the held-out test", "validation": "validation"}[part]


def _split_names(version: DataVersion) -> dict[str, JSONValue]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "name": "splits",
        "description": "The parts that the rows are split into.",
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": name} for name in version.parts],
    }


def _records(version: DataVersion, part: str) -> dict[str, JSONValue]:
    file = version.parts[part].file
    fields = [_field(file, part, name, what) for name, what in _FIELDS.items()]
    changed_by = _field(file, part, "changed_by", "The checks that changed this row, in order; empty if none did.")
    synthetic = _field(file, part, "synthetic", "Whether a model or a template made the row.", "sc:Boolean")
    return {
        "@type": "cr:RecordSet",
        "@id": part,
        "key": {"@id": f"{part}/id"},
        "name": part,
        "description": f"{number_of(version.parts[part].num_rows, 'row')} for {_purpose(part)}.",
        "field": [fields[0], _messages(file, part), *fields[1:], {**changed_by, **_LIST}, synthetic],
    }


_LIST: dict[str, JSONValue] = {"isArray": True, "arrayShape": "-1"}


def _messages(file: str, part: str) -> dict[str, JSONValue]:
    """The turns. The calls inside them are in the file; nested lists in lists are beyond the validator's reader."""
    return {
        "@type": "cr:Field",
        "@id": f"{part}/messages",
        "name": "messages",
        "description": "The turns of the conversation; the assistant's last one is what is learned.",
        **_LIST,
        "subField": [_turn(file, part, name, what) for name, what in _TURN.items()],
    }


def _turn(file: str, part: str, name: str, what: str) -> dict[str, JSONValue]:
    field = _field(file, part, f"messages/{name}", what)
    place: dict[str, JSONValue] = {
        "fileObject": {"@id": file},
        "extract": {"column": "messages"},
        "transform": {"jsonPath": name},
    }
    return {**field, "name": name, "source": place}


def _field(file: str, part: str, name: str, what: str, kind: str = "sc:Text") -> dict[str, JSONValue]:
    return {
        "@type": "cr:Field",
        "@id": f"{part}/{name}",
        "name": name,
        "description": what,
        "dataType": kind,
        "source": {"fileObject": {"@id": file}, "extract": {"column": name}},
    }
