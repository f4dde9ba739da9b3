"""The report page is one file, says everything, adds up, and cannot be broken by what stands in the data."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from holdfast.data.check import Finding, Shown
from holdfast.data.output.differing import marked
from holdfast.data.output.pictures import Bar, bars, columns, whole
from holdfast.data.output.prepared import Bin, Counts, Figures, Outcome, Source, Tokens
from holdfast.data.output.write import write_version

EVIL = "</pre></svg><script>alert(\"1\")</script>&amp;<b onclick='x'>\x00\u202e{{ 7 * 7 }}"
PERSIAN = "سلام، می‌خواهم سفارشم را پس بدهم"
VOID = {"meta", "br", "rect", "line"}


class Balanced(HTMLParser):
    """Notes every tag that is not closed where it was opened, and all attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.attributes, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture
def page_of(tmp_path, make_prepared):
    def make(**changes):
        version = write_version(tmp_path, make_prepared(**changes)).version
        return (version.folder / "report.html").read_text(encoding="utf-8")

    return make


def texts(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("</style>")[1]))


def test_the_three_numbers_stand_at_the_top_and_add_up(page_of):
    text = texts(page_of())
    assert re.search(r"12 rows read = 9 kept as they were \+ 1 changed \+ 2 rejected", text)
    assert "Written: 8 rows for train, 2 rows for test." in text


def test_the_page_says_everything_it_was_given(page_of, about):
    text = texts(page_of(about=about))
    for said in (
        "Questions about refunds",
        "1 1 row holds an e-mail address. problem Remedy: mask them, the same person by the same placeholder",
        "done: 1 changed",
        "done: 2 dropped",
        "/in/a.jsonl:8 · an e-mail address",
        "Checks that found nothing to do 3 No row is too long.",
        "Nothing is left to look at. Every problem and warning that was found had a remedy",
        "ab" * 32,
        "pii.names ann, bob",
        "limit 24",
        "2030-01-02 03:04 UTC",
        "Holdfast 0.1.0",
    ):
        assert said in text, said
    for title in ("Dropped, and why", "Lengths", "Token cost", "Languages", "Duplicates", "Groups of duplicates"):
        assert f" {title} " in text


