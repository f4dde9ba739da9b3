"""The database is migrated, refused when it is newer, and never half changed."""

import ast
import contextlib
import re
import sqlite3

import pytest

from holdfast.errors import StoreError
from holdfast.store import database, sqlite
from holdfast.store.database import migrations
from holdfast.store.tables import metadata
from holdfast.store.workspace import Workspace


def old_workspace(root, version):
    """Writes a workspace as a program that knew only `version` migrations left it."""
    root.mkdir()
    connection = sqlite3.connect(root / "holdfast.db")
    for _, script in migrations()[:version]:
        connection.executescript(script)
    connection.execute("INSERT INTO skills VALUES (1, 'add', 'a', 'b', 'exact', 'chat', '2030-01-01T00:00:00+00:00')")
    connection.execute(f"PRAGMA application_id = {0x48464153}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


def number(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def test_a_workspace_of_version_1_is_migrated_with_its_content_and_a_copy_is_kept(tmp_path):
    root = tmp_path / "w"
    old_workspace(root, 1)
    with Workspace.open(root) as workspace:
        assert workspace.skill("add").grader == "exact"
        workspace.remember("k", workspace.files.put_bytes(b"x"), kind="reminders")
        assert workspace.recall("k") is not None
    assert number(root / "holdfast.db") == len(migrations())
    assert number(root / "holdfast.db.version-1") == 1
    with Workspace.open(root) as workspace:
        assert workspace.recall("k") is not None


def test_a_workspace_of_a_newer_program_is_refused_and_left_alone(tmp_path):
    with Workspace.create(tmp_path / "w") as workspace:
        root = workspace.root
    connection = sqlite3.connect(root / "holdfast.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=f"has version 99, but this program knows versions up to {len(migrations())}"):
        Workspace.open(root)
    assert number(root / "holdfast.db") == 99


def test_a_migration_that_fails_leaves_the_version_before(tmp_path, monkeypatch):
    root = tmp_path / "w"
    old_workspace(root, 1)
    broken = [migrations()[0], (2, "CREATE TABLE artifacts (key TEXT); CREATE TABLE skills (oops TEXT);")]
    monkeypatch.setattr(database, "migrations", lambda: broken)
    with pytest.raises(StoreError, match="cannot be used"):
        Workspace.open(root)
    monkeypatch.undo()
    assert number(root / "holdfast.db") == 1
    with Workspace.open(root) as workspace:
        assert workspace.skill("add").name == "add"


def test_a_file_that_is_no_database_of_ours_is_refused_and_left_alone(tmp_path):
    cases = {"text": (_text, "cannot be used"), "other": (_other_database, "not made by Holdfast")}
    for name, (make, message) in cases.items():
        path = tmp_path / name
        make(path)
        before = path.read_bytes()
        with pytest.raises(StoreError, match=message):
            sqlite.open_existing(path)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(name)] == [name]


def _text(path):
    path.write_text("hello " * 100)


def _other_database(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()


def test_the_tables_in_python_are_those_the_migrations_make(tmp_path):
    with Workspace.create(tmp_path / "w") as workspace:
        path = workspace.root / "holdfast.db"
    connection = sqlite3.connect(path)
    for name, table in metadata.tables.items():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
        assert columns == [column.name for column in table.columns]
    found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert found - {"sqlite_sequence"} == set(metadata.tables)


def test_the_database_is_in_wal_mode_and_syncs_every_commit(tmp_path):
    with Workspace.create(tmp_path / "w") as workspace, workspace._database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_reader_sees_one_state_and_does_not_wait_for_a_writer(tmp_path):
    with (
        Workspace.create(tmp_path / "w") as one,
        Workspace.open(tmp_path / "w") as two,
        one._database.write() as writing,
    ):
        writing.exec_driver_sql("INSERT INTO artifacts VALUES ('k', 'h', 'x', 't')")
        assert two.recall("k") is None


def test_a_block_that_raises_changes_nothing(tmp_path):
    with Workspace.create(tmp_path / "w") as workspace:
        with contextlib.suppress(RuntimeError), workspace._database.write() as connection:
            connection.exec_driver_sql("INSERT INTO artifacts VALUES ('k', 'h', 'x', 't')")
            raise RuntimeError
        with workspace._database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM artifacts").scalar() == 0


def test_only_the_files_that_are_about_a_database_know_which_it_is(repository):
    known = {"dialect.py", "location.py", "postgres.py", "sqlite.py"}
    named = re.compile(r"sqlalchemy\.dialects|sqlite|postgres|psycopg|exec_driver_sql", re.IGNORECASE)
    code = {path.name: _code(path) for path in (repository / "src" / "holdfast" / "store").glob("*.py")}
    assert {name for name, text in code.items() if named.search(text)} == known


def _code(path):
    """A file's code without its docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def test_where_every_connection_is_in_use_for_too_long_it_is_said_as_all_else_is(tmp_path):
    with Workspace.create(tmp_path / "w") as workspace, contextlib.ExitStack() as others:
        pool = workspace._database._reading.pool
        pool._timeout = 0.01
        for _ in range(pool.size() + pool._max_overflow):
            others.enter_context(workspace._database.read())
        with pytest.raises(StoreError, match="every connection was in use"):
            workspace.versions()
