"""Numba's CUDA simulator with warps: the threads of a block take turns, and may exchange values.

Numba's own simulator gives every CUDA thread a thread of the operating system and knows no warp operations. Here each
is a greenlet that runs until it comes to a barrier. That is tens of times quicker, always in the same order, and it
finds what a GPU would hang or go wrong on: a barrier that some threads of a block never reach, a warp operation after
a lane has returned, and, by running the threads in another `order`, results that need a barrier which is missing.

Needs ``NUMBA_ENABLE_CUDASIM=1`` before Numba is imported. A clean room for tests, not for timing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet
from numba.cuda.simulator import kernel as simulator
from numba.cuda.simulator import kernelapi

WARP = 32

# "forward", "reverse", or a number that seeds a shuffle.
order: str | int = "forward"


class _Thread:
    """One CUDA thread, with the attributes that Numba's simulator reads from it."""

    def __init__(self, manager: BlockManager, number: int, block: Any) -> None:
        x, y, _ = manager.block_dim
        self.threadIdx = kernelapi.Dim3(number % x, number // x % y, number // (x * y))
        self.blockIdx = block
        self.thread_id = number
        self.manager = manager
        self.waits_for: str | None = None
        self.offered: Any = None
        self.greenlet = _Greenlet(manager.run_kernel, manager.hub)
        self.greenlet.thread = self

    def syncthreads(self) -> None:
        self._wait("block")

    def syncwarp(self) -> None:
        self._wait("warp")

    def exchange(self, value: Any) -> list[Any]:
        """Give a value and get those of the whole warp."""
        self.offered = value
        self._wait("warp")
        values = [thread.offered for thread in self.manager.warp_of(self)]
        self._wait("warp")
        return values

    def _wait(self, what: str) -> None:
        self.waits_for = what
        self.manager.hub.switch()


class _Greenlet(greenlet):
    thread: _Thread


class _Threading:
    """Stands for the module `threading` in the simulator, which asks it for the current thread."""

    @staticmethod
    def current_thread() -> _Thread:
        return _current()


class BlockManager:
    """Runs the threads of a block, each up to its next barrier, in turns; made by Numba for every launch."""

    def __init__(self, function: Callable[..., None], grid_dim: Any, block_dim: Any, debug: bool) -> None:
        self.function, self.grid_dim, self.block_dim = function, grid_dim, block_dim
        self.hub = getcurrent()
        self.threads: list[_Thread] = []

    def run_kernel(self, *arguments: Any) -> None:
        with np.errstate(all="ignore"):  # a GPU raises no flags
            self.function(*arguments)

    def warp_of(self, thread: _Thread) -> list[_Thread]:
        first = thread.thread_id // WARP * WARP
        return self.threads[first : first + WARP]

    def run(self, grid_point: Any, *arguments: Any) -> None:
        self.hub = getcurrent()
        block = kernelapi.Dim3(*grid_point)
        self.threads = [_Thread(self, number, block) for number in range(int(np.prod(self.block_dim)))]
        turns = list(self.threads)
        if order == "reverse":
            turns.reverse()
        elif order != "forward":
            random.Random(order).shuffle(turns)
        for thread in turns:
            self._resume(thread, *arguments)
        while live := [thread for thread in turns if not thread.greenlet.dead]:
            self._release(live, grid_point)
            for thread in live:
                if thread.waits_for is None:
                    self._resume(thread)

    def _resume(self, thread: _Thread, *arguments: Any) -> None:
        try:
            thread.greenlet.switch(*arguments)
        except Exception as error:
            place = f"thread {tuple(thread.threadIdx)} of block {tuple(thread.blockIdx)}"
            raise type(error)(f"{place}: {error}") from error

    def _release(self, live: list[_Thread], grid_point: Any) -> None:
        """Let those go on whose barrier all have reached."""
        released = False
        for first in range(0, len(self.threads), WARP):
            warp = self.threads[first : first + WARP]
            alive = [thread for thread in warp if not thread.greenlet.dead]
            if alive and all(thread.waits_for == "warp" for thread in alive):
                if len(alive) != len(warp):
                    raise RuntimeError(f"a warp operation after a lane has returned, in block {tuple(grid_point)}")
                released = True
                for thread in alive:
                    thread.waits_for = None
        if all(thread.waits_for == "block" for thread in live):
            if len(live) != len(self.threads):
                raise RuntimeError(f"a barrier after a thread has returned, in block {tuple(grid_point)}")
            released = True
            for thread in live:
                thread.waits_for = None
        if not released:
            waits = {thread.thread_id: thread.waits_for for thread in live}
            raise RuntimeError(f"a barrier that not all threads reach, in block {tuple(grid_point)}: {waits}")


def _current() -> _Thread:
    return getcurrent().thread


def _shfl_xor_sync(_: Any, mask: int, value: Any, distance: int) -> Any:
    thread = _current()
    return thread.exchange(value)[(thread.thread_id % WARP) ^ distance]


def _syncwarp(_: Any) -> None:
    _current().syncwarp()


def install() -> None:
    """Have Numba's simulator run kernels by this scheduler."""
    simulator.BlockManager = BlockManager
    kernelapi.threading = _Threading
    kernelapi.FakeCUDAModule.shfl_xor_sync = _shfl_xor_sync
    kernelapi.FakeCUDAModule.syncwarp = _syncwarp
