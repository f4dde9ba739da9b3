"""Files that come in parts: each part lies on disk until all are joined, in the order that is then said."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime as moment
from datetime import timedelta
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Row, select

from holdfast.errors import InvalidStateError, NotFoundError, RequestError
from holdfast.store import tables
from holdfast.store.uploads import Incoming, UploadRecord, UploadShelf

_CHUNK = 1 << 20
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PendingRecord:
    """A file that is being given in parts; `file_id` is the file's when it is whole."""

    id: str
    filename: str
    purpose: str
    mime_type: str
    num_bytes: int
    status: str
    file_id: str | None
    created_at: str
    expires_at: str


class PendingUploads(UploadShelf):
    """Uploads in parts by id; one that is not complete within an hour has expired."""

    def begin_upload(self, *, filename: str, purpose: str, mime_type: str, num_bytes: int) -> PendingRecord:
        """Returns a new upload that waits for its parts."""
        name, now = f"upload_{secrets.token_hex(12)}", self._now()
        expires = (moment.fromisoformat(now) + _HOUR).isoformat(timespec="microseconds")
        with self._database.write() as connection:
            connection.execute(
                tables.pending_uploads.insert().values(
                    id=name, filename=filename, purpose=purpose, mime_type=mime_type, num_bytes=num_bytes,
                    status="pending", created_at=now, expires_at=expires,
                )
            )  # fmt: skip
            return _record(_existing(connection, name))

    def pending(self, name: str) -> PendingRecord:
        """Returns the upload."""
        with self._database.read() as connection:
            return _record(_existing(connection, name))

    def add_part(self, name: str, given: Incoming) -> str:
        """Keeps the received bytes as a part of the upload and returns the part's id; call it inside `receiving`."""
        self._require_pending(name)
        given.file.flush()
        os.fsync(given.file.fileno())
        part = f"part_{secrets.token_hex(12)}"
        place = self._part(name, part)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(given.path, place)
        with self._database.write() as connection:
            values = {"id": part, "upload_id": name, "num_bytes": given.num_bytes, "created_at": self._now()}
            connection.execute(tables.upload_parts.insert().values(**values))
        return part

    def complete_upload(self, name: str, parts: Sequence[str], md5: str | None) -> tuple[PendingRecord, UploadRecord]:
        """Joins the parts in this order into a file and returns both.

        Raises:
            RequestError: a part is not one of the upload's, or the bytes are not those that were announced.
        """
        found = self._require_pending(name)
        known = self._parts(name)
        for part in parts:
            if part not in known:
                raise RequestError(f"part_ids: {part!r} is not a part of this upload.", param="part_ids")
        digest = hashlib.md5(usedforsecurity=False)
        with self.receiving(found.num_bytes + 1) as given:
            for part in parts:
                with self._part(name, part).open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        given.write(chunk)
            if given.num_bytes != found.num_bytes:
                told = f"The parts have {given.num_bytes:,} bytes, and {found.num_bytes:,} were announced."
                raise RequestError(told, param="part_ids")
            if md5 is not None and md5.lower() != digest.hexdigest():
                raise RequestError("md5: the joined parts have another checksum.", param="md5")
            record = self.keep_upload(given, filename=found.filename, purpose=found.purpose, expires_at=None)
        return self._end(name, "completed", record.id), record

    def cancel_upload(self, name: str) -> PendingRecord:
        """Gives the upload up and deletes its parts."""
        self._require_pending(name)
        return self._end(name, "cancelled", None)

    def _end(self, name: str, status: str, file_id: str | None) -> PendingRecord:
        with self._database.write() as connection:
            change = tables.pending_uploads.update().where(tables.pending_uploads.c.id == name)
            connection.execute(change.values(status=status, file_id=file_id))
            found = _record(_existing(connection, name))
        shutil.rmtree(self._part(name, "x").parent, ignore_errors=True)
        return found

    def _require_pending(self, name: str) -> PendingRecord:
        found = self.pending(name)
        if found.status != "pending":
            raise InvalidStateError(f"The upload is {found.status}.", param="upload_id")
        if found.expires_at <= self._now():
            raise InvalidStateError(f"The upload expired at {found.expires_at}.", param="upload_id")
        return found

    def _parts(self, name: str) -> set[str]:
        with self._database.read() as connection:
            wanted = select(tables.upload_parts.c.id).where(tables.upload_parts.c.upload_id == name)
            return set(connection.scalars(wanted))

    def _part(self, name: str, part: str) -> Path:
        return self.root / "uploads" / "parts" / name / part


def _existing(connection: Connection, name: str) -> Row[tuple[object, ...]]:
    wanted = select(tables.pending_uploads).where(tables.pending_uploads.c.id == name)
    found = connection.execute(wanted).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no upload {name!r}.", param="upload_id")
    return found


def _record(row: Row[tuple[object, ...]]) -> PendingRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    return PendingRecord(**values)  # pyright: ignore[reportArgumentType]
