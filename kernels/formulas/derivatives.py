"""Derivatives of traced formulas: of each operator and function a rule, and their chain from the arguments on.

A derivative is carried forward beside its value, as dual numbers carry it, so that `where` chooses derivatives with
values: what is not taken does not count, even where its slope is infinite or NaN. A derivative that is absent is None,
and multiplied by nothing. A function with a derivative of its own, as activations have, is differentiated by that.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from softgrad.kernels.formulas import primitives
from softgrad.kernels.formulas.activations import sigmoid, tanh
from softgrad.kernels.formulas.pieces import maximum, minimum
from softgrad.kernels.formulas.primitives import exp, exp_nonpositive, fabs, fma, where
from softgrad.kernels.formulas.registry import ACTIVATIONS, ELEMENTWISE_LOSSES, Activation
from softgrad.kernels.formulas.tracing import COMPOSED, ONE, ZERO, Expression, FormulaError, Given, Number, ancestry

# A derivative by one argument; None is 0, whatever it is multiplied by.
Slope = Number | None
Rule = Callable[..., Slope]

RULES: dict[Any, Rule] = {}


def derivative(result: Number, argument: Number) -> Slope:
    """The derivative of an expression by one that it was computed from."""
    return _differentiated(result, {id(argument): ONE})


def _differentiated(result: Number, known: dict[int, Slope]) -> Slope:
    """The derivative of the result, given those of some expressions, by their ids; these are not gone through."""
    for node in ancestry([result], _parts, known):
        if isinstance(node, Number):
            known[id(node)] = _slope_of(node, known)
    return known[id(result)]


def _parts(node: Expression) -> tuple[Expression | None, ...]:
    """What the derivative of an expression is made of: of one with a derivative of its own not the insides."""
    return (node.value,) if isinstance(node, Given) and node.slope is None else node.arguments


def _slope_of(node: Number, known: dict[int, Slope]) -> Slope:
    """A node's derivative by the chain rule, of those of its arguments."""
    if isinstance(node, Given) and node.slope is None:
        return known[id(node.value)]
    slopes = [known[id(one)] if isinstance(one, Number) else None for one in node.arguments]
    if all(slope is None for slope in slopes):
        return None
    if isinstance(node, Given):
        assert node.slope is not None
        return node.slope(slopes)
    return _rule_for(node.function)(node, *slopes)


# ---- what absent derivatives, and a derivative of exactly 1, spare


def _times(factor: Any, slope: Slope) -> Slope:
    if slope is None:
        return None
    return factor if slope is ONE else factor * slope


def _plus(a: Slope, b: Slope) -> Slope:
    return b if a is None else a if b is None else a + b


def _minus(a: Slope) -> Slope:
    return None if a is None else -a


# ---- rules: of a node and its arguments' derivatives


def rule_of(function: Any) -> Callable[[Rule], Rule]:
    """Enter a rule in the table as that of the function."""

    def enter(rule: Rule) -> Rule:
        RULES[function] = rule
        return rule

    return enter


def _of_one(function: Any, slope: Callable[[Any, Any], Any]) -> None:
    """Of a function y of v: its slope, of the two."""
    RULES[function] = lambda y, dv: _times(slope(y.arguments[0], y), dv)


@rule_of(operator.add)
def _add(y: Number, da: Slope, db: Slope) -> Slope:
    return _plus(da, db)


@rule_of(operator.sub)
def _subtract(y: Number, da: Slope, db: Slope) -> Slope:
    return da - db if da is not None and db is not None else _plus(da, _minus(db))


@rule_of(operator.mul)
def _multiply(y: Any, da: Slope, db: Slope) -> Slope:
    a, b = y.arguments
    return _plus(_times(b, da), _times(a, db))


@rule_of(operator.truediv)
def _divide(y: Any, da: Slope, db: Slope) -> Slope:
    b = y.arguments[1]
    by_b = _times(y, db)
    if by_b is None:
        return 1.0 / b if da is ONE else da / b
    return -(by_b / b) if da is None else (da - by_b) / b


@rule_of(operator.neg)
def _negative(y: Number, da: Slope) -> Slope:
    return _minus(da)


@rule_of(primitives.fma)
def _fma(y: Any, da: Slope, db: Slope, dc: Slope) -> Slope:
    a, b, _ = y.arguments
    if da is not None and db is not None:
        return _plus(fma(b, da, a * db), dc)
    product = _times(b, da) if db is None else _times(a, db)
    if product is None or dc is None:
        return _plus(product, dc)
    return fma(b, da, dc) if db is None else fma(a, db, dc)


@rule_of(primitives.where)
def _where(y: Any, _: Slope, da: Slope, db: Slope) -> Slope:
    return where(y.arguments[0], ZERO if da is None else da, ZERO if db is None else db)


@rule_of(maximum)
def _maximum(y: Any, da: Slope, db: Slope) -> Slope:
    a, b = y.arguments
    return _of_larger(a, b, (a > b) | (a != a), da, db)


@rule_of(minimum)
def _minimum(y: Any, da: Slope, db: Slope) -> Slope:
    a, b = y.arguments
    return _of_larger(a, b, (a < b) | (a != a), da, db)


