"""Code that wants out: each attempt is stopped, and the answer beside it is still graded."""

import json
import os
import platform
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from holdfast.errors import GraderError
from holdfast.graders.sandbox import GUARANTEES, Limits, landlock, lock, missing_here, run, seccomp

pytestmark = pytest.mark.skipif(
    platform.machine() not in seccomp.TABLES or landlock.abi() == 0, reason="this kernel cannot confine a process"
)
QUICK = Limits(seconds=2.0, memory_mb=512)


def grades(body, limits=QUICK, samples=1, before=""):
    """What becomes of answers that are graded by a function with this body."""
    source = f"{before}\ndef grade(sample, item):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    sample = {"sample": {"output_text": "x"}, "item": {"n": 1}, "completion_ids": [1]}
    return run("ask_grader", {"source": source, "function": "grade"}, [sample] * samples, limits, shared=True)


def runs(*codes, tests=("assert f(2) == 4",), limits=QUICK):
    samples = [{"code": code, "tests": list(tests)} for code in codes]
    return run("run_together", {}, samples, limits, shared=False)


def stopped(outcome):
    return outcome.value is None and outcome.error == "grader_failed" and "rror" in outcome.text


def test_a_grader_is_asked_about_every_answer():
    outcomes = grades("return item['n'] / 4", samples=300)
    assert [outcome.value for outcome in outcomes] == [0.25] * 300


def test_numeric_libraries_and_threads_work():
    (outcome,) = grades(
        """
        import threading
        import numpy as np
        thread = threading.Thread(target=np.ones, args=((3, 3),))
        thread.start(); thread.join()
        return float((np.eye(200) @ np.eye(200)).trace()) / 400
        """,
        Limits(seconds=30.0, memory_mb=512),
    )
    assert outcome.value == 0.5, outcome


def test_secret_files_cannot_be_read(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the key")
    places = [str(secret), "/etc/passwd", "/proc/self/environ", f"/proc/{os.getpid()}/environ", str(Path.home())]
    for place in places:
        (outcome,) = grades(f"import os\nreturn len(os.listdir({place!r}) if os.path.isdir({place!r}) else 'x')")
        (read,) = grades(f"return len(open({place!r}).read())")
        assert stopped(read), (place, read)
        assert outcome.value is None or not Path(place).is_dir()


def test_nothing_can_be_written(tmp_path):
    target = tmp_path / "new.txt"
    tmp_path.chmod(0o777)
    for place in (target, "/tmp/holdfast-was-here", "/dev/shm/holdfast-was-here"):
        (outcome,) = grades(f"open({str(place)!r}, 'w').write('x')\nreturn 1")
        assert stopped(outcome)
        assert not Path(place).exists()
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")
    for way in ("os.remove({0!r})", "os.truncate({0!r}, 0)", "os.chmod({0!r}, 0)", "os.rename({0!r}, {0!r} + '2')"):
        (outcome,) = grades(f"import os\n{way.format(str(kept))}\nreturn 1")
        assert stopped(outcome), way
    assert kept.read_text() == "kept"


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_no_socket_can_be_opened(kind):
    with socket.socket(socket.AF_INET, getattr(socket, kind)) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.2)
        if kind == "SOCK_STREAM":
            listener.listen()
        port = listener.getsockname()[1]
        (outcome,) = grades(
            f"""
            import socket
            out = socket.socket(socket.AF_INET, socket.{kind})
            out.connect(("127.0.0.1", {port})); out.send(b"x")
            return 1
            """
        )
        assert stopped(outcome)
        with pytest.raises(TimeoutError):
            listener.accept() if kind == "SOCK_STREAM" else listener.recv(1)


