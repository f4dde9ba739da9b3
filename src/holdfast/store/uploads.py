"""Files that were given over HTTP: their bytes below `uploads/`, one file each, and a row that says what each is."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import Connection, Row, select

from holdfast.errors import NotFoundError, TooLargeError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.store.files import sync_folder


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One file as it was given. `status` is `uploaded`, `processed` (looked through and usable) or `error`."""

    id: str
    filename: str
    purpose: str
    num_bytes: int
    sha256: str
    status: str
    status_details: str | None
    created_at: str
    expires_at: str | None


@dataclass(slots=True)
class Incoming:
    """Bytes that are being received: hashed and counted as they are written, gone if they are not kept."""

    path: Path
    most: int
    file: BinaryIO
    num_bytes: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, chunk: bytes) -> None:
        """Adds bytes; raises TooLargeError beyond `most`."""
        self.num_bytes += len(chunk)
        if self.num_bytes > self.most:
            raise TooLargeError(f"The file has more than {self.most:,} bytes, which is the limit.", param="file")
        self.digest.update(chunk)
        self.file.write(chunk)


class UploadShelf(AuditLog):
    """Uploaded files by id. A row exists only for bytes that are whole and on disk."""

    @contextmanager
    def receiving(self, most: int) -> Iterator[Incoming]:
        """Yields a place to write bytes to; what is not kept by `keep_upload` is deleted at the end of the block."""
        folder = self.root / "uploads" / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / secrets.token_hex(12)
        try:
            with path.open("xb") as file:
                yield Incoming(path, most, file)
        finally:
            path.unlink(missing_ok=True)

    def keep_upload(self, given: Incoming, *, filename: str, purpose: str, expires_at: str | None) -> UploadRecord:
        """Moves the received bytes to their place and returns their record; call it inside the block."""
        given.file.flush()
        os.fsync(given.file.fileno())
        name = f"file-{secrets.token_hex(12)}"
        target = self._place(name, filename)
        os.rename(given.path, target)
        sync_folder(target.parent)
        with self._database.write() as connection:
            connection.execute(
                tables.uploads.insert().values(
                    id=name,
                    filename=filename,
                    purpose=purpose,
                    num_bytes=given.num_bytes,
                    sha256=given.digest.hexdigest(),
                    status="uploaded",
                    created_at=self._now(),
                    expires_at=expires_at,
                )
            )
            self._note(connection, "file.create", name, purpose=purpose, sha256=given.digest.hexdigest())
            return _record(_existing(connection, name))

    def judge_upload(self, name: str, status: str, details: str | None = None) -> UploadRecord:
        """Notes what was found when the file was looked through."""
        with self._database.write() as connection:
            change = tables.uploads.update().where(tables.uploads.c.id == name)
            connection.execute(change.values(status=status, status_details=details))
            return _record(_existing(connection, name))

    def upload(self, name: str) -> UploadRecord:
        """Returns the file's record; one that has expired is not there any more."""
        with self._database.read() as connection:
            found = _record(_existing(connection, name))
        if found.expires_at is not None and found.expires_at <= self._now():
            raise NotFoundError(f"The file {name!r} expired at {found.expires_at}.", param="file_id")
        return found

    def upload_path(self, name: str) -> Path:
        """Returns where the file's bytes lie; they must not be changed there."""
        return self._place(name, self.upload(name).filename)

    def all_uploads(self, *, purpose: str | None = None) -> list[UploadRecord]:
        """Returns the files that have not expired, oldest first."""
        wanted = select(tables.uploads).order_by(tables.uploads.c.position)
        if purpose is not None:
            wanted = wanted.where(tables.uploads.c.purpose == purpose)
        with self._database.read() as connection:
            found = [_record(row) for row in connection.execute(wanted).all()]
        now = self._now()
        return [one for one in found if one.expires_at is None or one.expires_at > now]

    def remove_upload(self, name: str) -> None:
        """Deletes the file, row and bytes."""
        place = self.upload_path(name)
        with self._database.write() as connection:
            _existing(connection, name)
            connection.execute(tables.uploads.delete().where(tables.uploads.c.id == name))
            self._note(connection, "file.delete", name)
        place.unlink(missing_ok=True)

    def _place(self, name: str, filename: str) -> Path:
        """Returns the path for an id: nothing of a name that somebody chose but what kind of file it is."""
        kinds = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".xlsx", ".gz")
        kind = next((kind for kind in kinds if filename.lower().endswith(kind)), ".bin")
        return self.root / "uploads" / f"{name}{kind}"


def _existing(connection: Connection, name: str) -> Row[tuple[object, ...]]:
    found = connection.execute(select(tables.uploads).where(tables.uploads.c.id == name)).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no file {name!r}.", param="file_id")
    return found


def _record(row: Row[tuple[object, ...]]) -> UploadRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    return UploadRecord(**values)  # pyright: ignore[reportArgumentType]
