"""Several sources in a row: each row once, in order, as an Example or rejected, whatever is between them."""

import gzip
import json
import os
import tracemalloc

import pytest

from holdfast.data.read import read
from holdfast.data.rejected import Rejected
from holdfast.data.sources import documents, stream
from holdfast.data.sources.folders import files_like
from holdfast.errors import DataError


def row(text):
    return json.dumps({"prompt": text, "completion": "ok"}, ensure_ascii=False)


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


def taken(sources, **settings):
    notes = []
    rows = list(stream(sources, notes=notes, **settings))
    return (
        [item.messages[0].content for item in rows if not isinstance(item, Rejected)],
        [item for item in rows if isinstance(item, Rejected)],
        notes,
    )


def test_sources_follow_one_another_and_each_is_summed_up(write):
    one = write("one.jsonl", f"{row('a')}\nbroken\n{row('b')}")
    two = write("two.csv.gz", gzip.compress(b"text,label\nc,x\n"))
    texts, rejected, notes = taken([one, two])
    assert texts == ["a", "b", "c"]
    assert [(item.source, item.line) for item in rejected] == [(one, 2)]
    assert notes[0] == f"{one}: 3 rows, 2 as prompt/completion, 1 rejected"
    assert notes[1] == f"{two}: 1 rows, 1 as text + label, 0 rejected"


def test_rows_without_labels_are_read_where_they_get_one_later(write):
    path = write("mails.csv", "tweet,label\na,\nb,x\n")
    texts, rejected, notes = taken([path], unlabelled=True, columns={"text": "tweet"})
    assert (texts, rejected) == (["a", "b"], [])
    assert notes[0] == f"{path}: 2 rows, 1 as text without label, 1 as text + label, 0 rejected"


def test_a_folder_is_all_data_files_under_it_in_sorted_order(write, tmp_path):
    for name in ("b.jsonl", "a.json", "deep/er/c.jsonl", "deep/with space.jsonl", "deep/שלום.jsonl"):
        write(name, f"[{row(name)}]" if name.endswith(".json") else row(name))
    write("readme.md", "# no rows")
    write("picture.png", b"\x89PNG")
    texts, rejected, notes = taken([str(tmp_path)])
    assert texts == ["a.json", "b.jsonl", "deep/with space.jsonl", "deep/שלום.jsonl", "deep/er/c.jsonl"]
    assert rejected == []
    assert f"{tmp_path}: files that hold no rows were not read: 1 .png" in notes
    assert any("1 documents, which hold passages and no rows" in note and "readme.md" in note for note in notes)
    assert [path.name for path in documents([str(tmp_path)], [])] == ["readme.md"]


def test_in_a_folder_a_file_that_cannot_be_read_is_one_rejected_row_and_the_rest_goes_on(write, tmp_path):
    write("a.jsonl.gz", b"no gzip")
    write("b.csv", "text,text\n")
    write("c.jsonl", row("c"))
    write("d.jsonl", "")
    texts, rejected, _ = taken([str(tmp_path)])
    assert texts == ["c"]
    assert [(os.path.basename(item.source), item.line, item.kind) for item in rejected] == [
        ("a.jsonl.gz", 0, "file"),
        ("b.csv", 0, "file"),
        ("d.jsonl", 0, "file"),
    ]
    assert "gzip file is damaged" in rejected[0].reason
    with pytest.raises(DataError, match="gzip"):
        taken([str(tmp_path / "a.jsonl.gz")])


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "x/b.jsonl", "x/y/c.jsonl"]),
        ("x/**", ["x/b.jsonl", "x/n.csv", "x/y/c.jsonl"]),
        ("*/[bc].jsonl", ["x/b.jsonl"]),
        ("*/[!b].csv", ["x/n.csv"]),
        ("?.jsonl", ["a.jsonl"]),
        ("x/y/*", ["x/y/c.jsonl"]),
        ("nothing*", []),
    ],
)
def test_patterns_mean_what_they_mean_in_the_shell(write, tmp_path, pattern, found):
    for name in ("a.jsonl", "x/b.jsonl", "x/y/c.jsonl", "x/n.csv", ".hidden/d.jsonl"):
        write(name, row(name))
    paths = [path.relative_to(tmp_path).as_posix() for path in files_like(str(tmp_path / pattern), [])]
    assert paths == found


