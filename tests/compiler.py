"""Is there what compiles kernels for a card?"""

from __future__ import annotations

import pytest
from numba.core import config


def needed() -> None:
    """Skip the tests of a file where there is none."""
    if config.ENABLE_CUDASIM:
        pytest.skip("the simulator compiles nothing", allow_module_level=True)
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        for library in ("nvrtc", "nvvm", "nvJitLink"):
            load_nvidia_dynamic_lib(library)
    except (ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        pytest.skip(f"compiling for a card needs softgrad[compile] ({reason[:80]})", allow_module_level=True)
