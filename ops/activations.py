"""Activation functions and their backwards, one pair of public functions for each row of the formula table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from numpy import asarray, ndarray

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.activations import backward_ufuncs, forward_ufuncs
from softgrad.kernels.formulas.activation_table import ACTIVATIONS, Activation
from softgrad.kernels.formulas.elementwise_loss_table import ElementwiseLoss
from softgrad.ops.arguments import (
    KERNEL_DTYPES,
    check_dtype,
    check_number,
    check_shape,
    compute_dtype,
    contiguous,
    fits,
    float_array,
)
from softgrad.ops.backend import backend_of
from softgrad.ops.results import into


def find_activation(name: str) -> Activation:
    """The row of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists the names.
    """
    row = ACTIVATIONS.get(name) if isinstance(name, str) else None
    if row is None:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    return row


def parameter_values(row: Activation | ElementwiseLoss, given: Mapping[str, Any], dtype: Any) -> tuple[Any, ...]:
    """The row's parameters in order, checked to be numbers of the dtype the kernel computes in."""
    if not row.parameters and not given:
        return ()
    unknown = [name for name in given if name not in row.parameters]
    if unknown:
        known = ", ".join(row.parameters) or "no parameters"
        raise TypeError(f"{row.name} has no parameter {unknown[0]!r}; it takes {known}")
    values = {
        # Rounded to the dtype, in which a tiny number may be 0, and so one that a formula divides by.
        name: float(dtype.type(check_number(given.get(name, default), name, dtype=dtype)))
        for name, default in row.parameters.items()
    }
    problem = row.check(**values)
    if problem:
        raise ValueError(f"{row.name}: {problem}")
    return tuple(values.values())


def no_backward(row: Activation) -> ValueError:
    """The error that says why an activation cannot be differentiated."""
    return ValueError(
        f"{row.name} has no backward: its derivative is {row.derivative}, so nothing can be learned through it"
    )


def _forward(row: Activation) -> Callable[..., Any]:
    ufuncs, defaults = forward_ufuncs(row), _defaults(row)

    def op(x: Any, /, *, out: Any = None, **parameters: Any) -> Any:
        # A small array goes straight to its ufunc, which sees to the rest: over 1,000 numbers an op is all overhead.
        if (
            not parameters
            and type(x) is ndarray
            and x.nbytes < threads.PARALLEL_BYTES
            and (ufunc := ufuncs[x.dtype]) is not None
            and x.flags.c_contiguous
            and (out is None or fits(out, x))
        ):
            return ufunc(x, *defaults[x.dtype], out) if defaults else ufunc(x, out)
        backend = backend_of(x=x, out=out)
        x = float_array(backend, x, "x")
        dtype = compute_dtype(x.dtype)
        values = parameter_values(row, parameters, dtype)
        clean = contiguous(backend, x, dtype)
        forward = backend.kernels.activation_forward(row)
        return into(backend, out, x.shape, x.dtype, (clean,), lambda target: forward(clean, values, target))

    _describe(op, row.name, row, ("x",), _FORWARD_DOC)
    return op


def _backward(row: Activation) -> Callable[..., Any]:
    saved_name = "x" if row.saved == "input" else "y"
    ufuncs, defaults = backward_ufuncs(row), _defaults(row)

    def op(grad: Any, saved: Any, /, *, out: Any = None, **parameters: Any) -> Any:
        if row.backward is None:
            raise no_backward(row)
        if (
            not parameters
            and type(grad) is ndarray
            and grad.nbytes < threads.PARALLEL_BYTES
            and (ufunc := ufuncs[grad.dtype]) is not None
            and grad.flags.c_contiguous
            and fits(saved, grad)
            and (out is None or fits(out, grad))
        ):
            return ufunc(grad, saved, *defaults[grad.dtype], out) if defaults else ufunc(grad, saved, out)
        backend = backend_of(**{"grad": grad, saved_name: saved, "out": out})
        grad = float_array(backend, grad, "grad")
        saved = float_array(backend, saved, saved_name)
        check_shape(grad, saved.shape, "grad", f"as {saved_name} has")
        check_dtype(grad, saved.dtype, "grad", f"as {saved_name} is")
        dtype = compute_dtype(grad.dtype)
        values = parameter_values(row, parameters, dtype)
        clean_grad, clean_saved = contiguous(backend, grad, dtype), contiguous(backend, saved, dtype)
        backward = backend.kernels.activation_backward(row)

        def write(target: Any) -> None:
            backward(clean_grad, clean_saved, values, target)

        return into(backend, out, grad.shape, grad.dtype, (clean_grad, clean_saved), write)

    _describe(op, f"{row.name}_backward", row, ("grad", saved_name), _BACKWARD_DOC)
    return op


def _defaults(row: Activation) -> dict[Any, tuple[Any, ...]]:
    """The default parameters as ufuncs take them soonest, arrays of each dtype; empty if the row has none."""
    values = row.parameters.values()
    return {dtype: tuple(asarray(value, dtype) for value in values) for dtype in KERNEL_DTYPES} if values else {}


_FORWARD_DOC = """{name}(x) = {formula}, element by element.

Parameters
----------
x : array_like
    Any shape and strides. Floats keep their dtype (float16 is computed in float32);
    integers and booleans become float64.
out : ndarray, optional
    Where to write, of x's shape and the result's dtype; may be x itself.
{parameters}
Returns
-------
ndarray or floating
    Of x's shape, living where x lives; of a number a number.

Raises
------
TypeError
    If x is complex or holds no numbers, or `out` is of another dtype or on another device.
ValueError
    If `out` is of another shape or read-only, or a parameter is outside its range.

Notes
-----
The definition and defaults are those of ``torch.nn.functional``. NaN is kept.
"""

_BACKWARD_DOC = """The gradient through {forward}: grad * ({derivative}), element by element.

Parameters
----------
grad : array_like
    The gradient of the loss with respect to {forward}(x).
{saved} : array_like
    {saved_is}, of grad's shape and dtype.
out : ndarray, optional
    Where to write, of grad's shape and dtype; may be `grad` or `{saved}` itself.
{parameters}
Returns
-------
ndarray or floating
    The gradient with respect to x; of numbers a number.

Raises
------
TypeError
    If an argument is complex or holds no numbers, or the dtypes or devices differ.
ValueError
    If the shapes differ, `out` is read-only, a parameter is outside its range{no_backward}.
"""


def _describe(op: Callable[..., Any], name: str, row: Activation, arrays: tuple[str, ...], doc: str) -> None:
    """Give a generated function the name, signature and docstring of one written out."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    op.__name__ = op.__qualname__ = name
    op.__module__ = "softgrad.ops"
    op.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(array, inspect.Parameter.POSITIONAL_ONLY) for array in arrays]
        + [inspect.Parameter("out", keyword, default=None)]
        + [inspect.Parameter(parameter, keyword, default=value) for parameter, value in row.parameters.items()]
    )
    parameters = "".join(
        f"{parameter} : float, default {value:g}\n    The {parameter} of the formula.\n"
        for parameter, value in row.parameters.items()
    )
    op.__doc__ = doc.format(
        name=name,
        forward=row.name,
        formula=row.formula,
        derivative=row.derivative,
        parameters=parameters,
        saved=arrays[-1],
        saved_is="The input x" if row.saved == "input" else f"The output y = {row.name}(x)",
        no_backward="" if row.backward else ";\n    always, since there is no useful derivative",
    )


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
