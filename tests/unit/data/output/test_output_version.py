"""A version is written whole or not at all, has the same hash for the same content, and shows every edit."""

import json
import os
import shutil
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.data.example_json import content_hash, to_json
from holdfast.data.output.prepared import ChangedRow, Counts, PreparedRow, Source
from holdfast.data.output.version import load, verify, versions
from holdfast.data.output.write import write_version
from holdfast.errors import DataError

FILES = {
    *("README.md", "changed.jsonl", "croissant.json", "datasheet.md", "manifest.json", "plan.toml"),
    *("rejected.jsonl", "report.html", "report.json", "test.parquet", "train.parquet"),
}


def test_a_version_lies_in_a_folder_named_by_its_hash(tmp_path, make_prepared):
    data = make_prepared()
    written = write_version(tmp_path / "data", data)
    version = written.version
    assert written.is_new
    assert version.folder == tmp_path / "data" / version.hash[:12]
    assert {item.name for item in version.folder.iterdir()} == FILES
    assert [item.name for item in (tmp_path / "data").iterdir()] == [version.hash[:12]]
    assert list(version.rows("train")) == list(data.train())
    assert list(version.examples("test")) == [row.example for row in data.test()]
    assert version.parts["train"].content_hash == content_hash([row.example for row in data.train()])
    assert tomllib.loads((version.folder / "plan.toml").read_text(encoding="utf-8")) == data.plan
    with pytest.raises(DataError, match="no part 'validation'"):
        version.rows("validation")


def test_the_ledgers_and_the_report_hold_every_row_and_finding(tmp_path, make_prepared):
    data = make_prepared()
    folder = write_version(tmp_path, data).version.folder
    (change,) = (json.loads(line) for line in (folder / "changed.jsonl").read_text(encoding="utf-8").splitlines())
    (row,) = data.changed()
    assert change == {
        "number": 8,
        "source": "/in/a.jsonl:8",
        "before": to_json(row.before),
        "after": to_json(row.after),
        "by": ["pii"],
        "what": ["1 e-mail address masked"],
    }
    rejected = [json.loads(line) for line in (folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["line"], row["kind"]) for row in rejected] == [(11, "duplicate"), (12, "duplicate")]
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["counts"] == {
        "read": 12,
        "unchanged": 9,
        "changed": 1,
        "rejected": 2,
        "rejected_by_kind": {"duplicate": 2},
        "made": 0,
        "documents": 0,
        "lost_documents_by_kind": {},
    }
    assert [finding["number"] for finding in report["findings"]] == [1, 2, 3]
    assert report["findings"][0]["shown"][0]["after"] == "refund [EMAIL]"
    assert report["findings"][0]["figures"] == {"emails": 1}
    assert report["figures"]["tokens"]["train"] == {"context": 80, "learned": 40, "longest": 31}
    assert report["plan"] == data.plan


def test_the_same_input_and_plan_give_the_same_hash_whatever_time_place_or_order(tmp_path, make_prepared):
    first = write_version(tmp_path / "a", make_prepared()).version
    rows = list(make_prepared().train())[::-1]
    elsewhere = [replace(row, example=replace(row.example, source="D:/other/a.jsonl:1", id="?")) for row in rows]
    later = make_prepared(
        train=lambda: elsewhere,
        created_at=datetime(2031, 1, 1, tzinfo=UTC),
        sources=[Source("D:/other/a.jsonl", 1, "cd" * 32, 12)],
        plan={**make_prepared().plan, "out": "D:/data"},
        deciding=make_prepared().plan,
    )
    assert write_version(tmp_path / "b", later).version.hash == first.hash
    # Worked out once by hand from the manifest's own words, so that no release changes it unseen.
    assert first.hash == "2781a4850660e673a43ef2b6ef71b61db6c0cc4d189c0a1811a77288a96aab75"


def test_another_row_part_column_setting_or_skill_gives_another_hash(tmp_path, make_prepared, make_example):
    data = make_prepared()
    rows = list(data.train())
    with_columns = [replace(rows[0], example=replace(rows[0].example, columns={"a": 1})), *rows[1:]]
    others = [
        make_prepared(train=lambda: [PreparedRow(make_example("other")), *rows[1:]]),
        make_prepared(train=lambda: with_columns),
        make_prepared(train=data.test, test=data.train),
        make_prepared(plan={**data.plan, "seed": 8}),
        make_prepared(plan={}, deciding={"seed": 9}),
        make_prepared(name="returns"),
        make_prepared(validation=tuple),
    ]
    hashes = {write_version(tmp_path, each).version.hash for each in [data, *others]}
    assert len(hashes) == 1 + len(others)
    assert len(versions(tmp_path)) == len(hashes)


