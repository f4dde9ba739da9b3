"""One list of ways out, tried by whoever runs the tests and, where that is root, by an ordinary user too.

Each way is also tried where nothing confines it, and works there: what stops it is the sandbox and not a slip.
"""

import functools
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.graders.sandbox import landlock, lock, seccomp

pytestmark = pytest.mark.skipif(
    platform.machine() not in seccomp.TABLES or landlock.abi() == 0, reason="this kernel cannot confine a process"
)
NOBODY = 65534
TKILL = seccomp.TABLES.get(platform.machine(), {}).get("tkill")

DENIED = "PermissionError"
ATTEMPTS = {
    "read a secret file": ("return len(open(item['secret']).read()) / 7", DENIED),
    "write outside": ("return open(item['folder'] + '/new', 'w').write('x')", DENIED),
    "empty a file": ("open(item['kept'], 'w')\nreturn 1", DENIED),
    "open a TCP connection": (
        "import socket\nsocket.create_connection(('127.0.0.1', item['tcp'])).send(b'x')\nreturn 1",
        DENIED,
    ),
    "send by UDP": (
        "import socket\nout = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "return out.sendto(b'x', ('127.0.0.1', item['udp']))",
        DENIED,
    ),
    "fork bomb": ("import os\nfor _ in range(50): os.fork() or os._exit(0)\nreturn 1", DENIED),
    "run a program": ("import os\nos.execv('/bin/echo', ['echo', '1.0'])", DENIED),
    "exhaust memory": ("import mmap\nreturn len(mmap.mmap(-1, 2**31)) / 2**31", "Cannot allocate memory"),
    "fill the disk": (
        "for n in range(100): open(f\"{item['folder']}/{n}\", 'wb').write(b'x' * 2**16)\nreturn 1",
        DENIED,
    ),
    "make a folder": ("import os\nos.mkdir(item['folder'] + '/deep')\nreturn 1", DENIED),
    "kill the parent": ("import os\nos.kill(os.getppid(), 9)\nreturn 1", DENIED),
    "kill the parent's thread": (
        "import ctypes, os\ncall = ctypes.CDLL(None, use_errno=True).syscall\n"
        f"if call({TKILL}, os.getppid(), 9): raise OSError(ctypes.get_errno(), 'tkill')\nreturn 1",
        DENIED,
    ),
    "have the kernel kill the parent": (
        "import fcntl, os\nreading, writing = os.pipe()\nfcntl.fcntl(reading, fcntl.F_SETOWN, os.getppid())\n"
        "fcntl.fcntl(reading, 10, 9)\nfcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC)\nos.write(writing, b'x')\n"
        "return 1",
        DENIED,
    ),
    "have the kernel kill the parent by its owner": (
        "import fcntl, os, struct\nreading, writing = os.pipe()\n"
        "fcntl.fcntl(reading, 15, struct.pack('=ii', 1, os.getppid()))\n"
        "fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC)\nos.write(writing, b'x')\nreturn 1",
        DENIED,
    ),
}
"""Code that returns 1 where it gets through, and what it is told where it does not."""
LOOP = "while True: pass"
FORGED = """
import json, os
line = json.dumps({"index": 0, "value": 1.0})
print(line, flush=True)
for place in range(256):
    try:
        os.write(place, (line + chr(10)).encode())
    except OSError:
        pass
return 0
"""

SCRIPT = """
import json, subprocess, sys, textwrap, types
for name in ("holdfast", "holdfast.graders"):  # an ordinary user's interpreter may have none of the libraries
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [sys.argv[1] + "/" + name.replace(".", "/")]
from holdfast.graders.sandbox import Limits, run

asked = json.load(sys.stdin)
between = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
found = {}
for name, body in asked["bodies"].items():
    source = "def grade(sample, item):\\n" + textwrap.indent(body, "    ")
    if asked["confined"]:
        settings, samples = {"source": source, "function": "grade"}, [{"sample": {}, "item": asked["places"]}]
        (outcome,) = run("ask_grader", settings, samples, Limits(seconds=1, memory_mb=512), shared=True)
        found[name] = [outcome.value, outcome.error, outcome.text]
    else:
        code = f"{source}\\nprint(float(grade({{}}, {asked['places']!r})))"
        done = subprocess.run([sys.executable, "-c", between, code], capture_output=True, text=True)
        found[name] = done.stdout.split()[-1:]
print(json.dumps(found))
"""


