"""softgrad: fast, exact, fused array kernels for classification, on NumPy and CuPy arrays."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

__all__ = ["__version__", "ops"]

if TYPE_CHECKING:
    from softgrad import ops


def __getattr__(name: str) -> Any:
    # `ops` brings Numba with it (about half a second); `softgrad --help` need not wait for that.
    if name == "ops":
        return importlib.import_module("softgrad.ops")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