def test_the_same_version_again_is_left_as_it_is(tmp_path, make_prepared):
    first = write_version(tmp_path, make_prepared()).version
    before = {item.name: item.stat().st_mtime_ns for item in first.folder.iterdir()}
    again = write_version(tmp_path, make_prepared(created_at=datetime(2035, 5, 5, tzinfo=UTC)))
    assert (again.state, again.is_new) == ("same", False)
    assert again.version == first
    assert {item.name: item.stat().st_mtime_ns for item in first.folder.iterdir()} == before


def bytes_in(folder):
    return {item.name: item.read_bytes() for item in folder.iterdir()}


def test_the_same_rows_by_another_way_are_kept_beside_the_first_which_never_changes(tmp_path, make_prepared, about):
    first = write_version(tmp_path, make_prepared()).version
    before = bytes_in(first.folder)
    other = {"about": about, "sources": [Source("/in/b.jsonl", 99, "cd" * 32, 12)]}
    again = write_version(tmp_path, make_prepared(**other, created_at=datetime(2035, 5, 5, tzinfo=UTC)))
    assert (again.state, again.first, again.version.hash) == ("beside", first, first.hash)
    assert bytes_in(first.folder) == before
    assert again.version.folder.parent == tmp_path / f"{first.hash[:12]}.again"
    assert again.version.sources[0].path == "/in/b.jsonl"
    assert "Ann Author" in (again.version.folder / "datasheet.md").read_text(encoding="utf-8")
    verify(load(again.version.folder), content=True)
    assert versions(tmp_path) == [first]
    assert load(first.hash[:4], tmp_path) == first
    third = write_version(tmp_path, make_prepared(**other, created_at=datetime(2036, 6, 6, tzinfo=UTC)))
    assert third == again
    assert write_version(tmp_path, make_prepared()).state == "same"


def test_a_damaged_version_is_written_anew(tmp_path, make_prepared):
    first = write_version(tmp_path, make_prepared()).version
    (first.folder / "train.parquet").write_bytes(b"PAR1")
    again = write_version(tmp_path, make_prepared())
    assert (again.state, again.version.folder) == ("restored", first.folder)
    verify(load(first.folder), content=True)


def test_a_manifest_that_names_a_parent_as_earlier_releases_did_is_read(tmp_path, make_prepared):
    version = write_version(tmp_path, make_prepared()).version
    edited_manifest(version.folder, lambda values: values.update(parent=""))
    assert load(version.folder) == version


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"counts": Counts(12, 9, 2, {"duplicate": 2})}, "12 rows were read, but 9 kept as they were, 2 changed"),
        ({"counts": Counts(13, 10, 1, {"duplicate": 2})}, "10 rows were written"),
        ({"counts": Counts(12, 10, 1, {"duplicate": 2}, made=1)}, "10 rows were written"),
        ({"counts": Counts(12, 9, 1, {"duplicate": 2}, made=1)}, "12 rows were read and 1 made, but 9 kept"),
        ({"changed": tuple}, "hold 0 changed rows"),
        ({"rejected": tuple}, "rejected none"),
        ({"counts": Counts(12, 9, 1, {"empty": 2})}, "rejected 2 as duplicate, but 1 and 2 as empty were counted"),
        ({"created_at": datetime(2030, 1, 1)}, "no time zone"),  # noqa: DTZ001 - what is refused here
    ],
)
def test_numbers_that_do_not_add_up_are_refused_and_leave_nothing(tmp_path, make_prepared, changes, said):
    with pytest.raises(DataError, match=said):
        write_version(tmp_path / "data", make_prepared(**changes))
    assert not [item for item in tmp_path.rglob("*") if item.is_file()]
    assert versions(tmp_path / "data") == []


def test_a_failure_on_the_way_leaves_the_earlier_version(tmp_path, make_prepared):
    first = write_version(tmp_path, make_prepared()).version

    def broken():
        yield from make_prepared().train()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_version(tmp_path, make_prepared(train=broken))
    assert [item.name for item in tmp_path.iterdir()] == [first.hash[:12]]
    assert load(first.folder) == first


