"""The chain of changes: every change is in it, and any edit, deletion or other order is found and named."""

import sqlite3

import pytest

from holdfast.errors import ConfigError, StoreError
from holdfast.jobs.workspace import add_base
from holdfast.store.audit import ACTOR
from holdfast.store.workspace import Workspace
from holdfast.types import Skill, Version


@pytest.fixture
def workspace(tmp_path, database):
    with Workspace.create(tmp_path / "w", database=database) as made:
        add_base(made, "holdfast:tiny")
        yield made


@pytest.fixture
def changed(workspace, database, request):
    """A function that runs SQL on the database behind the program's back."""

    def run(*statements):
        if database is not None:
            request.getfixturevalue("postgres_server").sql(database, "; ".join(statements))
            return
        connection = sqlite3.connect(workspace.root / "holdfast.db")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return run


def test_every_change_of_state_is_an_entry_in_order(workspace):
    workspace.add_skill(Skill("add", "a" * 64, "b" * 64, "exact"))
    made = workspace.add_version(Version("", "v1", "holdfast:tiny", "", {}, "candidate", skill="add"))
    workspace.promote(made.id)
    workspace.rollback()
    with workspace.receiving(100) as given:
        given.write(b"x")
        file = workspace.keep_upload(given, filename="x", purpose="user_data", expires_at=None)
    job = workspace.add_job(request={}, metadata={}, recipe={}, skill="add")
    workspace.change_job(job.id, {"status": "queued"})
    workspace.take_job("w", seconds=1)
    workspace.remove_upload(file.id)
    told = [(entry.action, entry.subject) for entry in workspace.audit_entries()]
    assert told == [
        ("version.add", "v1"),
        ("version.promote", "v1"),
        ("skill.add", "add"),
        ("version.add", "v2"),
        ("version.promote", "v2"),
        ("version.rollback", "v1"),
        ("file.create", file.id),
        ("job.create", job.id),
        ("job.change", job.id),
        ("job.take", job.id),
        ("file.delete", file.id),
    ]
    assert workspace.verify_audit().problem is None
    assert workspace.verify_audit().num_entries == 11


def test_whoever_acts_is_named(workspace):
    token = ACTOR.set("key:abc")
    try:
        workspace.note("test", "x")
    finally:
        ACTOR.reset(token)
    workspace.note("test", "y")
    actors = [entry.actor for entry in workspace.audit_entries()]
    assert actors[-2] == "key:abc"
    assert actors[-1].startswith("user:")


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE audit SET actor = 'nobody' WHERE id = 2"], "entry 2 (version.promote v1) was changed"),
        (["UPDATE audit SET details = '{}' WHERE id = 1"], "entry 1 (version.add v1) was changed"),
        (["DELETE FROM audit WHERE id = 3"], "entry 3 is missing"),
        (["DELETE FROM audit WHERE id = 5"], "entry 5 is missing at the end"),
        (["UPDATE audit SET id = 99 WHERE id = 3", "UPDATE audit SET id = 3 WHERE id = 4",
          "UPDATE audit SET id = 4 WHERE id = 99"], "entry 3 (test t2) does not follow"),
        (["DELETE FROM audit WHERE id = 5",
          "UPDATE audit_head SET id = 4, hash = (SELECT hash FROM audit WHERE id = 4)"],
         "the head was changed"),
        (["DELETE FROM audit"], "entry 1 is missing at the end"),
        (["UPDATE audit SET signature = (SELECT signature FROM audit WHERE id = 1) WHERE id = 2"],
         "entry 2 (version.promote v1) is not signed"),
        (["DELETE FROM audit_head"], "no head"),
    ],
)  # fmt: skip
def test_what_was_done_behind_the_programs_back_is_named(workspace, changed, statements, problem):
    for number in (1, 2, 3):
        workspace.note("test", f"t{number}")
    assert workspace.verify_audit().problem is None
    changed(*statements)
    assert problem in workspace.verify_audit().problem


def test_a_chain_that_is_computed_anew_lacks_the_signature(workspace, changed):
    entry = workspace.audit_entries()[-1]
    forged = type(entry)(entry.id, entry.at, "nobody", entry.action, entry.subject, entry.details, entry.before, "", "")
    changed(f"UPDATE audit SET actor = 'nobody', hash = '{forged.content_hash}' WHERE id = {entry.id}")
    assert "is not signed by this workspace" in workspace.verify_audit().problem


def test_another_public_key_verifies_nothing_and_a_missing_one_is_said(workspace, tmp_path):
    with Workspace.create(tmp_path / "other") as other:
        other.note("test", "x")
        assert "is not signed" in workspace.verify_audit(other.root / "keys" / "audit.pub").problem
    with pytest.raises(StoreError, match="no public key"):
        workspace.verify_audit(tmp_path / "none.pub")


def test_a_change_that_fails_leaves_no_entry(workspace):
    before = workspace.verify_audit().num_entries
    with pytest.raises(StoreError):
        workspace.promote("v1", expect="v9")
    assert workspace.verify_audit().num_entries == before


def test_the_private_key_is_its_owners_alone(workspace):
    assert (workspace.root / "keys" / "audit.pem").stat().st_mode & 0o077 == 0


def test_keys_are_kept_as_hashes_and_open_what_they_are_for(workspace, database, request):
    key, record = workspace.add_key("ann", ("serve", "train"))
    if database is None:
        content = b"".join(file.read_bytes() for file in workspace.root.glob("holdfast.db*"))
    else:
        content = request.getfixturevalue("postgres_server").run("pg_dump", database).encode()
    assert record.id.encode() in content
    assert key.encode() not in content
    assert workspace.known_key(key) == record
    assert [record.allows(scope) for scope in ("serve", "train", "admin")] == [True, True, False]
    assert workspace.add_key("root", ("admin",))[1].allows("serve")
    for wrong in ("", "none", key[:-1], f"{key}x", key.replace(record.id, "0" * 12)):
        assert workspace.known_key(wrong) is None
    assert workspace.revoke_key(record.id).revoked_at
    assert workspace.known_key(key) is None
    assert "key.revoke" in [entry.action for entry in workspace.audit_entries()]


def test_a_key_ends_when_it_is_said_to(workspace):
    key, _ = workspace.add_key("ann", ("serve",), expires_at="2000-01-01T00:00:00.000000+00:00")
    assert workspace.known_key(key) is None


def test_an_unknown_scope_is_refused(workspace):
    with pytest.raises(ConfigError, match="fly; choose of serve, train, admin"):
        workspace.add_key("ann", ("serve", "fly"))
