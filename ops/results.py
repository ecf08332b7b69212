"""Results out: where a kernel writes, which may be the caller's `out`, and what of that lies where it reads.

An `out` may have any strides and byte order, be of a subclass of the array type, or share memory with anything that
the call reads. Kernels meet none of that: what they write to is contiguous and lies apart from what they read.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np

from softgrad.ops.arguments import check_address, check_shape, is_array, is_contiguous
from softgrad.ops.backend import Backend
from softgrad.ops.ready import same_or_disjoint

# How much NumPy may do to find whether two strided arrays have an element in common, which may be exponential.
OVERLAP_WORK = 100_000


class Result:
    """An array that a kernel writes: the caller's own, or a fresh one.

    Several of a call are all made before the first is written, so that what is wrong is found in time, and `returned`
    when all are written, so that none is read after another has taken its place.

    Attributes
    ----------
    array
        The result: `out` itself where that can be written to at once, else a fresh array.
    target
        What the kernel writes: `array`, or where that holds 16-bit floats, their bits.
    memory, name
        `out` as a plain array, or None, and how it is called in messages.

    Parameters
    ----------
    reads
        All arrays that are read before the call is over. Where `out` shares memory with one, `array` is fresh.
    in_place
        Whether the kernel may be given the very memory of an array it reads, of the same dtype, element for element.
    """

    __slots__ = ("_out", "array", "memory", "name", "target")
    array: Any
    memory: Any
    target: Any

    def __init__(
        self,
        backend: Backend,
        out: Any,
        shape: tuple[int, ...],
        dtype: Any,
        reads: Iterable[Any] = (),
        *,
        in_place: bool = True,
        name: str = "out",
    ) -> None:
        self._out, self.name = out, name
        self.memory = memory = None if out is None else writable(backend, out, shape, dtype, name)
        direct = (
            memory is not None
            and memory.dtype == dtype
            and is_contiguous(memory)
            and not any(overlaps(backend.bits(memory), read, in_place) for read in reads)
        )
        self.array = memory if direct else backend.xp.empty(shape, dtype)
        self.target = backend.bits(self.array)

    def load(self) -> None:
        """Have in `target` what the caller's array holds, for a kernel that reads what it writes."""
        if self.array is not self.memory:
            self.array[...] = self.memory

    def returned(self) -> Any:
        """What the caller asked for, once `target` is written; without axes a number, as NumPy's functions give it."""
        if self._out is None:
            return self.array if self.array.ndim else self.array[()]
        if self.array is not self.memory:
            self.memory[...] = self.array
        return self._out


def writable(backend: Backend, out: Any, shape: tuple[int, ...], dtype: Any, name: str = "out") -> Any:
    """`out` as a plain array over its memory, in any byte order.

    Raises
    ------
    TypeError
        If it is no array of the backend, is masked, or has another dtype.
    ValueError
        If it has another shape, is read-only, or begins where a GPU cannot write.
    """
    if type(out) is not backend.array_type:
        if not is_array(backend, out):
            kind = f"{backend.xp.__name__}.ndarray"
            raise TypeError(f"{name} must be a {kind} to write to; got {type(out).__name__}")
        if isinstance(out, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array, and a result would not change its mask; pass {name}.data")
        out = backend.xp.asarray(out)
    if out.dtype != dtype and out.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must be {dtype}, as the result is; got {out.dtype}")
    check_shape(out, shape, name, "as the result has")
    if not getattr(out.flags, "writeable", True):
        raise ValueError(f"{name} is read-only; pass an array that can be written to")
    return check_address(backend, out, name)


def check_disjoint(backend: Backend, results: Iterable[Result], remedy: str) -> None:
    """Raise ValueError if two of a call's results have memory in common."""
    given = [result for result in results if result.memory is not None]
    for a, b in combinations(given, 2):
        if _share_memory(backend, a.memory, b.memory):
            raise ValueError(f"{b.name} and {a.name} must not share memory; {remedy}")


def _share_memory(backend: Backend, a: Any, b: Any) -> bool:
    if a is not b and same_or_disjoint(a, b):
        return False
    try:
        if backend.xp is np:
            return np.shares_memory(a, b, max_work=OVERLAP_WORK)  # type: ignore[arg-type]  # NumPy's types miss it
        return bool(backend.xp.shares_memory(a, b))
    except np.exceptions.TooHardError:
        return True


def overlaps(out: Any, array: Any, in_place: bool) -> bool:
    """May the kernel not be given `out`, clean, to write to while it reads the array?"""
    if out is array:
        return not in_place
    if same_or_disjoint(out, array):
        return False
    # With one start, size and dtype, both contiguous, element i of the one is element i of the other.
    same = out.dtype == array.dtype and out.size == array.size and _address(out) == _address(array)
    return not (in_place and same and is_contiguous(array))


def _address(array: Any) -> int:
    interface = getattr(array, "__array_interface__", None) or array.__cuda_array_interface__
    return int(interface["data"][0])
