"""Rows longer than a row may be, and files that are larger than they look: rejected with their place, never held."""

import gzip
import json

import pytest

from holdfast.data.rejected import Rejected
from holdfast.data.sources import csv_files, json_files, json_lines, opened, stream
from holdfast.errors import DataError

GOOD = '{"prompt": "hi", "completion": "hello"}'
LIMIT = 2000


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch):
    for module in (csv_files, json_files, json_lines):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", LIMIT)
    monkeypatch.setattr(json_files, "BLOCK", 64)


def taken(path):
    notes = []
    rows = list(stream([str(path)], notes=notes))
    return (
        [item for item in rows if not isinstance(item, Rejected)],
        [i for i in rows if isinstance(i, Rejected)],
        notes,
    )


def test_a_line_that_is_too_long_is_rejected_with_its_length_and_place(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{GOOD}\n{'x' * 5000}\n{GOOD}\n{'y' * 2001}")
    good, rejected, _ = taken(path)
    assert [item.source.rsplit(":", 1)[1] for item in good] == ["1", "3"]
    assert [(item.line, item.kind) for item in rejected] == [(2, "too long"), (4, "too long")]
    assert rejected[0].reason.startswith("is a line of 5001 bytes, from byte 41 on; a row may have 2000")
    assert rejected[0].raw == "x" * 200 + "… (shortened)"
    assert "is a line of 2001 bytes, from byte 5082 on" in rejected[1].reason
    path.write_text("x" * 1999 + "\n")
    assert taken(path)[1][0].kind == "json"  # as long as a row may be, newline and all


def test_csv_records_that_are_too_long_are_passed_over(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"text,label\na,x\n{'b' * 5000},x\nc,x\n" + '"open,x\n' + "d,x\n" * 1000 + "e,x\n")
    good, rejected, _ = taken(path)
    assert [example.messages[0].content for example in good[:2]] == ["a", "c"]
    assert rejected[0].reason.startswith("has 5003 bytes, from byte 16 to the end of line 3; a row may have 2000")
    assert rejected[1].line == 5
    assert "a quote that is never closed looks like this" in rejected[1].reason
    # reading goes on after the part that was passed over: each of the 1003 later lines is in it, or a row
    num_passed = int(rejected[1].reason.split("end of line ")[1].split(";")[0]) - 4
    assert len(good) - 2 + num_passed == 1002


def test_items_of_a_list_that_are_too_long_are_rejected_or_end_the_list(tmp_path):
    path = tmp_path / "a.json"
    long = json.dumps({"prompt": "x" * 2500, "completion": "y"})
    path.write_text(f"[{GOOD}, {long}, {GOOD}]")
    good, rejected, _ = taken(path)
    assert (len(good), [(item.line, item.kind) for item in rejected]) == (2, [(2, "too long")])
    path.write_text(f'[{GOOD}, {{"prompt": "{"x" * 9000}')
    good, rejected, _ = taken(path)
    assert len(good) == 1
    assert "later items are left out" in rejected[0].reason
    assert rejected[0].raw.endswith("(9012 characters)")


def test_a_list_is_the_same_however_the_blocks_cut_it(tmp_path, monkeypatch):
    rows = [
        {"prompt": f"{number} سلام 😀", "completion": "x" * number, "n": [1.5e-3, -7, True, None]}
        for number in range(1, 31)
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1))
    found = set()
    for size in (7, 8, 63, 64, 1000, 1 << 20):
        monkeypatch.setattr(json_files, "BLOCK", size)
        good, rejected, _ = taken(path)
        assert rejected == []
        found.add(tuple(example.id for example in good))
    assert len(found) == 1
    assert len(found.pop()) == 30
    path.write_text(json.dumps({"version": 2, "data": rows, "more": {"a": [1]}}, indent=1))
    monkeypatch.setattr(json_files, "BLOCK", 64)
    assert len(taken(path)[0]) == 30


def test_numbers_that_a_block_cuts_are_one_number(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "BLOCK", 4)
    path = tmp_path / "a.json"
    path.write_text("[12345678, 1.5e10, true]")
    assert [item.raw for item in taken(path)[1]] == ["12345678", "1.5e10", "true"]


def test_what_follows_a_data_list_must_be_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(f'{{\n"data": [{GOOD}], "more": }}')
    good, rejected, notes = taken(path)
    assert len(good) == 1
    assert "what follows the list under `data`" in rejected[0].reason
    assert any("list under `data`" in note for note in notes)


def test_one_large_json_value_is_an_error_and_large_jsonl_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{\n" + ",\n".join(f'"{number}": {GOOD}' for number in range(200)) + "}")
    with pytest.raises(DataError, match="neither a list nor an object with"):
        taken(path)
    path.write_text(f"{GOOD}\n" * 200)
    assert len(taken(path)[0]) == 200


def test_deep_nesting_is_one_bad_item(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "MAX_ROW_BYTES", 1 << 20)
    path = tmp_path / "a.json"
    deep = "[" * 50_000 + "]" * 50_000
    path.write_text(f'[{GOOD}, {deep}, {{"prompt": {deep}, "completion": "]"}}, {GOOD}]')
    good, rejected, _ = taken(path)
    assert (len(good), [(item.line, item.reason) for item in rejected]) == (
        2,
        [(2, "nested more than 100 deep"), (3, "nested more than 100 deep")],
    )
    path.write_text("[" * 100_000 + r'"\"' * 1000)
    assert len(taken(path)[1]) == 1


def test_a_gzip_bomb_ends_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "_BOMB_BYTES", 3 << 20)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(f"{GOOD}\n".encode() + b"\0" * (16 << 20)))
    with pytest.raises(DataError, match="more than 1000 for one"):
        taken(path)
    path.write_bytes(gzip.compress(f"{GOOD}\n".encode() * 30)[:-9])
    with pytest.raises(DataError, match="damaged or cut off"):
        taken(path)
