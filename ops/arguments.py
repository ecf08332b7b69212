"""Arguments in: every op checks and prepares its arrays and numbers here, so that kernels meet only clean ones.

A kernel is given contiguous, aligned arrays of one floating dtype, and floats. What a caller may give is wider: any
strides and byte order, subclasses and other packages' arrays, float16 (computed in float32), integers and booleans
(computed in float64); for a number an array without axes. What comes out is the subject of `results`.
"""

from __future__ import annotations

import math
import sys
from numbers import Number, Real
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

# Characters of a value in a message.
LONGEST_SHOWN = 80

LARGEST_INT64 = 2**63 - 1
LARGEST = {FLOAT32: float(np.finfo(np.float32).max), FLOAT64: float(np.finfo(np.float64).max)}


def is_ready(array: Any) -> bool:
    """Can a CPU kernel take the array as it is? Most can be, and are then spared all that follows in this file."""
    return type(array) is np.ndarray and array.dtype in KERNEL_DTYPES and array.flags.carray


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


# What may hold a mask, and how deep NumPy looks into lists.
MAY_BE_MASKED = (list, tuple, np.ma.MaskedArray)
MOST_AXES = 64

# What to do with a mask: in general, and in operations that have a `where`.
FILLED = "pass {name}.filled(...) with the numbers that shall stand there"
SEEN = "pass {name}.data with where=~np.ma.getmaskarray({name})"


def as_array(backend: Backend, value: Any, name: str, *, unmask: str = FILLED) -> Any:
    """`value` as a plain array of the backend, over its own memory where it has any: anyone's array, a list, a number.

    Raises
    ------
    TypeError
        If it is none, or is masked or holds what is; `unmask` is the advice then.
    """
    if type(value) is backend.array_type:
        return value
    refuse_masked(value, name, unmask)
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, OWN_INTERFACE[backend.name]):
            return backend.xp.from_dlpack(value)
        array = backend.xp.asanyarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:  # whatever another package's array may raise
        raise TypeError(
            f"{name} must be an array or what can be made one; got {type(value).__name__}: {error}"
        ) from error
    refuse_masked(array, name, unmask)  # what another package gives may be masked too
    return backend.xp.asarray(array)


def refuse_masked(value: Any, name: str, unmask: str = FILLED) -> None:
    """Raise TypeError for a masked array, or for a list that holds one: as a plain array it would lose its mask."""
    if type(value) is not np.ndarray and _is_masked(value):
        verb = "is" if isinstance(value, np.ndarray) else "holds"
        raise TypeError(f"{name} {verb} a masked array, whose mask would be lost; {unmask.format(name=name)}")


def _is_masked(value: Any, depth: int = 0) -> bool:
    if not isinstance(value, list | tuple):
        return isinstance(value, np.ma.MaskedArray)
    # The types first: a long list of numbers is not gone through in Python.
    if depth == MOST_AXES or not any(issubclass(kind, MAY_BE_MASKED) for kind in set(map(type, value))):
        return False
    return any(_is_masked(part, depth + 1) for part in value)


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


def float_array(backend: Backend, value: Any, name: str, *, unmask: str = FILLED) -> Any:
    """`value` as an array of float16, float32 or float64; integers and booleans become float64.

    Raises
    ------
    TypeError
        For complex numbers, objects and all other dtypes, and for masked arrays.
    """
    array = as_array(backend, value, name, unmask=unmask)
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


def integer_array(backend: Backend, value: Any, name: str, *, beyond: int = LARGEST_INT64) -> Any:
    """`value` as a contiguous array of int64, in which `beyond` stands for all integers that have no place in it.

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
    if array.dtype.kind == "u" and array.dtype.itemsize == INT64.itemsize:
        array = backend.xp.where(array > np.uint64(LARGEST_INT64), np.uint64(beyond % 2**64), array)
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
    with np.errstate(all="ignore"):
        return backend.xp.require(array, dtype, ["C", "A"]) if backend.xp is np else array.astype(dtype, order="C")


def check_shape(array: Any, shape: tuple[int, ...], name: str, of: str) -> None:
    """Raise ValueError unless `array` has that shape, which is `of` something the caller knows."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, {of}; got shape {array.shape}")


def check_dtype(array: Any, dtype: Any, name: str, of: str) -> None:
    """Raise TypeError unless `array` has that dtype, which is `of` something the caller knows."""
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, {of}; got {array.dtype}; convert one with .astype()")


def unboxed(value: Any, name: str) -> Any:
    """The number in an array without axes, NumPy's or another package's; any other value as it is."""
    if getattr(value, "ndim", None) != 0 or getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        return value  # of a time NumPy would give the count of its nanoseconds
    refuse_masked(value, name)
    try:
        return value.item() if hasattr(value, "item") else np.asarray(value).item()
    except (TypeError, ValueError, RuntimeError) as error:  # an array that another package cannot look into now
        raise TypeError(f"{name} must be a number; got {type(value).__name__}: {error}") from error


def whole_number(value: Any, name: str, expected: str = "an integer or None") -> int:
    """`value` as an integer, which a boolean is not; raises TypeError if it is none."""
    number: Any = unboxed(value, name)
    if isinstance(number, bool):
        number = None
    try:
        return index(number)
    except TypeError:
        raise TypeError(f"{name} must be {expected}; got {type(value).__name__}") from None


def real_number(value: Any, name: str) -> float:
    """`value` as a float, infinite if it is an integer beyond all floats; raises TypeError if it is no real number."""
    if type(value) is float:
        return value
    number = unboxed(value, name)
    if not isinstance(number, Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}")
    try:
        return float(number)
    except OverflowError:
        return math.inf if number >= 0 else -math.inf  # type: ignore[operator]


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
        raise ValueError(f"{name} must be a finite {dtype} number{bound}; got {shown(value)}")
    return number


def check_size(shape: tuple[int, ...], dtype: Any, name: str, value: Any) -> None:
    """Raise ValueError if no array can have that shape, for which the `value` of the argument `name` is to blame."""
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > sys.maxsize:
        raise ValueError(f"{name} must be small enough for a result that fits any memory; got {shown(value)}")


def shown(value: Any) -> str:
    """The value for a message, cut if it is long; an integer may have more digits than Python is willing to write."""
    try:
        words = str(value) if isinstance(value, Number) else repr(value)
    except ValueError:
        words = f"a number of type {type(value).__name__} with too many digits to print"
    return words if len(words) <= LONGEST_SHOWN else f"{words[:LONGEST_SHOWN]}..."


def convert(array: Any, dtype: Any) -> Any:
    """The array in another float dtype; what overflows becomes infinity without a warning."""
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def is_clean(array: Any) -> bool:
    """Is the array contiguous and aligned, so that a kernel can take it as it is?"""
    flags = array.flags
    return bool(flags.c_contiguous and getattr(flags, "aligned", True))
