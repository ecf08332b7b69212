"""Arguments in: every op checks and prepares its arrays and numbers here, so that kernels meet only clean ones.

A kernel is given contiguous, aligned arrays of one floating dtype, or of the bits of 16-bit floats, and floats. What a
caller may give is wider: any strides and byte order, subclasses and other packages' arrays, integers and booleans
(computed in float64); for a number an array without axes. What comes out is the subject of `results`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softgrad.ops.backend import CPU, Backend, is_aligned_on_gpu
from softgrad.ops.dtypes import FLOAT64, INT64, KERNEL_DTYPES, LARGEST_INT64, is_float

# By which an array that is not the backend's own says that the backend's module can make it one.
OWN_INTERFACE = {"cpu": "__array__", "gpu": "__cuda_array_interface__"}


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
    ValueError
        If it begins where a GPU cannot read it.
    """
    if type(value) is backend.array_type:
        return value if backend is CPU else check_address(backend, value, name)
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
    return check_address(backend, backend.xp.asarray(array), name)


def check_address(backend: Backend, array: Any, name: str) -> Any:
    """The array; raises ValueError if a GPU can neither read nor write it, where NumPy would go byte by byte."""
    if backend is not CPU and not is_aligned_on_gpu(array):
        size = array.dtype.itemsize
        raise ValueError(
            f"{name} must begin at a multiple of {size} bytes, the size of {array.dtype}, on a GPU; got an array that "
            f"begins {array.data.ptr % size} bytes behind one; pass an array with memory of its own"
        )
    return array


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
    """`value` as an array of floats of 16, 32 or 64 bits; integers and booleans become float64.

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
    if dtype.kind not in "iub" and not is_float(dtype):
        raise TypeError(
            f"{name} must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got {dtype}"
        )


def integer_array(backend: Backend, value: Any, name: str, *, beyond: int = LARGEST_INT64) -> Any:
    """`value` as a contiguous array of int64, in which `beyond` stands for all integers that have no place in it.

    Raises
    ------
    TypeError
        If it does not hold integers.
    """
    array = as_array(backend, value, name)
    if array.dtype == INT64:
        return contiguous(backend, array, INT64)
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


class _Memory:
    """An array's memory as if it could be written.

    A kernel is compiled for the types of its arguments, of which that an array is read-only is a part: it would be
    compiled again, and Numba finds such a type slowly. Kernels write to results alone.
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__array_interface__ = interface = array.__array_interface__
        interface["data"] = interface["data"][0], False


def contiguous(backend: Backend, array: Any, dtype: Any) -> Any:
    """The array, or a copy, C-contiguous, aligned and of that dtype; what overflows becomes infinity.

    Of 16-bit floats it is their bits.
    """
    if array.dtype == dtype:
        if backend.takes(array):
            return backend.bits(array)
        if is_contiguous(array):
            return np.asarray(_Memory(backend.bits(array)))
    with np.errstate(all="ignore"):
        clean = backend.xp.require(array, dtype, ["C", "A"]) if backend.xp is np else array.astype(dtype, order="C")
    return backend.bits(clean)


def check_shape(array: Any, shape: tuple[int, ...], name: str, of: str) -> None:
    """Raise ValueError unless `array` has that shape, which is `of` something the caller knows."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, {of}; got shape {array.shape}")


def check_dtype(array: Any, dtype: Any, name: str, of: str) -> None:
    """Raise TypeError unless `array` has that dtype, which is `of` something the caller knows."""
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, {of}; got {array.dtype}; convert one with .astype()")


def convert(array: Any, dtype: Any) -> Any:
    """The array in another float dtype; what overflows becomes infinity without a warning."""
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def is_contiguous(array: Any) -> bool:
    """Is the array contiguous and aligned, so that a kernel can take it as it is?"""
    flags = array.flags
    return bool(flags.c_contiguous and getattr(flags, "aligned", True))
