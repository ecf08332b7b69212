"""Arrays that kernels can take as they are: most are, and an op goes straight to its kernel with them.

What is not is prepared by `arguments`, and written by way of `results`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softgrad.ops.backend import BY_TYPE, CPU, Backend
from softgrad.ops.dtypes import KERNEL_DTYPES


def ready_backend(array: Any) -> Backend | None:
    """The backend whose kernels can take the array as it is; None if there is something to prepare.

    Most arrays are ready, and are spared all preparation.
    """
    if type(array) is np.ndarray:  # as below, which takes half as long again
        return CPU if array.dtype in KERNEL_DTYPES and array.flags.carray else None
    backend = BY_TYPE.get(type(array))
    return backend if backend is not None and array.dtype in KERNEL_DTYPES and backend.takes(array) else None


def is_like(backend: Backend, array: Any, like: Any) -> bool:
    """Can a kernel take the array, or write to it, as it is, beside the array `like`, which is ready?"""
    return (
        type(array) is backend.array_type
        and (array.dtype is like.dtype or array.dtype == like.dtype)
        and array.shape == like.shape
        and backend.takes(array)
    )


def has_form(backend: Backend, array: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    """Can a kernel take the array, or write to it, as it is, where it expects that shape and dtype?"""
    return type(array) is backend.array_type and array.dtype == dtype and array.shape == shape and backend.takes(array)


def ready_target(backend: Backend, out: Any, like: Any, *others: Any) -> Any:
    """Where a result like the ready array `like` can be written at once, a new array or `out`; None if it cannot.

    `like` and the `others` are what the kernel reads while it writes.
    """
    if out is None:
        return backend.xp.empty(like.shape, like.dtype)
    if not (is_like(backend, out, like) and same_or_disjoint(out, like, backend.may_share)):
        return None
    for other in others:
        if not same_or_disjoint(out, other, backend.may_share):
            return None
    return out


def same_or_disjoint(out: Any, array: Any, may_share: Callable[[Any, Any], bool] = np.may_share_memory) -> bool:
    """Are the two the same array, or arrays whose memory does not even overlap by its bounds?"""
    return out is array or (out.base is None and array.base is None) or not may_share(out, array)


def all_disjoint(backend: Backend, written: Sequence[Any], read: Sequence[Any]) -> bool:
    """Has no array that is written memory in common, by its bounds, with another of these? None is no array.

    All of them are ready.
    """
    may_share = backend.may_share
    for position, out in enumerate(written):
        if out is None:
            continue
        for array in (*read, *written[position + 1 :]):
            if array is not None and (
                out is array or ((out.base is not None or array.base is not None) and may_share(out, array))
            ):
                return False
    return True