def test_what_a_killed_run_left_is_no_version_and_goes_after_a_day(tmp_path, make_prepared):
    for name, hours in ((".new-old", 25), (".new-now", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{")
        then = (datetime.now(UTC) - timedelta(hours=hours)).timestamp()
        os.utime(tmp_path / name, (then, then))
    version = write_version(tmp_path, make_prepared()).version
    assert {item.name for item in tmp_path.iterdir()} == {".new-now", version.hash[:12]}
    assert versions(tmp_path) == [version]


def test_every_file_is_on_disk_before_the_folder_has_its_name(tmp_path, make_prepared, monkeypatch):
    flushed = []

    def flush(number):
        flushed.append(os.readlink(f"/proc/self/fd/{number}"))

    monkeypatch.setattr("os.fsync", flush)
    version = write_version(tmp_path, make_prepared()).version
    inside = [path for path in flushed if ".new-" in path]
    assert {path.rpartition("/")[2] for path in inside} >= FILES
    assert flushed.index(str(tmp_path)) > max(flushed.index(path) for path in inside)
    assert version.folder.is_dir()


def test_a_folder_with_other_files_is_not_replaced(tmp_path, make_prepared, about):
    version = write_version(tmp_path, make_prepared()).version
    (version.folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds other files, which would be lost \(notes\.txt\)"):
        write_version(tmp_path, make_prepared(about=about))
    assert (version.folder / "notes.txt").read_text() == "mine"


def test_a_version_is_found_by_folder_and_by_the_start_of_its_hash(tmp_path, make_prepared):
    one = write_version(tmp_path, make_prepared()).version
    two = write_version(tmp_path, make_prepared(name="returns", created_at=datetime(2029, 1, 1, tzinfo=UTC))).version
    assert load(one.folder) == load(str(one.folder)) == one
    for length in (4, 12, 20, 64):
        assert load(one.hash[:length], tmp_path) == one
    assert versions(tmp_path) == [two, one]
    for wrong in ("abc", one.hash[:3], "refunds", one.hash[:12] + "ffffff", "0000000000"):
        with pytest.raises(DataError, match=f"There are: .*{one.hash[:12]}"):
            load(wrong, tmp_path)
    with pytest.raises(DataError, match="no prepared data here"):
        load(tmp_path / "elsewhere")
    assert versions(tmp_path / "elsewhere") == []


def test_a_start_that_fits_several_hashes_asks_for_more(tmp_path, make_prepared):
    version = write_version(tmp_path, make_prepared()).version
    shutil.copytree(version.folder, tmp_path / f"{version.hash[:8]}ffff")
    with pytest.raises(DataError, match="several data versions start so"):
        load(version.hash[:8], tmp_path)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda folder: (folder / "README.md").write_text("better"), r"README\.md was edited"),
        (lambda folder: (folder / "report.html").unlink(), r"report\.html is missing"),
        (lambda folder: (folder / "new.txt").write_text("x"), r"put there later: new\.txt"),
        (lambda folder: shutil.copy(folder / "test.parquet", folder / "train.parquet"), r"train\.parquet was edited"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "no readable manifest"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 2}'), "another version of Holdfast"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "no readable manifest"),
    ],
)
def test_every_edit_is_found(tmp_path, make_prepared, edit, said):
    folder = write_version(tmp_path, make_prepared()).version.folder
    edit(folder)
    with pytest.raises(DataError, match=said):
        load(folder)


def edited_manifest(folder, change):
    path = folder / "manifest.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def test_an_edited_manifest_is_found(tmp_path, make_prepared):
    folder = write_version(tmp_path, make_prepared()).version.folder
    edited_manifest(folder, lambda values: values["deciding"].update(seed=8))
    with pytest.raises(DataError, match=r"manifest\.json was edited"):
        load(folder)
    edited_manifest(folder, lambda values: values["files"].update({"../../etc/passwd": {"sha256": "", "num_bytes": 0}}))
    with pytest.raises(DataError, match="names parts or files that no version has"):
        load(folder)


def test_a_file_that_was_edited_together_with_its_hash_is_found_by_its_content(tmp_path, make_prepared):
    version = write_version(tmp_path, make_prepared()).version
    shutil.copy(version.folder / "test.parquet", version.folder / "train.parquet")
    edited_manifest(
        version.folder, lambda values: values["files"].update({"train.parquet": values["files"]["test.parquet"]})
    )
    edited = load(version.folder)
    with pytest.raises(DataError, match=r"train\.parquet holds other rows"):
        verify(edited, content=True)


def test_the_manifest_is_json_and_says_where_rows_come_from(tmp_path, make_prepared):
    version = write_version(tmp_path, make_prepared()).version
    values = json.loads(json.dumps(version.to_json()))
    assert values["sources"] == [
        {"path": "/in/a.jsonl", "num_bytes": 1234, "sha256": "ab" * 32, "num_rows": 12, "num_made": 0}
    ]
    assert values["created_at"] == "2030-01-02T03:04:05+00:00"
    assert "folder" not in values
    assert next(iter(version.rows("test"))).example.source == "/in/a.jsonl:9"


def test_ledgers_and_parts_are_written_from_streams(tmp_path, make_prepared, make_example):
    """Each is asked for once and taken row by row, so that no list of them need exist."""
    asked = []

    def rows():
        asked.append("train")
        yield from (PreparedRow(make_example(str(n)), ("a",) if n < 30 else ()) for n in range(100))

    def changed():
        asked.append("changed")
        yield from (
            ChangedRow(n, make_example(f"old {n}"), make_example(str(n)), ("a",), ("made new",)) for n in range(30)
        )

    data = make_prepared(train=rows, test=tuple, changed=changed, rejected=tuple, counts=Counts(100, 70, 30))
    version = write_version(tmp_path, data).version
    assert asked == ["train", "changed"]
    assert version.parts["train"].num_changed == 30
    assert len((version.folder / "changed.jsonl").read_text().splitlines()) == 30
