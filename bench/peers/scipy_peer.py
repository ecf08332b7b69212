"""SciPy: its special functions."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import special

from softgrad.bench.formulas import FORMULAS, name_of
from softgrad.bench.peers.peer import Peer, allocating, both


def _gelu(x: Any, out: Any = None) -> Any:
    out = special.ndtr(x, out=out)
    out *= x
    return out


def _gelu_backward(grad: Any, x: Any, out: Any = None) -> Any:
    slope = np.multiply(x, x, out=out)
    slope *= -0.5
    np.exp(slope, out=slope)
    slope *= x
    slope *= 1 / np.sqrt(2 * np.pi)
    slope += special.ndtr(x)
    slope *= grad
    return slope


def _silu(x: Any, out: Any = None) -> Any:
    out = special.expit(x, out=out)
    out *= x
    return out


PEER = Peer(
    "scipy",
    MappingProxyType(
        {
            name_of("gelu_by_erf"): (allocating(FORMULAS["gelu_by_erf"](special)),),
            "softmax": (allocating(special.softmax),),
            "log_softmax": (allocating(special.log_softmax),),
            "logsumexp": (allocating(special.logsumexp),),
            "entropy": (allocating(lambda p, axis: special.entr(p).sum(axis)),),
            "kl_divergence": (allocating(lambda p, q, axis: special.rel_entr(p, q).sum(axis)),),
            "sigmoid": both(special.expit),
            "log_sigmoid": both(special.log_expit),
            "gelu": both(_gelu),
            "gelu_backward": both(_gelu_backward),
            "silu": both(_silu),
        }
    ),
    array=lambda array: array,
)
