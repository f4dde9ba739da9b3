"""Documents as passages, each with its page or section; what cannot be read says so."""

import io
import zipfile

import pytest

from holdfast.data.rejected import Rejected
from holdfast.data.sources import Passage, is_document, passages, passages_of_all
from holdfast.data.sources.passage import MAX_CHARACTERS
from holdfast.errors import DataError


def test_documents_are_told_by_their_names():
    assert all(map(is_document, ("a.pdf", "A.DOCX", "x/b.html", "c.md", "d.txt", "e.htm")))
    assert not any(map(is_document, ("a.jsonl", "a.xlsx", "a.txt.gz", "pdf", "a.doc")))
    with pytest.raises(DataError, match=r"no document. Known are \.docx"):
        list(passages("a.doc"))


def test_markdown_comes_by_section_with_the_path_of_headings(tmp_path):
    path = tmp_path / "guide.md"
    path.write_text(
        "before\n\n# Guide\nIntro\n\n## Returns #\n30 days\nkeep it\n\n* one\n\n```\n# no heading\n```\n"
        "Setext\n------\nx\n# Other\n## Returns\nagain\n### Deep\n# Guide\n"
    )
    found = list(passages(path))
    assert found == [
        Passage("before", f"{path}"),
        Passage("Intro", f"{path}:# Guide", None, "Guide"),
        Passage("30 days\nkeep it\n\n* one\n\n```\n# no heading\n```", f"{path}:## Returns", None, "Guide > Returns"),
        Passage("x", f"{path}:## Setext", None, "Guide > Setext"),
        Passage("again", f"{path}:## Returns (2)", None, "Other > Returns"),
        Passage("Deep", f"{path}:### Deep", None, "Other > Returns > Deep"),
        Passage("Guide", f"{path}:# Guide (2)", None, "Guide"),
    ]


