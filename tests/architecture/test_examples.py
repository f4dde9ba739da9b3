"""The examples are what the docs say: every line is used, and no test item is trained on."""

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


def test_every_example_test_is_large_enough_for_the_gate(skills):
    for name, (_, test) in skills.items():
        assert len(read(str(test)).examples) >= 149, name
