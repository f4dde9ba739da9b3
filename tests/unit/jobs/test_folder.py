"""Parts of a run are there whole or not at all."""

import subprocess
import sys
import textwrap

import pytest

from holdfast.errors import StoreError
from holdfast.jobs.folder import RunFolder, write_atomically


def test_a_part_is_made_once_and_read_back_afterwards(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"threads": 2}

    assert RunFolder(tmp_path / "run").once("facts", make) == {"threads": 2}
    assert RunFolder(tmp_path / "run").once("facts", make) == {"threads": 2}
    assert made == [1]


def test_a_part_whose_making_failed_is_made_again(tmp_path):
    folder = RunFolder(tmp_path)

    def broken():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.once("facts", broken)
    assert folder.once("facts", lambda: 1) == 1


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path):
    target = tmp_path / "part.json"
    write_atomically(target, "old")
    code = f"""
        import os, pathlib
        from holdfast.jobs import folder
        os.fsync = lambda number: os.kill(os.getpid(), 9)
        folder.write_atomically(pathlib.Path({str(target)!r}), "new" * 100000)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert result.returncode == -9
    assert target.read_text() == "old"
    write_atomically(target, "newer")
    assert target.read_text() == "newer"


def test_a_damaged_part_is_named_with_what_to_do(tmp_path):
    (tmp_path / "facts.json").write_text("{")
    with pytest.raises(StoreError, match=r"facts\.json is damaged .* Delete the run's folder"):
        RunFolder(tmp_path).read("facts")
