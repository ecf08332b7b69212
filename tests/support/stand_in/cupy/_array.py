"""The stand-in's arrays: NumPy's, over the GPU's memory, that do not mix with NumPy's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from . import _arena

# Methods that CuPy's arrays have as NumPy's have them; what else those have is refused here.
METHODS = (
    "all any argmax argmin argsort astype clip copy cumsum diagonal dot fill flatten max mean min nonzero prod ravel "
    "repeat reshape round sort squeeze std sum swapaxes take transpose var view"
)


class ndarray(NDArrayOperatorsMixin):
    """An array in the GPU's memory."""

    _host: np.ndarray  # NumPy's view of it

    def __init__(self, shape: Any, dtype: Any = float, order: str = "C") -> None:
        self._host = _arena.allocate(shape if isinstance(shape, tuple) else (int(shape),), dtype, order)

    @classmethod
    def _over(cls, host: np.ndarray) -> ndarray:
        array = cls.__new__(cls)
        array._host = host
        return array

    # ---- what it is

    @property
    def base(self) -> ndarray | None:
        """The array whose memory this one shows; None if it is its own."""
        whole = self._host.base
        return ndarray._over(whole) if isinstance(whole, np.ndarray) else None

    @property
    def flags(self) -> Flags:
        return Flags(self)

    @property
    def _c_contiguous(self) -> bool:
        return self._host.flags.c_contiguous

    @property
    def data(self) -> Pointer:
        return Pointer(self._host.__array_interface__["data"][0])

    @property
    def device(self) -> Any:
        return sys.modules["cupy.cuda"].Device(0)

    @property
    def T(self) -> Any:
        return wrapped(self._host.T)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self._host.flags.c_contiguous else self.strides
        place = (self.data.ptr, False)
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "version": 3,
            "strides": strides,
            "data": place,
            "stream": 1,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    # ---- to the host

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array."
        )

    def get(self) -> np.ndarray:
        return np.array(self._host)

    def __reduce__(self) -> Any:
        return sys.modules["cupy"].array, (self.get(),)

    def __repr__(self) -> str:
        return repr(self._host)

    def __str__(self) -> str:
        return str(self._host)

    def __format__(self, how: str) -> str:
        return format(self.get(), how)

    # ---- elements

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        key = host_of(key)
        found = self._host[key]
        if isinstance(found, np.generic):  # an array without axes, over the element
            found = self._host[(*key, ...) if isinstance(key, tuple) else (key, ...)] if _is_basic(key) else found
        return wrapped(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        with np.errstate(all="ignore"):
            self._host[host_of(key)] = host_of(value)

    # ---- functions of NumPy's that are given such an array

    def __array_ufunc__(self, function: Any, method: str, *arguments: Any, **options: Any) -> Any:
        return NotImplemented if method != "__call__" else called(function, *arguments, **options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        ours = getattr(sys.modules["cupy"], function.__name__, None)
        if ours is None or not all(issubclass(kind, ndarray) for kind in types):
            return NotImplemented
        return ours(*arguments, **options)


class Flags:
    def __init__(self, array: ndarray) -> None:
        host = array._host.flags
        self.c_contiguous, self.f_contiguous, self.owndata = host.c_contiguous, host.f_contiguous, array.base is None

    def __getitem__(self, name: str) -> bool:
        return bool(getattr(self, name.lower()))


class Pointer:
    device_id = 0

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


def host_of(value: Any) -> Any:
    """NumPy's view of an array, also within lists and tuples; arrays of NumPy's own are refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(map(host_of, value))
    return value


def wrapped(result: Any) -> Any:
    """What NumPy has made, as an array of the GPU: over the same memory if it lies there, else a copy."""
    if isinstance(result, list | tuple):
        return type(result)(map(wrapped, result))
    if not isinstance(result, np.ndarray | np.generic):
        return result
    host = np.asarray(result)
    if host.size and _arena.contains(host.__array_interface__["data"][0]):
        return ndarray._over(host)
    turned = host.flags.f_contiguous and not host.flags.c_contiguous
    array = ndarray(host.shape, host.dtype, "F" if turned else "C")
    array._host[...] = host
    return array


_calls = 0


def calls() -> int:
    """How often something was computed: each is a launch or more of CuPy's own."""
    return _calls


def called(function: Callable[..., Any], *arguments: Any, out: Any = None, **options: Any) -> Any:
    """NumPy's function of arrays of the GPU."""
    global _calls
    _calls += 1
    if isinstance(out, tuple):
        (out,) = out
    if out is not None and not isinstance(out, ndarray):
        raise TypeError(f"output arguments must be cupy.ndarray; got {type(out)}")
    options = {name: host_of(value) for name, value in options.items()}
    if out is not None:
        options["out"] = out._host
    with np.errstate(all="ignore"):
        result = function(*map(host_of, arguments), **options)
    if out is not None:
        return out
    same = (one for one in arguments if isinstance(one, ndarray) and one._host is result)
    found = next(same, None)
    return wrapped(result) if found is None else found


def _is_basic(key: Any) -> bool:
    keys = key if isinstance(key, tuple) else (key,)
    return all(isinstance(each, int | np.integer) for each in keys)


def _attribute(name: str) -> property:
    return property(lambda array: getattr(array._host, name))


def _method(name: str) -> Callable[..., Any]:
    def method(array: ndarray, *arguments: Any, **options: Any) -> Any:
        return called(getattr(np.ndarray, name), array, *arguments, **options)

    return method


def _to_python(name: str) -> Callable[..., Any]:
    return lambda array, *arguments: getattr(array._host, name)(*arguments)


for _name in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides"):
    setattr(ndarray, _name, _attribute(_name))
for _name in METHODS.split():
    setattr(ndarray, _name, _method(_name))
for _name in ("item", "tolist", "__bool__", "__int__", "__float__", "__index__"):
    setattr(ndarray, _name, _to_python(_name))