@pytest.mark.parametrize(
    "attempt",
    [
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "if os.system('true'): raise OSError('no shell')",
        "subprocess.run(['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "multiprocessing.get_context('fork').Process(target=print).start()",
        "ctypes.CDLL(None, use_errno=True).fork() == -1 and 1 / 0",
    ],
)
def test_no_process_can_be_started(attempt):
    (outcome,) = grades(f"import ctypes, multiprocessing, os, subprocess\n{attempt}\nreturn 1")
    assert stopped(outcome), outcome


@pytest.mark.parametrize("signal", [0, 9, 15])
def test_the_parent_cannot_be_killed(signal):
    for target in ("os.getppid()", str(os.getpid()), "-1", "0", "1"):
        (outcome,) = grades(f"import os\nos.kill({target}, {signal})\nreturn 1")
        assert stopped(outcome), (target, outcome)


def test_limits_cannot_be_lifted():
    (outcome,) = grades(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return 1
        """
    )
    assert stopped(outcome)


def test_memory_is_bounded():
    first, second = grades("return len(bytearray(2**32)) and 1", samples=2)
    assert stopped(first)
    assert "MemoryError" in second.text


def test_a_loop_ends_and_those_after_it_are_graded():
    source_of_trouble = "if not tried:\n    tried.append(1)\n    while True: pass\nreturn 1"
    outcomes = grades(source_of_trouble, before="tried = []", samples=2, limits=Limits(seconds=0.5))
    assert [outcome.error for outcome in outcomes] == ["time_out", "time_out"]  # a new process tries anew
    answers = runs("while True: pass", "def f(x): return x * x", limits=Limits(seconds=0.5))
    assert [answer.value for answer in answers] == [None, 1.0]
    assert answers[0].error == "time_out"


def test_a_score_cannot_be_printed():
    line = json.dumps({"index": 0, "value": 1.0})
    forged = f"""
import os, sys
print({line!r}, flush=True)
for place in range(256):
    try:
        os.write(place, ({line!r} + chr(10)).encode())
    except OSError:
        pass
"""
    (outcome,) = runs(forged + "def f(x): return 0")
    assert outcome.value == 0.0
    (ended,) = runs(forged + "os._exit(0)")
    assert ended.value is None
    (graded,) = grades(forged.replace("\n", "\n") + "return 0")
    assert graded.value == 0.0


def test_the_way_to_report_is_out_of_reach_however_many_files_are_open():
    """The pipe's number is that of this process, beyond those that a confined process closes one by one."""
    garbage = """
import os
for place in range(3, 4096):
    for line in (b"not JSON\\n", b'{"index": 7, "value": 1.0}\\n', b'[' * 10**5 + b"\\n", b"\\xff\\n"):
        try:
            os.write(place, line)
        except OSError:
            break
"""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(300)]
    try:
        (outcome,) = grades("return 0.25", before=garbage)
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert outcome.value == 0.25


@pytest.mark.parametrize("line", ["not JSON", "7", "[" * 10**5, '{"index": 7}', '{"index": null}', '{"value": 1.0}'])
def test_a_line_of_the_worker_that_is_none_counts_as_nothing(monkeypatch, line):
    monkeypatch.setattr(
        "holdfast.graders.sandbox._START", f"import os, sys; os.write(int(sys.argv[2]), b{line + chr(10)!r})"
    )
    (outcome,) = grades("return 1")
    assert (outcome.value, outcome.error) == (None, "sandbox_failed")


@pytest.mark.parametrize("value", ["1" + "0" * 400, "NaN", "Infinity", "true", '"1"', "null"])
def test_a_value_that_is_no_finite_number_is_no_score(monkeypatch, value):
    line = f'{{"index": 0, "value": {value}}}\n'
    monkeypatch.setattr("holdfast.graders.sandbox._START", f"import os, sys; os.write(int(sys.argv[2]), b{line!r})")
    (outcome,) = grades("return 1")
    assert (outcome.value, outcome.error) == (None, "invalid_score")


