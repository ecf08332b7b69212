"""The machine's own copy rate, or a GPU's: what a kernel that only moves memory could reach in the same run."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from softgrad.bench.device import PROCESSORS, Device

# Well beyond a last-level cache: copies of this size go to memory and back.
COPIED_BYTES = 256 << 20
COPIES = 5


def copy_rate(threads: int) -> float:
    """GB/s read plus written by plain copies, shared equally among so many threads; the median of five.

    `numpy.copyto` is the C library's memcpy, and it lets other Python threads run.
    """
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.zeros(COPIED_BYTES, np.uint8)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(COPIES):
            started = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            seconds.append(time.perf_counter() - started)
    return 2 * COPIED_BYTES / statistics.median(seconds) / 1e9


def copy_rate_of(device: Device, threads: int, elements: int) -> float:
    """The processors' rate with so many threads, or the GPU's for arrays of so many elements."""
    return copy_rate(threads) if device is PROCESSORS else gpu_copy_rate(device, elements)


def gpu_copy_rate(device: Device, elements: int) -> float:
    """GB/s read plus written by a plain copy of so many float32 on a GPU; the median of five."""
    source, target = device.xp.ones(elements, np.float32), device.xp.zeros(elements, np.float32)
    seconds = [device.seconds(lambda: device.xp.copyto(target, source), 5) for _ in range(COPIES)]
    return 2 * int(source.nbytes) / statistics.median(seconds) / 1e9
