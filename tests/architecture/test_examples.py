"""The examples are what the docs say: every line is used, and no test item is trained on."""

from itertools import permutations, product
from runpy import run_path

import pytest

from holdfast.data.read import read
from holdfast.graders.countdown import evaluate

WITHOUT_ANSWERS = {"countdown": {"nums", "target"}}
"""Tasks to reflect on, with what their grader reads."""


def load(name, path):
    """What is read of a file of that skill."""
    columns = WITHOUT_ANSWERS.get(name, frozenset())
    return read(str(path), need_demonstration=name not in WITHOUT_ANSWERS, keep=columns)


@pytest.fixture(scope="module")
def skills(repository):
    """Training and test file of every example skill, by name."""
    folder = repository / "examples"
    tests = sorted(folder.glob("*.test.jsonl"))
    return {test.name.removesuffix(".test.jsonl"): (folder / test.name.replace(".test", ""), test) for test in tests}


def test_every_example_file_is_read_with_no_line_rejected(skills):
    assert {"tools", "companies", "routing", "countdown"} <= set(skills)
    for name, files in skills.items():
        for path in files:
            result = load(name, path)
            assert result.examples
            assert not result.rejected


def test_no_prompt_of_a_test_stands_in_the_training_file(skills):
    for name, (train, test) in skills.items():
        asked = {(example.prompt, str(example.tools)) for example in load(name, train).examples}
        shared = [example.id for example in load(name, test).examples if (example.prompt, str(example.tools)) in asked]
        assert not shared, f"{name}: {len(shared)} test prompts are trained on"


def test_no_wording_that_is_tested_is_trained_with_any_company_or_opening(skills, repository):
    """Also the indirect ones, among which the training file has some of its own."""
    made = run_path(str(repository / "examples" / "generate.py"))
    openings = sorted({*made["OPENERS"], *made["TEST_OPENERS"]} - {""})

    def wordings(path):
        questions = [example.prompt[-1].content for example in read(str(path)).examples]
        for opening in openings:
            questions = [question.removeprefix(opening) for question in questions]
        companies = [f"{animal}co" for animal in made["ANIMALS"]]
        return {question.replace(name, "{s}") for question in questions for name in companies if name in question}

    trained, tested = map(wordings, skills["companies"])
    assert len(trained) == 2 * made["NUM_TRAINED_WORDINGS"]
    assert {wording for fact in ("depot", "patron") for wording in made["WORDS"][fact]["indirect"]} <= tested
    assert not trained & tested


def test_every_example_test_is_large_enough_for_the_gate(skills):
    for name, (_, test) in skills.items():
        assert len(load(name, test).examples) >= 149, name


def test_the_generator_writes_the_example_files_again_byte_for_byte(repository, tmp_path):
    made = run_path(str(repository / "examples" / "generate.py"))
    made["main"].__globals__["HERE"] = tmp_path
    made["main"]()
    written = sorted(tmp_path.glob("*.jsonl"))
    assert {path.name for path in written} == {path.name for path in (repository / "examples").glob("*.jsonl")}
    different = [
        path.name for path in written if path.read_bytes() != (repository / "examples" / path.name).read_bytes()
    ]
    assert not different, f"run examples/generate.py: {different} are not what it writes"


def test_every_countdown_task_can_be_solved_and_no_three_numbers_are_in_both_files(skills):
    trained, tested = (
        [example.columns for example in load("countdown", path).examples] for path in skills["countdown"]
    )
    assert not {tuple(sorted(row["nums"])) for row in trained} & {tuple(sorted(row["nums"])) for row in tested}
    for row in [*trained, *tested]:
        reached = {
            evaluate(f"({a} {one} {b}) {other} {c}")[0]
            for a, b, c in permutations(row["nums"])
            for one, other in product("+-*", repeat=2)
        }
        assert row["target"] in reached


def test_a_countdown_task_says_what_its_grader_checks(skills):
    for path in skills["countdown"]:
        for example in load("countdown", path).examples:
            row, asked = example.columns, example.prompt[-1].content
            a, b, c = row["nums"]
            assert asked.startswith(f"Use {a}, {b} and {c} to make {row['target']}. Use each number once")
            assert example.demonstration is None
