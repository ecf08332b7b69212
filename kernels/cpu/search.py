"""The search for an element that is not what it must be."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature

from softgrad.kernels.cpu.launch import serial
from softgrad.kernels.cpu.memory import lanes_of, load_until, number_at, zeros
from softgrad.kernels.formulas.conditions import OF_INTEGERS
from softgrad.kernels.formulas.jit import jitable, named
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.simd.vector import count_true

# Functions, since the compile cache cannot name an intrinsic that another function closes over.


@jitable
def _number_at(x, index):
    return number_at(x, index)


@jitable
def _integer_at(x, index):
    return x[index]


@cache
def first_failing(holds: Callable[..., object]) -> Callable[..., int]:
    in_vectors = holds not in OF_INTEGERS
    read = _number_at if in_vectors else _integer_at

    @jitable
    def first(x, *numbers):
        start = 0
        if in_vectors and x.size > 0:
            lanes, fill = lanes_of(x), const(zeros(x), number_at(x, 0))
            while start < x.size and count_true(holds(load_until(x, start, x.size, fill), *numbers)) == lanes:
                start += lanes
        for i in range(start, x.size):
            if not holds(read(x, i), *numbers):
                return i
        return -1

    # Numba takes 0.1 us longer to call a function of any number of arguments.
    of_so_many = (lambda x: first(x), lambda x, a: first(x, a), lambda x, a, b: first(x, a, b))
    return serial(named(of_so_many[len(signature(holds).parameters) - 1]))
