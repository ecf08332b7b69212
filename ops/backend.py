"""The backends, one `Backend` record each, and which of them a call belongs to.

Where an array lives decides: NumPy arrays (and anything NumPy can turn into one) are computed on the CPU, CuPy
arrays on the GPU. No GPU package is imported before a CuPy array, or ``get_backend("gpu")``, asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from softgrad.kernels import cpu
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
        The module that exports `softgrad.kernels.CONTRACT` over such arrays.
    """

    name: str
    xp: ModuleType
    array_type: type
    kernels: ModuleType


CPU = Backend("cpu", np, np.ndarray, cpu)

# Types of the usual arguments, of which nothing more has to be asked.
NEVER_ON_GPU = frozenset({np.ndarray, type(None), list, tuple})


@cache
def _gpu() -> Backend:
    cupy, kernels = load_gpu()
    return Backend("gpu", cupy, cupy.ndarray, kernels)


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
        If NumPy and CuPy arrays are mixed.
    BackendUnavailableError
        If there is a CuPy array and the GPU backend cannot run here.
    """
    on_gpu = [name for name, array in arrays.items() if type(array) not in NEVER_ON_GPU and _is_cupy(array)]
    if not on_gpu:
        return CPU
    on_cpu = [name for name, array in arrays.items() if isinstance(array, np.ndarray) and name not in on_gpu]
    if on_cpu:
        raise TypeError(
            f"{on_gpu[0]} is a CuPy array and {on_cpu[0]} a NumPy array; bring them to one side with "
            f"cupy.asarray({on_cpu[0]}) or {on_gpu[0]}.get()"
        )
    return _gpu()


def _is_cupy(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "cupy"
