"""Content-addressed files: whole, unchanged, stored once."""

import hashlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import NotFoundError, StoreError
from holdfast.store.files import FileStore


@pytest.fixture
def files(tmp_path):
    return FileStore(tmp_path / "files")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "adapter"
    (made / "deep").mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "deep" / "weights").write_bytes(b"\x00" * 3_000_000)
    return made


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
def test_bytes_come_back_under_their_own_sha256(files, data):
    name = files.put_bytes(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert files.read_bytes(name) == data
    files.verify(name)


def test_a_folder_comes_back_whole_and_is_stored_once(files, folder):
    name = files.put_folder(folder)
    assert files.put_folder(folder) == name
    stored = files.path_of(name)
    assert (stored / "config.json").read_text() == "{}"
    assert (stored / "deep" / "weights").stat().st_size == 3_000_000
    files.verify(name)
    assert list((files.root / "incoming").iterdir()) == []


def test_a_folder_is_named_by_what_it_holds_and_where(files, folder):
    first = files.put_folder(folder)
    (folder / "config.json").rename(folder / "other.json")
    second = files.put_folder(folder)
    (folder / "other.json").write_text("[]")
    assert len({first, second, files.put_folder(folder)}) == 3


def test_a_change_after_storing_is_noticed(files, folder):
    for name in (files.put_folder(folder), files.put_bytes(b"x")):
        place = files.path_of(name)
        target = place / "config.json" if place.is_dir() else place
        target.write_text("changed")
        with pytest.raises(StoreError, match="changed after it was stored"):
            files.verify(name)


def test_links_empty_folders_and_missing_sources_are_refused(files, folder, tmp_path):
    os.symlink(folder / "config.json", folder / "link")
    with pytest.raises(StoreError, match="links cannot be stored"):
        files.put_folder(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no file"):
        files.put_folder(tmp_path / "empty")
    with pytest.raises(StoreError, match="no such"):
        files.put_folder(tmp_path / "nowhere")


def test_what_is_not_stored_and_what_is_no_hash_are_told_apart(files):
    with pytest.raises(NotFoundError, match="nothing is stored"):
        files.path_of("0" * 64)
    for name in ("../../etc/passwd", "abc", "A" * 64):
        with pytest.raises(StoreError, match="not a content hash"):
            files.path_of(name)


def test_another_writer_of_the_same_folder_may_come_first(files, folder, monkeypatch):
    name = files.put_folder(folder)
    monkeypatch.setattr(files, "has", lambda _name: False)
    assert files.put_folder(folder) == name
    files.verify(name)


def test_leftovers_of_dead_writers_go_after_a_day(files):
    left = files.root / "incoming" / "tmpdead"
    left.mkdir()
    now = left.stat().st_mtime
    assert files.sweep(now + 3600) == 0
    assert files.sweep(now + 25 * 3600) == 1
    assert not left.exists()
