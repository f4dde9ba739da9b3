"""Rows through checks: every row ends kept, changed or dropped, in one pass where that is possible."""

import pytest

from holdfast.data.check import Change, Check, CheckSettings, Context, Drop, Finding
from holdfast.data.doctor.examine import Examination
from holdfast.data.doctor.rows import Rows, Tracked, taken_in
from holdfast.data.rejected import Rejected
from holdfast.types import Example, Message


def example(text, line=1):
    return Example("", (Message("user", text), Message("assistant", "yes")), source=f"file.jsonl:{line}")


class Upper(Check):
    name = "upper"
    local = True

    def __init__(self, settings, context):
        super().__init__(settings, context)
        self.seen = []

    def see(self, rows):
        self.seen += [row.number for row in rows]

    def finding(self):
        return Finding(self.name, "some are lower case", remedy="write them large")

    def decide(self, row):
        text = row.example.messages[0].content
        return None if text.isupper() else Change(example(text.upper()), "written large")


class TwiceSeen(Upper):
    """Drops what was seen before: it must know all rows."""

    name = "twice"
    local = False

    def see(self, rows):
        self.seen += [(row.example.messages[0].content, row.number) for row in rows]

    def decide(self, row):
        first = next(number for text, number in self.seen if text == row.example.messages[0].content)
        return None if first == row.number else Drop("duplicate", f"is the same as row {first}")


class LongOnes(Upper):
    name = "long"

    def decide(self, row):
        return Drop("long", "is too long") if len(row.example.messages[0].content) > 3 else None


@pytest.fixture
def context(tmp_path):
    return Context(tmp_path)


@pytest.fixture(params=[10**9, 0], ids=["in memory", "on disk"])
def rows(request, tmp_path):
    found = Rows(tmp_path, held=request.param)
    for start in (0, 2, 4):
        found.append([Tracked(row) for row in _rows(["a", "B", "A", "c", "long one", "B"])[start : start + 2]])
    return found


def _rows(texts):
    from holdfast.data.check import Row

    return [Row(number, example(text, number + 1)) for number, text in enumerate(texts)]


def settings(**given):
    return CheckSettings(**given)


def texts(rows):
    return [one.row.example.messages[0].content for one in rows.tracked()]


def test_every_row_ends_kept_changed_or_dropped_and_the_numbers_add_up(rows, context):
    examination = Examination(rows, approve=lambda number, finding: True)
    checks = [kind(settings(remedy="apply"), context) for kind in (Upper, TwiceSeen, LongOnes)]
    gone = list(examination.run(checks))
    assert texts(rows) == ["A", "B", "C"]
    assert [row.kind for row in gone] == ["duplicate", "duplicate", "long"]
    assert [(row.source, row.line) for row in gone] == [("file.jsonl", 3), ("file.jsonl", 6), ("file.jsonl", 5)]
    assert [(e.num_changed, e.num_dropped) for e in examination.outcomes] == [(3, 0), (0, 2), (0, 1)]


def test_a_changed_row_keeps_what_it_was_and_who_changed_it_how(rows, context):
    examination = Examination(rows, approve=lambda number, finding: True)
    assert list(examination.run([Upper(settings(remedy="apply"), context)])) == []
    first, second, *_ = rows.tracked()
    assert first.before == example("a", 1)
    assert (first.by, first.what) == (("upper",), ("written large",))
    assert second.before is None
    assert second.by == ()


def test_a_dropped_row_is_rejected_as_it_was_read_not_as_it_was_changed(rows, context):
    examination = Examination(rows, approve=lambda number, finding: True)
    checks = [kind(settings(remedy="apply"), context) for kind in (Upper, LongOnes)]
    (gone,) = examination.run(checks)
    assert '"long one"' in gone.raw


def test_a_remedy_is_used_only_if_it_is_approved(rows, context):
    asked = []
    examination = Examination(rows, approve=lambda number, finding: bool(asked.append((number, finding.check))))
    assert list(examination.run([Upper(settings(), context), TwiceSeen(settings(), context)])) == []
    assert asked == [(1, "upper"), (2, "twice")]
    assert texts(rows) == ["a", "B", "A", "c", "long one", "B"]
    assert examination.decisions == {"upper": False, "twice": False}
    assert not any(outcome.applied for outcome in examination.outcomes)


