"""What ``calculate`` computes, and what it refuses."""

from __future__ import annotations

import pytest

arithmetic = pytest.importorskip("mcp_sync.demo.arithmetic", exc_type=ImportError)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 1", 2),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("-7 % 3", 2),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("+-+3", -3),
        ("  4\t", 4),
        ("1e3", 1000.0),
        ("9 ** 0.5", 3.0),
        ("+".join(["1"] * 500), 500),
    ],
)
def test_arithmetic_has_a_value(expression: str, value: float) -> None:
    result = arithmetic.evaluate(expression)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "x",
        "__import__('os')",
        "(1).real",
        "[1]",
        "'a' * 3",
        "True",
        "1j",
        "~1",
        "1 if 1 else 2",
        "1 < 2",
        "(lambda: 1)()",
        "1\x000",
        "1\n1",
        "1; 2",
    ],
)
def test_anything_but_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(arithmetic.ArithmeticProblem, match=r"arithmetic expression|only numbers"):
        arithmetic.evaluate(expression)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("9 ** 9 ** 9", "too large"),
        ("9 ** 9 ** 9 ** 9", "too large"),
        ("10 ** 3000 * 10 ** 3000", "too large"),
        ("2.0 ** 99999", "too large"),
        ("1e308 * 10", "too large"),
        ("1e999", "too large"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("(-8) ** 0.5", "not a real number"),
        ("(" * 400 + "1" + ")" * 400, "arithmetic expression|nested"),
        ("-" * 900 + "1", "arithmetic expression|nested"),
        ("1" * 1001, "at most 1000"),
    ],
)
def test_what_would_cost_too_much_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(arithmetic.ArithmeticProblem, match=reason):
        arithmetic.evaluate(expression)
