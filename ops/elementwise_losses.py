"""Losses that compare two arrays element by element, two public functions for each row of the formula table."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

from softgrad.kernels.formulas.elementwise_losses import WEIGHTS
from softgrad.kernels.formulas.registry import ELEMENTWISE_LOSSES, Condition, ElementwiseLoss
from softgrad.ops.arguments import as_array, check_shape, contiguous, float_array, place_of
from softgrad.ops.backend import CPU, Backend, backend_of
from softgrad.ops.described import described_loss, described_loss_with_grad
from softgrad.ops.dtypes import compute_dtype
from softgrad.ops.lookup import parameter_values
from softgrad.ops.ready import is_like, ready_backend
from softgrad.ops.reduction import check_reduction, losses_buffer, reduced
from softgrad.ops.results import Result
from softgrad.ops.scalars import check_number, unboxed


def _forward(row: ElementwiseLoss) -> Callable[..., Any]:
    def op(x: Any, targets: Any, /, *, reduction: str = "mean", **options: Any) -> Any:
        check_reduction(reduction)
        backend, x, targets, operands, dtype = _prepared(row, x, targets, options, None)
        losses = losses_buffer(backend, x.shape, compute_dtype(x.dtype), reduction)
        kernel = backend.kernels.elementwise_loss_forward(row)
        divisor = x.size if reduction == "mean" else 1
        loss = kernel(x, targets, operands, divisor, losses) if x.size else 0.0
        return reduced(loss, losses, compute_dtype(dtype), reduction)

    return described_loss(op, row)


def _with_grad(row: ElementwiseLoss) -> Callable[..., Any]:
    def op(x: Any, targets: Any, /, *, reduction: str = "mean", out: Any = None, **options: Any) -> tuple[Any, Any]:
        check_reduction(reduction)
        backend, x, targets, operands, dtype = _prepared(row, x, targets, options, out)
        losses = losses_buffer(backend, x.shape, compute_dtype(x.dtype), reduction)
        divisor = x.size if reduction == "mean" else 1
        reads = (x, targets, *(operand for operand in operands if not isinstance(operand, float)))
        grad = Result(backend, out, x.shape, dtype, reads)
        kernel = backend.kernels.elementwise_loss_with_grad(row)
        loss: Any = kernel(x, targets, operands, divisor, 1.0 / divisor, losses, grad.target) if x.size else 0.0
        return reduced(loss, losses, compute_dtype(dtype), reduction), grad.returned()

    return described_loss_with_grad(op, row)


def _prepared(
    row: ElementwiseLoss, x: Any, targets: Any, options: dict[str, Any], out: Any
) -> tuple[Backend, Any, Any, tuple[Any, ...], Any]:
    """The backend, clean arrays and operands, and the dtype of the results. `options` are emptied."""
    given = targets
    validate = options.pop("validate", True) if row.targets else False
    weights = {name: options.pop(name) for name in row.weights if name in options}
    backend = ready_backend(x)
    ready = backend is not None and is_like(backend, targets, x)
    if backend is None or not ready or weights or out is not None:
        others = weights if out is None else {"out": out, **weights}
        backend = backend_of(**{row.predictions: x, "targets": targets}, **others)
    if ready:
        dtype = computed = x.dtype
    else:
        x = float_array(backend, x, row.predictions)
        dtype, computed = x.dtype, compute_dtype(x.dtype)
        x = contiguous(backend, x, dtype)
        targets = _real_array(backend, targets, "targets", dtype)
        check_shape(targets, x.shape, "targets", f"as the {row.predictions} have")
    operands = row.defaults
    if options or weights:
        of_x = (_weight(backend, weights.get(name), name, x.shape, dtype, row, validate) for name in row.weights)
        operands = (*of_x, *parameter_values(row, options, computed))
    if validate and row.targets:
        _check(backend, row.targets, targets, "targets", given)
    return backend, x, targets, operands, dtype


def _weight(
    backend: Backend, value: Any, name: str, shape: tuple[int, ...], dtype: Any, row: ElementwiseLoss, validate: bool
) -> Any:
    """A weight as the kernels take it beside an x of that shape and dtype: a number, or an array of that shape."""
    if value is None:
        return 1.0
    number = unboxed(value, name) if backend is CPU else value  # on a GPU it stays there
    if isinstance(number, Real):
        return check_number(number, name, minimum=0.0, dtype=compute_dtype(dtype))
    array = _real_array(backend, value, name, dtype)
    if validate:
        _check(backend, WEIGHTS, array, name, value)
    try:
        whole = array if array.shape == shape else backend.xp.broadcast_to(array, shape)
        return contiguous(backend, whole, array.dtype).reshape(-1)
    except ValueError:
        raise ValueError(
            f"{name} must be a number, or broadcast to the {row.predictions}' shape {shape}; got shape {array.shape}"
        ) from None


def _real_array(backend: Backend, value: Any, name: str, dtype: Any) -> Any:
    """Real numbers of any dtype as a clean array of that dtype, or of what that is computed in if they are of another.

    What overflows becomes infinity.
    """
    array = as_array(backend, value, name)
    if array.dtype.kind not in "iub":
        array = float_array(backend, array, name)
    return contiguous(backend, array, dtype if array.dtype == dtype else compute_dtype(dtype))


def _check(backend: Backend, condition: Condition, array: Any, name: str, given: Any) -> None:
    """Raise ValueError unless all elements fulfil the condition, naming the first that does not as it was `given`."""
    position = backend.kernels.first_failing(condition.holds)(array.reshape(-1))
    if position >= 0:
        index = place_of(position, array.shape)
        found = as_array(backend, given, name)[index]
        place = f" at index {index[0] if len(index) == 1 else index}" if index else ""
        raise ValueError(f"{name} must {condition.words}; found {found}{place}")


FUNCTIONS: dict[str, Callable[..., Any]] = {}
for _row in ELEMENTWISE_LOSSES.values():
    FUNCTIONS[_row.name] = _forward(_row)
    FUNCTIONS[f"{_row.name}_with_grad"] = _with_grad(_row)
