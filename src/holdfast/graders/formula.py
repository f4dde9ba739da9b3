"""The formula of a `multi` grader: numbers, graders' names, + - * / ^, and a few functions. Never `eval`."""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError, GraderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,  # of floats: a power cannot grow without bound
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": math.fabs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_ANY_NUMBER = ("min", "max")
MAX_LENGTH = 1_000


class Formula:
    """A parsed formula; `names` are the values that it needs."""

    def __init__(self, text: str, known: Set[str]) -> None:
        """Parses `text`; raises `ConfigError` with the part that is not allowed, or a name not in `known`."""
        self.text, self.names = text, set[str]()
        if len(text) > MAX_LENGTH:
            raise _refused(f"is longer than {MAX_LENGTH} characters")
        try:
            self._tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise _refused(f"{text!r} is no formula") from None
        self._check(self._tree, known)

    def value(self, values: Mapping[str, float]) -> float:
        """Returns the formula's value; raises `GraderError` where it has none (a division by zero)."""
        try:
            found = float(self._value(self._tree, values))
        except (ArithmeticError, ValueError) as error:
            raise GraderError(f"{self.text} has no value: {error}") from None
        if not math.isfinite(found):
            raise GraderError(f"{self.text} is {found}")
        return found

    def _check(self, node: ast.expr, known: Set[str]) -> None:
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            self._check(node.left, known)
            self._check(node.right, known)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            self._check(node.operand, known)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            if node.keywords or not node.args or (len(node.args) > 1 and node.func.id not in _ANY_NUMBER):
                raise _refused(f"{ast.unparse(node)}: wrong number of values")
            for part in node.args:
                self._check(part, known)
        elif isinstance(node, ast.Name):
            if node.id not in known:
                raise _refused(f"{node.id!r} is none of its graders ({', '.join(sorted(known))})")
            self.names.add(node.id)
        elif not (isinstance(node, ast.Constant) and type(node.value) in (int, float)):
            raise _refused(f"{ast.unparse(node)[:60]!r} is not allowed; only + - * / ^ and {', '.join(_FUNCTIONS)} are")

    def _value(self, node: ast.expr, values: Mapping[str, float]) -> float:
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](self._value(node.left, values), self._value(node.right, values))
        if isinstance(node, ast.UnaryOp):
            operand = self._value(node.operand, values)
            return -operand if isinstance(node.op, ast.USub) else operand
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            parts = [self._value(part, values) for part in node.args]
            return _FUNCTIONS[node.func.id](parts) if node.func.id in _ANY_NUMBER else _FUNCTIONS[node.func.id](*parts)
        if isinstance(node, ast.Name):
            return values[node.id]
        assert isinstance(node, ast.Constant)
        return float(node.value)  # type: ignore[arg-type]


def _refused(reason: str) -> ConfigError:
    return ConfigError(f"calculate_output {reason}.", param="grader.calculate_output")
