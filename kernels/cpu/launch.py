"""How a loop becomes a kernel: compiled once, cached, serial or shared among threads.

A loop is written over a range, ``loop(start, stop, *arguments)``. `over_range` compiles it into a callable
``kernel(size, work, *arguments)`` that runs [0, size) in one piece or in one piece a thread; `sum_over_blocks`
does the same for a loop that returns a number. `work` is the number of elements touched, by which it is decided
whether waking the other threads pays.

The results do not depend on the number of threads: an element is computed by the same code wherever it falls,
and sums are taken over blocks of fixed size, in order. For the same reason no fast-math flag is set, since an
element's bits would then depend on its place in a vector. Where a fused multiply-add is wanted, a formula
says `fma`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange
from numba.extending import register_jitable

import softgrad.kernels.cpu.primitives  # noqa: F401  (registers the overloads that formulas call)
from softgrad.kernels.cache import enable_cache
from softgrad.kernels.cpu.threads import parallel_entry, thread_count

Kernel = Callable[..., Any]

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

# Rows that are summed as one block. Small enough to share 64 rows evenly among 8 threads.
BLOCK_ROWS = 8


def over_range(loop: Kernel, name: str | None = None) -> Kernel:
    """Compile ``loop(start, stop, *arguments)`` into ``kernel(size, work, *arguments)``.

    `name` must tell loops apart that share their source and differ in what they close over.
    """
    loop = _named(loop, name)

    def run(chunks, size, *arguments):
        if chunks == 1:
            loop(0, size, *arguments)
        else:
            for chunk in prange(chunks):
                loop(chunk * size // chunks, (chunk + 1) * size // chunks, *arguments)

    compiled = _compile_parallel(run, loop)

    def kernel(size: int, work: int, *arguments: Any) -> None:
        chunks = min(thread_count(work), size)
        if chunks <= 1:
            compiled(1, size, *arguments)
        else:
            with parallel_entry():
                compiled(chunks, size, *arguments)

    return kernel


def sum_over_blocks(loop: Kernel) -> Kernel:
    """Compile ``loop(start, stop, *arguments) -> float`` into ``kernel(rows, work, *arguments)``, the sum over rows.

    The loop is called for `BLOCK_ROWS` rows at a time and the results are added in order, in float64.
    """
    loop = _named(loop, None)
    block_rows = BLOCK_ROWS

    def run(chunks, rows, *arguments):
        blocks = (rows + block_rows - 1) // block_rows
        total = 0.0
        if chunks == 1:
            for block in range(blocks):
                total += loop(block * block_rows, min((block + 1) * block_rows, rows), *arguments)
        else:
            partial = np.empty(blocks)
            for chunk in prange(chunks):
                for block in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
                    partial[block] = loop(block * block_rows, min((block + 1) * block_rows, rows), *arguments)
            for block in range(blocks):
                total += partial[block]
        return total

    compiled = _compile_parallel(run, loop)

    def kernel(rows: int, work: int, *arguments: Any) -> Any:
        chunks = max(1, min(thread_count(work), -(-rows // BLOCK_ROWS)))
        if chunks == 1:
            return compiled(1, rows, *arguments)
        with parallel_entry():
            return compiled(chunks, rows, *arguments)

    return kernel


def serial(function: Kernel) -> Kernel:
    """Compile a function that is quicker than waking threads whatever its size."""
    return enable_cache(njit(**OPTIONS)(function))


def _named(loop: Kernel, name: str | None) -> Kernel:
    loop.__qualname__ = name or loop.__qualname__
    return register_jitable(loop)


def _compile_parallel(run: Kernel, loop: Kernel) -> Kernel:
    # The linker knows compiled functions by their qualified names. Two kernels that were compiled in two
    # processes and are loaded from the cache by a third must not share one.
    run.__qualname__ = f"{loop.__module__}.{loop.__qualname__}"
    return enable_cache(njit(parallel=True, **OPTIONS)(run))
