"""What the architecture tests read: the package's own files and modules."""

from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "holdfast"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="session")
def package():
    """The folder of the package's sources."""
    return PACKAGE


@pytest.fixture(scope="session")
def sources():
    """Every Python file of the package, with the name of its module."""
    return {path: module_name(path) for path in sorted(PACKAGE.rglob("*.py"))}
