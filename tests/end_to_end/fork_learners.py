"""A program that forks one learner after another from one process, so that the libraries load only once.

Reads orders from stdin, one JSON object a line with `arguments`, and perhaps `die` = [module, name, nth, when],
which kills the learner with SIGKILL before or after the nth call of a function, or `signal` = [number, file],
which is sent to it when the file appears. Answers each with {"status", "out", "err"}; a negative status is a signal.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

HEAVY = (
    "torch",
    "accelerate",
    "jinja2",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.feature_extraction.text",
    "transformers.models.llama.modeling_llama",
    "holdfast.jobs.learn",
    "holdfast.models.learner",
    "holdfast.models.load",
    "holdfast.models.threads",
    "holdfast.models.checkpoint",
    "holdfast.training.loop",
    "holdfast.training.methods",
    "holdfast.training.guards",
)


def arm(module, name, nth, when):
    """Makes the nth call of a function the learner's last act."""
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, last)
    calls = 0

    def deadly(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls == nth and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, last, deadly)


def learner(order, out, err):
    """Runs the command line in this process and ends it."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.argv = ["holdfast", *order["arguments"]]
    if order.get("die"):
        arm(*order["die"])
    from holdfast.cli import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def carry_out(order):
    """Forks a learner, waits for its end and returns what became of it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            learner(order, out.fileno(), err.fileno())
        if order.get("signal"):
            number, file = order["signal"]
            while not list(Path(file).parent.glob(Path(file).name)):
                time.sleep(0.01)
            os.kill(child, number)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return {"status": status, "out": out.read().decode(), "err": err.read().decode()}


def main():
    for module in HEAVY:
        importlib.import_module(module)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