def _open_to_all(path):
    real = path.resolve()
    return real.exists() and all(parent.stat().st_mode & 0o001 for parent in (real, *real.parents))


@pytest.fixture(scope="module", params=["this user", "an ordinary user", "an old kernel"])
def tried(request, tmp_path_factory):
    """A function (bodies, confined) -> what became of each, as one of the two users; on a kernel as of 5.15, too."""
    ordinary = request.param == "an ordinary user"
    if ordinary and os.geteuid() != 0:
        pytest.skip("whoever runs the tests is an ordinary user already")
    python = next((p for p in (sys.executable, "/usr/bin/python3") if not ordinary or _open_to_all(Path(p))), None)
    if python is None:
        pytest.skip("no interpreter here that an ordinary user could start")
    base = tmp_path_factory.mktemp("attempts")
    shutil.copytree(Path(lock.__file__).parents[2], base / "holdfast", ignore=shutil.ignore_patterns("__pycache__"))
    if request.param == "an old kernel":
        with (base / "holdfast/graders/sandbox/landlock.py").open("a") as module:
            module.write("\n\ndef abi() -> int:\n    return 1\n")
    (base / "secret").write_text("the key")
    (base / "kept").write_text("kept")
    (base / "folder").mkdir()
    subprocess.run(["chmod", "-R", "a+rwX", base], check=True)
    for parent in base.parents[:3]:
        parent.chmod(0o755)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(("127.0.0.1", 0))
        names = {name: str(base / name) for name in ("secret", "kept", "folder")}
        places = {**names, "tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}

        @functools.cache
        def run(bodies, confined):
            asked = {"bodies": dict(bodies), "places": places, "confined": confined}
            user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ordinary else {}
            done = subprocess.run(
                [python, "-c", SCRIPT, str(base)],
                input=json.dumps(asked), capture_output=True, text=True, check=False, **user,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        run.base, run.udp = base, udp
        yield run


BODIES = tuple((name, body) for name, (body, _) in ATTEMPTS.items())


@pytest.mark.parametrize("name", ATTEMPTS)
def test_every_way_out_is_shut(tried, name):
    value, error, text = tried(BODIES, True)[name]
    assert (value, error) == (None, "grader_failed")
    assert ATTEMPTS[name][1] in text


def test_nothing_is_left_behind(tried):
    tried(BODIES, True)
    tried.udp.settimeout(0.2)
    with pytest.raises(TimeoutError):
        tried.udp.recv(1)
    assert (tried.base / "kept").read_text() == "kept"
    assert not list((tried.base / "folder").iterdir())


def test_a_loop_ends_and_a_printed_score_does_not_count(tried):
    found = tried((("loop", LOOP), ("forged", FORGED), ("honest", "return 0.25")), True)
    assert found["loop"][:2] == [None, "time_out"]
    assert found["forged"][0] == 0.0
    assert found["honest"][0] == 0.25


def test_every_way_out_is_open_where_nothing_confines_it(tried):
    """Last, because it leaves files behind."""
    assert {name: said for name, said in tried(BODIES, False).items() if said != ["1.0"]} == {}


@pytest.mark.parametrize(
    ("missing", "reason", "num_files"),
    [
        (("landlock",), "PermissionError", 0),  # seccomp opens no file for writing
        (("landlock", "seccomp"), "File too large", 1),  # the limit on a file's size is 0; empty ones can be made
    ],
)
def test_no_disk_is_filled_where_files_are_not_enforced(tmp_path, missing, reason, num_files):
    code = f"""
import sys
from holdfast.graders.sandbox import landlock, lock, seccomp
for module in {missing!r}:
    globals()[module].restrict = lambda *given: False
held = lock.confine(memory_bytes=2**30, cpu_seconds=10)
assert "files" not in held and "memory" in held, held
try:
    with open({str(tmp_path / "big")!r}, "wb", buffering=0) as file:
        while file.write(b"x" * 4096): pass
except OSError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert reason in done.stdout, done.stderr
    assert len(list(tmp_path.iterdir())) == num_files
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0
