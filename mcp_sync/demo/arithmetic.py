"""The evaluator behind ``calculate``: numbers, ``+ - * / // % **`` and parentheses, each step bounded in size.

Runs on: any thread. It holds no state and never calls ``eval``.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Mapping
from typing import Callable, Union

__all__ = ["ArithmeticProblem", "evaluate"]

Number = Union[int, float]

MAX_LENGTH = 1_000
MAX_DEPTH = 500  # a sum of five hundred terms is that deep, and still half of the interpreter's limit
# 10,000 bits are 3,010 decimal digits: below the 4,300 at which Python refuses to print an integer.
MAX_BITS = 10_000

_BINARY: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


class ArithmeticProblem(ValueError):
    """The expression has no value here. The message says why, in words for the person who wrote it."""


def evaluate(expression: str) -> Number:
    """Compute an arithmetic expression, such as ``"(1 + 2) * 3"``.

    Returns:
        An ``int``, or a finite ``float``.

    Raises:
        ArithmeticProblem: for anything but arithmetic, and for a number that would grow beyond ``MAX_BITS`` bits.
    """
    if len(expression) > MAX_LENGTH:
        raise ArithmeticProblem(f"the expression has {len(expression)} characters; at most {MAX_LENGTH} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler warns on stderr about things like `1is 1`
            tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        # ValueError: NUL bytes before 3.12. The last two: nesting that the parser gives up on.
        raise ArithmeticProblem(
            "this is not an arithmetic expression; write something like (1 + 2) * 3"
        ) from None  # the parser's own words speak of Python, which the caller did not write
    return _value(tree.body, 0)


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ArithmeticProblem(f"the expression is nested more than {MAX_DEPTH} levels deep")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):  # not isinstance: a bool is an int
        return _bounded(node.value)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _bounded(_UNARY[type(node.op)](_value(node.operand, depth + 1)))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left, depth + 1), _value(node.right, depth + 1)
        if isinstance(node.op, ast.Pow):
            _check_power(left, right)
        try:
            return _bounded(_BINARY[type(node.op)](left, right))
        except ZeroDivisionError:
            raise ArithmeticProblem("division by zero") from None
        except OverflowError:
            raise ArithmeticProblem("the result is too large") from None
    raise ArithmeticProblem(f"only numbers, + - * / // % ** and parentheses are allowed, not {_describe(node)}")


def _check_power(base: Number, exponent: Number) -> None:
    # Before the operation, not after it: 9**9**9 must never begin.
    if isinstance(base, float) or isinstance(exponent, float):
        return  # floats overflow by themselves, at once
    if exponent > 0 and (abs(base).bit_length() - 1) * exponent > MAX_BITS:
        raise ArithmeticProblem("the result is too large")


def _bounded(value: object) -> Number:
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ArithmeticProblem("the result is too large")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, complex):  # (-8) ** 0.5
        raise ArithmeticProblem("the result is not a real number")
    raise ArithmeticProblem("the result is too large")


def _describe(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return "names"
    if isinstance(node, ast.Call):
        return "function calls"
    if isinstance(node, ast.Constant):
        return f"{type(node.value).__name__} values"
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        return f"the operator {type(node.op).__name__}"
    return f"{type(node).__name__} expressions"
