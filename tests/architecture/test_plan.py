"""Every setting of a plan is read by code and set to something else by a test; every check is registered."""

import ast
import re

import pytest

from holdfast.data.checks import AFTER_SPLIT, CHECKS
from holdfast.data.doctor.plan import Plan
from holdfast.settings import known_keys

KEYS = list(known_keys(Plan))
LEAVES = [key for key in KEYS if not any(other.startswith(f"{key}.") for other in KEYS)]


@pytest.fixture(scope="module")
def read(sources):
    """Every attribute name that the code reads."""
    trees = [ast.parse(path.read_text()) for path in sources]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.fixture(scope="module")
def tests(repository):
    """The tests of data and of preparing, as one text."""
    unit = repository / "tests" / "unit"
    files = [*sorted((unit / "data").rglob("*.py")), unit / "jobs" / "test_prepare.py"]
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize("key", LEAVES)
def test_a_setting_is_read_by_code_and_set_by_a_test(key, read, tests):
    name = key.rsplit(".", 1)[-1]
    assert name in read, f"nothing reads {key}"
    assert re.search(rf"\b{name}\b\"?(=|:)|\"{name}\"", tests), f"no test sets {key}"


def test_every_check_is_registered_under_its_own_name(sources):
    registered = {**CHECKS, **AFTER_SPLIT}
    assert all(check.name == name for name, check in registered.items())
    named = re.compile(r"^    name(?:: ClassVar\[str\])? = \"(\w+)\"", re.MULTILINE)
    files = [path for path in sources if path.parent.name == "checks"]
    defined = {name for path in files for name in named.findall(path.read_text())}
    assert defined == set(registered)
