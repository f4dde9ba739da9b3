"""What a confined process does with a sample: asks a user's grader, or judges a model's code by its tests.

Everything here runs next to untrusted code and believes nothing it returns.
"""

from __future__ import annotations

import inspect
import math
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from holdfast.graders.sandbox.apart import Judge
from holdfast.graders.sandbox.values import MAX_TEXT, words

Said: TypeAlias = "dict[str, Any]"
Program: TypeAlias = Callable[[Mapping[str, Any]], Callable[[Mapping[str, Any]], Said]]


def ask_grader(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Said]:
    """Returns what grades a sample with the function `function` of `source`.

    The function is `grade(sample, item)`, or a reward callable of TRL, known by its parameter `completions`: it gets
    lists of one, and its columns by name. Either may be async. Its result is a number from 0 to 1, or one with a
    text that explains it; None, NaN, a bool or a text alone is an answer that could not be graded.
    """
    try:
        function = _loaded(settings)
        is_reward = "completions" in inspect.signature(function).parameters
    except BaseException as error:  # noqa: BLE001 - a user's module may raise anything
        trouble = _failed("grader_failed", error)
        return lambda sample: trouble

    def grade(sample: Mapping[str, Any]) -> Said:
        try:
            if is_reward:
                found = _only(_awaited(function(**_reward_arguments(function, sample))))
            else:
                found = _awaited(function(sample["sample"], sample["item"]))
        except BaseException as error:  # noqa: BLE001 - and so may its function
            return _failed("grader_failed", error)
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], str):
            return {**_number(found[0]), "text": found[1][:MAX_TEXT]} if found[1] else _number(found[0])
        return _number(found)

    return grade


def load_grader(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Said]:
    """Returns what says for any sample whether `source` can be loaded and has `function`: 1, or why not."""
    try:
        _loaded(settings)
    except BaseException as error:  # noqa: BLE001 - a user's module may raise anything
        trouble = {"error": "grader_failed", "text": words("it does not load", error)}
        return lambda sample: trouble
    return lambda sample: {"value": 1.0}


def _loaded(settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Returns the function that `source` defines; raises whatever its code raises."""
    if sys.platform == "linux":  # asyncio wakes itself by a pair of sockets, which is not to be had in here
        socket.socketpair = _pipe_pair  # type: ignore[assignment]
    scope: dict[str, Any] = {"__name__": "grader"}
    exec(compile(settings["source"], "grader.py", "exec"), scope)  # noqa: S102 - that is what this process is for
    function = scope.get(settings["function"])
    if not callable(function):
        there = [name for name, value in scope.items() if callable(value) and name[:1] != "_"]
        raise LookupError(f"it has no function {settings['function']!r}; it has {', '.join(there[:12]) or 'none'}")
    return function


def run_tests(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Said]:
    """Returns what asks the code in another process, at the pipes `asking` and `answering`, by a sample's `tests`."""
    return Judge(settings["asking"], settings["answering"]).run


def run_together(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Said]:
    """Returns what runs a sample's `code` and then each of its `tests` here; the value is the share that passes."""
    del settings

    def run(sample: Mapping[str, Any]) -> Said:
        tests = sample["tests"]
        first = ""
        scope: dict[str, Any] = {"__name__": "answer"}
        try:
            exec(compile(sample["code"], "answer.py", "exec"), scope)  # noqa: S102 - that is what this process is for
        except BaseException as error:  # noqa: BLE001 - a model's code may raise anything
            return {"value": 0.0, "text": words("the code failed", error)}
        passed = 0
        for number, test in enumerate(tests, 1):
            try:
                exec(compile(test, f"test_{number}.py", "exec"), scope)  # noqa: S102 - and its tests call it
                passed += 1
            except BaseException as error:  # noqa: BLE001 - a failed test is a raised exception
                first = first or words(f"test {number} failed", error)
        return {"value": passed / len(tests), "text": first or f"passes {passed} of {len(tests)}"}

    return run


PROGRAMS: Mapping[str, Program] = {
    "ask_grader": ask_grader, "load_grader": load_grader, "run_tests": run_tests, "run_together": run_together,
}  # fmt: skip
"""What a worker can be ordered to run, by name."""


def _reward_arguments(function: Callable[..., Any], sample: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what TRL would call a reward with: one sample as lists of one, in the form that its prompt has."""
    item = {name: value for name, value in sample["item"].items() if name not in ("messages", "prompt")}
    prompt, answer = sample["prompt"], sample["sample"]["output_text"]
    parameters = inspect.signature(function).parameters.values()
    any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    given = {
        **{name: [value] for name, value in item.items()},
        "prompts": [prompt],
        "completions": [answer if isinstance(prompt, str) else [{"role": "assistant", "content": answer}]],
        "completion_ids": [sample["completion_ids"]],
        "trainer_state": None,
        "log_extra": _log_nothing,
        "log_metric": _log_nothing,
    }
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in given.items() if any_name or name in names}


def _log_nothing(*given: object) -> None:
    """Stands for what TRL gives a reward to log with."""


def _awaited(found: object) -> object:
    """Returns what an async function returns in the end, and anything else as it is."""
    if not inspect.isawaitable(found):
        return found
    import asyncio

    async def wait() -> object:
        return await found

    return asyncio.run(wait())


def _only(rewards: Any) -> object:  # noqa: ANN401 - whatever a reward returns
    """Returns the reward of the one completion."""
    if len(rewards) != 1:
        raise ValueError(f"it returned {len(rewards)} rewards for 1 completion; return a list with one for each")
    return rewards[0]


class _PipeEnd:
    """One end of a pipe with the few methods of a socket by which an event loop wakes itself."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as a socket's
        """Does nothing: these pipes never block."""

    def recv(self, size: int) -> bytes:
        return os.read(self._descriptor, size)

    def send(self, data: bytes) -> int:
        return os.write(self._descriptor, data)

    def close(self) -> None:
        os.close(self._descriptor)


def _pipe_pair() -> tuple[_PipeEnd, _PipeEnd]:
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    return _PipeEnd(reading), _PipeEnd(writing)


def _number(found: object) -> Said:
    if found is None:
        return {"error": "not_graded", "text": "the grader returned None"}
    # NumPy's numbers are no Python numbers, but become one; a text or a truth value is a mistake.
    if isinstance(found, bool | str | bytes):
        return {"error": "invalid_score", "text": f"the grader returned {_shown(found)} instead of a number"}
    try:
        value = float(found)  # type: ignore[arg-type]
    except BaseException:  # noqa: BLE001 - whatever __float__ does
        return {"error": "invalid_score", "text": f"the grader returned a {type(found).__name__} instead of a number"}
    if not math.isfinite(value):
        return {"error": "invalid_score", "text": f"the grader returned {value}"}
    return {"value": value}


def _failed(kind: str, error: BaseException) -> Said:
    return {"error": kind, "text": words("the grader failed", error)}


def _shown(found: object) -> str:
    return repr(found)[:80]
