"""Code and its tests in two processes: what tests may do with it, and what code cannot do about them."""

import platform

import pytest

from holdfast.graders import grader, sandbox
from holdfast.graders.sandbox import Limits, landlock, run, seccomp
from holdfast.graders.sandbox.values import packed, unpacked
from holdfast.types import Completion, Example, Message

pytestmark = pytest.mark.skipif(
    platform.machine() not in seccomp.TABLES or landlock.abi() == 0, reason="this kernel cannot confine a process"
)
LIMITS = Limits(seconds=3.0, memory_mb=512)
WANTED = "assert f(2) == 4\nassert f(3) == 9"


def judged(code, *tests, program="run_tests"):
    (outcome,) = run(program, {}, [{"code": code, "tests": list(tests)}], LIMITS, shared=False)
    return outcome


STACK = """
import math
class Stack:
    limit = 2
    def __init__(self, *items): self.items = list(items)
    def push(self, item):
        if len(self.items) >= self.limit: raise ValueError("full")
        self.items.append(item); return self
    def __len__(self): return len(self.items)
    def __getitem__(self, place): return self.items[place]
    def __iter__(self): return iter(self.items)
    def __contains__(self, item): return item in self.items
    def __eq__(self, other): return self.items == other.items
    def __str__(self): return f"<{self.items}>"
def first(stack): return stack.items[0]
def pair(): return Stack(1), Stack(2)
"""
BASICS = """
import collections, enum, itertools, math
Point = collections.namedtuple("Point", "x y")
LIMIT = 7
def same(x): return x
def count(n):
    while n: n -= 1; yield n
def sort(items): items.sort(); items.append(0)
def grow(table, *, by): table["n"] = by
def fails(kind): raise kind_of[kind]("why")
class Own(KeyError): pass
class Other(Exception): pass
class StopNow(StopIteration): pass
kind_of = {"own": Own, "other": Other, "stop": StopNow, "value": ValueError, "exit": SystemExit}
class Colour(enum.IntEnum): RED = 1
"""


DEEDS = {
    "plain values come back as they are": (BASICS, """
for x in (None, True, 1, -0.5, "a\\ud800", b"a", 2j, 10**5000, (1, [2, {3}]), {1: {"a": (2,)}}, float("inf"),
          frozenset({1}), range(2, 9, 3), bytearray(b"x")):
    assert same(x) == x, x
    assert type(same(x)) is type(x)
assert same(float("nan")) != same(float("nan"))
"""),
    "kinds of plain values become plain": (BASICS, """
assert Point(1, 2) == (1, 2) and Colour.RED == 1 and list(map(same, [1, 2])) == [1, 2]
"""),
    "numbers and modules": (BASICS, "assert LIMIT == 7 and math.floor(LIMIT / 2) == 3"),
    "iterators": (BASICS, """
assert list(count(3)) == [2, 1, 0]
assert next(count(5)) == 4
assert count(1) != [0]
"""),
    "arguments that are changed": (BASICS, """
xs, table = [3, 1], {}
assert sort(xs) is None
assert xs == [1, 3, 0]
grow(table, by=2)
assert table == {"n": 2}
"""),
    "errors": (BASICS, """
for name, kind in dict(own=KeyError, other=Exception, stop=Exception, value=ValueError, exit=RuntimeError).items():
    try: fails(name)
    except kind as error: assert "why" in str(error)
    else: assert False
try: same(nothing=1)
except TypeError: pass
else: assert False
"""),
    "numbers of NumPy": ("""
import numpy as np
def f(x): return [np.float32(x) * np.ones(2)[0], np.int64(x), np.bool_(True)]
""", "assert f(2) == [2.0, 2, True]"),
    "objects": (STACK, """
s = Stack()
s.push(1).push("b")
assert len(s) == 2 and s[1] == "b" and list(s) == [1, "b"] and 1 in s
try: s.push(3)
except ValueError as error: assert str(error) == "full"
else: assert False
assert hasattr(s, "push") and not hasattr(s, "pop")
assert isinstance(s, Stack) and not isinstance(3, Stack)
"""),
    "objects as arguments and in results": (STACK, """
s = Stack(5)
s.limit = 1
assert first(s) == 5 and str(s) == "<[5]>" and s == Stack(5) != Stack(6)
assert [one[0] for one in pair()] == [1, 2]
"""),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEDS)
def test_what_tests_may_do_with_code(name):
    outcome = judged(*DEEDS[name])
    assert (outcome.value, outcome.error) == (1.0, None), outcome


