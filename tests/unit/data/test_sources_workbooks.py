"""Workbooks: values by the header's names, rows by their number in the sheet, attacks refused before parsing."""

import datetime
import io
import re
import zipfile

import pytest

from holdfast.data.rejected import Rejected
from holdfast.data.sources import stream
from holdfast.data.sources.archives import MAX_BYTES, check_archive
from holdfast.errors import DataError

openpyxl = pytest.importorskip("openpyxl")


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return str(path)


def rewritten(path, part, change):
    """The archive with one part changed."""
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            data = old.read(item)
            new.writestr(item.filename, change(data.decode()).encode() if item.filename == part else data)


def taken(source, **settings):
    notes = []
    rows = list(stream([str(source)], notes=notes, **settings))
    return (
        [item for item in rows if not isinstance(item, Rejected)],
        [i for i in rows if isinstance(i, Rejected)],
        notes,
    )


def test_rows_have_their_number_in_the_sheet_and_values_as_text_numbers_and_dates(tmp_path):
    day = datetime.datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001 - sheets know no time zones
    path = workbook(
        tmp_path / "a b.xlsx",
        data=[[None], ["text", "label", "when", "n"], ["hi", 3, day, 1.5], [None, None], ["سلام", "x", None, True]],
    )
    good, rejected, notes = taken(path, keep={"when", "n"})
    assert [(e.source, e.messages[0].content, e.label, dict(e.columns)) for e in good] == [
        (f"{path}:3", "hi", "3", {"when": "2026-01-02T03:04:00", "n": 1.5}),
        (f"{path}:5", "سلام", "x", {"n": True}),
    ]
    assert rejected == []
    assert len(notes) >= 1


def test_a_sheet_is_named_after_the_file_and_the_first_is_read_otherwise(tmp_path):
    path = workbook(tmp_path / "a.xlsx", one=[["text", "label"], ["a", "x"]], two=[["text", "label"], ["b", "y"]])
    good, _, notes = taken(path)
    assert good[0].label == "x"
    assert any("the sheet 'one' was read (not read: two; name one as FILE:SHEET)" in note for note in notes)
    (only,) = taken(f"{path}:two")[0]
    assert (only.label, only.source) == ("y", f"{path}:two:2")
    assert taken(f"{path}:two#1")[0][0].label == "y"
    with pytest.raises(DataError, match=r"has no sheet 'three'\. There are: one, two"):
        taken(f"{path}:three")


def test_cells_that_say_nothing_certain_reject_their_row(tmp_path):
    rows = [["text", "label"], ["=1+1", "x"], ["b", "#N/A"], ["c", "y", "lost"], ["d", "z"]]
    good, rejected, _ = taken(workbook(tmp_path / "a.xlsx", s=rows))
    assert [example.label for example in good] == ["z"]
    assert [(item.line, item.kind) for item in rejected] == [(2, "cell"), (3, "cell"), (4, "columns")]
    assert "cell A2 is a formula without a stored value" in rejected[0].reason
    assert "cell B3 is the error #N/A" in rejected[1].reason
    assert "lost" in rejected[2].raw


def test_a_formula_counts_by_its_stored_value_and_an_injection_stays_text(tmp_path):
    path = tmp_path / "a.xlsx"
    workbook(path, s=[["text", "label"], ["=1+1", "x"], ["=cmd|'/C calc'!A0", "y"]])
    rewritten(
        path, "xl/worksheets/sheet1.xml", lambda xml: re.sub(r"<f>1\+1</f><v ?/?>(</v>)?", "<f>1+1</f><v>2</v>", xml)
    )
    book = openpyxl.load_workbook(path)
    assert book.active["A2"].value == "=1+1"
    good, rejected, _ = taken(path)
    assert [item.line for item in rejected] == [2, 3]  # a number is no text; a formula was never calculated
    assert "text is a number" in rejected[0].reason
    book.active["A3"].data_type = "s"
    book.save(path)
    assert taken(path)[0][0].messages[0].content == "=cmd|'/C calc'!A0"
    assert good == []


def test_rows_that_have_the_same_number_are_all_read_and_large_numbers_are_not_counted_up_to(tmp_path):
    path = tmp_path / "a.xlsx"
    workbook(path, s=[["text", "label"], ["a", "x"], ["b", "y"]])
    rewritten(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace('"3"', '"2"').replace("A3", "A99999999"))
    good, _, _ = taken(path)
    assert [example.label for example in good] == ["x", "y"]


@pytest.mark.parametrize("rows", [[], [[None]], [["a", "a"], [1, 2]]])
def test_a_sheet_without_usable_names_is_an_error(tmp_path, rows):
    with pytest.raises(DataError, match=r"sheet is empty|names must\s+differ"):
        taken(workbook(tmp_path / "a.xlsx", s=rows))


def test_what_is_no_workbook_is_one_clear_error(tmp_path):
    path = tmp_path / "a.xlsx"
    workbook(path, s=[["text", "label"], ["a", "x"]])
    whole = path.read_bytes()
    for content, said in (
        (b"", "damaged or is none"),
        (b"text,label", "damaged or is none"),
        (whole[:-40], "damaged or is none"),
        (whole[: len(whole) // 2], "damaged or is none"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 512, "protected by a password"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=said):
            taken(path)


def test_zip_bombs_are_refused_by_what_they_declare(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", b" " * (65 << 20))
    with pytest.raises(DataError, match="zip bomb"):
        taken(path)
    # what declares less than it holds is cut off there and fails its check sum
    content = path.read_bytes().replace((65 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        taken(path)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}.xml", "")
    with pytest.raises(DataError, match="has 10001 parts"):
        check_archive(path, "XLSX")
    assert MAX_BYTES == 1 << 30


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml", "[Content_Types].xml"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp037"])
def test_entities_are_refused_in_every_part_and_encoding(tmp_path, part, encoding):
    path = tmp_path / "a.xlsx"
    workbook(path, s=[["text", "label"], ["a", "x"]])
    with zipfile.ZipFile(path) as archive:
        parts = {item.filename: archive.read(item) for item in archive.infolist()}
    body = parts[part].decode()
    body = re.sub(r"^<\?xml.*?\?>", "", body)
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    if encoding == "cp037":  # its head is read as ASCII, all after it in EBCDIC, where the word cannot be seen
        parts[part] = head.encode() + (BOMB + body).encode(encoding)
    else:
        parts[part] = (head + BOMB + body).encode(encoding)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match=r"document type or entities|in the encoding cp037"):
        taken(path)
