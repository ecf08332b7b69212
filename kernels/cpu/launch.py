"""How a loop becomes a kernel: compiled once, cached, serial or shared among threads.

A loop is written over a range, ``loop(start, stop, *arguments)``. `over_range` compiles it into a callable
``kernel(size, nbytes, *arguments)`` that runs [0, size) in one piece or in one piece a thread; `sum_over_blocks`
and `sum_over_elements` do the same for a loop that returns a number. `nbytes` is the size of the array it goes through,
by which it is decided whether waking the other threads pays. Each way is compiled when it is first taken.

The results do not depend on the number of threads: an element is computed by the same code wherever it falls,
and sums are taken over blocks of fixed size, in order. For the same reason no fast-math flag is set, since an
element's bits would then depend on its place in a vector. Where a fused multiply-add is wanted, a formula
says `fma`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

import softgrad.kernels.simd.primitives  # noqa: F401  (registers the overloads that formulas call)
from softgrad.kernels.cache import enable_cache
from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.memory import Put, empty_numbers, end_stream, holds_numbers, past_cache, through_cache
from softgrad.kernels.cpu.threads import parallel_entry, thread_count
from softgrad.kernels.cpu.tiles import TILE
from softgrad.kernels.formulas.jit import jitable, named

# An array for loops that take one and are asked for none.
NONE = {dtype: np.empty(0, dtype) for dtype in map(np.dtype, (np.float32, np.float64))}

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

# Bytes read and written from which a result is streamed past the cache (`memory`). With less, measured where the
# last-level cache has 32 MB, the result is still there when it is read next, and ordinary stores are as quick.
STREAM_BYTES = 40 << 20

# Rows that are summed as one block: of narrow rows many tiles, since the end of a block is a chain of operations that
# wait for each other; of wider rows as many as a tile has, so that there is something to share among threads.
BLOCK_ROWS, NARROW_BLOCK_ROWS = TILE, 16 * TILE

# Elements that are summed as one block: enough that what it takes to begin one, 100 ns, does not show.
BLOCK_ELEMENTS = 16 * TILE * TILE


class Kernel(NamedTuple):
    """A loop compiled twice: ``serial(size, *arguments)`` for one thread, ``shared(size, *arguments)`` for several."""

    serial: Callable[..., Any]
    shared: Callable[..., Any]

    def __call__(self, size: int, nbytes: int, *arguments: Any) -> Any:
        """Run the loop over [0, size); `nbytes` is the size of the array it goes through."""
        return (self.serial if nbytes < threads.PARALLEL_BYTES else self.shared)(size, *arguments)


def _kernel(loop: Callable[..., Any], run: Callable[..., Any], run_parallel: Callable[..., Any], piece: int) -> Kernel:
    """The kernel of ``run(size, *arguments)`` and ``run_parallel(chunks, size, *arguments)``, both made from `loop`.

    A chunk has at least `piece` of the range. What small arrays never need is prepared when it is first called for.
    """
    in_one = _compile(run, loop)
    in_chunks = cache(lambda: _compile(run_parallel, loop, parallel=True))

    def shared(size: int, *arguments: Any) -> Any:
        chunks = min(thread_count(), -(-size // piece))
        if chunks <= 1:
            return in_one(size, *arguments)
        with parallel_entry():
            return in_chunks()(chunks, size, *arguments)

    return Kernel(in_one, shared)


def over_range(loop: Callable[..., Any], *, streams: bool = False) -> Kernel:
    """Compile ``loop(start, stop, *arguments)`` into a kernel that runs [0, size), in one piece or one a thread.

    `streams` says that the loop writes past the cache.
    """
    loop = jitable(loop)

    def run(size, *arguments):
        loop(0, size, *arguments)
        if streams:
            end_stream()

    def run_parallel(chunks, size, *arguments):
        for chunk in prange(chunks):
            loop(chunk * size // chunks, (chunk + 1) * size // chunks, *arguments)
            if streams:
                end_stream()

    return _kernel(loop, run, run_parallel, 1)


def by_size(build: Callable[[Put], Kernel], arrays: int) -> Callable[..., Any]:
    """A kernel in two versions, of which the second streams its result, the last argument, past the cache.

    `arrays` is the number of arrays of the result's size that are read or written.
    """
    stored, streamed = build(through_cache), cache(lambda: build(past_cache))

    def kernel(size: int, nbytes: int, *arguments: Any) -> Any:
        if nbytes < threads.PARALLEL_BYTES:
            return stored.serial(size, *arguments)
        return (streamed() if arrays * arguments[-1].nbytes >= STREAM_BYTES else stored).shared(size, *arguments)

    return kernel


def sum_over_blocks(loop: Callable[..., Any], *, streams: bool = False, keeps_row: bool = False) -> Kernel:
    """Compile ``loop(start, stop, scratch, *arguments) -> float`` into a kernel that returns the sum over all rows.

    The loop is called for a block of rows of the first argument at a time, `BLOCK_ROWS`, or `NARROW_BLOCK_ROWS` if they
    fit a tile; the results are added in order, in float64. `scratch` is for the loop's own use, three rows and a tile
    of what that argument is computed in: the rows have a number for each row of a block, and if the loop `streams` or
    `keeps_row`, or the argument holds 16-bit floats, at least as many as the argument's.
    """
    loop = jitable(loop)
    whole_rows = streams or keeps_row

    def scratch_for(x):
        wide = whole_rows or not holds_numbers(x)
        row = max(NARROW_BLOCK_ROWS, x.shape[1]) if wide else NARROW_BLOCK_ROWS
        return empty_numbers((3, row), x), empty_numbers(TILE * TILE, x)

    return _sum_over(loop, jitable(scratch_for), _block_rows, BLOCK_ROWS, streams)


def sum_over_elements(loop: Callable[..., Any]) -> Kernel:
    """Compile ``loop(start, stop, scratch, *arguments) -> float`` into a kernel that returns the sum over all elements.

    The loop is called for a block of `BLOCK_ELEMENTS` at a time; the results are added in order, in float64. `scratch`
    is for its own use, a vector of what the first argument is computed in.
    """
    return _sum_over(jitable(loop), _vector_for, _block_elements, BLOCK_ELEMENTS, False)


@jitable
def _vector_for(x):
    return empty_numbers(TILE, x)


@jitable
def _block_elements(x):
    return BLOCK_ELEMENTS


@jitable
def _block_rows(x):
    return NARROW_BLOCK_ROWS if x.shape[1] <= TILE else BLOCK_ROWS


def _sum_over(
    loop: Callable[..., Any],
    scratch_for: Callable[..., Any],
    block_of: Callable[..., Any],
    piece: int,
    streams: bool,
) -> Kernel:
    """The kernel that adds what the loop returns of each block, so many rows or elements of the first argument."""

    def run(size, *arguments):
        scratch = scratch_for(arguments[0])
        block_size = block_of(arguments[0])
        total = 0.0
        for start in range(0, size, block_size):
            total += loop(start, min(start + block_size, size), scratch, *arguments)
        if streams:
            end_stream()
        return total

    def run_parallel(chunks, size, *arguments):
        block_size = block_of(arguments[0])
        blocks = (size + block_size - 1) // block_size
        partial = np.empty(blocks)
        for chunk in prange(chunks):
            scratch = scratch_for(arguments[0])
            for block in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
                start = block * block_size
                partial[block] = loop(start, min(start + block_size, size), scratch, *arguments)
            if streams:
                end_stream()
        total = 0.0
        for block in range(blocks):
            total += partial[block]
        return total

    return _kernel(loop, run, run_parallel, piece)


def flat(array: Any) -> Any:
    """A contiguous array with one axis, in which elementwise kernels take theirs."""
    return array if array.ndim == 1 else array.reshape(-1)


def flattened(*arrays: Any) -> tuple[Any, ...]:
    """Contiguous arrays of one shape, each as `flat`."""
    return arrays if arrays[0].ndim == 1 else tuple(map(flat, arrays))


def serial(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that is quicker than waking threads whatever its size."""
    return enable_cache(njit(**OPTIONS)(function))


def _compile(run: Callable[..., Any], loop: Callable[..., Any], *, parallel: bool = False) -> Callable[..., Any]:
    # Two loops of one name in two modules run under the same code: the module tells them apart.
    return enable_cache(njit(parallel=parallel, no_cfunc_wrapper=True, **OPTIONS)(named(run, loop.__module__)))
