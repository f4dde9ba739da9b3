"""The recipe: small classes, documented keys, errors that help, examples that load, and no key without an effect."""

import ast
import tomllib
import typing

import pytest
from pydantic import BaseModel

from holdfast.errors import ConfigError
from holdfast.settings import known_keys
from holdfast.training.config import Recipe
from holdfast.training.reflect_config import ReflectConfig

MAX_FIELDS = 15
KEYS = sorted(set(known_keys(Recipe)))
TABLES = sorted({key.rsplit(".", 1)[0] for key in KEYS if "." in key})
LEAVES = [key for key in KEYS if key not in TABLES or key == "adapter"]


def classes(annotation):
    """Every settings class that a recipe consists of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from classes(field.annotation)
    for part in typing.get_args(annotation):
        yield from classes(part)


SETTINGS = list(dict.fromkeys(classes(Recipe)))


def test_the_walk_finds_every_settings_class():
    assert {
        "Recipe",
        "SftConfig",
        "SdftConfig",
        "DpoConfig",
        "ClassifyConfig",
        "AdapterConfig",
        "RehearsalConfig",
        "GateConfig",
    } <= {settings.__name__ for settings in SETTINGS}


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.__name__)
def test_a_settings_class_is_frozen_closed_small_and_documented(settings):
    assert settings.model_config.get("frozen") is True
    assert settings.model_config.get("extra") == "forbid"
    assert len(settings.model_fields) <= MAX_FIELDS
    assert settings.__doc__
    undocumented = [name for name, field in settings.model_fields.items() if name != "type" and not field.description]
    assert not undocumented


@pytest.mark.parametrize("key", [key for key in LEAVES if not key.endswith("type")])
def test_a_misspelt_key_is_an_error_that_names_the_nearest_key(key):
    *tables, name = key.split(".")
    wrong = name + "x"
    value = {wrong: 1}
    for table in reversed(tables):
        value = {table: value}
    if tables[:1] == ["method"]:
        owner = next(
            s
            for s in SETTINGS
            if [*tables[1:], name][0] in s.model_fields
            and s.__name__.endswith(("SftConfig", "SdftConfig", "DpoConfig", "ReflectConfig", "ClassifyConfig"))
        )
        value["method"]["type"] = owner.model_fields["type"].default
    with pytest.raises(ConfigError, match=f"did you mean {'.'.join([*tables, name])}"):
        Recipe.from_mapping(value)


def test_every_example_recipe_loads(repository):
    paths = sorted((repository / "examples").rglob("*.toml"))
    assert paths
    for path in paths:
        Recipe.from_toml(path)


@pytest.mark.parametrize("method", ["sdft", "reflect"])
def test_a_recipe_that_writes_the_defaults_out_says_what_they_are(repository, method):
    written = Recipe.from_toml(repository / "examples" / f"{method}.toml")
    assert written == Recipe.from_overrides([f"method={method}", "steps=400"])


def test_the_recipe_of_reflect_has_every_setting_of_the_method(repository):
    written = tomllib.loads((repository / "examples" / "reflect.toml").read_text())["method"]
    tables = {f"{table}.{key}" for table, values in written.items() if isinstance(values, dict) for key in values}
    # TOML has no word for none, which is the default of this one.
    assert {*written, *tables, "attempts.remine_every"} == set(known_keys(ReflectConfig))


def functions_of(path):
    """Source text of every test of a file, decorators included, by name."""
    text = path.read_text()
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *[d.lineno for d in node.decorator_list]])
            found[node.name] = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return found


@pytest.fixture(scope="module")
def behaviour(repository):
    """Which test shows that a key changes what a run does."""
    return tomllib.loads((repository / "tests" / "architecture" / "config_keys.toml").read_text())


def test_every_key_of_the_recipe_names_a_test_that_it_changes_behaviour(behaviour):
    assert sorted(behaviour) == sorted(LEAVES)


def test_every_test_that_is_named_exists_and_is_about_its_key(behaviour, repository):
    wrong = []
    for key, where in behaviour.items():
        file, _, name = where.partition("::")
        path = repository / "tests" / file
        text = functions_of(path).get(name) if path.is_file() else None
        if text is None:
            wrong.append(f"{key}: there is no test {where}")
        elif key.rsplit(".", 1)[-1] not in text and key.rsplit(".", 1)[-1] != "type":
            wrong.append(f"{key}: {where} does not mention it")
    assert not wrong, "\n".join(wrong)


def names_read(sources):
    """Every attribute name that the given sources read."""
    return {node.attr for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}


def test_every_key_is_read_by_code_outside_the_settings_themselves(sources):
    texts = [path.read_text() for path in sources if path.name not in ("config.py", "adapter_config.py")]
    read = names_read(texts)
    unread = [key for key in LEAVES if key.rsplit(".", 1)[-1] not in read]
    assert not unread, f"nothing reads {unread}"


def test_the_check_of_reading_sees_attributes_and_not_assignments_of_names():
    assert names_read(["x = recipe.gate.margin\nconfidence = 1\n"]) == {"gate", "margin"}
