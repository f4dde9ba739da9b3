"""A workspace on a PostgreSQL server: made, refused with the reason, migrated, and never shared by accident."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.errors import NotFoundError, StoreError
from holdfast.store import database as databases
from holdfast.store import postgres
from holdfast.store.database import migrations
from holdfast.store.postgres import translated
from holdfast.store.tables import metadata
from holdfast.store.workspace import Workspace
from holdfast.types import Skill

ADD = Skill("add", "a" * 64, "b" * 64, "exact")


@pytest.fixture
def root(tmp_path, postgres_url):
    """The folder of a workspace with a skill."""
    with Workspace.create(tmp_path / "w", database=postgres_url) as workspace:
        workspace.add_skill(ADD)
    return tmp_path / "w"


def test_a_workspace_is_found_again_and_its_folder_holds_no_database(root, postgres_url):
    with Workspace.open(root) as workspace:
        assert workspace.skill("add") == ADD
        assert workspace.database == postgres_url.partition("?")[0]
    assert not (root / "holdfast.db").exists()
    assert json.loads((root / "database.json").read_text())["url"] == postgres_url


def test_the_tables_in_python_are_those_the_migrations_make_there_too(root, postgres_server, postgres_url):
    wanted = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    lines = postgres_server.sql(postgres_url, f"{wanted} ORDER BY table_name, ordinal_position").splitlines()
    found = {}
    for table, column in (line.split("|") for line in lines):
        found.setdefault(table, []).append(column)
    found.pop("holdfast_workspace")
    assert found == {name: [column.name for column in table.columns] for name, table in metadata.tables.items()}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://ann@host/name", "mysql is not supported"),
        ("sqlite:///a.db", "sqlite is not supported"),
        ("postgresql+asyncpg://ann@host/name", "postgresql.asyncpg is not supported"),
        ("no url", "no URL of a database"),
        ("postgresql://ann@host", "names no database"),
        ("postgresql://ann:geheim@host/name", "holds a password"),
        ("postgresql://ann@host/name?password=geheim", "holds a password"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_leaves_nothing_behind(tmp_path, address, message):
    with pytest.raises(StoreError, match=message) as error:
        Workspace.create(tmp_path / "w", database=address)
    assert "geheim" not in str(error.value)
    assert not (tmp_path / "w").exists()


def test_a_server_that_does_not_answer_and_a_database_that_is_not_there_are_named(tmp_path, postgres_server):
    cases = [("postgresql://ann@127.0.0.1:1/name", "refused"), (postgres_server.address("nothere"), "does not exist")]
    for address, words in cases:
        with pytest.raises(StoreError, match=f"cannot be reached .*{words}"):
            Workspace.create(tmp_path / "w", database=address)
        with pytest.raises(NotFoundError, match="no workspace"):
            Workspace.open(tmp_path / "w")


def test_without_the_driver_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'holdfast\[postgres\]'"):
        Workspace.create(tmp_path / "w", database="postgresql://ann@host/name")


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path, postgres_server, postgres_url):
    postgres_server.sql(postgres_url, "CREATE TABLE theirs (x int)")
    with pytest.raises(StoreError, match=r"not made by Holdfast \(theirs\)"):
        Workspace.create(tmp_path / "w", database=postgres_url)
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    assert postgres_server.sql(postgres_url, tables) == "theirs\n"


def test_views_of_an_extension_do_not_make_a_database_somebodys(tmp_path, postgres_server, postgres_url):
    postgres_server.sql(
        postgres_url, "CREATE VIEW v AS SELECT 1; CREATE EXTENSION citext; ALTER EXTENSION citext ADD VIEW v"
    )
    Workspace.create(tmp_path / "w", database=postgres_url).close()


def test_a_database_that_is_not_written_in_utf8_is_refused(tmp_path, postgres_server):
    address = postgres_server.make(encoding="LATIN1", locale="C", template="template0")
    with pytest.raises(StoreError, match="written in LATIN1"):
        Workspace.create(tmp_path / "w", database=address)
    postgres_server.drop(address)


def test_a_second_workspace_never_gets_the_same_database(root, tmp_path, postgres_server, postgres_url):
    with pytest.raises(StoreError, match="another workspace has this database"):
        Workspace.create(tmp_path / "two", database=postgres_url)
    other = postgres_server.make()
    Workspace.create(tmp_path / "three", database=other).close()
    note = tmp_path / "three" / "database.json"
    note.write_text(note.read_text().replace(other, postgres_url))
    with pytest.raises(StoreError, match="another workspace has this database"):
        Workspace.open(tmp_path / "three")
    postgres_server.drop(other)


def test_two_schemas_of_one_database_hold_two_workspaces(tmp_path, postgres_server, postgres_url):
    postgres_server.sql(postgres_url, "CREATE SCHEMA one; CREATE SCHEMA two")
    addresses = {name: f"{postgres_url}&options=-csearch_path%3D{name}" for name in ("one", "two")}
    for name, address in addresses.items():
        with Workspace.create(tmp_path / name, database=address) as workspace:
            workspace.add_skill(Skill(name, "a" * 64, "b" * 64, "exact"))
    for name in addresses:
        with Workspace.open(tmp_path / name) as workspace:
            assert [skill.name for skill in workspace.skills()] == [name]
    with pytest.raises(StoreError, match="names no schema"):
        Workspace.create(tmp_path / "three", database=f"{postgres_url}&options=-csearch_path%3Dthree")


def test_a_database_whose_tables_are_gone_is_said_to_be_empty(root, postgres_server, postgres_url):
    postgres_server.sql(postgres_url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pytest.raises(StoreError, match="database is empty"):
        Workspace.open(root)
    postgres_server.sql(postgres_url, "CREATE TABLE theirs (x int)")
    with pytest.raises(StoreError, match="not made by Holdfast"):
        Workspace.open(root)


def test_a_note_that_cannot_be_read_and_two_databases_at_once_are_refused(root):
    whole = (root / "database.json").read_text()
    for damaged in ("", "{}", "[]", "1"):
        (root / "database.json").write_text(damaged)
        with pytest.raises(StoreError, match=r"database\.json: cannot be read"):
            Workspace.open(root)
    (root / "database.json").write_text(whole)
    (root / "holdfast.db").touch()
    with pytest.raises(StoreError, match="both holdfast"):
        Workspace.open(root)


def test_a_second_workspace_in_the_same_folder_leaves_the_first_as_it_was(root):
    for address in (None, "postgresql://ann@host/name"):
        with pytest.raises(StoreError, match="already"):
            Workspace.create(root, database=address)
    with Workspace.open(root) as workspace:
        assert workspace.skills() == [ADD]


def test_a_database_of_a_newer_program_is_refused_and_left_alone(root, postgres_server, postgres_url):
    postgres_server.sql(postgres_url, "UPDATE holdfast_workspace SET version = 99")
    with pytest.raises(StoreError, match=f"has version 99, but this program knows versions up to {len(migrations())}"):
        Workspace.open(root)
    assert postgres_server.sql(postgres_url, "SELECT version FROM holdfast_workspace") == "99\n"


def version_of(server, address):
    return int(server.sql(address, "SELECT version FROM holdfast_workspace"))


def test_an_older_database_is_migrated_with_its_content(tmp_path, monkeypatch, postgres_server, postgres_url):
    scripts = migrations()
    monkeypatch.setattr(databases, "migrations", lambda: scripts[:1])
    Workspace.create(tmp_path / "w", database=postgres_url).close()
    skill = "INSERT INTO skills VALUES (1, 'add', 'a', 'b', 'exact', 'chat', '2030-01-01T00:00:00+00:00')"
    postgres_server.sql(postgres_url, skill)
    assert version_of(postgres_server, postgres_url) == 1
    monkeypatch.undo()
    with Workspace.open(tmp_path / "w") as workspace:
        assert workspace.skill("add").grader == "exact"
        workspace.remember("k", workspace.files.put_bytes(b"x"), kind="reminders")
        workspace.add_skill(Skill("sort", "a", "b", "exact"))  # whose number is not one that was given by hand
    assert version_of(postgres_server, postgres_url) == len(scripts)


def test_of_many_who_claim_a_database_at_once_one_gets_it(tmp_path, postgres_url):
    def claimed(number):
        try:
            Workspace.create(tmp_path / str(number), database=postgres_url).close()
        except StoreError as error:
            return "another workspace has this database" in str(error)
        return "made"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(claimed, range(4)))
    assert sorted(map(str, outcomes)) == ["True", "True", "True", "made"]
    with Workspace.open(tmp_path / str(outcomes.index("made"))) as workspace:
        assert workspace.skills() == []


def test_many_who_migrate_at_once_each_find_it_migrated(tmp_path, monkeypatch, postgres_server, postgres_url):
    scripts = migrations()
    monkeypatch.setattr(databases, "migrations", lambda: scripts[:2])
    Workspace.create(tmp_path / "w", database=postgres_url).close()
    monkeypatch.undo()

    def opened(_):
        with Workspace.open(tmp_path / "w") as workspace:
            return workspace.jobs()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(opened, range(4))) == [[]] * 4
    assert version_of(postgres_server, postgres_url) == len(scripts)


def test_a_migration_that_fails_leaves_the_version_before(root, monkeypatch, postgres_server, postgres_url):
    known = len(migrations())
    broken = [*migrations(), (known + 1, "CREATE TABLE more (k TEXT); CREATE TABLE skills (oops TEXT);")]
    monkeypatch.setattr(databases, "migrations", lambda: broken)
    with pytest.raises(StoreError, match="already exists"):
        Workspace.open(root)
    monkeypatch.undo()
    assert version_of(postgres_server, postgres_url) == known
    with Workspace.open(root) as workspace:
        assert workspace.skill("add") == ADD


def test_a_table_that_a_migration_builds_anew_the_way_of_sqlite_goes_on_counting(root, monkeypatch):
    rebuild = """
        CREATE TABLE new_skills (
            position   INTEGER PRIMARY KEY AUTOINCREMENT, -- as before
            name TEXT NOT NULL UNIQUE, train_hash TEXT NOT NULL, test_hash TEXT NOT NULL, grader TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('chat', 'classify', '50% TEXT')), created_at TEXT NOT NULL
        );
        INSERT INTO new_skills SELECT * FROM skills; DROP TABLE skills; ALTER TABLE new_skills RENAME TO skills;
    """
    monkeypatch.setattr(databases, "migrations", lambda: [*migrations(), (len(migrations()) + 1, rebuild)])
    with Workspace.open(root) as workspace:
        workspace.add_skill(Skill("sort", "a", "b", "exact"))
        assert [skill.name for skill in workspace.skills()] == ["add", "sort"]


def test_types_are_translated_and_words_in_quotes_are_not():
    made = translated("CREATE TABLE t (n INTEGER PRIMARY  KEY AUTOINCREMENT, b BLOB) WITHOUT\n ROWID")
    assert made == "CREATE TABLE t (n BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, b BYTEA) "
    assert translated("a REAL DEFAULT 'REAL ''TEXT'") == "a DOUBLE PRECISION DEFAULT 'REAL ''TEXT'"
    assert translated("TEXTUAL INTEGERS") == "TEXTUAL INTEGERS"


def test_a_connection_that_the_server_ended_is_replaced(root, postgres_server, postgres_url):
    with Workspace.open(root) as workspace:
        assert workspace.skills() == [ADD]
        mine = "FROM pg_stat_activity WHERE application_name = 'holdfast' AND datname = current_database()"
        assert "t" in postgres_server.sql(postgres_url, f"SELECT pg_terminate_backend(pid) {mine}")
        assert workspace.skills() == [ADD]


def test_a_write_that_the_server_ends_halfway_is_told_and_changes_nothing(root, postgres_server, postgres_url):
    def cut_off(workspace):
        with workspace._database.write() as connection:
            connection.exec_driver_sql("DELETE FROM skills")
            mine = "FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
            postgres_server.sql(postgres_url, f"SELECT pg_terminate_backend(pid) {mine}")

    with Workspace.open(root) as workspace:
        with pytest.raises(StoreError, match="did not answer"):
            cut_off(workspace)
        assert workspace.skills() == [ADD]


def test_a_reader_cannot_write_and_a_commit_waits_for_the_disk(root, postgres_server, postgres_url):
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.sql(postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Workspace.open(root) as workspace:
        with workspace._database.write() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
        with workspace._database.read() as connection:
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off"
        with pytest.raises(StoreError, match="read-only"), workspace._database.read() as connection:
            connection.exec_driver_sql("DELETE FROM skills")
        assert workspace.skills() == [ADD]


def test_a_writer_that_waits_too_long_is_told(root, monkeypatch):
    quick = postgres._BEGIN_WRITING.replace("lock_timeout = '30s'", "lock_timeout = '100ms'")
    monkeypatch.setattr(postgres, "_BEGIN_WRITING", quick)
    with (
        Workspace.open(root) as one,
        Workspace.open(root) as two,
        one._database.write(),
        pytest.raises(StoreError, match=r"lock timeout.*another run stuck"),
    ):
        two.note("test", "x")


def test_a_password_is_taken_from_the_environment_and_kept_nowhere(
    tmp_path, monkeypatch, postgres_server, postgres_url
):
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    postgres_server.sql(
        postgres_url, f"CREATE ROLE asked LOGIN PASSWORD 'geheim'; ALTER DATABASE {name} OWNER TO asked"
    )
    address = postgres_url.replace("holdfast@", "asked@")
    for wrong in (None, "falsch"):
        if wrong is not None:
            monkeypatch.setenv("PGPASSWORD", wrong)
        with pytest.raises(StoreError, match=r"cannot be reached .*password.* PGPASSWORD or ~/\.pgpass") as error:
            Workspace.create(tmp_path / "w", database=address)
        assert "falsch" not in str(error.value)
    monkeypatch.setenv("PGPASSWORD", "geheim")
    Workspace.create(tmp_path / "w", database=address).close()
    with Workspace.open(tmp_path / "w") as workspace:
        assert workspace.skills() == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()]
