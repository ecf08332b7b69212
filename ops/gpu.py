"""What the GPU backend needs, and which of it is missing where it cannot run."""

from __future__ import annotations

import ctypes
import importlib
import sys
from types import ModuleType
from typing import Any

from softgrad.kernels import Kernels

# The versions of CUDA for which there is an extra: softgrad[cuda12], softgrad[cuda13].
MAJORS = (12, 13)

INSTEAD = "or use NumPy arrays and the cpu backend"


class BackendUnavailableError(RuntimeError):
    """The backend asked for cannot run here; the message says what is missing."""


def load_gpu() -> tuple[ModuleType, Kernels]:
    """CuPy and `softgrad.kernels.cuda`, where a GPU can be used.

    Raises
    ------
    BackendUnavailableError
        If it cannot: no driver, no CuPy, no numba-cuda, a CuPy built for a newer CUDA than the driver's, or no GPU.
        The message says which, and what to install.
    """
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise _unavailable(*_without_cupy(error)) from error
    if cupy.cuda.is_available():
        try:
            from softgrad.kernels import cuda
        except ImportError as error:
            remedy = f"pip install 'softgrad[cuda{_major(cupy.cuda.runtime.runtimeGetVersion())}]'"
            raise _unavailable(f"a package beside CuPy is missing ({error})", remedy) from error
        return cupy, cuda
    raise _unavailable(*_without_card(cupy))


def _unavailable(what: str, remedy: str) -> BackendUnavailableError:
    return BackendUnavailableError(f"the GPU backend cannot run: {what}; {remedy}, {INSTEAD}")


def _without_cupy(error: ImportError) -> tuple[str, str]:
    driver = driver_version()
    if driver is None:
        return f"no NVIDIA driver is found, nor CuPy ({error})", "it needs an NVIDIA GPU with its driver"
    return f"CuPy cannot be imported ({error})", f"pip install 'softgrad[cuda{_extra(driver)}]'"


def _without_card(cupy: Any) -> tuple[str, str]:
    driver, built_for = driver_version(), _major(cupy.cuda.runtime.runtimeGetVersion())
    if driver is None:
        return "CuPy is there, but no NVIDIA driver is found", "install the driver of an NVIDIA GPU"
    if _major(driver) < built_for:
        remedy = f"update the driver, or pip uninstall cupy-cuda{built_for}x and pip install"
        return (
            f"CuPy is built for CUDA {built_for} and the driver knows CUDA {_major(driver)} at most",
            f"{remedy} 'softgrad[cuda{_extra(driver)}]'",
        )
    return "the NVIDIA driver finds no GPU", "see that nvidia-smi lists one and CUDA_VISIBLE_DEVICES does not hide it"


def driver_version() -> int | None:
    """The newest CUDA the NVIDIA driver knows, as in 12040 for 12.4; None without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int()
    return version.value if driver.cuDriverGetVersion(ctypes.byref(version)) == 0 else None


def _major(version: int) -> int:
    return version // 1000


def _extra(driver: int) -> int:
    """The newest extra that such a driver can run."""
    return max((major for major in MAJORS if major <= _major(driver)), default=MAJORS[0])
