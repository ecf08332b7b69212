"""What tests of GPUs need: a GPU, or what compiles for one. Where it is not there, they are skipped."""

from __future__ import annotations

import os

import pytest
from numba.core import config

from softgrad.ops.backend import Backend, get_backend
from softgrad.ops.gpu import BackendUnavailableError

# Are kernels executed as PTX, or by the simulator? CuPy and the GPU are stand-ins then.
EXECUTED = "SOFTGRAD_PTX" in os.environ
STAND_IN = EXECUTED or bool(config.ENABLE_CUDASIM)


def gpu_or_skip() -> Backend:
    """The GPU backend; skips the test, or the module that asks at its import, if it cannot run."""
    try:
        return get_backend("gpu")
    except BackendUnavailableError as error:
        pytest.skip(str(error), allow_module_level=True)


def gpu_compiler_or_skip() -> None:
    """Skips the module that asks at its import if kernels for GPUs cannot be compiled."""
    if config.ENABLE_CUDASIM:
        pytest.skip("the simulator compiles nothing", allow_module_level=True)
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        for library in ("nvrtc", "nvvm", "nvJitLink"):
            load_nvidia_dynamic_lib(library)
    except (ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        pytest.skip(f"compiling for a GPU needs softgrad[compile] ({reason[:80]})", allow_module_level=True)


def interpreter_or_skip() -> None:
    """Skips the module that asks at its import if the interpreter of PTX cannot be built."""
    from ptx.building import NoCompilerError, library

    try:
        library()
    except NoCompilerError as error:
        pytest.skip(str(error), allow_module_level=True)