def test_the_page_needs_nothing_from_anywhere_else_and_no_script(page_of, about):
    page = page_of(about=about)
    assert not re.search(r"""src=|href="[^#]|url\(|@import|<script|<link|<iframe|<img""", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_a_problem_that_is_left_is_said_before_all_pictures(page_of):
    left = Outcome(Finding("labels", "3 labels are wrong.", "problem", 3))
    skipped = Outcome(Finding("keys", "1 key is in the data.", "problem", 1, "mask it"))
    page = page_of(outcomes=[Outcome(Finding("a", "All is well.")), left, skipped])
    text = texts(page)
    assert "2 findings are left to look at: problems and warnings without a remedy" in text
    assert "2 3 labels are wrong. 3 1 key is in the data." in text
    assert text.index("findings are left") < text.index("The data in pictures")
    assert 'href="#finding-2"' in page
    assert 'id="finding-2"' in page
    assert "for people to decide" in text
    assert "not done" in text


def test_pictures_say_which_rows_they_count_and_the_sum_why_it_is_less_than_the_findings(page_of, make_prepared):
    first, *others = make_prepared().outcomes
    text = texts(page_of(outcomes=[replace(first, num_changed=3), *others]))
    assert "The findings tell of 3 changes and this sum of 1 changed row:" in text
    assert text.count("10 rows as they came to this check, before later ones dropped any.") == 2
    assert "The longest row that is kept has 31 tokens; at most 24 fit." in text
    assert "The findings tell" not in texts(page_of())


def test_hostile_text_is_shown_and_never_run(page_of):
    row = Shown(EVIL, EVIL, EVIL + " after", EVIL)
    page = page_of(
        name=EVIL,
        holdfast=EVIL,
        outcomes=[Outcome(Finding(EVIL, EVIL, "problem", 1, EVIL, shown=(row,)), applied=True)],
        sources=[Source(EVIL, 1, EVIL, 1)],
        plan={EVIL: EVIL, "list": [EVIL]},
        figures=Figures(
            lengths=[Bin(0, 10, 3)],
            tokenizer=EVIL,
            tokens={EVIL: Tokens(1, 2)},
            languages={EVIL: 3},
            duplicates={EVIL: 1},
            labels={EVIL: {EVIL: 2}},
        ),
    )
    parser = Balanced()
    parser.feed(page)
    assert (parser.wrong, parser.open) == ([], [])
    assert "script" not in parser.tags
    assert not [name for name, _ in parser.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e]", page)
    assert "␀⟨U+202E⟩" in page


def test_text_in_any_direction_finds_its_own(page_of):
    finding = Finding("fa", "1 row", "note", 1, shown=(Shown("fa.csv:1", PERSIAN, PERSIAN.replace("سلام", "درود")),))
    page = page_of(outcomes=[Outcome(finding)])
    assert page.count('<pre dir="auto">') == 2
    assert f"<del>سلام</del>{PERSIAN[4:]}" in page
    assert f"<ins>درود</ins>{PERSIAN[4:]}" in page  # the zero-width non-joiner stands as it was
    assert "unicode-bidi: plaintext" in page


@pytest.mark.parametrize("letter", ['"', "word ", "\U0001f600"])
def test_a_page_of_very_much_stays_below_a_megabyte(page_of, letter):
    long = letter * 3000
    shown = tuple(Shown(long, long, long[::-1] + "x" * number, long) for number in range(8))
    page = page_of(
        outcomes=[Outcome(Finding(f"c{n}", long, "problem", 1, long, shown=shown)) for n in range(120)],
        sources=[Source(f"/in/{n}/{long}", 1, "ab" * 32, 1) for n in range(2000)],
        plan={f"key{n}{long}": long for n in range(500)},
        figures=Figures(
            lengths=[Bin(n, n + 1, 1) for n in range(500)],
            languages={f"l{n}": n for n in range(3000)},
            labels={"train": {f"{n} {long}": n for n in range(200)}},
        ),
    )
    assert len(page.encode()) < 1_000_000
    text = texts(page)
    for said in (
        "120 findings are left to look at",
        "20 findings more in report.json",
        "8 more in report.json",
        "1,900 more are listed in manifest.json",
        "350 more are in plan.toml",
        "191 other labels",
    ):
        assert said in text, said


def test_figures_that_were_not_measured_have_no_picture(page_of):
    text = texts(page_of(figures=Figures(), rejected=tuple, counts=Counts(10, 9, 1)))
    assert "The data in pictures" not in text


def test_labels_come_from_the_parts_where_nobody_counted_them(page_of, make_example):
    from holdfast.data.output.prepared import PreparedRow

    rows = [PreparedRow(make_example(str(n), label="ab"[n > 5])) for n in range(8)]
    text = texts(page_of(train=lambda: rows, figures=Figures()))
    assert "Label balance" in text
    assert "6 · 75.0 %" in text
    assert "right in 75.0 % of the rows" in text


@pytest.mark.parametrize(
    "picture",
    [
        bars([Bar(EVIL, (3, 4), EVIL), Bar("", (0,))], name=EVIL),
        bars([], name="nothing"),
        bars([Bar("x" * 500, (10**12, 1))], name="large"),
        columns([EVIL, "b"], [1, 0], name=EVIL, under=EVIL, limit=(0.5, EVIL)),
        columns(["0", "1", "2"], [0, 10**9], name="between"),
        columns([], [], name="nothing"),
        columns([str(n) for n in range(301)], list(range(300)), name="many", limit=(299.0, "limit")),
        whole((3, 0, 2), name=EVIL, styles=("s1", "s2", "s4")),
        whole((0, 0, 0), name="none", styles=("s1", "s2", "s4")),
    ],
)
def test_every_picture_is_well_formed_whatever_stands_in_it(picture):
    assert ET.fromstring(str(picture)).tag == "svg"


def widths(picture, style):
    return [float(part["width"]) for part in (r.attrib for r in ET.fromstring(str(picture))) if part["class"] == style]


def test_the_parts_of_the_one_bar_have_their_shares():
    assert widths(whole((6, 3, 1), name="x", styles=("s1", "s2", "s4")), "s1") == [600.0]
    assert widths(whole((6, 3, 1), name="x", styles=("s1", "s2", "s4")), "s4") == [100.0]


def test_bars_have_lengths_in_proportion_to_their_numbers():
    first, second = widths(bars([Bar("a", (40,)), Bar("b", (10,))], name="x"), "s1")
    assert first == 4 * second


def test_a_histogram_has_columns_in_proportion_and_a_line_at_the_limit():
    root = ET.fromstring(str(columns(["0", "8", "16"], [10, 40], name="x", limit=(1.5, "limit 12"))))
    tall = [float(r.attrib["height"]) for r in root if r.attrib.get("class") == "s1"]
    assert tall[1] == pytest.approx(4 * tall[0], abs=0.2)
    line = next(r.attrib for r in root if r.attrib.get("class") == "threshold")
    boxes = [r.attrib for r in root if r.attrib.get("class") == "s1"]
    middle = float(boxes[1]["x"]) + float(boxes[1]["width"]) / 2
    assert float(line["x1"]) == pytest.approx(middle, abs=0.1)


def test_what_differs_is_marked_and_what_hides_is_shown():
    before, after = marked("pass\u200bword <b>", "password <b>")
    assert before == "<del>pass⟨U+200B⟩word</del> &lt;b&gt;"
    assert after == "<ins>password</ins> &lt;b&gt;"
    assert marked("a\u00a0b", "a b") == ("a<del>⟨U+00A0⟩</del>b", "a<ins> </ins>b")
    assert marked("a b c d", "a x c y d") == ("a <del>b</del> c d", "a <ins>x</ins> c<ins> y</ins> d")
    many = "a b " * 100
    assert marked(f"x {many}y", f"x z{many}y")[1].startswith("x <ins>z")
    assert marked("<only>", "") == ("&lt;only&gt;", "")