def test_skipped_remedies_are_not_asked_about_and_disabled_checks_are_not_made(rows, context):
    def never(number, finding):
        raise AssertionError(finding)

    examination = Examination(rows, approve=never)
    checks = [Upper(settings(remedy="skip"), context), TwiceSeen(settings(enabled=False), context)]
    assert list(examination.run(checks)) == []
    assert [outcome.finding.check for outcome in examination.outcomes] == ["upper"]
    assert examination.decisions == {"upper": False}


def test_without_a_person_what_is_proposed_is_done(rows, context):
    examination = Examination(rows, approve=None, asks=False)
    list(examination.run([Upper(settings(), context), TwiceSeen(settings(), context)]))
    assert texts(rows) == ["A", "B", "C", "LONG ONE"]


def test_local_checks_share_a_pass_and_later_ones_see_what_earlier_ones_left(rows, context):
    passes = []
    examination = Examination(
        rows, approve=None, asks=False, progress=lambda title, done, total: passes.append((title, done, total))
    )
    checks = [LongOnes(settings(), context), Upper(settings(), context), TwiceSeen(settings(), context)]
    list(examination.run(checks))
    assert passes[:4] == [("long, upper, twice", done, 3) for done in (0, 1, 2, 3)]
    assert checks[1].seen == [0, 1, 2, 3, 5]
    assert checks[2].seen == [("A", 0), ("B", 1), ("A", 2), ("C", 3), ("B", 5)]


def test_rows_given_as_a_test_are_repaired_but_not_compared_with_the_others(tmp_path, context):
    rows = Rows(tmp_path)
    following = yield_all(taken_in([example("a"), example("a", 2)], rows))
    yield_all(taken_in([example("a", 3), example("b", 4)], rows, first=following, held_out=True))

    class Compared(TwiceSeen):
        training_only = True

    examination = Examination(rows, approve=None, asks=False)
    gone = list(examination.run([Upper(settings(), context), Compared(settings(), context)]))
    assert [row.line for row in gone] == [2]
    assert [(one.row.number, one.held_out) for one in rows.tracked()] == [(0, False), (2, True), (3, True)]
    assert texts(rows) == ["A", "A", "B"]


def yield_all(generator):
    """What a generator returns when it is through."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def test_rows_are_numbered_in_reading_order_and_those_that_are_none_are_handed_on(tmp_path):
    rows = Rows(tmp_path)
    bad = Rejected("file.jsonl", 2, "is no JSON", "{")
    assert list(taken_in([example("a"), bad, example("b", 3)], rows)) == [bad]
    assert [one.row.number for one in rows.tracked()] == [0, 2]


def test_chunks_end_by_rows_or_by_characters(tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.data.doctor.rows.CHUNK_ROWS", 3)
    monkeypatch.setattr("holdfast.data.doctor.rows.CHUNK_CHARACTERS", 1000)
    rows = Rows(tmp_path)
    list(taken_in([example(text) for text in ("a", "b", "c", "d", "e" * 900, "f")], rows))
    assert [[one.row.number for one in chunk] for _, chunk in rows.chunks()] == [[0, 1, 2], [3, 4], [5]]


def test_chunks_beyond_what_memory_may_hold_lie_in_the_folder_and_are_removed_when_replaced(tmp_path):
    rows = Rows(tmp_path, held=700)
    for start in range(3):
        rows.append([Tracked(row) for row in _rows(["a", "b", "c"])[start : start + 1]])
    assert len(list(tmp_path.iterdir())) == 0
    rows.append([Tracked(_rows(["d"])[0])])
    assert len(list(tmp_path.iterdir())) == 1
    assert texts(rows) == ["a", "b", "c", "d"]
    rows.replace(0, [])
    rows.replace(3, [Tracked(_rows(["e"])[0])])
    assert texts(rows) == ["b", "c", "e"]
    assert list(tmp_path.iterdir()) == []
