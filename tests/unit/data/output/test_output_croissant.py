"""MLCommons' own validator accepts the description, and its reader finds the rows behind it."""

import hashlib
import json
import logging

import pytest

from holdfast.data.output.write import write_version

mlcroissant = pytest.importorskip("mlcroissant")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def described(tmp_path, make_prepared, about):
    return write_version(tmp_path, make_prepared(about=about)).version


def test_the_validator_finds_no_error_and_no_warning(described):
    dataset = mlcroissant.Dataset(jsonld=str(described.folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert dataset.metadata.name == "refunds"
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"


def test_what_nobody_told_is_only_warned_of(tmp_path, make_prepared, caplog):
    caplog.set_level(logging.CRITICAL)
    folder = write_version(tmp_path, make_prepared(name='odd "name" <b> سلام')).version.folder
    issues = mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).metadata.ctx.issues
    assert not issues.errors
    assert sorted(warning.partition("Property ")[2] for warning in issues.warnings) == [
        '"http://mlcommons.org/croissant/citeAs" is recommended, but does not exist.',
        '"https://schema.org/license" is recommended, but does not exist.',
    ]


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_reader_finds_every_row(described, part):
    dataset = mlcroissant.Dataset(jsonld=str(described.folder / "croissant.json"))
    records = list(dataset.records(part))
    rows = list(described.rows(part))
    assert [record[f"{part}/id"].decode() for record in records] == [row.example.id for row in rows]
    for record, row in zip(records, rows, strict=True):
        turns = record[f"{part}/messages"]
        said = [(turn[f"{part}/messages/role"].decode(), turn[f"{part}/messages/content"].decode()) for turn in turns]
        assert said == [(message.role, message.content) for message in row.example.messages]
        assert record[f"{part}/source"].decode() == row.example.source
        assert [name.decode() for name in record[f"{part}/changed_by"]] == list(row.changed_by)
        assert bool(record[f"{part}/synthetic"]) == row.synthetic
        columns = record[f"{part}/columns"]
        assert (json.loads(columns) if columns else {}) == row.example.columns


def test_the_parts_are_named_as_splits(described):
    dataset = mlcroissant.Dataset(jsonld=str(described.folder / "croissant.json"))
    assert list(dataset.records("splits")) == [{"splits/name": "train"}, {"splits/name": "test"}]


def test_files_are_named_with_their_own_hashes_and_sources_with_theirs(described):
    text = json.loads((described.folder / "croissant.json").read_text(encoding="utf-8"))
    for file in text["distribution"]:
        content = (described.folder / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == f"{len(content)} B"
    assert text["prov:wasDerivedFrom"] == [{"@type": "prov:Entity", "name": "/in/a.jsonl", "sha256": "ab" * 32}]
    assert text["inLanguage"] == ["en", "fa"]
    assert text["version"].endswith(described.hash[:12])
    assert text["rai:dataPreprocessingProtocol"][0].startswith("1 row holds an e-mail address. mask them")
