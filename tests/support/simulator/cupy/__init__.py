"""A stand-in for CuPy where there is no GPU: NumPy's arrays under another type, for Numba's CUDA simulator.

It has what softgrad asks of CuPy and no more: arrays that are not NumPy's, `get`, the functions of the same names, and
a device that is there.
"""

from __future__ import annotations

from typing import Any

import numpy

from . import cuda as cuda


class ndarray(numpy.ndarray):
    """An array that lives, for all who ask, on the GPU."""

    def get(self) -> numpy.ndarray:
        """A copy on the host."""
        return numpy.array(self, subok=False)


def __getattr__(name: str) -> Any:
    found = getattr(numpy, name)
    if isinstance(found, type) or not callable(found):
        return found

    def function(*arguments: Any, **options: Any) -> Any:
        result = found(*arguments, **options)
        return result.view(ndarray) if type(result) is numpy.ndarray else result

    return function
