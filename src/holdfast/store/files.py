"""Files and folders kept under the hash of their content: written once, whole, never changed.

A file's hash is the sha256 of its bytes; a folder's is the sha256 of the canonical JSON {relative path: sha256}.
Everything is written beside its place, synced to disk and then renamed into it, so that a name that exists is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import NotFoundError, StoreError

_CHUNK_BYTES = 1 << 20
_LEFTOVER_SECONDS = 24 * 3600.0


class FileStore:
    """The content-addressed files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def put_bytes(self, data: bytes) -> str:
        """Stores the bytes and returns their hash; storing them twice keeps one copy."""
        name = hashlib.sha256(data).hexdigest()
        if not self.has(name):
            with self._workplace() as place:
                (place / "file").write_bytes(data)
                self._move_in(place / "file", name)
        return name

    def put_folder(self, folder: Path) -> str:
        """Stores a copy of the folder with all files below it and returns its hash; links are refused."""
        files = _files_below(folder)
        with self._workplace() as place:
            copy = place / "folder"
            digests: dict[str, str] = {}
            for relative in files:
                target = copy / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                digests[relative] = _copy_hashed(folder / relative, target)
            name = _folder_hash(digests)
            if not self.has(name):
                self._move_in(copy, name)
        return name

    def has(self, name: str) -> bool:
        """Returns whether something with this hash is stored."""
        return self._place_of(name).exists()

    def path_of(self, name: str) -> Path:
        """Returns where the file or folder with this hash lies; it must not be changed there."""
        place = self._place_of(name)
        if not place.exists():
            raise NotFoundError(f"{self.root}: nothing is stored under {name}. Was the workspace copied in part?")
        return place

    def read_bytes(self, name: str) -> bytes:
        """Returns the content of the file with this hash."""
        return self.path_of(name).read_bytes()

    def verify(self, name: str) -> None:
        """Raises `StoreError` if the content no longer has the hash that it is stored under."""
        place = self.path_of(name)
        if place.is_dir():
            found = _folder_hash({relative: _hash_of(place / relative) for relative in _files_below(place)})
        else:
            found = _hash_of(place)
        if found != name:
            raise StoreError(f"{place}: the content was changed after it was stored. Restore it from a copy.")

    def sweep(self, now: float) -> int:
        """Removes what writers that died left behind more than a day before `now`; returns how many."""
        old = [entry for entry in self._incoming.iterdir() if now - entry.stat().st_mtime > _LEFTOVER_SECONDS]
        for entry in old:
            shutil.rmtree(entry, ignore_errors=True)
        return len(old)

    def _place_of(self, name: str) -> Path:
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise StoreError(f"{name!r} is not a content hash (64 hexadecimal digits).")
        return self.root / name[:2] / name[2:]

    @contextmanager
    def _workplace(self) -> Iterator[Path]:
        place = Path(tempfile.mkdtemp(dir=self._incoming))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _move_in(self, source: Path, name: str) -> None:
        target = self._place_of(name)
        target.parent.mkdir(exist_ok=True)
        sync_tree(source)
        try:
            os.rename(source, target)
        except OSError:
            # Another writer stored the same content meanwhile; a folder cannot be renamed onto a full one.
            if not target.exists():
                raise
        sync_folder(target.parent)
        sync_folder(self.root)


def sync_folder(folder: Path) -> None:
    """Makes the folder's entries (new and renamed names) survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Makes a file, or a folder with everything below it, survive a power cut."""
    if path.is_dir():
        for entry in path.iterdir():
            sync_tree(entry)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_below(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise StoreError(f"{folder}: there is no such folder to store.")
    entries = sorted(folder.rglob("*"))
    links = [entry for entry in entries if entry.is_symlink()]
    if links:
        raise StoreError(f"{links[0]}: links cannot be stored. Put a copy of the file in its place.")
    files = [entry.relative_to(folder).as_posix() for entry in entries if entry.is_file()]
    if not files:
        raise StoreError(f"{folder}: the folder holds no file, so there is nothing to store.")
    return files


def _folder_hash(digests: dict[str, str]) -> str:
    canonical = json.dumps(digests, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _copy_hashed(source: Path, target: Path) -> str:
    """Copies and hashes in one reading, so that the hash is that of the copy even if the source is being changed."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _hash_of(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()
