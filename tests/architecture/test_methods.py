"""A method is in, with its configuration, its paper and its row in the docs, or it is not in."""

import ast
import re
import typing

import pytest

from holdfast.training.config import MethodConfig

ARXIV = re.compile(r"arXiv[: ](\d{4}\.\d{5})")


def paper_of(docstring):
    """The arXiv id in the paragraph of a method file that begins with `Paper:`, or None."""
    paragraphs = [p for p in (docstring or "").split("\n\n") if p.startswith("Paper:")]
    found = ARXIV.findall(paragraphs[0]) if paragraphs else []
    return found[0] if found else None


@pytest.fixture(scope="module")
def method_files(package):
    return {path.stem: path for path in sorted((package / "training" / "methods").glob("[!_]*.py"))}


def stem_of(name):
    """The name of the file that a method lives in."""
    from holdfast.training.methods import METHODS

    return METHODS[name].__module__.rpartition(".")[2]


def docstring_of(path):
    return ast.get_docstring(ast.parse(path.read_text()))


def configured():
    """The types that the method table of a recipe can have, `auto` aside: it stands for one of the others."""
    union, _ = typing.get_args(MethodConfig)
    return {config.model_fields["type"].default for config in typing.get_args(union)} - {"auto"}


def test_every_method_has_a_configuration_and_every_configuration_a_method(method_files):
    from holdfast.training.methods import METHODS

    assert set(METHODS) == configured()
    assert {stem_of(name) for name in METHODS} == set(method_files)


def test_every_method_file_names_its_paper_and_the_choices_it_makes(method_files):
    for name, path in method_files.items():
        docstring = docstring_of(path)
        assert paper_of(docstring), f"{name}: no paragraph 'Paper: … (arXiv:…)'"
        assert "Choices made here" in (docstring or ""), f"{name}: does not say which choices it makes"


def test_the_page_of_papers_lists_exactly_the_methods_papers(method_files, repository):
    page = (repository / "docs" / "papers.md").read_text().split("## Beside the methods")[0]
    rows = {stem_of(m[1]): ARXIV.findall(m[0])[0] for m in re.finditer(r"^\| `(\w+)` \|.*$", page, re.MULTILINE)}
    assert rows == {name: paper_of(docstring_of(path)) for name, path in method_files.items()}


def test_a_paper_named_in_passing_is_not_the_method_s_own():
    assert paper_of("Title.\n\nLike arXiv:1111.11111.") is None
    assert paper_of("Title.\n\nPaper: A 2020\n(arXiv:2222.22222), after arXiv:1111.11111.") == "2222.22222"
