"""A file is at most 400 lines and a function at most 60: what is longer hides a concept without a name."""

import ast

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_README_LINES = 200

# What is allowed to be longer, with its length today. This list may only shrink.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}


def long_functions(text, limit=MAX_FUNCTION_LINES):
    """Name and length of every function longer than the limit, docstring included, decorators not."""
    functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = [(f.name, (f.end_lineno or f.lineno) - f.lineno + 1) for f in functions]
    return {name: length for name, length in sorted(lengths, key=lambda pair: pair[1]) if length > limit}


def excess(found, allowed):
    """What is longer than the limit, or than its own entry in the list of the allowed."""
    return {name: length for name, length in found.items() if length > allowed.get(name, 0)}


def test_no_file_is_longer_than_400_lines(sources, package):
    lengths = {str(path.relative_to(package)): len(path.read_text().splitlines()) for path in sources}
    found = {name: length for name, length in lengths.items() if length > MAX_FILE_LINES}
    assert not excess(found, LONG_FILES)
    assert set(LONG_FILES) == set(found), "a file on the list is short enough now: take it off"


def test_no_function_is_longer_than_60_lines(sources, package):
    found = {
        f"{path.relative_to(package)}::{name}": length
        for path in sources
        for name, length in long_functions(path.read_text()).items()
    }
    assert not excess(found, LONG_FUNCTIONS)
    assert set(LONG_FUNCTIONS) == set(found), "a function on the list is short enough now: take it off"


def test_the_readme_is_at_most_200_lines_and_contributing_one_page(repository):
    assert len((repository / "README.md").read_text().splitlines()) <= MAX_README_LINES
    assert len((repository / "CONTRIBUTING.md").read_text().splitlines()) <= 70


def test_the_check_counts_the_lines_of_a_function_without_its_decorator():
    text = "@cache\ndef long():\n" + "    pass\n" * 3 + "def short():\n    pass\n"
    assert long_functions(text, limit=3) == {"long": 4}
    assert not long_functions(text, limit=4)


def test_the_allowance_of_a_function_does_not_grow():
    assert excess({"a": 70, "b": 61}, {"a": 69}) == {"a": 70, "b": 61}
    assert not excess({"a": 69}, {"a": 69})