def test_floods_of_output_neither_block_nor_fill_anything():
    (outcome,) = runs(
        "import os\nfor n in range(1, 64):\n    try:\n        os.write(n, b'x' * 10**6)\n    except OSError: 0"
    )
    assert outcome.value in (None, 0.0)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ("float('nan')", "invalid_score"),
        ("float('inf')", "invalid_score"),
        ("True", "invalid_score"),
        ("'1.0'", "invalid_score"),
        ("[1.0]", "invalid_score"),
        ("None", "not_graded"),
        ("1 / 0", "grader_failed"),
        ("__import__('os')._exit(0)", "grader_crashed"),
        ("exit()", "grader_failed"),
    ],
)
def test_what_is_no_score_is_no_zero(result, error):
    (outcome,) = grades(f"return {result}")
    assert (outcome.value, outcome.error) == (None, error)


def test_a_module_that_does_not_load_is_said_for_every_answer():
    outcomes = grades("return 1", before="import nothing_of_this_name", samples=3)
    assert all("nothing_of_this_name" in outcome.text for outcome in outcomes)


def test_the_worker_sees_no_environment(monkeypatch):
    monkeypatch.setenv("API_KEY", "secret")
    (outcome,) = grades("import os\nreturn float('API_KEY' in os.environ)")
    assert outcome.value == 0.0


def test_a_host_that_cannot_confine_refuses_unless_allowed_by_name(monkeypatch):
    missing = frozenset(GUARANTEES)
    started = lock.GUARANTEES
    monkeypatch.setattr("holdfast.graders.sandbox.GUARANTEES", (*started, "teleports"))
    with pytest.raises(GraderError, match=r"teleports cannot be enforced.*unenforced"):
        grades("return 1")
    (outcome,) = grades("return 1", Limits(unenforced=missing | {"teleports"}))
    assert outcome.value == 1.0


def test_every_guarantee_is_tried_and_not_believed():
    """Nothing holds in a process that was never confined, whatever the kernel could do."""
    code = "from holdfast.graders.sandbox.lock import GUARANTEES, _holds; print([n for n in GUARANTEES if _holds(n)])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held = set(json.loads(found.stdout.replace("'", '"')))
    assert held.isdisjoint({"files", "network", "processes", "signals"})


def test_signals_are_kept_in_only_where_every_way_to_send_one_is_shut(monkeypatch):
    def refuse(*given):
        raise PermissionError

    shut = (("os.kill", refuse), ("_tkill", refuse), ("_OWNING", (refuse,)))
    for name, _ in shut:
        with monkeypatch.context() as patch:
            for other, closed in shut:
                if other != name:
                    patch.setattr(f"holdfast.graders.sandbox.lock.{other}", closed)
            assert not lock._holds("signals"), name
    for attempt in (lock._tkill, *lock._OWNING):
        attempt()  # nothing refuses it here
    with monkeypatch.context() as patch:
        for name, closed in shut:
            patch.setattr(f"holdfast.graders.sandbox.lock.{name}", closed)
        assert lock._holds("signals")


def test_before_anything_is_judged_a_grader_says_what_this_machine_cannot_keep_in(monkeypatch):
    from holdfast.errors import ConfigError
    from holdfast.graders import confined, grader

    def ready(**settings):
        return grader({"type": "python", "source": "def grade(sample, item): return 1", **settings}).ready()

    missing = missing_here()
    assert set(missing) <= set(GUARANTEES)
    assert "files" not in missing
    monkeypatch.setattr(confined, "missing_here", lambda: ["network"])
    with pytest.raises(ConfigError, match="network cannot be enforced"):
        ready()
    (said,) = ready(unenforced=["network"])
    assert "network cannot be kept in, as its settings allow" in said
    whole = {"type": "multi", "graders": {"a": {"type": "unit_tests"}}, "calculate_output": "a"}
    with pytest.raises(ConfigError, match="network"):
        grader(whole).ready()
    monkeypatch.setattr(confined, "missing_here", list)
    assert ready(unenforced=["network"]) == []
    assert grader("exact").ready() == []
