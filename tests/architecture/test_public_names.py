"""What `__all__` promises: sorted, complete, documented; and no room for code without a name."""

import ast
import importlib
import inspect

import pytest

NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "experimental", "legacy"}


def declared(tree):
    """The names in a module's `__all__`, in its own order, or None."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def offered(tree):
    """The public names that a module defines, or brings in from its own package and does not use itself."""
    names = set()
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("holdfast"):
            names |= {alias.asname or alias.name for alias in node.names} - used
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def test_every_list_of_public_names_is_sorted_complete_and_documented(sources):
    wrong = []
    for path, module in sources.items():
        tree = ast.parse(path.read_text())
        names = declared(tree)
        if names is None:
            continue
        if names != sorted(names):
            wrong.append(f"{module}: __all__ is not sorted")
        missing = offered(tree) - set(names)
        if missing and path.name == "__init__.py":
            wrong.append(f"{module}: {sorted(missing)} stand in the file and not in __all__")
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value):
                wrong.append(f"{module}.{name} has no docstring")
    assert not wrong, "\n".join(wrong)


def test_the_package_has_a_public_door_of_at_most_40_lines(package):
    text = (package / "__init__.py").read_text()
    assert declared(ast.parse(text))
    assert len(text.splitlines()) <= 40


@pytest.mark.parametrize("kind", ["module", "test"])
def test_no_module_is_named_after_nothing(sources, repository, kind):
    paths = sources if kind == "module" else sorted((repository / "tests").rglob("*.py"))
    assert not [str(path) for path in paths if path.stem in NAMELESS]


def test_the_check_of_names_sees_what_is_missing():
    tree = ast.parse("from holdfast.types import Skill, Score\nLIMIT = 3\n_hidden = Score\n__all__ = ['Skill']\n")
    assert declared(tree) == ["Skill"]
    assert offered(tree) == {"Skill", "LIMIT"}
