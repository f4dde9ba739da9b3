"""Thousands of broken and hostile files: no crash but a clear error, no hang, and every row accounted for.

Each file is made from a seed, so that a failure names all that is needed to make it again. `HOLDFAST_FUZZ=10000` says
how many; without it some hundred are tried.
"""

import contextlib
import csv
import functools
import gzip
import io
import json
import os
import random
import signal
import zipfile
from pathlib import Path

import pytest

from holdfast.data.rejected import Rejected
from holdfast.data.sources import is_document, opened, passages, stream
from holdfast.data.sources.csv_files import csv_rows
from holdfast.data.sources.json_files import json_rows
from holdfast.data.sources.json_lines import jsonl_rows
from holdfast.data.sources.rows import MAX_ROW_BYTES
from holdfast.errors import DataError

NUM_FILES = int(os.environ.get("HOLDFAST_FUZZ", "300"))
SECONDS = 60  # a guard: a file takes milliseconds
WORDS = (
    "wo",
    "ist",
    "die",
    "Größe",
    "سلام",
    "کتاب",
    "你好",
    "😀",
    "=cmd|'/C calc'!A0",
    "@SUM(1)",
    "a,b",
    '"',
    "\\",
    "\u2028",
    "",
)
ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "cp1252",
    "cp1256",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "gb18030",
    "cp932",
    "cp037",
    "utf-7",
)


