"""A stand-in for CuPy where there is no GPU: what softgrad and its tests ask of it, and no more.

Its arrays lie in memory of their own and, as CuPy's do, refuse to become NumPy's without `get`. What they compute NumPy
computes, over that memory. Kernels are run by Numba's CUDA simulator or, as PTX, by `ptx`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy
from ml_dtypes import bfloat16

from . import _arena
from . import cuda as cuda
from ._array import called, host_of, ndarray
from ._array import calls as calls

__version__ = "14.0.0"

# CuPy has these as NumPy has them; a name is looked up in CuPy's reference before it is added.
_FUNCTIONS = (
    "abs absolute add all any arange argmax argmin ascontiguousarray asfortranarray atleast_1d atleast_2d bincount "
    "broadcast_to clip concatenate copy copyto cos cumsum divide einsum equal exp expand_dims expm1 eye full hypot "
    "isfinite isinf isnan linspace log log1p logaddexp max maximum may_share_memory mean min minimum moveaxis "
    "multiply nonzero ones outer power putmask ravel repeat require reshape resize result_type shares_memory sign sin "
    "sqrt square squeeze stack subtract sum swapaxes take tanh tile transpose vdot where zeros"
)
_VALUES = (
    "bool_ complex64 float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
    "inf nan newaxis pi dtype finfo iinfo floating integer number"
)


def _function(found: Any) -> Any:
    return lambda *arguments, **options: called(found, *arguments, **options)


for _name in _FUNCTIONS.split():
    globals()[_name] = _function(getattr(numpy, _name))
for _name in _VALUES.split():
    globals()[_name] = getattr(numpy, _name)
linalg = SimpleNamespace(lstsq=_function(numpy.linalg.lstsq), norm=_function(numpy.linalg.norm))


def array(value: Any, dtype: Any = None, copy: bool = True, order: str = "K", ndmin: int = 0) -> ndarray:
    """Anything as an array of the GPU, in memory of its own."""
    host = value if isinstance(value, numpy.ndarray) else host_of(value)
    host = numpy.array(host, order=order, ndmin=ndmin)
    if host.dtype.kind not in "biufc" and host.dtype != bfloat16:
        raise ValueError(f"Unsupported dtype {host.dtype}")
    kind = (host.dtype if dtype is None else numpy.dtype(dtype)).newbyteorder("=")
    turned = host.flags.f_contiguous and not host.flags.c_contiguous
    made = ndarray(host.shape, kind, "F" if turned else "C")
    with numpy.errstate(all="ignore"):
        made._host[...] = host
    return made


def asarray(value: Any, dtype: Any = None, order: str | None = None) -> ndarray:
    """The array itself if it is one of the GPU's, of that dtype and order; else a new one."""
    if not isinstance(value, ndarray):
        return array(value, dtype, order=order or "K")
    return called(numpy.asarray, value, dtype=dtype, order=order)


asanyarray = asarray


def matmul(a: ndarray, b: ndarray, out: ndarray | None = None) -> ndarray:
    """A product, of 16-bit floats rounded once, as cuBLAS computes it."""
    if a.dtype.itemsize > 2:
        return called(numpy.matmul, a, b, out=out)
    wide = (asarray(each, numpy.float32) for each in (a, b))
    product = called(numpy.matmul, *wide).astype(a.dtype)
    if out is None:
        return product
    out[...] = product
    return out


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(tuple(map(int, shape)) if isinstance(shape, tuple | list) else shape, dtype, order)


def empty_like(prototype: ndarray, dtype: Any = None) -> ndarray:
    return empty(prototype.shape, prototype.dtype if dtype is None else dtype)


def zeros_like(prototype: ndarray, dtype: Any = None) -> ndarray:
    return called(numpy.zeros, prototype.shape, prototype.dtype if dtype is None else dtype)


def from_dlpack(value: Any) -> ndarray:
    return value if isinstance(value, ndarray) else array(numpy.from_dlpack(value))


def get_default_memory_pool() -> Any:
    return SimpleNamespace(used_bytes=_arena.used_bytes, free_all_blocks=lambda: None)
