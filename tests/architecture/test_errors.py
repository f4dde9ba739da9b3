"""The error tree: a code of its own for every class, an exit code, a doc row, and a drawing that is true."""

import re

import pytest

from holdfast import errors
from holdfast.errors import HoldfastError

EXIT_CODES = {1, 2, 3}  # error, usage, refused by the gate


def tree(root):
    """Every class of the tree below and including the root, depth first, with its depth."""
    found = [(root, 0)]
    for child in root.__subclasses__():
        found += [(error, depth + 1) for error, depth in tree(child)]
    return [(error, depth) for error, depth in found if error.__module__.startswith("holdfast")]


CLASSES = [error for error, _ in tree(HoldfastError)]


def test_every_error_of_the_package_stands_in_one_file():
    assert {error.__module__ for error in CLASSES} == {"holdfast.errors"}


def test_every_error_class_has_a_code_of_its_own():
    codes = [error.__dict__.get("code") for error in CLASSES]
    assert all(codes), "a class inherits its code"
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_every_error_class_has_an_exit_code_and_is_one_of_the_standard_kind(error):
    assert error.exit_code in EXIT_CODES
    standard = [
        base
        for base in error.__mro__
        if base.__module__ == "builtins" and base not in (Exception, BaseException, object)
    ]
    assert standard or error is HoldfastError


def test_the_drawing_at_the_top_of_the_file_is_the_tree():
    drawn = [
        (m[2], len(m[1]) // 4) for m in re.finditer(r"^([│├└─ ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    ]
    assert drawn == [(error.__name__, depth) for error, depth in tree(HoldfastError)]


def test_every_error_has_a_row_in_the_reference(repository):
    rows = (repository / "docs" / "reference" / "errors.md").read_text()
    assert [error.code for error in CLASSES if f"| `{error.code}` |" not in rows] == []