def _of_larger(a: Any, b: Any, first: Any, da: Slope, db: Slope) -> Slope:
    """Where the two are equal each has a half, as in PyTorch and in `softgrad.ops.autodiff`."""
    half = 0.5 * _plus(da, db)  # type: ignore[operator]
    chosen = where(first, ZERO if da is None else da, ZERO if db is None else db)
    return where(a == b, half, chosen)


@rule_of(primitives.copysign)
def _copysign(y: Any, dx: Slope, _: Slope) -> Slope:
    x, sign = y.arguments
    one = primitives.copysign(ONE, sign)
    return _times(where(x < 0.0, -one, one), dx)


# What rounding took from an exponent, the argument `lost`, is no function of anything.


@rule_of(primitives.exp_nonpositive)
def _exp_nonpositive(y: Any, dx: Slope, _: Slope) -> Slope:
    return _times(y, dx)


@rule_of(primitives.fma_exp_nonpositive)
def _fma_exp_nonpositive(y: Any, dfactor: Slope, dx: Slope, daddend: Slope, _: Slope) -> Slope:
    factor, x, _, lost = y.arguments
    e = exp_nonpositive(x, lost)
    return _plus(_plus(_times(e, dfactor), _times(factor * e, dx)), daddend)


# The backwards of sigmoid and tanh are of their outputs, which have lost the slope's digits where they near 1. Here the
# input is at hand.


def _sigmoid_slope(v: Any, y: Any) -> Any:
    """e / (1 + e)^2, e = exp(-|v|)."""
    e = exp_nonpositive(-fabs(v))
    share = 1.0 / (1.0 + e)
    return share * share * e


def _tanh_slope(v: Any, y: Any) -> Any:
    """4 e / (1 + e)^2, e = exp(-2 |v|)."""
    e = exp_nonpositive(-2.0 * fabs(v))
    share = 2.0 / (1.0 + e)
    return share * share * e


def _gaussian(v: Any) -> Any:
    """exp(-v^2), with what rounding took from the square."""
    square = v * v
    return exp_nonpositive(-square, -fma(v, v, -square))


TWO_BY_ROOT_PI = 2.0 / math.sqrt(math.pi)

_of_one(primitives.fabs, lambda v, y: where(v > 0.0, ONE, where(v < 0.0, -ONE, v)))
_of_one(primitives.exp, lambda v, y: y)
_of_one(primitives.exp2, lambda v, y: math.log(2.0) * y)
_of_one(primitives.expm1, lambda v, y: exp(v))
_of_one(primitives.log, lambda v, y: 1.0 / v)
_of_one(primitives.log2, lambda v, y: 1.0 / math.log(2.0) / v)
_of_one(primitives.log1p, lambda v, y: 1.0 / (1.0 + v))
_of_one(primitives.sqrt, lambda v, y: 0.5 / y)
_of_one(primitives.rsqrt, lambda v, y: -0.5 * (y / v))
_of_one(sigmoid, _sigmoid_slope)
_of_one(primitives.tanh, _tanh_slope)
_of_one(tanh, _tanh_slope)
_of_one(primitives.erf, lambda v, y: TWO_BY_ROOT_PI * _gaussian(v))
_of_one(primitives.erfc, lambda v, y: -TWO_BY_ROOT_PI * _gaussian(v))


# ---- what has a derivative of its own


def _rule_for(function: Any) -> Rule:
    """The rule of the table; or by the row's own derivative; or else through the function's insides."""
    rule = RULES.get(function)
    if rule is not None:
        return rule
    raw = getattr(function, "__wrapped__", None)
    activation, loss = ACTIVATIONS.get(function.__name__), ELEMENTWISE_LOSSES.get(function.__name__)
    if activation is not None and activation.forward is raw:
        return _activation_rule(activation)
    if loss is not None and loss.forward is raw:
        assert loss.gradient is not None
        gradient = COMPOSED[loss.gradient]
        return _by_first(lambda y, dx: _times(gradient(*y.arguments), dx))
    if function in COMPOSED.values():
        return _through
    raise FormulaError(f"{function.__name__} has no derivative; give the formula one with @NAME.derivative")


def _activation_rule(row: Activation) -> Rule:
    def by_first(y: Any, dx: Slope) -> Slope:
        if row.backward is None:
            return None  # a step: its derivative is 0 wherever it exists
        x, *parameters = y.arguments
        return COMPOSED[row.backward](dx, x if row.saved == "input" else y, *parameters)

    return _by_first(by_first)


def _by_first(first: Rule) -> Rule:
    """The rule of what has a derivative of its own by its first argument only."""

    def rule(y: Any, dx: Slope, *others: Slope) -> Slope:
        by_first = None if dx is None else first(y, dx)
        return by_first if all(slope is None for slope in others) else _plus(by_first, _through(y, None, *others))

    return rule


def _through(y: Any, *slopes: Slope) -> Slope:
    """The derivative through the insides of a function."""
    within = tuple(Given(one, ()) for one in y.arguments)
    known: dict[int, Slope] = {id(one): slope for one, slope in zip(within, slopes, strict=True)}
    try:
        return _differentiated(y.function.__wrapped__(*within), known)
    except FormulaError as error:
        raise FormulaError(f"the derivative of {y.function.__name__} by one of its arguments is not known") from error
