"""Rows that a table got since the last preparation: each is in one version, and none is lost when one fails."""

import pytest
import sqlalchemy

from holdfast.data.output.version import load
from holdfast.errors import ConfigError, NothingToLearnError
from holdfast.jobs.prepare import Request, prepare
from holdfast.jobs.preparing_here import plan_of, recipe_here
from holdfast.jobs.progress import Silent

LIGHT = [
    "checks.semantic_duplicates.enabled=false",
    "checks.near_duplicates.enabled=false",
    "checks.contamination.enabled=false",
]


@pytest.fixture
def shop(tmp_path):
    """Adds questions with these numbers to a table, and gives its address."""
    pytest.importorskip("dlt")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.db")

    def insert(numbers):
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS faq (id INTEGER, question TEXT, answer TEXT)")
            for number in numbers:
                row = (number, f"What is the price of item {number}?", f"It costs {number * 7} euros.")
                connection.exec_driver_sql("INSERT INTO faq VALUES (?, ?, ?)", row)

    return f"sqlite:///{tmp_path}/shop.db::faq", insert


def prepared(tmp_path, *sources, new_by="id", overrides=()):
    recipe, template = recipe_here(None, None)
    plan = plan_of(None, [*LIGHT, *overrides])
    request = Request(sources, "shop", plan, recipe, chat_template=template, to=tmp_path / "data", new_by=new_by)
    return prepare(None, request, approve=None, progress=Silent())


def numbers(version):
    found = load(version.folder)
    return sorted(
        int(row.messages[0].content.split()[-1].rstrip("?")) for name in found.parts for row in found.examples(name)
    )


def test_each_preparation_takes_the_rows_that_are_new(tmp_path, shop):
    table, insert = shop
    insert(range(20))
    assert numbers(prepared(tmp_path, table).version) == list(range(20))
    with pytest.raises(NothingToLearnError, match=r"faq: no row is new"):
        prepared(tmp_path, table)
    insert(range(20, 35))
    second = prepared(tmp_path, table).version
    assert numbers(second) == list(range(20, 35))
    assert all("_dlt_id" not in row.columns for row in load(second.folder).examples("train"))
    assert second.sources[0].sha256


def test_rows_of_a_preparation_that_failed_are_given_to_the_next(tmp_path, shop, monkeypatch):
    table, insert = shop
    insert(range(12))

    def full(*given):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.jobs.prepare.write_version", full)
        with pytest.raises(OSError, match="no space"):
            prepared(tmp_path, table)
    insert(range(12, 20))
    assert numbers(prepared(tmp_path, table).version) == list(range(20))


def test_a_password_is_in_no_message(tmp_path):
    with pytest.raises(ConfigError) as error:
        prepared(tmp_path, "postgresql://ann:secret@db.example.org/shop::faq", new_by=None)
    assert "postgresql://db.example.org/shop::faq is a table" in error.value.message


def test_a_table_needs_a_column_and_a_column_a_table(tmp_path, shop):
    table, insert = shop
    insert(range(3))
    with pytest.raises(ConfigError, match=r"faq is a table\. Name the column.*--new-by"):
        prepared(tmp_path, table, new_by=None)
    file = tmp_path / "a.jsonl"
    file.write_text("{}\n")
    with pytest.raises(ConfigError, match="--new-by id has no effect"):
        prepared(tmp_path, str(file))
