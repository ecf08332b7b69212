"""softgrad's own side: the public functions, called as anyone calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

from softgrad import ops
from softgrad.bench.cases import OPERATIONS
from softgrad.bench.peers.peer import Call, Peer, Way, allocating, both


def _with_dtype(function: Callable[..., Any]) -> tuple[Way, ...]:
    """Both ways of a function that takes the dtype by name."""

    def make(*arguments: Any, **options: Any) -> Call:
        *arrays, dtype = arguments
        return partial(function, *arrays, dtype=dtype, **options)

    return Way(make), Way(make, out=True)


def _sgd_update(param: Any, grad: Any, velocity: Any = None, **options: Any) -> Call:
    results = (param,) if velocity is None else (param, velocity)
    options |= {} if velocity is None else {"velocity": velocity}

    def call() -> Any:
        ops.sgd_update(param, grad, **options)
        return results

    return call


def _with_grad(logits: Any, labels: Any, out: Any) -> Call:
    return partial(ops.softmax_cross_entropy_with_grad, logits, labels, out=out[1])


def _ways(function: str) -> tuple[Way, ...]:
    op = getattr(ops, function)
    return both(op) if "out" in inspect.signature(op).parameters else (allocating(op),)


PEER = Peer(
    "softgrad",
    MappingProxyType(
        {operation.function: _ways(operation.function) for operation in OPERATIONS.values()}
        | {
            "softmax_cross_entropy_with_grad": (
                allocating(ops.softmax_cross_entropy_with_grad),
                Way(_with_grad, out=True),
            ),
            "sgd_update": (Way(_sgd_update, out=True),),
            "one_hot": _with_dtype(ops.one_hot),
            "gather_scale": _with_dtype(ops.gather_scale),
        }
    ),
    array=lambda array: array,
)