def test_front_matter_is_no_heading(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("---\ntitle: x\n---\n# A\ntext\n")
    assert [(passage.text, passage.section) for passage in passages(path)] == [("title: x\n---", None), ("text", "A")]


def test_long_sections_come_in_parts_and_nothing_is_lost(tmp_path):
    path = tmp_path / "a.md"
    paragraphs = [f"{number} " + "word " * 300 for number in range(60)]
    path.write_text("# A\n" + "\n\n".join(paragraphs))
    found = list(passages(path))
    assert [passage.source for passage in found[:2]] == [f"{path}:# A", f"{path}:# A, part 2"]
    assert all(len(passage.text) < MAX_CHARACTERS + 2000 for passage in found)
    assert "\n\n".join(passage.text for passage in found) == "\n\n".join(text.strip() for text in paragraphs)


def test_plain_text_comes_by_paragraphs_with_its_line(tmp_path):
    path = tmp_path / "a b.txt"
    path.write_text("\none\ntwo\n\nthree\n" + ("x" * 99 + "\n") * 101 + "\nlast\n")
    first, second = passages(path)
    assert (first.source, first.text[:14]) == (f"{path}:line 2", "one\ntwo\n\nthree")
    assert (second.source, second.text) == (f"{path}:line 108", "last")
    path.write_bytes("Überall schöne Grüße,\nund größere Wörter für alle.\n".encode("cp1252"))
    notes = []
    (only,) = passages(path, notes)
    assert only.text.startswith("Überall schöne")
    assert "read as cp1252" in notes[0]


@pytest.fixture
def handbook(tmp_path):
    canvas = pytest.importorskip("reportlab.pdfgen.canvas")
    from PIL import Image

    picture = tmp_path / "scan.png"
    Image.new("RGB", (20, 20), "white").save(picture)

    def make(pages, name="handbook.pdf", **settings):
        path = tmp_path / name
        sheet = canvas.Canvas(str(path), **settings)
        for page in pages:
            if page == "scan":
                sheet.drawImage(str(picture), 0, 0)
            elif page:
                sheet.bookmarkPage(page)
                sheet.addOutlineEntry(f"About {page}", page, 0)
                sheet.drawString(72, 700, f"All about {page}.")
            sheet.showPage()
        sheet.save()
        return path

    return make


def test_a_pdf_gives_a_passage_a_page_with_its_outline_title(handbook):
    path = handbook(["returns", "", "delivery"])
    assert list(passages(path)) == [
        Passage("All about returns.", f"{path}:page 1", 1, "About returns"),
        Passage("All about delivery.", f"{path}:page 3", 3, "About delivery"),
    ]


def test_scanned_pages_are_named_and_a_scanned_document_is_an_error(handbook):
    path = handbook(["returns", "scan", "scan"])
    notes = []
    assert len(list(passages(path, notes))) == 1
    assert "left out: pages 2, 3 (2) hold pictures and no text, as scans do. Run text recognition (OCR)" in notes[0]
    with pytest.raises(DataError, match="left out: pages 2, 3"):
        list(passages(path))  # nobody would see the note
    with pytest.raises(DataError, match=r"no text in this document \(left out: page 1 hold.*OCR"):
        list(passages(handbook(["scan"]), notes))


def test_protected_and_damaged_pdfs_say_what_to_do(handbook, tmp_path):
    encryption = pytest.importorskip("reportlab.lib.pdfencrypt").StandardEncryption("secret", ownerPassword="x")
    with pytest.raises(DataError, match="protected by a password: save a copy without one"):
        list(passages(handbook(["x"], encrypt=encryption)))
    path = tmp_path / "a.pdf"
    for content in (b"", b"%PDF-1.7\nnothing", handbook(["x"], "b.pdf").read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.pdf: (this PDF cannot be read|there is no text)"):
            list(passages(path))


def test_word_documents_come_by_section_with_lists_and_tables(tmp_path):
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_heading("Returns", 1)
    document.add_paragraph("Send it back.")
    document.add_heading("Time", 2)
    document.add_paragraph("30 days", style="List Bullet")
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "DE", "14"
    path = tmp_path / "w.docx"
    document.save(path)
    assert list(passages(path)) == [
        Passage("Send it back.", f"{path}:# Returns", None, "Returns"),
        Passage("30 days\n\nDE | 14", f"{path}:## Time", None, "Returns > Time"),
    ]


def test_damaged_and_hostile_word_documents_are_one_clear_error(tmp_path):
    docx = pytest.importorskip("docx")
    whole = io.BytesIO()
    document = docx.Document()
    document.add_paragraph("text")
    document.save(whole)
    path = tmp_path / "w.docx"
    with zipfile.ZipFile(whole) as archive:
        parts = {item.filename: archive.read(item) for item in archive.infolist()}

    def written(change):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (parts | change).items():
                archive.writestr(name, content)
        return path

    body = parts["word/document.xml"]
    bomb = body.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "ha">]>', 1)
    for change, said in (
        ({"word/document.xml": body[:-50]}, "damaged or is none"),
        ({"word/document.xml": b""}, "damaged or is none"),
        ({"[Content_Types].xml": b"<x/>", "_rels/.rels": b"<x/>", "word/document.xml": b"<x/>"}, "damaged or is none"),
        ({"word/document.xml": bomb}, "document type or entities"),
        ({"word/other.xml": b" " * (33 << 20)}, "zip bomb"),
    ):
        with pytest.raises(DataError, match=said):
            list(passages(written(change)))
    path.write_bytes(whole.getvalue()[:1000])
    with pytest.raises(DataError, match="damaged or is none"):
        list(passages(path))


def page_of(sections):
    body = "".join(f"<h2>{name}</h2><p>{text * 6}</p>" for name, text in sections.items())
    return (
        "<html><head><title>T</title><script>no()</script></head><body><nav><a href='/'>Home</a></nav>"
        f"<main><h1>Guide</h1>{body}</main><footer>imprint</footer></body></html>"
    )


def test_html_gives_its_main_text_by_section(tmp_path):
    path = tmp_path / "a.html"
    text = "The return has to be announced within thirty days of delivery, and the bill is kept. "
    path.write_text(page_of({"Returns": text, "Größe": text}))
    found = list(passages(path))
    assert [passage.section for passage in found] == ["Guide > Returns", "Guide > Größe"]
    assert found[1].source == f"{path}:## Größe"
    assert not any("Home" in passage.text or "no()" in passage.text for passage in found)


def test_a_small_page_is_read_but_for_navigation_and_it_is_said(tmp_path):
    path = tmp_path / "a.html"
    path.write_bytes(
        "<html><meta charset='latin1'><nav>Home</nav><h1>A</h1><p>Grüße &amp; so<br>x</p><h2>B</h2>"
        "<ul><li>one<li>two</ul>"
        "<table><tr><td>k<td>v</table><script>x</script>".encode("latin1")
    )
    notes = []
    assert [(p.text, p.section) for p in passages(path, notes)] == [
        ("Grüße & so\nx", "A"),
        ("one\n\ntwo\n\nk | v", "A > B"),
    ]
    assert any("main text could not be told" in note for note in notes)
    assert any("read as latin1" in note for note in notes)


@pytest.mark.parametrize(
    "content", ["", "   \n", "<html></html>", "<script>x</script>", "\0\0\0", "<" * 50_000, "<b>" * 50_000]
)
def test_pages_without_text_are_an_error(tmp_path, content):
    path = tmp_path / "a.html"
    path.write_text(content)
    with pytest.raises(DataError, match=r"empty|no text|cannot be read"):
        list(passages(path))


def test_documents_are_regular_files(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        list(passages(tmp_path / "none.pdf"))
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(DataError, match="not a regular file"):
        list(passages(tmp_path / "a.txt"))


def test_of_several_documents_one_that_cannot_be_read_is_a_rejected_row(tmp_path):
    good, bad = tmp_path / "a.md", tmp_path / "b.pdf"
    good.write_text("# A\ntext")
    bad.write_bytes(b"%PDF no")
    found = list(passages_of_all([bad, good], []))
    assert isinstance(found[0], Rejected)
    assert (found[0].source, found[0].line, found[0].kind) == (str(bad), 0, "file")
    assert "this PDF cannot be read" in found[0].reason
    assert found[1:] == [Passage("text", f"{good}:# A", None, "A")]
    with pytest.raises(DataError, match="this PDF cannot be read"):
        list(passages_of_all([bad], []))
