"""The backends, one `Backend` record each, and which of them a call belongs to.

Where an array lives decides: NumPy arrays (and anything NumPy can turn into one) are computed on the CPU, CuPy
arrays, and others in a GPU's memory, on the GPU. No GPU package is imported before such an array, or
``get_backend("gpu")``, asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from types import ModuleType
from typing import Any

import numpy as np

from softgrad.kernels import Kernels, cpu
from softgrad.kernels.cpu.elementwise import small_elementwise
from softgrad.ops.dtypes import as_bits
from softgrad.ops.gpu import BackendUnavailableError, load_gpu


@dataclass(frozen=True)
class Backend:
    """What an op needs to know of where it runs.

    Attributes
    ----------
    name
        "cpu" or "gpu".
    xp
        The array module: numpy or cupy.
    array_type
        The type of its arrays.
    kernels
        The kernels over such arrays.
    takes
        Whether a kernel can take an array as it is: contiguous, and aligned.
    bits
        An array as a kernel is given it: on the CPU 16-bit floats are given as their bits, all others as they are.
    may_share
        Whether two arrays that kernels can take may share memory, by their bounds.
    """

    name: str
    xp: ModuleType
    array_type: type[Any]
    kernels: Kernels
    takes: Callable[[Any], bool]
    bits: Callable[[Any], Any]
    may_share: Callable[[Any, Any], bool]

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return get_backend, (self.name,)  # a copy, in this process or another, is the backend of that name


CPU = Backend("cpu", np, np.ndarray, cpu, attrgetter("flags.carray"), as_bits, np.may_share_memory)

# The backend of an array by its very type, of those that have met one; of other types `backend_of` finds it.
BY_TYPE: dict[type, Backend] = {np.ndarray: CPU}

# What only the CPU has, beside its kernels: a shorter way for small arrays, by NumPy's ufuncs.
SMALL_ELEMENTWISE = small_elementwise

# DLPack's numbers of CUDA's memory: plain, and managed. What is pinned lies with the host.
CUDA_DEVICES = (2, 13)

# Types of the usual arguments, of which nothing more has to be asked.
NEVER_ON_GPU = frozenset({np.ndarray, type(None), list, tuple, int, float, np.float16, np.float32, np.float64})


def _is_ready_on_gpu(array: Any) -> bool:
    # CuPy's flags are made anew whenever they are asked for, which takes longer than all the rest, of this attribute.
    contiguous = getattr(array, "_c_contiguous", None)
    if contiguous is None:
        contiguous = array.flags.c_contiguous
    return contiguous and not array.data.ptr % array.itemsize


def is_aligned_on_gpu(array: Any) -> bool:
    """Does the array begin at a multiple of its elements' size? A GPU refuses others, and its context is lost."""
    return not array.data.ptr % array.itemsize


def _may_share_on_gpu(a: Any, b: Any) -> bool:
    place, other = a.data.ptr, b.data.ptr
    return place < other + b.nbytes and other < place + a.nbytes  # type: ignore[no-any-return]


def _itself(array: Any) -> Any:
    return array


@cache
def _gpu() -> Backend:
    cupy, kernels = load_gpu()
    backend = Backend("gpu", cupy, cupy.ndarray, kernels, _is_ready_on_gpu, _itself, _may_share_on_gpu)
    return BY_TYPE.setdefault(cupy.ndarray, backend)


def get_backend(name: str) -> Backend:
    """The backend of that name, "cpu" or "gpu"; "auto" is the GPU where it can run, else the CPU.

    Raises
    ------
    ValueError
        If there is no such backend.
    BackendUnavailableError
        If it cannot run here.
    """
    if name == "cpu":
        return CPU
    if name == "gpu":
        return _gpu()
    if name == "auto":
        try:
            return _gpu()
        except BackendUnavailableError:
            return CPU
    raise ValueError(f"backend must be auto, cpu or gpu; got {name!r}")


def backend_of(**arrays: Any) -> Backend:
    """The backend of the named arrays; those that are None are passed over.

    Raises
    ------
    TypeError
        If arrays of the host's memory and of a GPU's are mixed.
    BackendUnavailableError
        If there is one of a GPU's and the GPU backend cannot run here.
    """
    on_gpu = [name for name, array in arrays.items() if type(array) not in NEVER_ON_GPU and _is_on_gpu(array)]
    if not on_gpu:
        return CPU
    on_cpu = [name for name, array in arrays.items() if name not in on_gpu and _is_on_cpu(array)]
    if on_cpu:
        raise TypeError(
            f"{on_gpu[0]} is {_kind(arrays[on_gpu[0]])} array and {on_cpu[0]} {_kind(arrays[on_cpu[0]])} array; bring "
            f"them to one side with cupy.asarray({on_cpu[0]}) or {on_gpu[0]}.get()"
        )
    return _gpu()


def _is_on_gpu(array: Any) -> bool:
    if _package(array) == "cupy" or hasattr(array, "__cuda_array_interface__"):
        return True
    return hasattr(array, "__dlpack_device__") and _dlpack_device(array) in CUDA_DEVICES


def _is_on_cpu(array: Any) -> bool:
    """Is it an array, and not on a GPU? Lists and numbers go wherever the arrays are."""
    return isinstance(array, np.ndarray) or hasattr(array, "__dlpack_device__")


def _dlpack_device(array: Any) -> int:
    return int(array.__dlpack_device__()[0])


def _package(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def _kind(array: Any) -> str:
    name = {"numpy": "NumPy", "cupy": "CuPy"}.get(_package(array), _package(array))
    return f"a {name}"
