"""Good, bad, slow and vanishing clients side by side while a job trains: nothing is lost, and nothing is left over.

HOLDFAST_SOAK is how many seconds it goes on (15 without it; an hour of it is a good evening).
"""

import contextlib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from openai import APIStatusError, OpenAI

from holdfast.jobs.workspace import create

SECONDS = float(os.environ.get("HOLDFAST_SOAK", "15"))
ASKED = [{"role": "user", "content": "Tell me about the river."}]
LONG = {"model": "current", "messages": ASKED, "max_tokens": 400, "temperature": 1.0, "stream": True}


@pytest.fixture
def server(tmp_path):
    """A server process with its worker: the process, and where it listens."""
    create(tmp_path, base="holdfast:tiny")
    command = [sys.executable, "-m", "holdfast", "serve", "--port", "0", "--json", "--workspace", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--max-running", "8", "--max-waiting", "8"], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield process, json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                process.stdout.close()


class Crowd:
    """Clients that do the same again and again until time is up; what goes otherwise than it should is kept."""

    def __init__(self, url):
        self.url, self.port = url, int(re.search(r":(\d+)/", url)[1])
        self.done, self.wrong = Counter(), []
        self.is_over = threading.Event()
        self.threads = []

    def start(self, kind):
        def run():
            for number in itertools.count():
                if self.is_over.is_set():
                    return
                try:
                    kind(self, number)
                    self.done[kind.__name__] += 1
                except Exception as error:  # noqa: BLE001 - every surprise is one
                    self.wrong.append(f"{kind.__name__}: {error!r}")
                    time.sleep(0.1)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive(), "a client still waits"


def good(crowd, number):
    """Asks as one should, whole and streamed; when too many wait, it is told so and tries again later."""
    with OpenAI(base_url=crowd.url, api_key="none", max_retries=8) as client:
        given = {"model": "current", "messages": ASKED, "max_tokens": 12, "seed": number}
        if number % 2:
            answer = client.chat.completions.create(**given)
            assert answer.choices[0].finish_reason in ("stop", "length")
            assert answer.usage.completion_tokens <= 12
        else:
            told = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **given))
            assert told[-1].usage.completion_tokens <= 12
            assert [one for one in told if one.choices and one.choices[0].finish_reason]


def chat(**other):
    return "POST", "/chat/completions", json.dumps({"model": "current", "messages": ASKED, **other}).encode()


BAD = [
    (("POST", "/chat/completions", b"{"), 400),
    (("POST", "/chat/completions", b'{"model": "current"}'), 400),
    (chat(model="nobody"), 404),
    (chat(n=999), 400),
    (chat(messages=[{"role": "user", "content": "a " * 9000}]), 400),
    (("POST", "/fine_tuning/jobs", b'{"model": "current", "training_file": "file-nothing"}'), 404),
    (("POST", "/files", b"no form at all"), 400),
    (("GET", "/fine_tuning/jobs/ftjob-nothing", None), 404),
    (("GET", "/nowhere", None), 404),
    (("DELETE", "/models/current", None), 400),
]


def bad(crowd, number):
    """Asks for what cannot be, and is told so in the right shape."""
    (method, path, body), status = BAD[number % len(BAD)]
    asked = urllib.request.Request(crowd.url + path, data=body, method=method)
    asked.add_header("content-type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as found, urllib.request.urlopen(asked, timeout=60):
        pass
    error = found.value
    with error:
        told = json.loads(error.read())["error"]
    assert error.code == status, (path, body, told)
    assert told["message"]
    assert set(told) == {"message", "type", "param", "code"}
    assert error.headers["x-request-id"]
    time.sleep(0.02)


def opened(crowd, body):
    connection = socket.create_connection(("127.0.0.1", crowd.port), timeout=60)
    told = json.dumps(body).encode()
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: here", "Content-Type: application/json"]
    connection.sendall("\r\n".join([*head, f"Content-Length: {len(told)}", "", ""]).encode() + told)
    return connection


def slow(crowd, _number):
    """Reads a stream in small pieces, with pauses, to its end."""
    with opened(crowd, {**LONG, "max_tokens": 40}) as connection:
        found = b""
        while b"[DONE]" not in found and b'"error"' not in found:
            piece = connection.recv(200)
            if not piece:
                break
            found += piece
            time.sleep(0.01)
        assert b" 200 " in found[:20] or b" 429 " in found[:20], found[:200]


def vanishing(crowd, number):
    """Goes away: in the middle of a stream, while it waits, before it has asked, in the middle of the question."""
    if number % 4 < 2:
        with opened(crowd, LONG if number % 4 else {**LONG, "stream": False}) as connection:
            if number % 4:
                connection.recv(300)
            time.sleep(0.05)
    else:
        with socket.create_connection(("127.0.0.1", crowd.port)) as connection:
            if number % 4 == 2:
                connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 500\r\n\r\n{")
            time.sleep(0.05)


def gauges(url):
    with urllib.request.urlopen(url.replace("/v1", "/metrics"), timeout=60) as answer:
        text = answer.read().decode()
    return {name: float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1]) for name in
            ("holdfast_running", "holdfast_waiting")}  # fmt: skip


def sockets_of(process):
    """How many sockets a process has open."""
    found = 0
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(link).startswith("socket:")
    return found


def rows():
    given = ((f"Order {n}: {'ABC'[n % 3]} wants a {['lamp', 'desk'][n % 2]}.", n) for n in range(40))
    turns = ([{"role": "user", "content": text}, {"role": "assistant", "content": text.upper()}] for text, _ in given)
    return "".join(json.dumps({"messages": messages}) + "\n" for messages in turns).encode()


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_left_over(server):
    process, url = server
    client = OpenAI(base_url=url, api_key="none", max_retries=8)
    client.chat.completions.create(model="current", messages=ASKED, max_tokens=2)
    sockets = sockets_of(process)
    crowd = Crowd(url)
    for kind in (good, good, bad, slow, vanishing):
        crowd.start(kind)
    recipe = {"steps": 6, "rehearsal": {"num_reminders": 8}, "gate": {"remedies": []}}
    jobs, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end or client.fine_tuning.jobs.retrieve(jobs[-1].id).finished_at is None:
        if not jobs or (client.fine_tuning.jobs.retrieve(jobs[-1].id).finished_at and time.monotonic() < end):
            file = client.files.create(file=("orders.jsonl", rows()), purpose="fine-tune")
            jobs.append(
                client.fine_tuning.jobs.create(
                    model="holdfast:tiny",
                    training_file=file.id,
                    suffix=f"orders {len(jobs)}",
                    seed=len(jobs),
                    extra_body={"recipe": recipe},
                )
            )
        assert time.monotonic() < end + 120, "a job does not end"
        time.sleep(0.3)
    crowd.end()
    assert not crowd.wrong, Counter(crowd.wrong).most_common(5)
    assert all(crowd.done[kind.__name__] for kind in (good, bad, slow, vanishing)), crowd.done
    for job in jobs:
        found = client.fine_tuning.jobs.retrieve(job.id)
        assert found.status == "succeeded" or found.error.code == "gate_refused", found.error
    until = time.monotonic() + 20
    while any(gauges(url).values()) or sockets_of(process) > sockets:
        assert time.monotonic() < until, (gauges(url), sockets, sockets_of(process))
        time.sleep(0.2)
    assert process.poll() is None
    with pytest.raises(APIStatusError):
        client.fine_tuning.jobs.cancel(jobs[0].id)
    log = Path(process.args[process.args.index("--workspace") + 1], "log").read_text()
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
