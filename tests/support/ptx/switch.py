"""Has softgrad's own launching code run over the interpreter: the machine code that CuPy is given is the PTX itself.

``SOFTGRAD_PTX=sm_90`` turns it on, in `tests/conftest.py`; ``SOFTGRAD_PTX_ORDER`` is the order of warps and blocks.
"""

from __future__ import annotations

from ptx import store
from softgrad.kernels import cache
from softgrad.kernels.cuda import launch

linked = launch.link  # what links in earnest


def turn_on() -> None:
    """Replace what links a kernel's PTX, and where kernels are kept."""
    cache.cache_folder = store.folder
    launch.Kernel.lowered = store.lowered
    launch.link = lambda ptx, capability: (ptx.encode(), "")
