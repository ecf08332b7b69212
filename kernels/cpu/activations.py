"""Activations and their backwards, any formula of the table, and the shorter way to them for small arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.elementwise import default_operands, over_arrays, ufuncs
from softgrad.kernels.cpu.ufuncs import Ufuncs
from softgrad.kernels.formulas.registry import Activation


def forward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of x and the parameters."""
    return ufuncs(activation.forward, 1, 1, len(activation.parameters))


def backward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of grad, what was saved, and the parameters."""
    return ufuncs(activation.backward, 2, 1, len(activation.parameters))


def small_forward(activation: Activation) -> Callable[[Any, Any], Any]:
    """Build ``small(x, out)``: f(x) with the default parameters, in `out` or a new array; None if x is not for it.

    An array of NumPy's that is small, contiguous and of a kernel's dtype is. Here and in `small_backward` `out` must be
    like x, but may lie anywhere.
    """
    ufuncs, defaults = forward_ufuncs(activation), default_operands(activation.defaults)

    def small(x, out):
        if x.nbytes < threads.PARALLEL_BYTES and (ufunc := ufuncs[x.dtype]) is not None and x.flags.c_contiguous:
            return ufunc(x, *defaults[x.dtype], out)
        return None

    return small


def small_backward(activation: Activation) -> Callable[[Any, Any, Any], Any]:
    """Build ``small(grad, saved, out)``: grad f'(saved), as `small_forward`; `saved` must be ready, and like grad."""
    ufuncs, defaults = backward_ufuncs(activation), default_operands(activation.defaults)

    def small(grad, saved, out):
        if (
            grad.nbytes < threads.PARALLEL_BYTES
            and (ufunc := ufuncs[grad.dtype]) is not None
            and grad.flags.c_contiguous
        ):
            return ufunc(grad, saved, *defaults[grad.dtype], out)
        return None

    return small


@cache
def activation_forward(activation):
    run = over_arrays(activation.forward, 1, 1)

    def forward(x, parameters, out):
        run((x,), parameters, (out,))

    return forward


@cache
def activation_backward(activation):
    run = over_arrays(activation.backward, 2, 1)

    def backward(grad, saved, parameters, out):
        run((grad, saved), parameters, (out,))

    return backward
