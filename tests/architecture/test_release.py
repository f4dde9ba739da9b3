"""One version number, wherever it is written; and installs that name versions and no hosts."""

import re
import tomllib

import holdfast


def test_the_top_version_of_the_changelog_is_the_version_of_the_package(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    top = re.search(r"^## \[?(\d+\.\d+\.\d+)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert top, "CHANGELOG.md has no version"
    assert top[1] == holdfast.__version__ == project["version"]


def test_every_dependency_is_constrained_to_one_version_and_no_address_is_named(repository):
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in lines}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [d for extra in project["optional-dependencies"].values() for d in extra]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in wanted}
    names.discard("holdfast")  # an extra of its own, named in another
    assert not {name for name in names if name.replace("_", "-") not in pinned}


def test_the_constraint_on_torch_names_no_build(repository):
    assert "torch==2.13.0\n" in (repository / "constraints.txt").read_text()