@contextlib.contextmanager
def guarded(what):
    def stop(_signal, _frame):
        raise TimeoutError(f"{what} took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def text(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(0, 8)))


def good_row(rng):
    return rng.choice(
        [
            {"prompt": text(rng), "completion": text(rng)},
            {"text": text(rng), "label": rng.choice(["a", "b", 3, 1.0])},
            {"messages": [{"role": "user", "content": text(rng)}, {"role": "assistant", "content": text(rng)}]},
        ]
    )


def item(rng):
    """One JSON value that ends where it should, usable or not."""
    odd = [
        '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}', "7", "null", '"text"', '"\\ud800"', "[]",
        "[" * 150 + "]" * 150, "[" * 3000 + '"]"' + "]" * 3000,
        '{"n": ' + "9" * 5000 + "}", '{"messages": [{"role": "user"}, 5]}',
    ]  # fmt: skip
    return rng.choice(odd) if rng.random() < 0.2 else json.dumps(good_row(rng), ensure_ascii=rng.random() < 0.5)


INSERTS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\r", b"\n\n", b'"', b"[[{", b"}", b"\\")
DAMAGES = (
    lambda rng, before, part, after: before,  # cut off
    lambda rng, before, part, after: before + after,
    lambda rng, before, part, after: before + part * rng.randint(2, 20) + after,
    lambda rng, before, part, after: before + rng.randbytes(len(part)) + part + after,
    lambda rng, before, part, after: before + rng.randbytes(len(part)) + after,
    lambda rng, before, part, after: before + b"\0" * len(part) + part + after,
    lambda rng, before, part, after: before + rng.choice(INSERTS) + part + after,
    lambda rng, before, part, after: before + rng.choice(INSERTS) * rng.randint(1, 30_000) + part + after,
    lambda rng, before, part, after: before + text(rng).encode(rng.choice(ENCODINGS), "replace") + after,
)


def broken(rng, content):
    """Bytes with a few things done to them."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(content))
        end = min(len(content), start + rng.randint(0, 200))
        content = rng.choice(DAMAGES)(rng, content[:start], content[start:end], content[end:])
    return content


def visible(rows):
    """All characters of rows but the space around and between them."""
    return "".join("".join(row.raw.split()) for row in rows)


def make_jsonl(rng, path):
    lines = [item(rng) for _ in range(rng.randint(0, 30))]
    content = "\n".join(lines).encode()
    if rng.random() < 0.7:
        content = broken(rng, content)
    if rng.random() < 0.01:
        content += b"\n" + b"z" * (MAX_ROW_BYTES + 5) + b"\n" + item(rng).encode()
    path.write_bytes(content)
    notes, rows = [], []
    with contextlib.suppress(DataError):
        rows = list(jsonl_rows(path, notes))
        full = [line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
        assert len(rows) == len(full)
        return len(full) if b"\0" not in content and content[:2] not in (b"\xff\xfe", b"\xfe\xff") else None
    return None


def make_encoded(rng, path):
    encoding = rng.choice(ENCODINGS)
    num_rows = rng.randint(1, 40)
    rows = ["x" + text(rng).replace("\u2028", "").replace('"', "") for _ in range(num_rows)]
    path = path.with_suffix(".csv")
    table = "".join(f'"{row}";"k"\n' for row in ["text", *rows]).replace('"k"', '"label"', 1)
    path.write_bytes(table.encode(encoding, "replace"))
    return num_rows if encoding not in ("cp037", "utf-16-le") else None


def make_json(rng, path):
    items = [item(rng) for _ in range(rng.randint(1, 30))]
    space = rng.choice(["", " ", "\n", "\r\n  "])
    listed = "[" + space + f",{space}".join(items) + space + "]"
    if rng.random() < 0.3:
        listed = '{"version": [1, {}],' + space + '"data": ' + listed + rng.choice(["}", ', "end": 1}'])
    content = listed.encode()
    num_rows = len(items)
    if rng.random() < 0.6:
        content, num_rows = broken(rng, content), None
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        found = list(json_rows(path, [], guess=True))
        assert num_rows is None or len(found) == num_rows
    return num_rows


def make_csv(rng, path):
    buffer = io.StringIO()
    writer = csv.writer(
        buffer, delimiter=rng.choice(",;\t|"), quoting=csv.QUOTE_ALL, lineterminator=rng.choice(["\n", "\r\n"])
    )
    writer.writerow(["text", "label"])
    cells = [(text(rng) + rng.choice(["", "\n", "\r\nx"]), rng.choice("ab")) for _ in range(rng.randint(0, 30))]
    writer.writerows(cells)
    content = buffer.getvalue().encode()
    num_rows = len(cells)
    if rng.random() < 0.7:
        content, num_rows = broken(rng, content), None
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        rows = list(csv_rows(path, []))
        if content.isascii():  # nothing is lost: what the rows show is what stands below the header
            assert "".join(content.decode().split()).endswith(visible(rows))
        return len(rows) if content.isascii() and b"\0" not in content else num_rows
    return None


def make_zipped(rng, path):
    content = ("\n".join(item(rng) for _ in range(50)) + "\n").encode()
    if rng.random() < 0.1:
        content += b"\0" * (16 << 20)  # a bomb
    path.with_name(path.name + ".gz").write_bytes(broken(rng, gzip.compress(content)))


def make_table(rng, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    num_rows = rng.randint(0, 30)
    table = pa.table(
        {"text": [text(rng) for _ in range(num_rows)], "label": ["x"] * num_rows, "n": [[{"a": 1}]] * num_rows}
    )
    pq.write_table(table, path, compression=rng.choice(["none", "snappy", "zstd"]))
    if rng.random() < 0.8:
        path.write_bytes(broken(rng, path.read_bytes()))
        return None
    return num_rows


def make_workbook(rng, path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    num_rows = rng.randint(0, 20)
    for _ in range(num_rows):
        book.active.append([("x" + text(rng)).replace("\\", ""), rng.choice(["a", "=1+1", "#N/A", 3])])
    book.save(path)
    return damaged_archive(rng, path, num_rows)


def damaged_archive(rng, path, num_rows):
    """Breaks a zip as a whole or one of its parts, or puts a bomb into it."""
    kind = rng.random()
    if kind < 0.2:
        return num_rows
    if kind < 0.5:
        path.write_bytes(broken(rng, path.read_bytes()))
        return None
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(sorted(parts))
    if kind < 0.8:
        parts[name] = broken(rng, parts[name])
    elif kind < 0.95:
        bomb = (
            '<!DOCTYPE x [<!ENTITY a "ha">'
            + "".join(f'<!ENTITY a{n} "&a{n - 1 or ""};&a;">' for n in range(1, 40))
            + "]>"
        )
        parts[name] = parts[name].replace(b"?>", b"?>" + bomb.encode(), 1).replace(b"</", b"&a39;</", 1)
    else:
        parts["xl/more.xml"] = b" " * (66 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return None


@functools.cache
def some_docx():
    import docx

    document = docx.Document()
    for number in range(3):
        document.add_heading(f"Part {number}", 1 + number)
        document.add_paragraph("A paragraph with Größe and سلام.", style="List Bullet")
        document.add_table(1, 2).cell(0, 0).text = "cell"
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


@functools.cache
def some_pdf():
    from reportlab.pdfgen import canvas

    buffer = io.BytesIO()
    sheet = canvas.Canvas(buffer, pageCompression=0)
    for number in range(4):
        sheet.bookmarkPage(str(number))
        sheet.addOutlineEntry(f"Part {number}", str(number), 0)
        sheet.drawString(72, 700, f"This is page {number}.")
        sheet.showPage()
    sheet.save()
    return buffer.getvalue()


def make_document(rng, path):
    kind = rng.choice([".docx", ".pdf", ".html", ".md", ".txt"])
    path = path.with_suffix(kind)
    if kind == ".docx":
        path.write_bytes(some_docx())
        damaged_archive(rng, path, 0)
    elif kind == ".pdf":
        path.write_bytes(broken(rng, some_pdf()))
    else:
        tags = [
            "<h1>",
            "</h1>",
            "<p>",
            "<table><tr><td>",
            "</nav>",
            "<nav>",
            "<script>",
            "&amp;&#x110000;&lol;",
            "<!DOCTYPE x [",
            "<b " * 9,
        ]
        marks = ["# ", "\n", "\n\n", "```", "---\n", "===\n", "* ", "> "]
        pieces = [rng.choice(tags if kind == ".html" else marks) + text(rng) for _ in range(rng.randint(0, 60))]
        content = "".join(pieces).encode(rng.choice(ENCODINGS), "replace")
        path.write_bytes(broken(rng, content) if rng.random() < 0.5 else content)


def make_database(rng, path):
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (prompt, completion)")
        for _ in range(20):
            connection.exec_driver_sql(
                "INSERT INTO t VALUES (?, ?)", (text(rng), rng.choice([text(rng), None, 2.5, b"\xff"]))
            )
    engine.dispose()
    path.write_bytes(broken(rng, path.read_bytes()))


def make_folder(rng, path):
    """Odd names, links of every kind, pipes, and files without permission, beside a known number of rows."""
    path.mkdir()
    names = [
        "a b.jsonl", "שלום.jsonl", "new\nline.jsonl", "-rf.jsonl", "*.jsonl", "a#3.jsonl", "%s{}.csv",
        "a:b.jsonl", "$(x).jsonl", "UPPER.JSONL", "..jsonl", "\u202egnp.jsonl", os.fsdecode(b"\xff\xfe.jsonl"),
        "x" * 240 + ".jsonl",
    ]  # fmt: skip
    num_rows = 0
    for name in rng.sample(names, rng.randint(1, 8)):
        folder = path.joinpath(*rng.choices(["deep er", "ب", "d"], k=rng.randint(0, 3)))
        folder.mkdir(parents=True, exist_ok=True)
        num_lines = rng.randint(1, 5)
        row = (
            "text,label\n" + "a,b\n" * num_lines
            if name.endswith("csv")
            else '{"prompt": "a", "completion": "b"}\n' * num_lines
        )
        (folder / name).write_text(row)
        num_rows += 0 if name.startswith(".") else num_lines
    shown = [name for name in os.listdir(path) if not name.startswith(".")]
    for number in range(rng.randint(0, 6)):
        link = path / f"link{number}.jsonl"
        target = rng.choice([".", "..", "/etc/passwd", "/dev/zero", "nowhere", link.name, "deep er", *shown])
        link.symlink_to(target)
    if rng.random() < 0.5:
        os.mkfifo(path / "pipe.jsonl")
    return num_rows


MAKERS = {
    make_jsonl: "a.jsonl", make_encoded: "a.txt", make_json: "a.json", make_csv: "a.csv", make_zipped: "a.jsonl",
    make_table: "a.parquet", make_workbook: "a.xlsx", make_document: "a.txt", make_database: "a.db", make_folder: "dir",
}  # fmt: skip


def check(source, num_rows, what):
    """Reads one source as a person would, and counts."""
    notes = []
    taken = []
    if is_document(source):
        with contextlib.suppress(DataError):
            taken = list(passages(source, notes))
        assert all(passage.text.strip() and passage.source for passage in taken), what
        shown = [passage.text + passage.source + (passage.section or "") for passage in taken]
    else:
        failed = False
        try:
            taken.extend(stream([source], notes=notes))
        except DataError as error:
            failed = True
            notes.append(error.message)
        assert num_rows is None or len(taken) == num_rows, (what, num_rows, len(taken), notes)
        assert taken or failed, what
        rejected = [row for row in taken if isinstance(row, Rejected)]
        assert all(row.reason and row.kind for row in rejected), what
        shown = [row.reason + row.raw + row.source for row in rejected] + [row.source for row in taken]
    for said in [*notes, *shown]:
        said.encode()  # all that is said can be stored


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.removeprefix("make_"))
def test_no_file_does_harm_and_no_row_is_lost(make, tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "_BOMB_BYTES", 4 << 20)
    for seed in range(max(1, NUM_FILES // len(MAKERS))):
        what = f"{make.__name__} with seed {seed}"
        place = tmp_path / str(seed) / MAKERS[make]
        place.parent.mkdir()
        with guarded(what):
            try:
                num_rows = make(random.Random(f"{make.__name__} {seed}"), place)
                (source,) = (str(path) for path in place.parent.iterdir())
                if make is make_database:
                    source = f"sqlite:///{source}::SELECT * FROM t"
                check(source, num_rows, what)
            except Exception as error:
                error.add_note(what)
                raise
        remove(place.parent)


def remove(folder: Path):
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            remove(Path(entry.path))
        else:
            os.unlink(entry.path)
    folder.rmdir()
