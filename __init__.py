"""softgrad: fast, exact, fused array kernels for classification, on NumPy and CuPy arrays."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

__all__ = ["__version__", "formulas", "ops"]

if TYPE_CHECKING:
    from softgrad import formulas, ops


def __getattr__(name: str) -> Any:
    # They bring Numba with them (about half a second); `softgrad --help` need not wait for that.
    if name in ("formulas", "ops"):
        return importlib.import_module(f"softgrad.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
