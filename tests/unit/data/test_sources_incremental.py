"""Rows that are new since the last load, by dlt."""

import sys

import pytest
import sqlalchemy

from holdfast.data.sources import stream
from holdfast.data.sources.incremental import load_new_rows
from holdfast.errors import DataError


@pytest.fixture
def shop(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.db")

    def insert(*rows):
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS faq (id INTEGER, Question TEXT, answer TEXT)")
            for row in rows:
                connection.exec_driver_sql("INSERT INTO faq VALUES (?, ?, ?)", row)

    return f"sqlite:///{tmp_path}/shop.db", insert, tmp_path / "state"


def read_all(files):
    columns = {"question": "Question"}
    return sorted(item.messages[0].content for item in stream(list(map(str, files)), columns=columns, notes=[]))


def test_only_rows_added_between_two_loads_are_loaded(shop):
    pytest.importorskip("dlt")
    url, insert, state = shop
    insert((1, "a?", "a"), (2, "b?", "b"))
    assert read_all(load_new_rows(url, "faq", cursor="id", state=state)) == ["a?", "b?"]
    assert load_new_rows(url, "faq", cursor="id", state=state) == []
    insert((2, "same id?", "c"), (4, "d?", "d"), (3, "c?", "c"))
    assert read_all(load_new_rows(url, "faq", cursor="id", state=state)) == ["c?", "d?", "same id?"]
    everything = sorted((state / "rows").rglob("faq/*.jsonl*"))
    assert read_all(everything) == ["a?", "b?", "c?", "d?", "same id?"]
    with pytest.raises(DataError, match="Give another folder"):
        load_new_rows(url, "other", cursor="id", state=state)


def test_what_cannot_be_told_apart_is_refused_before_anything_is_loaded(shop):
    pytest.importorskip("dlt")
    url, insert, state = shop
    insert((1, "a?", "a"), (None, "b?", "b"))
    with pytest.raises(DataError, match="1 rows have no value in 'id'"):
        load_new_rows(url, "faq", cursor="id", state=state)
    with pytest.raises(DataError, match=r"has no column 'nr'.* There are: id, Question, answer"):
        load_new_rows(url, "faq", cursor="nr", state=state.with_name("other"))
    with pytest.raises(DataError, match="cannot be read"):
        load_new_rows(url, "nothing", cursor="id", state=state.with_name("third"))
    assert not list(state.rglob("*.jsonl*"))


def test_without_dlt_the_extra_is_named(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlt", None)
    with pytest.raises(DataError, match=r"pip install 'holdfast\[data\]'"):
        load_new_rows(shop[0], "faq", cursor="id", state=shop[2])
