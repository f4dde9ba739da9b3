"""A chain of everything that was changed: each entry holds the hash of the one before, and is signed.

An edit breaks the entry's own hash, a deletion or another order the link to the one before, and whoever computes the
hashes anew lacks the signature. The newest entry is named in a signed head of its own, so that the end cannot be cut
off unseen. Entries are written in the transaction of the change itself.

Choices made here:
- Ed25519 (RFC 8032). The private key lies in `keys/audit.pem` of the workspace, for its owner's eyes only; the public
  one beside it is what verifies. Whoever can read the private key can write a chain of their own: keep a copy of the
  public key elsewhere, and of the head if an old state must not be put back unseen.
- The hash is sha256 over the canonical JSON of number, time, actor, action, subject, details and the hash before.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from holdfast.errors import StoreError
from holdfast.store import tables
from holdfast.store.dialect import upsert
from holdfast.store.part import Part, from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from sqlalchemy import Connection

    from holdfast.types import JSONValue

ACTOR: ContextVar[str] = ContextVar("holdfast_actor", default="")
"""Who is acting: set for a request by its key; empty means the system's user."""
START = "0" * 64
"""What stands before the first entry."""
_PRIVATE, _PUBLIC = "audit.pem", "audit.pub"


@dataclass(frozen=True, slots=True)
class Entry:
    """One change: who did what to what, and when."""

    id: int
    at: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, JSONValue]
    before: str
    hash: str
    signature: str

    @property
    def content_hash(self) -> str:
        """The hash that the entry should have."""
        fields = [self.id, self.at, self.actor, self.action, self.subject, dict(self.details), self.before]
        text = json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of the chain found: `problem` names the first entry that is wrong, None where all is well."""

    num_entries: int
    head: str
    problem: str | None


class AuditLog(Part):
    """The chain of changes, written by all parts of the workspace."""

    root: Path

    def note(self, action: str, subject: str, **details: JSONValue) -> None:
        """Adds an entry about a change that is made outside the database."""
        with self._database.write() as connection:
            self._note(connection, action, subject, **details)

    def _note(self, connection: Connection, action: str, subject: str, **details: JSONValue) -> None:
        last = connection.execute(select(tables.audit_head)).one_or_none()
        number, before = (int(last.id) + 1, str(last.hash)) if last is not None else (1, START)
        actor = ACTOR.get() or f"user:{_user()}"
        draft = Entry(number, self._now(), actor, action, subject, details, before, "", "")
        digest, signing = draft.content_hash, _private_key(self.root / "keys")
        signature = signing.sign(digest.encode()).hex()
        connection.execute(
            tables.audit.insert().values(
                id=number, at=draft.at, actor=actor, action=action, subject=subject, details=to_text(details),
                before=before, hash=digest, signature=signature,
            )
        )  # fmt: skip
        head = {"id": number, "hash": digest, "signature": signing.sign(_head(number, digest)).hex()}
        upsert(connection, tables.audit_head, {"one": 1}, head)

    def audit_entries(self) -> list[Entry]:
        """Returns all entries, oldest first."""
        with self._database.read() as connection:
            return _entries(connection)

    def verify_audit(self, public_key: Path | None = None) -> Verified:
        """Goes through the whole chain and returns what is wrong with it, if anything.

        Raises:
            StoreError: there is no public key to verify with.
        """
        with self._database.read() as connection:  # one: between two, another process might add an entry
            entries = _entries(connection)
            head = connection.execute(select(tables.audit_head)).one_or_none()
        if head is None:
            return Verified(len(entries), START, "there are entries and no head" if entries else None)
        key = _public_key(public_key or self.root / "keys" / _PUBLIC)
        before = START
        for number, entry in enumerate(entries, start=1):
            problem = _problem(entry, number, before, key)
            if problem is not None:
                return Verified(len(entries), str(head.hash), problem)
            before = entry.hash
        if not _is_signed(key, str(head.signature), _head(int(head.id), str(head.hash))):
            return Verified(len(entries), str(head.hash), "the head was changed after it was signed")
        if (int(head.id), str(head.hash)) != (len(entries), before):
            missing = f"entry {len(entries) + 1} is missing at the end: the head names entry {head.id}"
            return Verified(len(entries), str(head.hash), missing)
        return Verified(len(entries), before, None)


def _entries(connection: Connection) -> list[Entry]:
    rows = connection.execute(select(tables.audit).order_by(tables.audit.c.id)).all()
    return [
        Entry(r.id, r.at, r.actor, r.action, r.subject, from_text(r.details), r.before, r.hash, r.signature)
        for r in rows
    ]


def _problem(entry: Entry, number: int, before: str, key: Ed25519PublicKey) -> str | None:
    if entry.id != number:
        return f"entry {number} is missing: entry {entry.id} stands in its place"
    if entry.before != before:
        return f"entry {number} ({entry.action} {entry.subject}) does not follow the one before it"
    if entry.hash != entry.content_hash:
        return f"entry {number} ({entry.action} {entry.subject}) was changed after it was written"
    if not _is_signed(key, entry.signature, entry.hash.encode()):
        return f"entry {number} ({entry.action} {entry.subject}) is not signed by this workspace"
    return None


def _head(number: int, digest: str) -> bytes:
    return f"head {number} {digest}".encode()


def _is_signed(key: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(bytes.fromhex(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


@cache
def _private_key(folder: Path) -> Ed25519PrivateKey:
    """Returns the workspace's key, which is made where there is none."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = folder / _PRIVATE
    if not path.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        beside = folder / f".{_PRIVATE}.{os.getpid()}"
        with open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)  # whoever is first wins; a link never replaces
        except FileExistsError:
            pass
        else:
            (folder / _PUBLIC).write_bytes(public)
        finally:
            beside.unlink()
    return cast("Ed25519PrivateKey", serialization.load_pem_private_key(path.read_bytes(), password=None))


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives import serialization

    try:
        return cast("Ed25519PublicKey", serialization.load_pem_public_key(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: no public key can be read there ({error}). Name one: --key FILE") from None


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
