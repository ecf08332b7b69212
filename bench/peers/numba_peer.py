"""Numba: ``vectorize``, as its users compile a formula; with several threads its parallel target."""

from __future__ import annotations

import math
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numba
import numpy as np

from softgrad.bench.formulas import ARRAYS, FORMULAS, Function, name_of
from softgrad.bench.peers.peer import Call, Peer, Way

FUNCTIONS = SimpleNamespace(
    exp=math.exp,
    erf=math.erf,
    fabs=abs,
    tanh=math.tanh,
    sqrt=math.sqrt,
    log1p=math.log1p,
    where=numba.njit(lambda condition, a, b: a if condition else b),
)


def _vectorized(formula: Function, arrays: int) -> tuple[Way, ...]:
    def make(*arguments: Any, **out: Any) -> Call:
        number = numba.from_dtype(np.dtype(arguments[0].dtype))
        target = "parallel" if numba.get_num_threads() > 1 else "cpu"
        ufunc = numba.vectorize([number(*[number] * arrays)], target=target)(formula)
        return lambda: ufunc(*arguments, **out)

    return Way(make), Way(make, out=True)


PEER = Peer(
    "numba",
    MappingProxyType(
        {name_of(name): _vectorized(formula(FUNCTIONS), ARRAYS[name]) for name, formula in FORMULAS.items()}
    ),
    array=lambda array: array,
)
