"""How the elements of a row are shared out among threads and their registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from softgrad.kernels.cuda.memory import PACK_BYTES, lanes_for
from softgrad.kernels.cuda.teams import WARP
from softgrad.kernels.simd.half import number_dtype

# A thread's registers hold so many elements of a row beside what the work on them takes.
MOST_ITEMS = {"f": 16, "d": 8}
# And so many where a row lies in the registers more than once.
MOST_TWICE = {"f": 4, "d": 2}
# A quarter more fits the threads of a block of no more than so many.
FEWER_THREADS = 512

# The most threads of a block.
MOST_THREADS = {"f": 1024, "d": 512}

# The registers of a processor of the GPU, and of a thread: with 80 there is room for six blocks of 128 threads, whose
# loads and stores then overlap.
REGISTER_FILE = 65_536
MOST_REGISTERS = {"f": 80, "d": 144}

# The fewest threads that share a row which they read in packs: theirs fill whole sectors of memory.
FEWEST_THREADS = 4

# What a thread's share of the reductions costs, in elements; what lies beyond a row costs as much as what is in it.
REDUCTION_ELEMENTS = 4

# The threads of a block whose rows are no more than a warp's.
WARPS_THREADS = 128

# Rows that pass through shared memory: the most elements of a thread, once and more than once, classes of a row, and
# threads of a block. With 17 rows of 17, 33 and 65 classes, too, are few threads' whose places are in many banks.
STAGED_ITEMS = 17
STAGED_TWICE = 6
STAGED_CLASSES = 128
STAGED_THREADS = 128


@dataclass(frozen=True)
class Plan:
    """How a row lies in the registers of the threads that share it.

    Attributes
    ----------
    threads
        That share a row: 1, neighbours in a warp, or the warps of a block.
    rows
        That a block takes.
    packs, lanes
        Every thread has so many packs of so many neighbours.
    number
        The character of the dtype computed in.
    staged
        The classes of a row that passes through shared memory; 0 for one that threads read and write themselves.
    copied
        How many neighbours a thread copies at once on that way.
    ragged
        Rows begin anywhere, and packs at multiples of sixteen bytes: of the first and the last of a row a part is its.
    full
        So many packs of every thread are in the row, but for a ragged one's first; 0 if a block may have fewer rows.
    """

    threads: int
    rows: int
    packs: int
    lanes: int
    number: str
    staged: int = 0
    copied: int = 1
    ragged: bool = False
    full: int = 0

    @property
    def items(self) -> int:
        """How many elements a thread has."""
        return self.packs * self.lanes

    @property
    def columns(self) -> int:
        """How many elements the threads have."""
        return self.threads * self.items

    @property
    def width(self) -> int:
        """How many classes fit, wherever a row begins."""
        return self.columns - (self.lanes - 1 if self.ragged else 0)

    @property
    def block_threads(self) -> int:
        """The threads of a block."""
        return self.threads * self.rows

    @property
    def blocks_together(self) -> int:
        """How many blocks a processor of the GPU must have registers for, at least."""
        return max(1, REGISTER_FILE // (MOST_REGISTERS[self.number] * self.block_threads))


def plan_for(classes: int, *arrays: Any, twice: bool = False, more: bool = True) -> Plan:
    """The plan for rows of so many classes; of one that is wider than the plan's width it is that of a part.

    Kernels that hold a row more than once ask for fewer elements a thread; those that have registers for no `more` than
    `MOST_ITEMS`, or a pack less where rows begin anywhere, say so: on sm_80 they spill.
    """
    return _plan(classes, lanes_for(*arrays), number_dtype(arrays[0].dtype).char, twice, more and not twice)


@cache
def _plan(classes: int, lanes: int, number: str, twice: bool, more: bool) -> Plan:
    """Narrow rows are staged, unless packs of theirs fill the threads' registers, or a row is one pack."""
    most_items, most_staged = (MOST_TWICE, STAGED_TWICE) if twice else (MOST_ITEMS, STAGED_ITEMS)
    lanes = min(lanes, most_items[number])
    direct = _in_registers(classes, lanes, number, most_items[number], more, not (more or twice))
    fills = lanes > 1 and direct.columns == classes and (classes > most_staged or direct.threads == 1)
    if classes > STAGED_CLASSES or fills:
        return direct
    threads = 1
    while threads * most_staged < classes:
        threads *= 2
    rows = STAGED_THREADS // threads
    copied = min(lanes, PACK_BYTES // np.dtype(number).itemsize)
    copied = copied if rows * classes % copied == 0 else 1  # a block's rows begin where a pack may
    return Plan(threads, rows, -(-classes // threads), 1, number, classes, copied)


def _in_registers(classes: int, lanes: int, number: str, most_items: int, more: bool, less: bool) -> Plan:
    """The plan that costs least of those with room for a row, or for its parts, which are of like size."""
    ragged = classes % lanes > 0
    most_packs = most_items // lanes - less * ragged
    limits = [(most_packs, MOST_THREADS[number]), (most_packs * 5 // 4 if more else most_packs, FEWER_THREADS)]
    room = classes + (lanes - 1 if ragged else 0)
    parts = -(-room // (MOST_THREADS[number] * lanes * most_packs))
    needed = -(-room // (parts * lanes))  # packs
    shares = []
    for limit, most_threads in limits:
        for packs in range(limit, 0, -1):
            threads = 1 if needed == 1 else _threads_of(-(-needed // packs))
            if threads <= min(most_threads, MOST_THREADS[number]):
                shares.append((threads * (packs * lanes + REDUCTION_ELEMENTS), threads, packs))
    _, threads, packs = min(shares)
    rows = WARPS_THREADS // threads if threads <= WARP else 1
    full = classes // (threads * lanes) if rows == parts == 1 else 0
    return Plan(threads, rows, packs, lanes, number, ragged=ragged, full=full)


def _threads_of(fewest: int) -> int:
    """So many threads, or a few more: a part of a warp, or whole warps."""
    if fewest > WARP:
        return -(-fewest // WARP) * WARP
    threads = FEWEST_THREADS
    while threads < fewest:
        threads *= 2
    return threads