def test_a_pattern_without_files_and_a_folder_without_data_are_errors(write, tmp_path):
    write("notes.log", "x")
    for source in (str(tmp_path), str(tmp_path / "*.jsonl")):
        with pytest.raises(DataError, match="there is no data here"):
            taken([source])
    with pytest.raises(DataError, match="there is no folder"):
        taken([str(tmp_path / "nowhere" / "*.jsonl")])
    with pytest.raises(DataError, match="no source: there are no rows"):
        taken([])


def test_links_are_followed_inside_the_folder_only_and_no_file_is_read_twice(write, tmp_path):
    write("outside/secret.jsonl", row("secret"))
    write("data/a.jsonl", row("a"))
    write("data/.blobs/b", row("b"))
    folder = tmp_path / "data"
    (folder / "again.jsonl").symlink_to(folder / "a.jsonl")
    (folder / "b.jsonl").symlink_to(".blobs/b")  # as data sets are kept in a cache
    (folder / "out.jsonl").symlink_to("../outside/secret.jsonl")
    (folder / "outdir").symlink_to("../outside")
    (folder / "loop").symlink_to(".")
    (folder / "nowhere.jsonl").symlink_to("gone.jsonl")
    os.link(folder / "a.jsonl", folder / "hard.jsonl")
    os.mkfifo(folder / "pipe.jsonl")
    texts, rejected, notes = taken([str(folder)])
    assert (texts, rejected) == (["a", "b"], [])
    said = "\n".join(notes)
    assert "links that lead out of the folder: out.jsonl, outdir" in said
    assert "files that were read under another name: again.jsonl, hard.jsonl" in said
    assert "folders that were read under another name: loop" in said
    assert "no regular files (pipes, sockets, devices): pipe.jsonl" in said
    assert "not readable (No such file or directory): nowhere.jsonl" in said
    assert "hidden: .blobs" in said
    # what a person names is followed wherever it leads, but a pipe is never opened
    assert taken([str(folder / "out.jsonl")])[0] == ["secret"]
    with pytest.raises(DataError, match="is not a regular file"):
        taken([str(folder / "pipe.jsonl")])


def test_a_draw_is_that_of_read_and_rejected_rows_all_stay(write):
    path = write("a.jsonl", "\n".join(row(str(number)) for number in range(40)) + "\nbroken\n")
    texts, rejected, notes = taken([f"{path}#7"], seed=3)
    assert texts == [example.messages[0].content for example in read(f"{path}#7", seed=3).examples]
    assert len(rejected) == 1
    assert any("7 of 40 usable rows were drawn at random (seed 3)" in note for note in notes)


def test_drawn_examples_are_as_they_were(write):
    line = json.dumps(
        {
            "messages": [
                {"role": "user", "content": "سلام"},
                {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "content": "3", "tool_call_id": "1"},
                {"role": "assistant", "content": "drei", "weight": 0},
                {"role": "user", "content": "und?"},
                {"role": "assistant", "content": "so"},
            ],
            "tools": [{"name": "f", "parameters": {"type": "object"}}],
            "when": {"year": 2026},
        }
    )
    path = write("a.jsonl", line)
    assert list(stream([f"{path}#1"], keep={"when"}, notes=[])) == list(stream([path], keep={"when"}, notes=[]))


def test_a_column_that_no_source_has_is_an_error_and_one_that_some_have_is_not(write):
    one = write("one.csv", "text,sentiment\na,x\n")
    two = write("two.csv", "text,label\nb,y\n")
    assert taken([one, two], columns={"label": "sentiment"})[0] == ["a"]
    with pytest.raises(DataError, match="Did you mean 'sentiment'"):
        taken([one, two], columns={"label": "sentimnt"})


def test_reading_holds_a_few_blocks_however_long_the_file(write):
    text = "x" * 40_000
    lines = [f'{{"prompt": "{number} {text}", "completion": "b"}}' for number in range(400)]  # 16 MB
    path = write("a.jsonl", "\n".join(lines))
    listed = write("a.json", "[" + ",\n".join(lines) + "]")
    table = write("a.csv", "prompt,completion\n" + f"{text},b\n" * 400)
    for place in (path, listed, table):
        rows = stream([place], notes=[])
        next(rows)
        tracemalloc.start()
        num_rows = 1 + sum(1 for _ in rows)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert num_rows == 400
        assert peak < 6_000_000, place


def test_nothing_on_the_network_is_read():
    for source in ("https://example.org/a.jsonl", "s3://bucket/a.csv"):
        with pytest.raises(DataError, match="nothing is downloaded"):
            taken([source])
