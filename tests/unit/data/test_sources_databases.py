"""Queries as sources: only read, row by row, and credentials are never seen."""

import pytest
import sqlalchemy

from holdfast.data.rejected import Rejected
from holdfast.data.sources import stream
from holdfast.data.sources.databases import query_name, reason_of
from holdfast.errors import DataError


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "my shop.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE faq (id INTEGER PRIMARY KEY, question TEXT, answer TEXT, at TIMESTAMP)"
        )
        connection.exec_driver_sql(
            "INSERT INTO faq VALUES (1, 'wo?', 'hier', '2026-01-02'), (2, 'wann?', NULL, NULL), "
            "(3, '50 % :off?', 'ja', NULL), (4, CAST(X'ff41' AS TEXT), 'a', NULL)"
        )
    engine.dispose()
    return f"sqlite:///{path}"


def taken(source, **settings):
    notes = []
    rows = list(stream([source], notes=notes, **settings))
    return (
        [item for item in rows if not isinstance(item, Rejected)],
        [i for i in rows if isinstance(i, Rejected)],
        notes,
    )


def test_a_query_is_a_source_whose_rows_have_numbers(shop):
    good, rejected, notes = taken(f"{shop}::SELECT * FROM faq ORDER BY id", keep={"at"})
    assert [(e.messages[0].content, e.source.rsplit(":", 1)[1]) for e in good] == [("wo?", "1"), ("50 % :off?", "3")]
    assert good[0].source == f"{shop}::SELECT * FROM faq ORDER BY id:1"
    assert good[0].columns == {"at": "2026-01-02"}
    assert [(item.line, item.kind) for item in rejected] == [(2, "empty"), (4, "encoding")]
    assert "\\xffA" in rejected[1].raw
    assert "4 rows, 2 as question + answer, 2 rejected" in notes[0]
    assert len(taken(f"{shop}::SELECT * FROM faq WHERE question LIKE '%:off%' AND answer = 'ja';")[0]) == 1
    assert len(taken(f"{shop}::with x AS (SELECT * FROM faq) SELECT * FROM x#1")[0]) == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM faq", "given with a query that reads"),
        ("SELECT 1; DELETE FROM faq", "one statement"),
        ("WITH x AS (SELECT 1) DELETE FROM faq", "readonly"),
        ("SELECT * FROM nowhere", "no such table"),
        ("SELECT question, question FROM faq", "twice"),
        ("", "given with a query that reads"),
    ],
)
def test_nothing_but_reading_is_done(shop, query, said):
    with pytest.raises(DataError, match=said):
        taken(f"{shop}::{query}")
    assert len(taken(f"{shop}::SELECT * FROM faq")[0]) == 2


def test_a_semicolon_in_text_is_no_second_statement(shop):
    assert len(taken(f"{shop}::SELECT question, answer FROM faq WHERE answer != ';' AND id < 2 -- a; b")[0]) == 1


def test_a_database_file_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(DataError, match="no such SQLite file"):
        taken(f"sqlite:///{tmp_path}/none.db::SELECT 1")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.db").write_bytes(b"no database at all, but long enough to look at")
    with pytest.raises(DataError, match="query failed at the start"):
        taken(f"sqlite:///{tmp_path}/a.db::SELECT * FROM x")


def test_rows_come_as_they_are_asked_for(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    endless = (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n AS prompt, 'a' AS completion FROM c"
    )
    rows = stream([f"sqlite:///{tmp_path}/a.db::{endless}"], notes=[])
    assert [next(rows).line for _ in range(1200)] == list(range(1, 1201))
    rows.close()


def test_credentials_are_never_shown(tmp_path):
    secret = "postgresql://bob:hun%40ter2@db.example:5432/shop?sslpassword=geheim::SELECT * FROM t"
    assert query_name(secret) == "postgresql://db.example:5432/shop::SELECT * FROM t"
    error = RuntimeError('password authentication failed for user "bob" with hun@ter2 and geheim\nmore')
    assert reason_of(error, secret.split("::")[0]) == 'password authentication failed for user "…" with … and …'
    for source in (
        "nosuchdb://bob:hunter2@host/x::SELECT 1",
        "postgresql+nodriver://bob:hunter2@host/x::SELECT 1",
        "not a url://bob:hunter2@@@::SELECT 1",
        "mysql://bob:hunter2@host:port/x::SELECT 1",
        "mysql://bob:hunter2@host/x::DROP TABLE t",
        f"sqlite:///{tmp_path}/none.db?password=hunter2::SELECT 1",
    ):
        with pytest.raises(DataError) as caught:
            taken(source)
        said = str(caught.value) + repr(caught.value.__cause__)
        assert "hunter2" not in said, source
        assert "bob" not in said, source
