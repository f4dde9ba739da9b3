"""What every test stands on: no network, one thread, and the real data beside the checkout where there is any."""

import ctypes
import ipaddress
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

# Set before anything imports torch or transformers, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository():
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the checkout; the test is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data in ../shared/data, which is not beside this checkout")
    return folder


def _is_this_machine(address):
    """Whether a socket address is a path, loopback, or not an internet address at all."""
    if not isinstance(address, tuple) or address[0] == "localhost":
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def _no_network():
    """Any connection that would leave this machine fails, with the reason."""
    connect = socket.socket.connect

    def guarded(self, address):
        if not _is_this_machine(address):
            raise AssertionError(f"a test tried to reach {address[0]}; tests construct what they need")
        return connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


class PostgresServer:
    """A PostgreSQL server of our own on a socket in a temporary folder; `address` names a database there."""

    def __init__(self, binaries):
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))  # not pytest's: a socket's path is short
        self._as = {}
        if os.getuid() == 0:  # whom the server refuses to serve
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": self._folder}
        data = str(self._folder / "data")
        made = ["--pgdata", data, "--username", "holdfast", "--auth", "trust", "--encoding", "UTF8", "--no-sync"]
        self.run("initdb", *made, "--locale", "C.UTF-8")
        rules = self._folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all asked scram-sha-256\n{rules.read_text()}")  # one user is asked for a password
        quick = ["fsync=off", "listen_addresses=", "max_connections=60", "shared_buffers=32MB", "timezone=Asia/Tokyo"]
        settings = [word for setting in quick for word in ("-c", setting)]
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", str(self._folder), *settings],
            stdout=self._log, stderr=self._log, preexec_fn=_ends_with_us, **self._as,
        )  # fmt: skip
        self._wait()

    def _wait(self):
        end = time.monotonic() + 60
        ready = [self._binaries / "pg_isready", "--quiet", "--host", str(self._folder)]
        while subprocess.run(ready, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the PostgreSQL server did not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.05)

    def run(self, program, *arguments):
        """Runs one of PostgreSQL's programs as the server's user."""
        command = [self._binaries / program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **self._as)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sql(self, address, statement):
        """Runs SQL behind the program's back and returns what it printed."""
        return self.run("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", address, "-c", statement)

    def address(self, name):
        return f"postgresql://holdfast@/{name}?host={self._folder}"

    def make(self, **options):
        """Makes an empty database and returns its URL."""
        name = f"t{secrets.token_hex(6)}"
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        self.run("createdb", "-h", self._folder, "-U", "holdfast", *words, name)
        return self.address(name)

    def drop(self, address):
        name = address.partition("?")[0].rpartition("/")[2]
        self.run("dropdb", "-h", self._folder, "-U", "holdfast", "--force", "--if-exists", name)

    def stop(self):
        self._process.send_signal(signal.SIGINT)  # clients that are left are sent away
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._log.close()
            shutil.rmtree(self._folder)


def _ends_with_us():
    """In the server before it starts: when this process dies, it is told to end at once (Linux's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server from Debian's packages; the test is skipped where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    server = PostgresServer(found[-1].parent)
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of an empty database, which is dropped after the test."""
    address = postgres_server.make()
    yield address
    postgres_server.drop(address)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """Where a workspace is to keep its tables: None for a file of its own, or the URL of an empty database."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_url")


class StandIn:
    """An interpreter that has something else under vLLM's name, and what that was asked."""

    def __init__(self, folder):
        self.folder, self.python, self.log = folder, folder / "python", folder / "logs" / "vllm.log"
        package = folder / "vllm" / "entrypoints" / "openai"
        package.mkdir(parents=True)
        text = (REPOSITORY / "tests" / "stand_in_for_vllm.py").read_text()
        (package / "api_server.py").write_text(text)
        self.python.write_text(f'#!/bin/sh\nSTAND_IN={folder} PYTHONPATH={folder} exec {sys.executable} "$@"\n')
        self.python.chmod(0o755)

    def asked(self, path=None):
        file = self.folder / "asked.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [one for one in lines if path in (None, one["path"])]

    def adapter(self, name, *, rank=4, broken=False):
        folder = self.folder / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "name": name}))
        if broken:
            (folder / "broken").touch()
        return folder


@pytest.fixture
def stand_in(tmp_path):
    """What stands for an environment with vLLM; see stand_in_for_vllm.py."""
    return StandIn(tmp_path / "stand-in")
