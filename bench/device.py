"""Where a run computes: whose arrays its cells have, how random ones are made, and which clock times a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from softgrad.ops.backend import CPU, Backend, get_backend

SEED = 0

# On a GPU arrays repeat a block of so many numbers: drawing all of them on the host would take most of a run.
DRAWN = 1 << 20


@dataclass(frozen=True)
class Device:
    """The processors, or a GPU.

    Attributes
    ----------
    backend
        Whose arrays they are.
    seconds
        ``seconds(call, repeats)``: what a call takes, the mean of so many.
    """

    backend: Backend
    seconds: Callable[[Callable[[], Any], int], float]

    @property
    def xp(self) -> Any:
        """The array module."""
        return self.backend.xp

    def generator(self) -> Any:
        """Random numbers as arrays of this device; the same ones every time."""
        host = np.random.default_rng(SEED)
        return host if self.backend is CPU else _Repeating(host, self.xp)

    def own(self, value: Any) -> Any:
        """A result, anyone's array or number, as an array of this device."""
        if isinstance(value, self.backend.array_type):
            return value
        if self.backend is not CPU and hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray | np.generic):
            return self.xp.from_dlpack(value)
        return self.xp.asarray(value)


class _Repeating:
    """As much of `numpy.random.Generator` as the cases use, for a GPU."""

    def __init__(self, host: np.random.Generator, xp: Any) -> None:
        self._host, self._xp = host, xp

    @cached_property
    def _normal(self) -> Any:
        return self._xp.asarray(self._host.standard_normal(DRAWN, np.float32))

    def standard_normal(self, shape: Any, dtype: Any) -> Any:
        return self._xp.resize(self._normal.astype(dtype), shape)

    def integers(self, low: int, high: int, shape: Any, dtype: Any = np.int64) -> Any:
        size = min(int(np.prod(shape)), DRAWN)
        return self._xp.resize(self._xp.asarray(self._host.integers(low, high, size, dtype)), shape)


def host_seconds(call: Callable[[], Any], repeats: int) -> float:
    """By the host's clock. A GPU need not be done by then: there this is what giving it the work takes."""
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


def gpu_seconds(call: Callable[[], Any], repeats: int) -> float:
    """By the GPU's clock, between two events on its current stream."""
    cuda = get_backend("gpu").xp.cuda
    begin, end = cuda.Event(), cuda.Event()
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return float(cuda.get_elapsed_time(begin, end)) / 1e3 / repeats


PROCESSORS = Device(CPU, host_seconds)


def device_of(backend: str) -> Device:
    """The device of that backend, "cpu" or "gpu".

    Raises
    ------
    BackendUnavailableError
        If it cannot run here.
    """
    return PROCESSORS if backend == "cpu" else Device(get_backend(backend), gpu_seconds)
