"""Files as they come: every row ends as an Example or as a rejected row with its line and reason."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.read import read
from holdfast.errors import DataError

GOOD = '{"prompt": "hi", "completion": "hello"}'


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


def lines_and_kinds(result):
    return [(row.line, row.kind) for row in result.rejected]


def test_all_bad_lines_are_reported_at_once_and_none_is_lost(write):
    bad = ["{", "[1]", "5", "null", '{"prompt": "hi"}', '{"a": 1, "a": 1}', '{"x": NaN}']
    path = write("a.jsonl", "\n".join([GOOD, *bad, GOOD.replace("hi", "yo")]))
    result = read(path)
    assert [example.source for example in result.examples] == [f"{path}:1", f"{path}:9"]
    assert [row.line for row in result.rejected] == [2, 3, 4, 5, 6, 7, 8]
    assert [row.raw for row in result.rejected] == bad
    assert all(row.reason and row.source == path for row in result.rejected)
    assert (result.num_rows, result.num_not_drawn) == (9, 0)
    assert result.format == "prompt/completion"
    assert "9 rows, 2 as prompt/completion, 7 rejected" in result.notes[0]


def test_a_byte_order_mark_crlf_and_empty_lines_do_no_harm(write):
    result = read(write("a.jsonl", b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\r\n  \n" + GOOD.encode() + b"\r\n"))
    assert [example.source.rsplit(":", 1)[1] for example in result.examples] == ["1", "4"]
    assert "a byte order mark at the start was removed" in result.notes
    assert "2 empty lines were skipped" in result.notes


def test_broken_utf8_is_one_bad_line_and_its_bytes_are_shown(write):
    content = GOOD.encode() + b"\n" + b'{"prompt": "a\xff", "completion": "b"}\n' + GOOD.encode()
    result = read(write("a.jsonl", content))
    assert len(result.examples) == 2
    (row,) = result.rejected
    assert (row.line, row.kind, row.reason) == (2, "encoding", "byte 14 (0xff) is not UTF-8")
    assert "a\\xff" in row.raw


def test_characters_that_look_like_line_ends_stay_inside_a_line(write):
    text = "a\u2028b\x85c\x0bd\x0ce"
    result = read(write("a.jsonl", json.dumps({"prompt": text, "completion": "ok"}, ensure_ascii=False)))
    assert result.examples[0].messages[0].content == text


def test_a_giant_line_is_read_whole(write):
    text = "x" * 3_000_000
    result = read(write("a.jsonl", json.dumps({"prompt": text, "completion": "ok"})))
    assert result.examples[0].messages[0].content == text


def test_persian_text_is_kept_to_the_character(write):
    text = "می‌خواهم کتابِ «شاهنامه» را بخوانم؛ ۱۲۳"
    result = read(write("a.jsonl", json.dumps({"prompt": text, "completion": text}, ensure_ascii=False)))
    assert [message.content for message in result.examples[0].messages] == [text, text]


def test_gzipped_files_are_read_and_damaged_ones_are_named(write):
    packed = gzip.compress((GOOD + "\n" + GOOD.replace("hi", "yo")).encode())
    assert len(read(write("a.jsonl.gz", packed)).examples) == 2
    assert len(read(write("a.csv.gz", gzip.compress(b"text,label\nso tired,sad\n"))).examples) == 1
    for damaged in (packed[:-12], b"no gzip", packed[:20] + b"\xff\xff" + packed[22:]):
        with pytest.raises(DataError, match="gzip"):
            read(write("b.jsonl.gz", damaged))


def test_json_lists_and_their_bad_items(write):
    good = json.loads(GOOD)
    assert len(read(write("a.json", json.dumps([good, good], indent=2))).examples) == 2
    result = read(write("b.json", f'[{GOOD}, {{"a": 1, "a": 2}}, 7, {GOOD}]'))
    assert (len(result.examples), lines_and_kinds(result)) == (2, [(2, "json"), (3, "json")])
    result = read(write("c.json", f"[{GOOD}, {{broken, {GOOD}]"))
    assert len(result.examples) == 1
    assert result.rejected[0].raw == f"{{broken, {GOOD}]"
    assert "later items are left out" in result.rejected[0].reason
    result = read(write("d.json", f"[{GOOD} {GOOD}]"))
    assert (len(result.examples), lines_and_kinds(result)) == (1, [(2, "json")])
    result = read(write("e.json", f"[{GOOD}] tail"))
    assert (len(result.examples), result.rejected[0].raw) == (1, "tail")


def test_json_files_that_are_really_something_else(write):
    result = read(write("a.json", GOOD + "\n" + GOOD))
    assert len(result.examples) == 2
    assert any("line by line" in note for note in result.notes)
    assert len(read(write("b.json", json.dumps({"data": [json.loads(GOOD)] * 3}))).examples) == 3
    assert len(read(write("c.json", json.dumps(json.loads(GOOD), indent=1))).examples) == 1
    with pytest.raises(DataError, match="not UTF-8"):
        read(write("d.json", b"[\xff]"))
    with pytest.raises(DataError, match="no rows"):
        read(write("e.json", "[]"))


def test_csv_cells_with_line_breaks_quotes_and_persian(write):
    text = 'one\ntwo, "three"\r\n' + "چهار"
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["text", "label"], [text, "a"], ["plain", "b"]])
    result = read(write("a.csv", buffer.getvalue()))
    assert [example.messages[0].content for example in result.examples] == [text, "plain"]
    assert [example.source.rsplit(":", 1)[1] for example in result.examples] == ["2", "5"]


def test_bad_csv_rows_are_reported_with_the_line_where_they_start(write):
    content = b'text,label\na,x\nb\nc,d,e\n"q"r,x\n\nn,\nbad \xff,x\nlast,x\n'
    result = read(write("a.csv", content))
    assert [example.messages[0].content for example in result.examples] == ["a", "last"]
    assert lines_and_kinds(result) == [(3, "columns"), (4, "columns"), (5, "csv"), (7, "label"), (8, "encoding")]
    assert result.rejected[1].reason == "has 3 cells where the header has 2"
    assert result.rejected[4].raw == "bad \\xff,x"
    assert "1 empty lines were skipped" in result.notes


def test_a_quote_that_is_never_closed_takes_the_rest_and_says_so(write):
    result = read(write("a.csv", 'text,label\na,x\n"open,x\nb,x\n'))
    assert len(result.examples) == 1
    assert "lines 3 to 4 are left out" in result.rejected[0].reason
    assert result.rejected[0].raw == '"open,x\nb,x\n'


def test_other_delimiters_and_giant_cells(write):
    giant = "x" * 200_000
    limit = csv.field_size_limit()
    assert read(write("a.csv", f"text,label\n{giant},x\n")).examples[0].messages[0].content == giant
    assert csv.field_size_limit() == limit
    result = read(write("b.csv", "text;label\na,b;x\n"))
    assert result.examples[0].messages[0].content == "a,b"
    assert "cells are separated by a semicolon" in result.notes
    assert read(write("c.tsv", "text\tlabel\na, b\tx\n")).examples[0].label == "x"


@pytest.mark.parametrize("header", ["text,text", "text,", '"text'])
def test_a_header_that_cannot_be_right_is_an_error(write, header):
    with pytest.raises(DataError, match=r"column names must differ|header line is not CSV"):
        read(write("a.csv", header + "\na,b\n"))


def test_columns_are_mapped_and_wrong_names_are_errors_with_the_nearest(write):
    path = write("a.csv", "text,sentiment,label\nso tired,sad,9\n")
    result = read(path, columns={"label": "sentiment"})
    assert result.examples[0].label == "sad"
    with pytest.raises(DataError, match="Did you mean 'sentiment'"):
        read(path, columns={"label": "sentimnt"})
    with pytest.raises(DataError, match="There are: label, sentiment, text"):
        read(path, columns={"label": "zzz"})


def test_mixed_formats_and_unused_columns_are_said_aloud(write):
    path = write(
        "a.jsonl", f'{GOOD}\n{GOOD}\n{{"text": "a", "label": "b"}}\n{{"question": "q", "answer": "a", "id": 1}}'
    )
    result = read(path)
    assert result.format == "prompt/completion / text + label / question + answer"
    assert "not used: id (1)" in result.notes


def test_a_sample_is_random_repeatable_and_said_aloud(write):
    path = write("a.jsonl", "\n".join(GOOD.replace("hi", f"hi {n}") for n in range(50)) + "\nbroken")
    one, two, other = read(path + "#10"), read(path + "#10"), read(path + "#10", seed=1)
    assert one.examples == two.examples != other.examples
    assert len(one.examples) == 10
    assert (one.num_rows, len(one.rejected), one.num_not_drawn) == (51, 1, 40)
    assert any("10 of 50 usable rows were drawn at random (seed 0)" in note for note in one.notes)
    everything = read(path + "#99")
    assert len(everything.examples) == 50
    assert any("all of them are taken" in note for note in everything.notes)
    with pytest.raises(DataError, match="asks for no rows"):
        read(path + "#0")


def test_a_folder_means_its_only_file_or_its_train_file(write, tmp_path):
    write("train.jsonl", GOOD + "\nbroken")
    result = read(str(tmp_path))
    assert result.examples[0].source == str(tmp_path / "train.jsonl:1")
    assert len(result.rejected) == 1
    write("test.jsonl", GOOD)
    assert any("train.jsonl was read (not read: test.jsonl)" in note for note in read(str(tmp_path)).notes)


def test_what_is_no_file_and_a_folder_without_data_are_named_as_such(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="this folder holds no data"):
        read(str(tmp_path))
    with pytest.raises(DataError, match="/dev/null: is not a regular file"):
        read("/dev/null")


def test_reasons_and_notes_can_always_be_stored(write):
    lines = [
        '{"\\ud800": 1}',
        '{"\\ud800": 1, "\\ud800": 2}',
        '{"prompt": "a", "completion": "\\udfff"}',
        GOOD[:-1] + ', "\\ud800": 1}',
        '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant",'
        ' "tool_calls": [{"name": "\\ud800", "arguments": "{"}]}]}',
    ]
    result = read(write("a.jsonl", "\n".join(lines)))
    assert len(result.rejected) == 4
    for text in [*result.notes, *(row.reason + row.raw for row in result.rejected)]:
        text.encode()
    result = read(write("a.csv", b"text,label,bad \xff\na,b,c\n"))
    "".join(result.notes).encode()


def test_a_file_whose_name_ends_like_a_sample_is_a_file(write):
    assert len(read(write("a#1.jsonl", GOOD)).examples) == 1


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_an_empty_file_is_an_error(write, name, content):
    with pytest.raises(DataError, match="empty"):
        read(write(name, content))


def test_a_file_without_permission_is_an_error(write, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    path = write("a.jsonl", GOOD)
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        read(path)


def test_files_that_cannot_be_read_are_errors_that_say_what_to_do(write, tmp_path):
    with pytest.raises(DataError, match="UTF-16"):
        read(write("a.jsonl", GOOD.encode("utf-16")))
    with pytest.raises(DataError, match=r"kind of file is not read. Use \.jsonl"):
        read(write("a.xlsx", "x"))
    write("refunds.jsonl", GOOD)
    with pytest.raises(DataError, match=r"no such file. Did you mean .*refunds\.jsonl"):
        read(str(tmp_path / "refund.jsonl"))
    with pytest.raises(DataError, match="There is no folder"):
        read(str(tmp_path / "nowhere" / "x.jsonl"))
    for nonsense in ("what is this", "x" * 5000 + ".jsonl", "x" * 5000 + "/y", "a\0b.jsonl", "~nobody-here/x.jsonl"):
        with pytest.raises(DataError, match="no such file"):
            read(nonsense)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line) | st.just(GOOD.encode()), min_size=1))
def test_whatever_the_bytes_every_line_is_kept_or_rejected(tmp_path_factory, lines):
    content = b"\n".join([GOOD.encode(), *lines])
    path = tmp_path_factory.mktemp("bytes") / "a.jsonl"
    path.write_bytes(content)
    result = read(str(path))
    num_full = sum(bool(line.rstrip(b"\r").strip()) for line in content.split(b"\n"))
    assert len(result.examples) + len(result.rejected) == result.num_rows == num_full


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=5)), min_size=1, max_size=8))
def test_whatever_the_cells_every_csv_row_is_kept_or_rejected(tmp_path_factory, rows):
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    path.write_bytes(buffer.getvalue().encode("utf-8", "surrogatepass"))
    result = read(str(path))
    assert len(result.examples) + len(result.rejected) == len(rows)
