"""Arguments in, results out: every op checks and prepares its arrays here, so that kernels meet only clean ones.

A kernel is given contiguous, aligned arrays of one floating dtype. What a caller may give is wider: any strides,
float16 (computed in float32), integers and booleans (computed in float64), an `out` of any strides that may be
an input itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from softgrad.ops.backend import Backend

FLOAT16 = np.dtype(np.float16)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)
KERNEL_DTYPES: frozenset[np.dtype[Any]] = frozenset({FLOAT32, FLOAT64})

# By which an array that is not the backend's own says that the backend's module can make it one.
OWN_INTERFACE = {"cpu": "__array__", "gpu": "__cuda_array_interface__"}

LARGEST = {FLOAT32: float(np.finfo(np.float32).max), FLOAT64: float(np.finfo(np.float64).max)}


def is_ready(array: Any) -> bool:
    """Can a CPU kernel take the array as it is? Most can be, and are then spared all that follows in this file."""
    return type(array) is np.ndarray and array.dtype in KERNEL_DTYPES and array.flags.carray


def ready_out(out: Any, x: Any, y: Any = None) -> Any:
    """Where a result like the ready array `x` can be written at once, a new array or `out`; None if it cannot.

    `x` and `y` are what the kernel reads while it writes.
    """
    if out is None:
        return np.empty(x.shape, x.dtype)
    return out if fits(out, x) and apart(out, x) and (y is None or apart(out, y)) else None


def fits(array: Any, like: Any) -> bool:
    """Can a CPU kernel take the array, or write to it, as it is, beside the ready array `like`?"""
    return (
        type(array) is np.ndarray
        and (array.dtype is like.dtype or array.dtype == like.dtype)
        and array.shape == like.shape
        and array.flags.carray
    )


def is_ready_index(array: Any, shape: tuple[int, ...]) -> bool:
    """Can a CPU kernel take the array as its indices or labels, of that shape, as it is?"""
    return type(array) is np.ndarray and array.dtype == INT64 and array.shape == shape and array.flags.carray


def apart(out: Any, array: Any) -> bool:
    """Are the two the same array, or arrays with no memory in common?"""
    return out is array or (out.base is None and array.base is None) or not np.may_share_memory(out, array)


def as_array(backend: Backend, value: Any, name: str) -> Any:
    """`value` as an array of the backend, over its own memory where it has any: anyone's array, a list, a number.

    Raises
    ------
    TypeError
        If it is none.
    """
    if type(value) is backend.array_type:
        return value
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, OWN_INTERFACE[backend.name]):
            return backend.xp.from_dlpack(value)
        return backend.xp.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:  # whatever another package's array may raise
        raise TypeError(
            f"{name} must be an array or what can be made one; got {type(value).__name__}: {error}"
        ) from error


def mask_array(backend: Backend, value: Any, shape: tuple[int, ...], name: str = "where") -> Any:
    """`value` as a boolean array of that shape, broadcast.

    Raises
    ------
    TypeError
        If it does not hold booleans.
    ValueError
        If it cannot be broadcast to the shape.
    """
    array = as_array(backend, value, name)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be an array of booleans; got {array.dtype}; compare it, as in x > 0")
    try:
        return backend.xp.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} must broadcast to shape {shape}, x's; got shape {array.shape}") from None


def float_array(backend: Backend, value: Any, name: str) -> Any:
    """`value` as an array of float16, float32 or float64; integers and booleans become float64.

    Raises
    ------
    TypeError
        For complex numbers, objects and all other dtypes.
    """
    array = as_array(backend, value, name)
    dtype = array.dtype
    if dtype in KERNEL_DTYPES:
        return array
    if dtype.kind in "iub":
        return array.astype(FLOAT64)
    check_real(dtype, name)
    return array.astype(dtype.newbyteorder("="), copy=False)


def check_real(dtype: Any, name: str) -> None:
    """Raise TypeError unless it is a dtype of integers, of booleans, or of floats that the kernels can take."""
    if dtype.kind not in "iub" and not (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)):
        raise TypeError(f"{name} must be an array of real numbers (float16, float32, float64 or integers); got {dtype}")


def integer_array(backend: Backend, value: Any, name: str) -> Any:
    """`value` as a contiguous array of int64; an integer beyond that wraps to a negative one.

    Raises
    ------
    TypeError
        If it does not hold integers.
    """
    array = as_array(backend, value, name)
    if array.dtype == INT64 and is_clean(array):
        return array
    if array.size == 0 and not isinstance(value, backend.array_type):
        array = array.astype(np.int64)  # an empty list has no dtype of its own
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an array of integers; got {array.dtype}")
    return contiguous(backend, array, INT64)


def place_of(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The indices of the element at that position of a contiguous array, for a message."""
    return tuple(map(int, np.unravel_index(position, shape)))


