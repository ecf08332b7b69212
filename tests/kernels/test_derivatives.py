"""The rules of derivatives, and formulas that are traced: against mpmath, and against derivatives written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from numerics import assert_ulp

from softgrad import formulas
from softgrad.formulas import (
    copysign,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    fabs,
    fma,
    log,
    log1p,
    log2,
    rsqrt,
    sigmoid,
    sqrt,
    tanh,
)
from softgrad.kernels import cache
from softgrad.kernels.formulas.authored import Authored
from softgrad.kernels.formulas.generated import MOST_OPERATIONS, generated
from softgrad.kernels.formulas.registry import ACTIVATIONS, ELEMENTWISE_LOSSES
from softgrad.kernels.formulas.tracing import COMPOSED, Argument, FormulaError

Function = Callable[..., Any]

ANYWHERE = np.concatenate([np.linspace(-9, 9, 61), [-30.0, 25.0, 1e-9, -1e-30, 0.0]])
POSITIVE = np.concatenate([np.geomspace(1e-30, 1e30, 61), [1.0]])

# The function, where, its exact derivative, and the ULP it may be off: those of what it is made of, and of a quotient.
RULES = [
    (exp, ANYWHERE, mpmath.exp, 1),
    (exp2, ANYWHERE, lambda x: mpmath.log(2) * mpmath.mpf(2) ** x, 2),
    (expm1, ANYWHERE, mpmath.exp, 1),
    (log, POSITIVE, lambda x: 1 / x, 1),
    (log2, POSITIVE, lambda x: 1 / (x * mpmath.log(2)), 2),
    (log1p, POSITIVE, lambda x: 1 / (1 + x), 2),
    (sqrt, POSITIVE, lambda x: 1 / (2 * mpmath.sqrt(x)), 2),
    (rsqrt, POSITIVE, lambda x: -1 / (2 * x * mpmath.sqrt(x)), 3),
    (sigmoid, ANYWHERE, lambda x: mpmath.sech(x / 2) ** 2 / 4, 4),
    (tanh, ANYWHERE, lambda x: mpmath.sech(x) ** 2, 4),
    (erf, ANYWHERE, lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), 3),
    (erfc, ANYWHERE, lambda x: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), 3),
    (fabs, ANYWHERE, mpmath.sign, 0),
]


def slope_of(function: Function) -> Function:
    """The derivative of a function of one number, by its rule, of Python's numbers."""
    backward = Authored(function).traced((True,), {}).backward()
    return lambda x: backward(np.float64(1.0), np.float64(x))


@pytest.mark.parametrize(("function", "points", "exact", "ulp"), RULES, ids=lambda one: getattr(one, "__name__", None))
def test_a_rule_is_the_derivative(function: Function, points: np.ndarray, exact: Function, ulp: float) -> None:
    def formula(x):
        return function(x)

    found = np.array([slope_of(formula)(x) for x in points])
    with mpmath.workprec(200):
        expected = np.array([exact(mpmath.mpf(float(x))) for x in points], object)
    assert_ulp(found, expected, ulp, inputs=points)


def test_every_primitive_of_one_number_has_a_rule() -> None:
    tested = {function.__name__ for function, *_ in RULES}
    primitives = {
        name
        for name in formulas.__all__
        if getattr(formulas, name).__module__ == "softgrad.kernels.formulas.primitives"
    }
    assert primitives - tested == {"copysign", "fma", "where"}


def both(function: Function, *numbers: float) -> tuple[float, ...]:
    """Value and derivatives by each argument, of Python's numbers."""
    traced = Authored(function).traced((True,) * len(numbers), {})
    given = [np.float64(one) for one in numbers]
    grads = traced.backward()(np.float64(1.0), *given)
    return traced.forward(*given), *(grads if isinstance(grads, tuple) else (grads,))


def test_functions_of_several_numbers_have_derivatives_by_each() -> None:
    assert both(lambda a, b, c: fma(a, b, c), 2.0, 3.0, 5.0) == (11, 3, 2, 1)
    assert both(lambda a, b: fma(a, a, b), 2.0, 3.0) == (7, 4, 1)
    assert both(lambda a, b: fma(3.0, b, a), 2.0, 3.0) == (11, 1, 3)
    assert both(lambda a, b: copysign(a, b), -2.0, 3.0) == (2, -1, 0)
    assert both(lambda a, b: copysign(a, b), 2.0, 3.0) == (2, 1, 0)
    assert both(lambda a, b: formulas.where(a > b, a * a, b * 3), 2.0, 3.0) == (9, 0, 3)
    assert both(lambda a, b: a / b, 3.0, 2.0) == (1.5, 0.5, -0.75)
    assert both(lambda a: a / (a + 1), 3.0) == (0.75, 1 / 16)
    assert both(lambda a: a / a, 3.0) == (1, 0)
    assert both(lambda a, b: -(+a - b), 3.0, 2.0) == (-1, -1, 1)
    assert both(lambda a: 2 - a, 3.0) == (-1, -1)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_equal_numbers_share_the_derivative_of_the_larger(name: str) -> None:
    larger = getattr(formulas, name)
    sign = 1 if name == "maximum" else -1
    assert both(lambda a, b: larger(a, b), 2.0 * sign, 1.0 * sign) == (2 * sign, 1, 0)
    assert both(lambda a, b: larger(a, b), 1.0 * sign, 2.0 * sign) == (2 * sign, 0, 1)
    assert both(lambda a, b: larger(a, b), 2.0, 2.0) == (2, 0.5, 0.5)
    assert both(lambda a: larger(a, 0.0), 0.0) == (0, 0.5)


