"""A workspace is made, found, and remembers skills, versions and scores."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from holdfast.errors import NotFoundError, StoreError
from holdfast.store.tables import scores
from holdfast.store.workspace import Workspace
from holdfast.types import Skill, Version


@dataclass(frozen=True)
class Result:
    item_id: str
    value: float
    passed: bool = True
    completion: str = "answer"
    explanation: str = ""
    error_type: str | None = None


class Clock:
    """Starts at noon and moves one second a look."""

    def __init__(self):
        self.now = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


ADD = Skill("add", "a" * 64, "b" * 64, "exact")
SORT = Skill("sort", "c" * 64, "d" * 64, "contains", "classify")


def version(parent=None, *, name="", status="candidate", skill=""):
    return Version(name, parent, "holdfast:tiny", "e" * 64, {"method": {"type": "sft"}, "seed": 0}, status, skill)


@pytest.fixture
def workspace(tmp_path, database):
    with Workspace.create(tmp_path / ".holdfast", database=database, clock=Clock()) as made:
        yield made


def promoted(workspace, count):
    names = []
    for _ in range(count):
        names.append(workspace.add_version(version(names[-1] if names else None)).id)
        workspace.promote(names[-1])
    return names


def test_a_workspace_is_found_from_any_folder_below_it(tmp_path, monkeypatch, database):
    Workspace.create(tmp_path / ".holdfast", database=database).close()
    below = tmp_path / "deep" / "down"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    for path in (None, tmp_path, tmp_path / ".holdfast"):
        with Workspace.open(path) as workspace:
            assert workspace.root == tmp_path / ".holdfast"


def test_where_there_is_no_workspace_the_message_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (None, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match="holdfast init"):
            Workspace.open(path)


def test_a_second_workspace_in_the_same_folder_is_refused(workspace):
    with pytest.raises(StoreError, match="already"):
        Workspace.create(workspace.root)


def test_a_workspace_stays_out_of_version_control(workspace):
    assert (workspace.root / ".gitignore").read_text() == "*\n"


def test_skills_come_back_as_they_were_in_the_order_they_were_added(workspace):
    workspace.add_skill(SORT)
    workspace.add_skill(ADD)
    workspace.add_skill(SORT)
    assert workspace.skills() == [SORT, ADD]
    assert workspace.skill("add") == ADD


def test_other_data_under_a_taken_name_is_refused_unless_it_is_meant(workspace):
    workspace.add_skill(ADD)
    other = Skill("add", "f" * 64, "b" * 64, "exact")
    with pytest.raises(StoreError, match="other data"):
        workspace.add_skill(other)
    workspace.add_skill(other, replace=True)
    assert workspace.skills() == [other]


def test_an_unknown_name_is_answered_with_the_known_ones(workspace):
    workspace.add_skill(ADD)
    promoted(workspace, 1)
    with pytest.raises(NotFoundError, match="Known: add"):
        workspace.skill("ad")
    for call in (workspace.version, workspace.facts, workspace.promote, workspace.rollback, workspace.refuse):
        with pytest.raises(NotFoundError, match="Newest first: v1"):
            call("v9")
    with pytest.raises(NotFoundError):
        workspace.add_version(version("v9"))


def test_versions_are_numbered_and_keep_what_they_were_made_with(workspace):
    first = workspace.add_version(version(), facts={"seed": 7})
    second = workspace.add_version(version(first.id, skill="add"))
    named = workspace.add_version(version(second.id, name="mine"))
    assert [v.id for v in workspace.versions()] == ["v1", "v2", "mine"]
    assert workspace.version("v2") == second
    assert named.parent == "v2"
    assert workspace.facts("v1") == {"seed": 7}
    assert second.recipe == {"method": {"type": "sft"}, "seed": 0}


def test_a_version_is_never_overwritten(workspace):
    workspace.add_version(version(name="mine"))
    with pytest.raises(StoreError, match="never overwritten"):
        workspace.add_version(version(name="mine"))


def test_before_the_first_promotion_nothing_is_current(workspace):
    workspace.add_version(version())
    assert workspace.current() is None
    with pytest.raises(StoreError, match="no version before"):
        workspace.rollback()


def test_promoting_accepts_the_version_and_moves_current(workspace):
    promoted(workspace, 2)
    assert workspace.current().id == "v2"
    assert workspace.current().status == "accepted"
    assert [(m.from_version, m.to_version, m.kind) for m in workspace.moves()] == [
        (None, "v1", "promote"),
        ("v1", "v2", "promote"),
    ]


def test_promoting_twice_is_no_second_move(workspace):
    promoted(workspace, 1)
    workspace.promote("v1")
    assert len(workspace.moves()) == 1


def test_a_candidate_judged_against_another_version_is_not_promoted_and_nothing_changes(workspace):
    promoted(workspace, 2)
    late = workspace.add_version(version("v1"))
    for expected in ("v1", None):
        with pytest.raises(StoreError, match="v2 is current by now"):
            workspace.promote(late.id, expect=expected)
    assert workspace.current().id == "v2"
    assert workspace.version(late.id).status == "candidate"
    workspace.promote(late.id, expect="v2")
    assert workspace.current().id == late.id


def test_a_refused_version_is_kept_and_never_becomes_current(workspace):
    promoted(workspace, 1)
    bad = workspace.add_version(version("v1"))
    workspace.refuse(bad.id)
    assert workspace.version(bad.id).status == "refused"
    with pytest.raises(StoreError, match="refused by the gate"):
        workspace.promote(bad.id)
    with pytest.raises(StoreError, match="never accepted"):
        workspace.rollback(bad.id)
    with pytest.raises(StoreError, match="roll back instead"):
        workspace.refuse("v1")


def test_rolling_back_goes_one_promotion_back_each_time(workspace):
    promoted(workspace, 3)
    assert workspace.rollback().id == "v2"
    assert workspace.rollback().id == "v1"
    with pytest.raises(StoreError, match="no version before v1"):
        workspace.rollback()
    assert workspace.current().id == "v1"


def test_rolling_back_to_a_version_and_promoting_on_from_there(workspace):
    promoted(workspace, 3)
    assert workspace.rollback("v1", expect="v3").id == "v1"
    branch = workspace.add_version(version("v1"))
    workspace.promote(branch.id, expect="v1")
    assert workspace.rollback().id == "v1"
    with pytest.raises(StoreError, match="by now"):
        workspace.rollback("v3", expect=branch.id)


def test_a_rollback_that_fails_halfway_leaves_everything_as_it_was(workspace, monkeypatch):
    promoted(workspace, 2)
    monkeypatch.setattr(workspace, "_clock", lambda: datetime(2030, 1, 1))  # noqa: DTZ001 - the failure that is wanted
    with pytest.raises(StoreError, match="without a zone"):
        workspace.rollback()
    monkeypatch.undo()
    assert workspace.current().id == "v2"
    assert len(workspace.moves()) == 2


def test_scores_come_back_item_by_item_in_the_tests_order(workspace):
    workspace.add_skill(ADD)
    promoted(workspace, 1)
    results = [
        Result("z", 1.0),
        Result("a", 0.0, passed=False, explanation="other"),
        Result("m", 0.0, error_type="bad"),
    ]
    workspace.save_scores("v1", "add", results)
    stored = workspace.scores("v1", "add")
    assert [(s.item_id, s.value, s.passed, s.explanation, s.error_type) for s in stored] == [
        ("z", 1.0, True, "", None),
        ("a", 0.0, False, "other", None),
        ("m", 0.0, True, "", "bad"),
    ]


def test_measuring_again_replaces_the_results(workspace):
    workspace.add_skill(ADD)
    promoted(workspace, 1)
    workspace.save_scores("v1", "add", [Result("a", 0.0), Result("b", 0.0)])
    workspace.save_scores("v1", "add", [Result("a", 1.0)])
    assert [s.value for s in workspace.scores("v1", "add")] == [1.0]


def test_the_matrix_has_a_row_a_version_and_a_column_a_skill(workspace):
    workspace.add_skill(SORT)
    workspace.add_skill(ADD)
    promoted(workspace, 3)
    workspace.save_scores("v1", "add", [Result("a", 1.0), Result("b", 0.0)])
    workspace.save_scores("v3", "add", [Result("a", 1.0), Result("b", 0.5), Result("c", 0.0, error_type="bad")])
    workspace.save_scores("v3", "sort", [Result("x", 1.0)])
    workspace.save_scores("v1", "reverse", [Result("r", 1.0)], test_hash="t" * 64)
    matrix = workspace.matrix()
    assert matrix.versions == ("v1", "v3")
    assert matrix.skills == ("sort", "add", "reverse")
    assert matrix.values == ((None, 0.5, 1.0), (1.0, 0.75, None))
    assert matrix.items == ((0, 2, 1), (1, 2, 0))
    assert workspace.current().scores == {"sort": 1.0, "add": 0.75}


def test_scores_on_a_replaced_test_do_not_mix_with_the_new_one(workspace):
    workspace.add_skill(ADD)
    promoted(workspace, 1)
    workspace.save_scores("v1", "add", [Result("a", 1.0)])
    workspace.add_skill(Skill("add", "a" * 64, "9" * 64, "exact"), replace=True)
    assert workspace.scores("v1", "add") == []
    assert workspace.matrix().versions == ()
    assert workspace.current().scores == {}
    assert [s.value for s in workspace.scores("v1", "add", test_hash="b" * 64)] == [1.0]


def test_scores_of_nothing_or_of_something_unknown_are_refused(workspace):
    workspace.add_skill(ADD)
    promoted(workspace, 1)
    with pytest.raises(StoreError, match="no result"):
        workspace.save_scores("v1", "add", [])
    with pytest.raises(NotFoundError, match="no version"):
        workspace.save_scores("v9", "add", [Result("a", 1.0)])
    with pytest.raises(NotFoundError, match="no skill"):
        workspace.save_scores("v1", "sort", [Result("a", 1.0)])


@pytest.mark.parametrize("results", [[Result("a", 1.5)], [Result("a", 1.0), Result("a", 0.0)]])
def test_what_the_database_refuses_changes_nothing(workspace, results):
    workspace.add_skill(ADD)
    promoted(workspace, 1)
    workspace.save_scores("v1", "add", [Result("a", 0.5)])
    with pytest.raises(StoreError, match="nothing was changed"):
        workspace.save_scores("v1", "add", results)
    assert [s.value for s in workspace.scores("v1", "add")] == [0.5]


def test_verdicts_come_back_with_their_details(workspace):
    promoted(workspace, 2)
    workspace.save_verdict("v2", "inconclusive", {"words": "more items"}, against="v1")
    workspace.save_verdict("v2", "accept", {"words": "fine"}, against="v1")
    found = workspace.verdicts("v2")
    assert [(v.decision, v.against, v.details["words"]) for v in found] == [
        ("inconclusive", "v1", "more items"),
        ("accept", "v1", "fine"),
    ]
    with pytest.raises(StoreError, match="refused by the database"):
        workspace.save_verdict("v9", "accept", {})


def test_times_are_utc_and_come_from_the_clock_that_was_passed_in(workspace):
    promoted(workspace, 1)
    assert workspace.moves()[0].moved_at.startswith("2030-01-01T12:00:0")
    assert workspace.moves()[0].moved_at.endswith("+00:00")


def test_what_is_remembered_is_recalled_while_its_content_is_there(workspace):
    name = workspace.files.put_bytes(b"reminders")
    workspace.remember("reminders of v1", name, kind="reminders")
    assert workspace.recall("reminders of v1") == name
    assert workspace.recall("reminders of v2") is None
    workspace.files.path_of(name).unlink()
    assert workspace.recall("reminders of v1") is None


def test_one_process_at_a_time_does_the_exclusive_work(workspace):
    with workspace.exclusively("learn"):
        with pytest.raises(StoreError, match="another process"), workspace.exclusively("learn"):
            pass
        with workspace.exclusively("export"):
            pass
    with workspace.exclusively("learn"):
        pass


def test_every_character_and_every_number_comes_back_as_it_was(workspace):
    text = "".join(map(chr, range(0x20))) + "\x10\x00\x100 \ud7ff\ue000é🙂 % %% %s :name 'q' \"d\" \\x00"
    workspace.add_skill(ADD)
    promoted(workspace, 1)
    workspace.save_scores("v1", "add", [Result("a", 0.1, completion=text, explanation=text)])
    (stored,) = workspace.scores("v1", "add")
    assert (stored.value, stored.completion, stored.explanation) == (0.1, text, text)
    job = workspace.add_job(request={text: text}, metadata={}, recipe={}, skill="add", priority=-(2**40))
    workspace.add_job_event(job.id, text, data={"a": text})
    (event,) = workspace.job_events(job.id)
    assert (event.message, event.data) == (text, {"a": text})
    assert workspace.job(job.id).priority == -(2**40)
    for name in ("a\x00b", "\x10", "%"):
        with pytest.raises(NotFoundError):
            workspace.job(name)
    with pytest.raises(StatementError, match="5 is no text"):
        workspace.change_job(job.id, {"leased_by": 5})


def test_names_are_in_the_order_of_their_characters_not_of_a_language(workspace):
    promoted(workspace, 1)
    for name in ("b", "B", "é", "a", "_"):
        workspace.save_scores("v1", name, [Result("x", 1.0)], test_hash="t" * 64)
    query = select(scores.c.skill).where(scores.c.skill > "A").order_by(scores.c.skill)
    with workspace._database.read() as connection:
        assert list(connection.scalars(query)) == ["B", "_", "a", "b", "é"]