WALK = """
import gc, os, sys
def everything():
    frame = sys._getframe()
    while frame:
        yield frame.f_locals; yield frame.f_globals; yield list(frame.f_code.co_consts)
        frame = frame.f_back
    yield from gc.get_objects()
def texts(found):
    if isinstance(found, dict): found = list(found.values()) + list(found)
    return [x for x in found if isinstance(x, str)] if isinstance(found, (list, tuple, set)) else []
"""
ALL = "class All(int):\n    def __eq__(self, other): return True\n"
CHEATS = {
    "equals everything": ALL.replace("int", "object") + "def f(x): return All()",
    "a number that equals everything": ALL + "def f(x): return All(0)",
    "replaces built-ins": "import builtins\nbuiltins.abs = builtins.exec = lambda *x: 0\ndef f(x): return 0",
    "names like built-ins": "def abs(x): return 0\ndef all(x): return 1\ndef f(x): return 0",
    "ends its process": "import os\ndef f(x): os._exit(0)",
    "exits": "import sys\ndef f(x): sys.exit(0)",
    "stops a loop": "def f(x): raise StopIteration",
    "writes everywhere": """
import os
def f(x):
    for n in range(64):
        try: os.write(n, b'{"value": 1.0}\\n')
        except OSError: pass
""",
    "walks frames for its report": WALK + """
def f(x):
    for word in {word for found in everything() for word in texts(found) if len(word) == 32}:
        for n in range(64):
            try: os.write(n, (word + '{"value": 1.0}\\n').encode())
            except OSError: pass
    return 0
""",
    "walks frames for its tests": WALK + """
for text in [text for found in everything() for text in texts(found)]:
    if " ".join(["assert", "f(2)"]) in text: f = lambda x: {2: 4, 3: 9, 5: 25, 4: 16}[x]
""",
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_code_cannot_cheat_in_its_exam(name):
    tests = [WANTED, "assert abs(f(5) - 25) < 1e-9", "assert all(f(x) == x * x for x in [4])"]
    answers = [{"code": code, "tests": tests} for code in (CHEATS[name], "def f(x): return x * x")]
    cheat, honest = run("run_tests", {}, answers, LIMITS, shared=False)
    assert (cheat.value, cheat.error) == (0.0, None), cheat
    assert honest.value == 1.0


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("equals everything", WANTED),
        ("names like built-ins", "assert abs(f(5) - 25) < 1e-9"),
        ("walks frames for its report", WANTED),
        ("walks frames for its tests", WANTED),
    ],
)
def test_together_it_can(name, test):
    """The limit that is documented: in one process code decides what its tests see and what they report."""
    assert judged(CHEATS[name], test, program="run_together").value == 1.0


def test_objects_of_the_code_answer_for_themselves():
    """The other documented limit: a test that only asks an object of the code believes what that says."""
    yes = "class All:\n    def __eq__(self, other): return True\n    __contains__ = __eq__\ndef f(x): return All()"
    asked, compared = ("assert f(2) == f(3)", "assert 4 in f(2)", "assert f(2)"), ("assert list(f(2)) == [4]", WANTED)
    assert judged(yes, *asked).value == 1.0
    assert judged(yes, *compared).value == 0.0


@pytest.mark.parametrize(
    ("code", "test", "words"),
    [
        ("def f(x: return x", WANTED, "SyntaxError"),
        ("1 / 0", WANTED, "the code failed: ZeroDivisionError"),
        ("def g(x): return x", WANTED, "NameError"),
        ("def f(x): return object()", "assert f(1) + 1 == 2", "unsupported operand"),
        (
            "def f(x): return x",
            "assert f(2) == 3, 'two is not three'",
            "test 1 failed: AssertionError: two is not three",
        ),
        ("import os; os._exit(0)", WANTED, "the process of the code ended"),
        ("import os\nfor n in range(64):\n    try: os.write(n, b'[]\\n')\n    except OSError: 0", WANTED, ""),
    ],
)
def test_wrong_code_is_wrong_and_the_reason_is_said(code, test, words):
    outcome = judged(code, test)
    assert (outcome.value, outcome.error) == (0.0, None), outcome
    assert words in outcome.text


def test_tests_that_hand_over_a_function_need_one_process():
    answer = Completion("def f(g, x): return g(x)", (), (), "stop")
    example = Example("x", (Message("user", "?"),), columns={"tests": ["assert f(lambda x: x + 1, 2) == 3"]})
    found = grader("unit_tests")(answer, example)
    assert found.error_type == "tests_need_objects"
    assert '"together": true' in found.explanation
    assert grader({"type": "unit_tests", "together": True})(answer, example).passed


SQUARE = Completion("def f(x): return x * x", (), (), "stop")
ITEM = Example("x", (Message("user", "?"),), columns={"tests": ["assert f(2) == 4"]})


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("raise SystemExit", "the worker ended"),
        ("import os; os.kill(os.getpid(), 9)", "the worker ended"),
        (
            "import holdfast.graders.sandbox.worker as worker\nworker.confine = None\nworker.main()",
            "the sandbox could not be set up",
        ),
    ],
)
def test_a_sandbox_that_fails_is_no_ones_answer(monkeypatch, together, start, words):
    monkeypatch.setattr(sandbox, "_START", sandbox._START.replace("\nmain()", f"\n{start}"))
    found = grader({"type": "unit_tests", "together": together}).many([(SQUARE, ITEM)] * 2)
    assert [(one.error_type, words in one.explanation) for one in found] == [("sandbox_failed", True)] * 2
    own = {"type": "python", "source": "def grade(sample, item): return 1", "on_error": "zero"}
    assert grader(own)(SQUARE, ITEM).error_type == "sandbox_failed"


@pytest.mark.parametrize(
    ("code", "together", "words"),
    [
        ("while True: pass", False, "took more than 0.5 s"),
        ("while True: pass", True, "took more than 0.5 s"),
        ("import os; os._exit(0)", False, "the process of the code ended"),
        ("import os; os._exit(0)", True, "the process ended"),
    ],
)
def test_code_that_loops_or_ends_its_process_is_wrong(code, together, words):
    settings = {"type": "unit_tests", "together": together, "seconds": 0.5}
    found = grader(settings)(Completion(code, (), (), "stop"), ITEM)
    assert (found.value, found.passed, found.error_type, found.explanation) == (0.0, False, None, words)


def test_tests_that_end_their_own_process_are_not_the_answers_fault():
    example = Example("x", ITEM.messages, columns={"tests": "import os; os._exit(0)"})
    assert grader("unit_tests")(SQUARE, example).error_type == "grader_crashed"


def test_a_value_that_nobody_packed_is_refused():
    for nonsense in ({"a": 1}, ["no kind"], ["range", 1, 2, 3, 4], ["object", "x"], ["bytes", "zz"]):
        with pytest.raises((ValueError, TypeError)):
            unpacked(nonsense, [].__getitem__)
    assert packed(iter([1]), len) == ["iterator", [1]]
