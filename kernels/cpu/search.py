"""The search for an element that is not what it must be."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.launch import serial
from softgrad.kernels.cpu.memory import lanes_of, load_until, zeros
from softgrad.kernels.formulas.jit import named
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.simd.vector import count_true


@cache
def _search(holds: Callable[..., object], kind: str) -> Callable[..., int]:
    in_vectors = kind == "f"

    def first(x, numbers):
        start = 0
        if in_vectors and x.size > 0:
            lanes, fill = lanes_of(x), const(zeros(x), x[0])
            while start < x.size and count_true(holds(load_until(x, start, x.size, fill), *numbers)) == lanes:
                start += lanes
        for i in range(start, x.size):
            if not holds(x[i], *numbers):
                return i
        return -1

    return serial(named(first))


def first_failing(holds, x, *numbers):
    return _search(holds, x.dtype.kind)(x if x.ndim == 1 else x.reshape(-1), numbers)
