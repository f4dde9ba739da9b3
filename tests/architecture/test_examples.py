"""The examples are what the docs say: every line is used, and no test item is trained on."""

from runpy import run_path

import pytest

from holdfast.data.read import read


@pytest.fixture(scope="module")
def skills(repository):
    """Training and test file of every example skill, by name."""
    folder = repository / "examples"
    tests = sorted(folder.glob("*.test.jsonl"))
    return {test.name.removesuffix(".test.jsonl"): (folder / test.name.replace(".test", ""), test) for test in tests}


def test_every_example_file_is_read_with_no_line_rejected(skills):
    assert {"tools", "companies", "routing"} <= set(skills)
    for files in skills.values():
        for path in files:
            result = read(str(path))
            assert result.examples
            assert not result.rejected


def test_no_prompt_of_a_test_stands_in_the_training_file(skills):
    for name, (train, test) in skills.items():
        asked = {(example.prompt, str(example.tools)) for example in read(str(train)).examples}
        shared = [example.id for example in read(str(test)).examples if (example.prompt, str(example.tools)) in asked]
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
        assert len(read(str(test)).examples) >= 149, name
