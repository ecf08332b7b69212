"""softgrad's own side: the public functions, called as anyone calls them.

On a GPU labels and indices are not checked: for that answer one waits, and nobody else gives it there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np

from softgrad import formulas, ops
from softgrad.bench.cases import OPERATIONS
from softgrad.bench.formulas import FORMULAS, name_of
from softgrad.bench.peers.peer import Call, Peer, Way, both


def _unchecked(function: Callable[..., Any], array: Any) -> dict[str, bool]:
    """What keeps a function from checking labels where `array` lives."""
    checks = not isinstance(array, np.ndarray) and "validate" in inspect.signature(function).parameters
    return {"validate": False} if checks else {}


def _calling(function: Callable[..., Any]) -> Callable[..., Call]:
    """Make the call of a function with arguments and options."""
    return lambda x, *arguments, **options: partial(function, x, *arguments, **options, **_unchecked(function, x))


def _with_dtype(function: Callable[..., Any]) -> tuple[Way, ...]:
    """Both ways of a function that takes the dtype by name."""

    def make(*arguments: Any, **options: Any) -> Call:
        *arrays, dtype = arguments
        return _calling(function)(*arrays, dtype=dtype, **options)

    return Way(make), Way(make, out=True)


def _updating(update: Callable[..., None], *names: str) -> tuple[Way, ...]:
    """The way of an update whose states have those names."""

    def make(param: Any, grad: Any, *states: Any, **options: Any) -> Call:
        results = param, *states
        options |= dict(zip(names, states, strict=False))  # without momentum there is no velocity

        def call() -> Any:
            update(param, grad, **options)
            return results

        return call

    return (Way(make, out=True),)


def _with_grad(function: Callable[..., Any]) -> tuple[Way, ...]:
    """Both ways of a function that returns a loss and its gradient, of which the second has an `out=`."""
    call = _calling(function)
    return Way(call), Way(lambda x, targets, out: call(x, targets, out=out[1]), out=True)


def _linear_with_grad(x: Any, w: Any, labels: Any) -> Call:
    call = _calling(ops.linear_cross_entropy_with_grad)(x, w, labels)

    def flat() -> Any:
        loss, (dx, dw, _) = call()
        return loss, dx, dw

    return flat


def _ways(function: str) -> tuple[Way, ...]:
    op = getattr(ops, function)
    if function.endswith("_with_grad"):
        return _with_grad(op)
    ways = Way(_calling(op)), Way(_calling(op), out=True)
    return ways if "out" in inspect.signature(op).parameters else ways[:1]


FUNCTIONS = SimpleNamespace(**{name: getattr(formulas, name) for name in formulas.__all__})


def _formulas() -> dict[str, tuple[Way, ...]]:
    """Both ways of every formula, and of its gradients."""
    ways = {}
    for name, build in FORMULAS.items():
        formula = ops.elementwise(build(FUNCTIONS))
        ways[name_of(name)] = both(formula)
        ways[name_of(name, gradient=True)] = both(formula.backward)
    return ways


PEER = Peer(
    "softgrad",
    MappingProxyType(
        {one.function: _ways(one.function) for one in OPERATIONS.values() if one.family != "formulas"}
        | _formulas()
        | {
            "linear_cross_entropy_with_grad": (Way(_linear_with_grad),),
            "sgd_update": _updating(ops.sgd_update, "velocity"),
            "adagrad_update": _updating(ops.adagrad_update, "state_sum"),
            "rmsprop_update": _updating(ops.rmsprop_update, "square_avg"),
            "adam_update": _updating(ops.adam_update, "exp_avg", "exp_avg_sq"),
            "adamw_update": _updating(ops.adamw_update, "exp_avg", "exp_avg_sq"),
            "one_hot": _with_dtype(ops.one_hot),
            "gather_scale": _with_dtype(ops.gather_scale),
        }
    ),
    array=lambda array: array,
)
