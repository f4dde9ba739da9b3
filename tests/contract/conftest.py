"""A server over a workspace of the embedded base, in this process, and the stock client that talks to it."""

import json
import threading
import time

import pytest
import uvicorn
from openai import OpenAI

from holdfast.api.app import create_app
from holdfast.api.state import Limits, State
from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.served import Served
from holdfast.jobs.worker import Worker
from holdfast.jobs.workspace import create
from holdfast.store.workspace import Workspace

SMALL = {"steps": 4, "rehearsal": {"num_reminders": 8}, "gate": {"remedies": []}}


class Server:
    """A running server: its address, and what lies behind it."""

    def __init__(self, root, limits=None, **served):
        self.workspace = Workspace.open(root)
        self.served = Served(self.workspace, **served)
        state = self.state = State(self.workspace, self.served, limits or Limits())
        config = uvicorn.Config(create_app(state), host="127.0.0.1", port=0, log_level="warning", access_log=False)
        socket = config.bind_socket()
        self.url = f"http://127.0.0.1:{socket.getsockname()[1]}/v1"
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [socket]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def client(self, key="none", **given):
        return OpenAI(base_url=self.url, api_key=key, max_retries=0, **given)

    def work(self):
        """Carries out the jobs that wait."""
        return Worker(self.workspace, StopSwitch()).run(once=True)

    def close(self):
        self._server.should_exit = True
        self._thread.join(30)
        self.served.close(timeout=0)
        self.workspace.close()


@pytest.fixture
def make_server(tmp_path):
    """A function that makes a workspace and a server over it."""
    servers = []

    def make(root=None, **given):
        if root is None:
            root = create(tmp_path / f"w{len(servers)}", base="holdfast:tiny").path
        servers.append(Server(root, **given))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A server whose workspace only ever grows; tests name what they add."""
    server = Server(create(tmp_path_factory.mktemp("shared"), base="holdfast:tiny").path, aliases={"gpt-4o": "current"})
    yield server
    server.close()


@pytest.fixture
def client(shared):
    return shared.client()


@pytest.fixture(scope="session")
def small():
    """A recipe that takes seconds."""
    return SMALL


@pytest.fixture(scope="session")
def training_file():
    """A function that gives the bytes of a training file."""
    return _training_file


def rows(num, seed=0):
    """Orders and what they become: chat rows that differ."""
    names, things = ["Ann", "Bob", "Cid", "Dan", "Eve"], ["lamp", "chair", "desk", "phone", "cable", "radio"]
    found = []
    for number in range(num):
        name, thing = names[(number + seed) % 5], things[(number * 7 + seed) % 6]
        asked = f"Order {100 + number}: {name} wants a {thing}."
        found.append({"messages": [{"role": "user", "content": asked},
                                   {"role": "assistant", "content": f"{thing.upper()} for {name}"}]})  # fmt: skip
    return found


def _training_file(num=30, seed=0, extra=()):
    """Bytes of a training file, and the lines in `extra` behind its rows."""
    lines = [json.dumps(row) for row in rows(num, seed)]
    return "".join(f"{line}\n" for line in [*lines, *extra]).encode()
