"""What people see: the matrix, the tree with the current version marked, the trained part of an example."""

import pytest

from holdfast.cli.tables import percent, show_diagnosis, show_matrix, show_rendered, show_scores, show_versions
from holdfast.data.rejected import Rejected
from holdfast.jobs.doctor import Diagnosis
from holdfast.jobs.evaluate import Evaluated, SkillScore
from holdfast.jobs.overview import Matrix, MatrixRow, Node
from holdfast.jobs.reflection_figures import Share
from holdfast.jobs.render import Rendering, Shown


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")


def test_the_matrix_has_a_row_a_version_and_a_column_a_skill(capsys):
    rows = [
        MatrixRow("v1", "", "accepted", False, {"refunds": 0.25}),
        MatrixRow("v2", "refunds", "accepted", True, {"refunds": 0.985}),
        MatrixRow("v3", "tools", "refused", False, {"refunds": 0.5, "tools": 1.0}),
    ]
    show_matrix(Matrix(["refunds", "tools"], {"refunds": 200, "tools": 150}, rows, 0.9, 0.0, 0.0, ["Average: 90 %."]))
    lines = capsys.readouterr().out.splitlines()
    assert any("refunds" in line and "tools" in line for line in lines)
    assert any("→ v2" in line and "98.5" in line and "·" in line for line in lines)
    assert any("v3 (refused)" in line and "50.0" in line and "100.0" in line for line in lines)
    assert lines[-1] == "Average: 90 %."


def test_a_workspace_without_skills_says_what_to_do(capsys):
    show_matrix(Matrix([], {}, [], None, None, None, []))
    assert "holdfast learn DATA --skill NAME" in capsys.readouterr().out


def test_the_tree_shows_children_below_their_parent_and_marks_the_current_version(capsys):
    show_versions(
        [
            Node("v1", None, "holdfast:tiny", "", "accepted", False, {}),
            Node("v2", "v1", "holdfast:tiny", "refunds", "accepted", True, {"refunds": 0.98}),
            Node("v3", "v2", "holdfast:tiny", "tools", "refused", False, {}),
        ]
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert "v1  base holdfast:tiny" in lines[0]
    assert "→ v2  refunds  accepted  [refunds 98.0]" in lines[1]
    assert lines[2].index("v3") > lines[1].index("v2")


def test_the_trained_part_is_marked_without_colours_too(capsys):
    shown = [Shown("a.jsonl:1", 7, [("<|user|>hi [b]<|assistant|>", False), ("hello", True)], None)]
    rejected = [Rejected("a.jsonl", 3, "the answer is empty", "")]
    show_rendered(Rendering("a.jsonl", "messages", "holdfast:tiny", 1, shown, rejected, []))
    text = capsys.readouterr().out
    assert "<|user|>hi [b]<|assistant|>⟦hello⟧" in text
    assert "a.jsonl:3: the answer is empty" in text
    assert "the teacher reads" not in text


def test_a_rejected_answer_is_shown_beside_the_preferred_one(capsys):
    shown = [Shown("a.jsonl:1", 7, [("yes", True)], None, rejected="no [b]")]
    show_rendered(Rendering("a.jsonl", "messages", "holdfast:tiny", 1, shown, [], []))
    assert capsys.readouterr().out.partition("rather than:\n")[2].strip() == "no [b]"


def test_what_the_teacher_reads_is_shown_and_the_middle_of_a_long_text_is_left_out(capsys):
    shown = [Shown("a.jsonl:1", 7, [("b" * 9000 + "END", True)], None, teacher="read this first")]
    show_rendered(Rendering("a.jsonl", "messages", "holdfast:tiny", 1, shown, [], []))
    text = capsys.readouterr().out
    assert "the teacher reads:" in text
    assert "read this first" in text
    assert "3,003 characters" in text
    assert "END⟧" in text
    assert len(text) < 7000


def test_scores_come_with_their_interval_and_a_classifiers_macro_f1(capsys):
    rows = [SkillScore("mood", "classify", "exact", 90, 100, 0.9, 0.83, 0.94, 0.89, "classifier v2")]
    show_scores(Evaluated("v1", rows))
    text = capsys.readouterr().out
    assert "90/100" in text
    assert "83.0 to 94.0" in text
    assert "macro-F1 89.0, classifier v2" in text


def test_a_diagnosis_shows_every_figure_with_its_interval_and_ends_with_the_doubts(capsys):
    rows = [Share("recovery", 8, 20, 0.4, 0.219, 0.613)]
    means = {"reflection length, tokens": ("30.0", "25.6 to 34.4")}
    show_diagnosis(Diagnosis("v1", "countdown", rows, means, None, ["Of 20 failed tasks 40% recover."], ["it is late"]))
    lines = capsys.readouterr().out.splitlines()
    assert any("recovery" in line and "8/20" in line and "40.0" in line and "21.9 to 61.3" in line for line in lines)
    assert any("reflection length, tokens" in line and "30.0" in line and "25.6 to 34.4" in line for line in lines)
    assert lines[-2:] == ["Of 20 failed tasks 40% recover.", "Doubt: it is late."]


def test_an_unmeasured_cell_is_a_dot():
    assert percent(None) == "·"
    assert percent(0.9833) == "98.3"