@pytest.mark.parametrize("power", [-2.5, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 5, 7, 12])
def test_powers_have_their_derivatives(power: float) -> None:
    for x in (0.3, 1.0, 2.7):
        value, slope = both(lambda x: x**power, x)
        assert value == pytest.approx(x**power, rel=1e-14)
        assert slope == pytest.approx(power * x ** (power - 1), rel=1e-14)


# ---- what has a derivative of its own


def partial_call(activation: Function) -> Function:
    """The activation, of its first argument alone."""
    return lambda x: activation(x)


def test_a_formula_s_own_derivative_is_taken_and_not_its_insides() -> None:
    for name, row in ACTIVATIONS.items():
        if row.backward is None or name in ("sigmoid", "tanh"):  # whose rules are more exact
            continue
        for x in (-2.5, -0.25, 0.5, 3.0):
            value, slope = both(partial_call(getattr(formulas, name)), x)
            saved = np.float64(x) if row.saved == "input" else value
            assert value == row.forward(np.float64(x), *row.defaults), name
            assert slope == row.backward(np.float64(1.0), saved, *row.defaults), name


def test_a_step_has_derivative_0() -> None:
    assert both(lambda x: x * formulas.heaviside(x), 3.0) == (3, 1)


def test_a_parameter_that_is_an_array_is_differentiated_through_the_insides() -> None:
    value, by_x, by_slope = both(lambda x, a: formulas.leaky_relu(x, a), -3.0, 0.5)
    assert (value, by_x, by_slope) == (-1.5, 0.5, -3)
    _, by_x, by_alpha = both(lambda x, a: formulas.elu(x, a), -1.0, 2.0)
    assert (by_x, by_alpha) == pytest.approx((2 * math.exp(-1), math.expm1(-1)))


@pytest.mark.parametrize("name", ELEMENTWISE_LOSSES)
def test_losses_have_derivatives_by_predictions_and_by_targets(name: str) -> None:
    loss, row = getattr(formulas, name), ELEMENTWISE_LOSSES[name]
    weights = (1.0,) * len(row.weights)
    for x, t in ((0.7, 0.25), (-1.5, 0.75)):
        _, by_x, by_t = both(lambda x, t: loss(x, t, *weights), x, t)
        assert by_x == row.gradient(np.float64(x), np.float64(t), *row.defaults)
        h = 1e-6
        above, below = (row.forward(np.float64(x), np.float64(t + d), *row.defaults) for d in (h, -h))
        assert by_t == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["sigmoid", "elu", "selu", "celu", "silu", "softplus", "softsign", "hardswish", "tanh"]
)
def test_derivatives_by_hand_are_those_of_the_insides(name: str) -> None:
    row = ACTIVATIONS[name]
    points = np.array([-20.0, -3.0, -1.0, -0.1, 0.2, 1.0, 2.5, 15.0])
    found = np.array([slope_of(lambda x: row.forward(x, *row.defaults))(x) for x in points])
    saved = points if row.saved == "input" else np.array([row.forward(x, *row.defaults) for x in points])
    by_hand = np.array([row.backward(np.float64(1.0), x, *row.defaults) for x in saved])
    np.testing.assert_allclose(found, by_hand, rtol=1e-7, atol=1e-16)


def test_what_has_no_derivative_says_so() -> None:
    with pytest.raises(FormulaError, match="derivative of gelu_backward by one of its arguments is not known"):
        both(lambda x: formulas.gelu_backward(1.0, x), 0.5)


# ---- tracing


def test_equal_expressions_are_computed_once_and_names_do_not_matter() -> None:
    one = Authored(lambda x, y: exp(x * y) + exp(x * y)).traced((True, True), {}).forward
    other = Authored(lambda a, b: (lambda e: e + e)(exp(a * b))).traced((True, True), {}).forward
    assert one.__qualname__.partition("_")[2] == other.__qualname__.partition("_")[2]


def test_the_compile_cache_names_a_formula_by_all_it_computes() -> None:
    def named(factor: float) -> str | None:
        return cache._identity(Authored(lambda x: factor * x).traced((True,), {}).forward)

    assert named(2.0) is not None
    assert named(2.0) == named(2.0) != named(2.0000001)


def test_numbers_and_infinities_are_constants() -> None:
    assert both(lambda x: formulas.where(x > 0, math.inf, math.nan) + np.float32(1), 1.0) == (math.inf, 0)
    assert both(lambda x: 3, 1.0) == (3, 0)
    assert both(lambda x: x + True, 1.0) == (2, 1)