def is_array(backend: Backend, value: Any) -> bool:
    """Is the value an array of that backend?"""
    return isinstance(value, backend.array_type)


def compute_dtype(dtype: Any) -> Any:
    """The dtype the kernels compute in: float32 for float16, else the same."""
    return FLOAT32 if dtype == FLOAT16 else dtype


def contiguous(backend: Backend, array: Any, dtype: Any) -> Any:
    """The array, or a copy, C-contiguous, aligned and of that dtype; what overflows becomes infinity."""
    if array.dtype == dtype and is_clean(array):
        return array
    with np.errstate(over="ignore"):
        return backend.xp.require(array, dtype, ["C", "A"]) if backend.xp is np else array.astype(dtype, order="C")


def check_shape(array: Any, shape: tuple[int, ...], name: str, of: str) -> None:
    """Raise ValueError unless `array` has that shape, which is `of` something the caller knows."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, {of}; got shape {array.shape}")


def check_dtype(array: Any, dtype: Any, name: str, of: str) -> None:
    """Raise TypeError unless `array` has that dtype, which is `of` something the caller knows."""
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, {of}; got {array.dtype}; convert one with .astype()")


def check_out(backend: Backend, out: Any, shape: tuple[int, ...], dtype: Any, name: str = "out") -> None:
    """Raise TypeError or ValueError unless a result of that shape and dtype can be written to `out`."""
    if type(out) is not backend.array_type and not is_array(backend, out):
        kind = f"{backend.xp.__name__}.ndarray"
        raise TypeError(f"{name} must be a {kind} to write to; got {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, as the result is; got {out.dtype}")
    check_shape(out, shape, name, "as the result has")
    if not getattr(out.flags, "writeable", True):
        raise ValueError(f"{name} is read-only; pass an array that can be written to")


def whole_number(value: Any, name: str) -> int:
    """`value`, an option that may be None but is not, as an integer; raises TypeError if it is none."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer or None; got {type(value).__name__}") from None


def real_number(value: Any, name: str) -> float:
    """`value` as a float; raises TypeError if it is no real number."""
    if type(value) is float:
        return value
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf if value >= 0 else -math.inf  # type: ignore[operator]


def check_number(value: Any, name: str, *, minimum: float = -math.inf, dtype: Any = FLOAT64) -> float:
    """`value` as a number that is finite in that dtype, float32 or float64, and not below `minimum`.

    Raises
    ------
    TypeError
        If it is no real number.
    ValueError
        If it is not finite in that dtype, or below `minimum`.
    """
    number, largest = real_number(value, name), LARGEST[dtype]
    if not (minimum <= number <= largest and number >= -largest):
        bound = "" if minimum == -math.inf else f" not below {minimum:g}"
        raise ValueError(f"{name} must be a finite {dtype} number{bound}; got {value}")
    return number


def into(
    backend: Backend,
    out: Any,
    shape: tuple[int, ...],
    dtype: Any,
    reads: Iterable[Any],
    write: Callable[[Any], None],
    *,
    in_place: bool = True,
) -> Any:
    """Have `write(target)` fill a contiguous array of the compute dtype, and return the result the caller asked for.

    `target` is `out` itself where that is possible. It is a fresh array where `out` is strided, is float16, or
    overlaps one of the arrays in `reads`; then `out` is written at the end, in one piece. With `in_place`,
    `write` may be given exactly the memory of an array it reads, element for element.
    """
    if out is None:
        target = backend.xp.empty(shape, compute_dtype(dtype))
        write(target)
        return target if target.dtype == dtype else convert(target, dtype)
    check_out(backend, out, shape, dtype)
    if dtype in KERNEL_DTYPES and is_clean(out) and not any(_collide(out, read, in_place) for read in reads):
        write(out)
        return out
    target = backend.xp.empty(shape, compute_dtype(dtype))
    write(target)
    with np.errstate(over="ignore"):
        out[...] = target
    return out


def convert(array: Any, dtype: Any) -> Any:
    """The array in another float dtype; what overflows becomes infinity without a warning."""
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def is_clean(array: Any) -> bool:
    """Is the array contiguous and aligned, so that a kernel can take it as it is?"""
    flags = array.flags
    return bool(flags.c_contiguous and getattr(flags, "aligned", True))


def _collide(out: Any, array: Any, in_place: bool) -> bool:
    if out is array:
        return not in_place
    if apart(out, array):
        return False
    # Same start, same size, both contiguous: element i of the one is element i of the other.
    same = out.nbytes == array.nbytes and _address(out) == _address(array)
    return not (in_place and same)


def _address(array: Any) -> int:
    interface = getattr(array, "__array_interface__", None) or array.__cuda_array_interface__
    return int(interface["data"][0])
