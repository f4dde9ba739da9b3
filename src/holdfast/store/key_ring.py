"""API keys: made once, shown once, kept as a hash; each with its scopes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from sqlalchemy import Row, select

from holdfast.errors import ConfigError, NotFoundError
from holdfast.store import tables
from holdfast.store.audit import AuditLog

Scope: TypeAlias = Literal["serve", "train", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""To ask models; to give files and order jobs; to manage keys and permissions. `admin` includes all."""
PROJECT: ContextVar[str | None] = ContextVar("holdfast_project", default=None)
"""The project of whoever is acting: set for a request by its key; None sees all."""
PROJECT_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
"""What a project may be called."""
_PREFIX = "sk-holdfast-"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key; the key itself is not."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    project: str | None

    def allows(self, scope: Scope) -> bool:
        """Whether the key may be used for this."""
        return scope in self.scopes or "admin" in self.scopes


class KeyRing(AuditLog):
    """Keys by id."""

    def add_key(
        self, name: str, scopes: tuple[str, ...], *, expires_at: str | None = None, project: str | None = None
    ) -> tuple[str, KeyRecord]:
        """Returns a new key, which nobody can show again, and its record.

        Raises:
            ConfigError: a scope is not known, or the project cannot be called so.
        """
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise ConfigError(f"scopes: {', '.join(unknown) or 'none'}; choose of {', '.join(SCOPES)}.", param="scopes")
        if project is not None and not re.fullmatch(PROJECT_NAME, project):
            raise ConfigError(f"project: {project!r} is not letters, digits, '_', '.' and '-'.", param="project")
        number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = f"{_PREFIX}{number}-{secret}"
        with self._database.write() as connection:
            connection.execute(
                tables.api_keys.insert().values(
                    id=number, name=name, digest=_digest(key), scopes=" ".join(scopes), created_at=self._now(),
                    expires_at=expires_at, project=project,
                )
            )  # fmt: skip
            self._note(connection, "key.create", number, name=name, scopes=list(scopes), project=project)
        return key, self.key(number)

    def key(self, number: str) -> KeyRecord:
        """Returns the record of a key."""
        with self._database.read() as connection:
            wanted = select(tables.api_keys).where(tables.api_keys.c.id == number)
            row = connection.execute(wanted).one_or_none()
        if row is None:
            raise NotFoundError(f"There is no key {number!r}.", param="key")
        return _record(row)

    def api_keys(self) -> list[KeyRecord]:
        """Returns the records of all keys, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.api_keys).order_by(tables.api_keys.c.position)).all()
        return [_record(row) for row in rows]

    def has_keys(self) -> bool:
        """Tells whether a key was ever made here: from then on one is needed, even when all of them are revoked."""
        with self._database.read() as connection:
            return connection.scalar(select(tables.api_keys.c.id).limit(1)) is not None

    def revoke_key(self, number: str) -> KeyRecord:
        """Takes a key away for good."""
        self.key(number)
        with self._database.write() as connection:
            change = tables.api_keys.update().where(tables.api_keys.c.id == number)
            connection.execute(change.where(tables.api_keys.c.revoked_at.is_(None)).values(revoked_at=self._now()))
            self._note(connection, "key.revoke", number)
        return self.key(number)

    def known_key(self, key: str) -> KeyRecord | None:
        """Returns the record of a key that is valid now, or None; compared in a time that tells nothing."""
        number = key.removeprefix(_PREFIX).partition("-")[0]
        with self._database.read() as connection:
            wanted = select(tables.api_keys.c.digest).where(tables.api_keys.c.id == number)
            digest = connection.scalar(wanted)
        same = hmac.compare_digest(_digest(key), digest or _digest(""))
        if not same or digest is None:
            return None
        record = self.key(number)
        expired = record.expires_at is not None and record.expires_at <= self._now()
        return None if record.revoked_at is not None or expired else record


def _record(row: Row[tuple[object, ...]]) -> KeyRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    scopes = cast("tuple[Scope, ...]", tuple(str(values["scopes"]).split()))
    kept = {key: value for key, value in values.items() if key not in ("position", "digest", "scopes")}
    return KeyRecord(scopes=scopes, **kept)  # pyright: ignore[reportArgumentType]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
