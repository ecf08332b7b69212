"""Activation functions and their backwards, one pair of public functions for each row of the formula table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy import ndarray

from softgrad.kernels.formulas.registry import ACTIVATIONS, Activation
from softgrad.ops.arguments import check_dtype, check_shape, contiguous, float_array
from softgrad.ops.backend import CPU, SMALL_ELEMENTWISE, backend_of
from softgrad.ops.described import described_activation, described_backward
from softgrad.ops.dtypes import compute_dtype
from softgrad.ops.lookup import check_differentiable, parameter_values
from softgrad.ops.ready import is_like, ready_backend, ready_target
from softgrad.ops.results import Result


def _forward(row: Activation) -> Callable[..., Any]:
    small = SMALL_ELEMENTWISE(row.forward, 1, row.defaults)

    def op(x: Any, /, *, out: Any = None, **parameters: Any) -> Any:
        # Over 1,000 numbers an op is all overhead: what is small and ready goes where the least is left to do.
        if (
            type(x) is ndarray
            and not parameters
            and (out is None or is_like(CPU, out, x))
            and (y := small((x,), out)) is not None
        ):
            return y
        backend = ready_backend(x)
        if backend is not None and x.ndim and (target := ready_target(backend, out, x)) is not None:
            values = parameter_values(row, parameters, x.dtype)
            backend.kernels.activation_forward(row)(x, values, target)
            return target
        backend = backend_of(x=x, out=out)
        x = float_array(backend, x, "x")
        values = parameter_values(row, parameters, compute_dtype(x.dtype))
        clean = contiguous(backend, x, x.dtype)
        result = Result(backend, out, x.shape, x.dtype, (clean,))
        backend.kernels.activation_forward(row)(clean, values, result.target)
        return result.returned()

    return described_activation(op, row)


def _backward(row: Activation) -> Callable[..., Any]:
    saved_name = "x" if row.saved == "input" else "y"
    small = None if row.backward is None else SMALL_ELEMENTWISE(row.backward, 2, row.defaults)

    def op(grad: Any, saved: Any, /, *, out: Any = None, **parameters: Any) -> Any:
        if small is None:
            check_differentiable(row)
        elif (
            type(grad) is ndarray
            and not parameters
            and is_like(CPU, saved, grad)
            and (out is None or is_like(CPU, out, grad))
            and (dx := small((grad, saved), out)) is not None
        ):
            return dx
        backend = ready_backend(grad)
        if (
            backend is not None
            and grad.ndim
            and is_like(backend, saved, grad)
            and (target := ready_target(backend, out, grad, saved)) is not None
        ):
            values = parameter_values(row, parameters, grad.dtype)
            backend.kernels.activation_backward(row)(grad, saved, values, target)
            return target
        backend = backend_of(**{"grad": grad, saved_name: saved, "out": out})
        grad = float_array(backend, grad, "grad")
        saved = float_array(backend, saved, saved_name)
        check_shape(grad, saved.shape, "grad", f"as {saved_name} has")
        check_dtype(grad, saved.dtype, "grad", f"as {saved_name} is")
        values = parameter_values(row, parameters, compute_dtype(grad.dtype))
        clean_grad, clean_saved = contiguous(backend, grad, grad.dtype), contiguous(backend, saved, grad.dtype)
        result = Result(backend, out, grad.shape, grad.dtype, (clean_grad, clean_saved))
        backend.kernels.activation_backward(row)(clean_grad, clean_saved, values, result.target)
        return result.returned()

    return described_backward(op, row)


FUNCTIONS: dict[str, Callable[..., Any]] = {}
for _row in ACTIVATIONS.values():
    FUNCTIONS[_row.name] = _forward(_row)
    FUNCTIONS[f"{_row.name}_backward"] = _backward(_row)

_GELU_ROWS = {"none": "gelu", "tanh": "gelu_tanh"}


def _gelu_row(approximate: str) -> str:
    if approximate not in _GELU_ROWS:
        raise ValueError(f'approximate must be "none" or "tanh"; got {approximate!r}')
    return _GELU_ROWS[approximate]


_exact_gelu, _exact_gelu_backward = FUNCTIONS["gelu"], FUNCTIONS["gelu_backward"]


def gelu(x: Any, /, *, approximate: str = "none", out: Any = None) -> Any:
    """x Phi(x), element by element, Phi the standard normal distribution function.

    With ``approximate="tanh"`` it is `gelu_tanh`, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). Arguments,
    results and errors are those of the other activations. Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """
    return (_exact_gelu if _gelu_row(approximate) == "gelu" else FUNCTIONS["gelu_tanh"])(x, out=out)


def gelu_backward(grad: Any, x: Any, /, *, approximate: str = "none", out: Any = None) -> Any:
    """The gradient through `gelu`: grad * (Phi(x) + x phi(x)), phi the standard normal density.

    With ``approximate="tanh"`` it is `gelu_tanh_backward`.
    """
    exact = _gelu_row(approximate) == "gelu"
    return (_exact_gelu_backward if exact else FUNCTIONS["gelu_tanh_backward"])(grad, x, out=out)


FUNCTIONS["gelu"], FUNCTIONS["gelu_backward"] = gelu, gelu_backward
