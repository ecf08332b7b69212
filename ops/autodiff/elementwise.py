"""Arithmetic and NumPy's functions of each element, with the way back of each gradient.

A function gives a node if one of its arguments is one, else what NumPy or CuPy would: what is written with them
computes with plain arrays, too. Backwards keep arrays and never nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrad.ops.autodiff.graph import Node, Way, chosen, each, record, record_joint, value_of
from softgrad.ops.backend import backend_of


def operands(**arguments: Any) -> tuple[Any, ...]:
    """The array module that the arguments belong to, and their values."""
    values = {name: value_of(x) for name, x in arguments.items()}
    return backend_of(**values).xp, *values.values()


# ---- arithmetic; the sums over what was broadcast are the graph's


def add(x: Any, y: Any, /) -> Any:
    _, a, b = operands(x=x, y=y)
    return record(a + b, (x, each()), (y, each()))


def subtract(x: Any, y: Any, /) -> Any:
    _, a, b = operands(x=x, y=y)
    return record(a - b, (x, each()), (y, each(lambda grad: -grad)))


def multiply(x: Any, y: Any, /) -> Any:
    _, a, b = operands(x=x, y=y)
    return record(a * b, (x, each(lambda grad: grad * b)), (y, each(lambda grad: grad * a)))


def divide(x: Any, y: Any, /) -> Any:
    _, a, b = operands(x=x, y=y)
    quotient = a / b
    return record(quotient, (x, each(lambda grad: grad / b)), (y, each(lambda grad: -grad * (quotient / b))))


def power(x: Any, y: Any, /) -> Any:
    xp, a, b = operands(x=x, y=y)
    power = a**b

    # Where a limit is 0 times infinity it is 0: of x^0 by x, and of 0^y by y.
    def by_base(grad: Any) -> Any:
        return grad * xp.where(xp.asarray(b) == 0, 0, b * a ** (b - 1))

    def by_exponent(grad: Any) -> Any:
        base = xp.asarray(a, power.dtype)
        return grad * xp.where((base == 0) & (b >= 0), 0, power * xp.log(base))

    return record(power, (x, each(by_base)), (y, each(by_exponent)))


def negative(x: Any, /) -> Any:
    return record(-value_of(x), (x, each(lambda grad: -grad)))


# ---- functions


def _function(name: str, slope: Callable[[Any, Any, Any], Any], doc: str) -> Callable[[Any], Any]:
    """NumPy's function of that name; ``slope(xp, x, y)`` is its derivative at x, where its value is y."""

    def function(x: Any, /) -> Any:
        xp, a = operands(x=x)
        y = getattr(xp, name)(a)
        return record(y, (x, each(lambda grad: grad * slope(xp, a, y))))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


exp = _function("exp", lambda xp, a, y: y, "exp(x), element by element; its gradient is grad * exp(x).")
expm1 = _function("expm1", lambda xp, a, y: y + 1, "exp(x) - 1, exact near 0; its gradient is grad * exp(x).")
sin = _function("sin", lambda xp, a, y: xp.cos(a), "The sine of x in radians; its gradient is grad * cos(x).")
cos = _function("cos", lambda xp, a, y: -xp.sin(a), "The cosine of x in radians; its gradient is -grad * sin(x).")
abs = _function("abs", lambda xp, a, y: xp.sign(a), "The absolute value; its gradient is grad * sign(x), 0 at 0.")  # noqa: A001


def log(x: Any, /) -> Any:
    """The natural logarithm, element by element; its gradient is grad / x."""
    xp, a = operands(x=x)
    node = record(xp.log(a), (x, each(lambda grad: grad / a)))
    if isinstance(x, Node):
        node.log_of = x
    return node


def log1p(x: Any, /) -> Any:
    """log(1 + x), exact near 0; its gradient is grad / (1 + x)."""
    xp, a = operands(x=x)
    return record(xp.log1p(a), (x, each(lambda grad: grad / (1 + a))))


def sqrt(x: Any, /) -> Any:
    """The square root, element by element; its gradient is grad / (2 sqrt(x)), infinite at 0."""
    xp, a = operands(x=x)
    y = xp.sqrt(a)
    return record(y, (x, each(lambda grad: grad / (2 * y))))


# ---- choices: what was not chosen has gradient 0, whatever its slope


def where(condition: Any, x: Any, y: Any, /) -> Any:
    """x where the condition holds, else y; the gradient goes to whichever was taken.

    So a function may be computed where it has no value, if that is not taken: the slope of ``where(x > 0, sqrt(x), x)``
    is 1 below 0.
    """
    xp, held, a, b = operands(condition=condition, x=x, y=y)
    held = xp.asarray(held, bool)
    return record(xp.where(held, a, b), (x, chosen(held)), (y, chosen(~held)))


def maximum(x: Any, y: Any, /) -> Any:
    """The larger of two, element by element; where they are equal each has half of the gradient, as in PyTorch."""
    return _larger(x, y, "maximum", lambda mine, other: mine < other)


def minimum(x: Any, y: Any, /) -> Any:
    """The smaller of two, element by element; where they are equal each has half of the gradient, as in PyTorch."""
    return _larger(x, y, "minimum", lambda mine, other: mine > other)


def _larger(x: Any, y: Any, name: str, loses: Callable[[Any, Any], Any]) -> Any:
    xp, a, b = operands(x=x, y=y)

    def share(grad: Any) -> Any:
        return xp.where(a == b, grad / 2, grad)

    def way(mine: Any, other: Any) -> Way:
        return chosen(~xp.asarray(loses(mine, other)), share)  # a NaN does not lose

    return record(getattr(xp, name)(a, b), (x, way(a, b)), (y, way(b, a)))


def clip(x: Any, low: Any = None, high: Any = None, /) -> Any:
    """min(max(x, low), high); None is no bound.

    At a bound the gradient is still x's, as in torch.clamp; beyond it, the bound's. Where low is above high the result
    is high, as NumPy has it.
    """
    xp, a, low_value, high_value = operands(x=x, low=low, high=high)
    low_value = -xp.inf if low is None else low_value
    high_value = xp.inf if high is None else high_value
    above = xp.asarray(xp.maximum(a, low_value) > high_value)
    below = xp.asarray(a < low_value) & ~above
    return record(
        xp.minimum(xp.maximum(a, low_value), high_value),
        (x, chosen(~(above | below))),
        (low, chosen(below)),
        (high, chosen(above)),
    )


# ---- formulas of a user's own


def formula(op: Callable[..., Any], arrays: tuple[Any, ...], out: Any, parameters: dict[str, Any]) -> Any:
    """What `ops.elementwise` has made, of arrays of which some are nodes: a node, or of several results a tuple."""
    if out is not None:
        raise TypeError(f"{op.__name__} of a Variable takes no out: the result is kept for the gradient; leave it away")
    values = tuple(map(value_of, arrays))
    places = [place for place, x in enumerate(arrays) if isinstance(x, Node)]
    results = op(*values, **parameters)

    def node(value: Any, of: int | None) -> Any:
        def backward(grad: Any, taken: Any) -> Any:
            # Through the one result alone: 0 times the slope of another might be NaN.
            given = grad if of is None else tuple(grad if i == of else None for i in range(len(results)))
            grads = op.backward(given, *values, **parameters)  # type: ignore[attr-defined]
            grads = grads if len(values) > 1 else (grads,)
            return [(grads[place], taken) for place in places]

        return record_joint(value, [arrays[place] for place in places], backward)

    return tuple(map(node, results, range(len(results)))) if isinstance(results, tuple) else node(results, None)