def test_conditions_are_combined_as_numpy_combines_them() -> None:
    def inside(x, *, turned=False):
        holds = (x > 0) & ~(x >= 2) | (x == -1) | (x != x)
        return formulas.where(holds & True if not turned else ~holds, 1.0, 0.0)

    points = [-1.0, -0.5, 0.0, 1.0, 2.0, math.nan]
    assert [both(inside, x)[0] for x in points] == [1, 0, 0, 1, 0, 1]
    turned = Authored(inside).traced((True,), {"turned": True}).forward
    assert [turned(np.float64(x)) for x in points] == [0, 1, 1, 0, 1, 0]


REFUSED = [
    (lambda x: x if x > 0 else 0, r"where\(condition, a, b\)"),
    (lambda x: 1.0 if 0 < x < 1 else 0.0, r"\(0 < x\) & \(x < 1\)"),
    (lambda x: (x > 0 and x < 1) * 1, r"write &, \| and ~"),
    (lambda x: max(x, 0), "maximum"),
    (lambda x: math.exp(x), "functions of math"),
    (lambda x: round(x), "functions of math"),
    (lambda x: np.sin(x), "np.sin is none"),
    (lambda x: np.clip(x, 0, 1), "np.clip is none"),
    (lambda x: np.exp(x, dtype="f4"), "np.exp is none"),
    (lambda x: list(x), "nothing to go through"),
    (lambda x: x[0], "nothing to go through"),
    (lambda x: x.sum(), "no attribute 'sum'"),
    (lambda x: (x > 0) * x, r"write where\(condition, 1.0, 0.0\)"),
    (lambda x: exp(x > 0), r"write where\(condition, 1.0, 0.0\)"),
    (lambda x: x & 1, "compare it"),
    (lambda x: ~x, "compare it"),
    (lambda x: (x > 0) & x, "compare the number"),
    (lambda x: formulas.where(x, 1, 2), "a condition is a comparison"),
    (lambda x: x**0.3, r"exp\(y \* log\(x\)\)"),
    (lambda x: x**x, r"exp\(y \* log\(x\)\)"),
    (lambda x: 2**x, "exp2"),
    (lambda x: x // 2, "operators of a formula"),
    (lambda x: x % 2, "operators of a formula"),
    (lambda x: x + np.ones(3), "an array an argument"),
    (lambda x: x + "1", "unsupported operand"),
    (lambda x: x > 0, "returns a condition"),
    (lambda x: None, "it returns NoneType"),
    (lambda x: (x, None), r"it returns \(Argument, NoneType\)"),
    (lambda x: [x], "it returns list"),
    (lambda x: (), "must return a number"),
]


@pytest.mark.parametrize(("function", "words"), REFUSED)
def test_what_cannot_be_compiled_is_refused_with_what_to_write_instead(function: Function, words: str) -> None:
    with pytest.raises(TypeError, match=words) as caught:
        Authored(function).traced((True,), {})
    if isinstance(caught.value, FormulaError):
        line = function.__code__.co_firstlineno
        assert f"line {line} of {__file__}" in str(caught.value)


def test_a_name_that_is_not_there_is_python_s_own_error() -> None:
    with pytest.raises(NameError, match="undefined"):
        Authored(lambda x: undefined(x)).traced((True,), {})  # type: ignore[name-defined]  # noqa: F821


def test_a_formula_has_a_sensible_size() -> None:
    def long(x):
        for _ in range(MOST_OPERATIONS):
            x = x * x + 1
        return x

    with pytest.raises(FormulaError, match="loops are written out"):
        Authored(long).traced((True,), {})


WRONG = [
    (3, "must be a function"),
    (len, "must be a function"),
    (lambda *x: x, r"not as \*args"),
    (lambda x, **k: x, r"not as \*args"),
    (lambda a, b, c, d, e: a, "one to 4 arrays"),
    (lambda beta=1.0: beta, "one to 4 arrays"),
    (lambda x, out=1.0: x, "give the parameter another name"),
    (lambda x, *, k: x, "must have a default"),
    (lambda x, k=[]: x, "the default of k must be a number"),
]


@pytest.mark.parametrize(("function", "words"), WRONG)
def test_a_signature_that_is_none_of_a_formula_is_refused(function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Authored(function)


def test_a_derivative_that_does_not_fit_is_refused() -> None:
    def formula(x, y, *, a=1.0):
        return a * x * y

    for wrong in (lambda x: x, lambda x, y: x, lambda x, y, b=1.0: x):
        with pytest.raises(TypeError, match="must take the same arguments"):
            Authored(formula).set_slopes(wrong)
    authored = Authored(formula)
    authored.set_slopes(lambda x, y, *, a=1.0: x)
    with pytest.raises(FormulaError, match="must return a tuple of the slopes by x, y"):
        authored.traced((True, True), {})


def test_a_generated_function_is_of_plain_numbers_too() -> None:
    x, a = Argument("x0"), Argument("p0")
    function = generated("scaled", [x], [a], [exp(a * x)])
    assert function(np.float32(0.5), 2) == np.exp(np.float32(1))
    assert isinstance(function(np.float32(0.5), 2), np.float32)
    assert all(COMPOSED[row.forward].__wrapped__ is row.forward for row in ACTIVATIONS.values())
