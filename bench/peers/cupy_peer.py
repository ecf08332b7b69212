"""CuPy: what it and `cupyx.scipy.special` have of the operations, as their users write it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import cupy
from cupyx.scipy import special

from softgrad.bench.peers.peer import Call, Peer, Way, allocating, both, writing


def _relu_backward(grad: Any, y: Any) -> Any:
    return grad * (y > 0)


def _sigmoid_backward(grad: Any, y: Any) -> Any:
    return grad * y * (1 - y)


def _softmax_backward(grad: Any, y: Any, axis: int) -> Any:
    return y * (grad - (grad * y).sum(axis, keepdims=True))


def _sgd_update(param: Any, grad: Any, velocity: Any = None, *, lr: float, momentum: float) -> Call:
    def plain() -> Any:
        param[...] -= lr * grad
        return (param,)

    def with_momentum() -> Any:
        velocity[...] = momentum * velocity + grad
        param[...] -= lr * velocity
        return param, velocity

    return plain if velocity is None else with_momentum


def _copy(x: Any, *ignored: Any) -> Any:
    return cupy.copy(x)


PEER = Peer(
    "cupy",
    MappingProxyType(
        {
            "softmax": (allocating(special.softmax),),
            "log_softmax": (allocating(special.log_softmax),),
            "logsumexp": (allocating(special.logsumexp),),
            "softmax_backward": (allocating(_softmax_backward),),
            "identity": (allocating(_copy),),
            "identity_backward": (allocating(_copy),),
            "sigmoid": tuple(replace(way, dtypes=("float32", "float64")) for way in both(special.expit)),
            "sigmoid_backward": (allocating(_sigmoid_backward),),
            "tanh": both(cupy.tanh),
            "relu": (Way(lambda x: partial(cupy.maximum, x, 0)), writing(lambda x, out: cupy.maximum(x, 0, out=out))),
            "relu_backward": (allocating(_relu_backward),),
            "sgd_update": (Way(_sgd_update, out=True),),
            "count_correct": (allocating(lambda logits, labels: (logits.argmax(1) == labels).sum()),),
        }
    ),
    array=lambda array: array,
)
