"""How the elements of a row are shared out among threads and their registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from softgrad.kernels.cuda.memory import lanes_for
from softgrad.kernels.cuda.teams import WARP
from softgrad.kernels.simd.half import number_dtype

# A thread's registers hold so many elements of a row beside what the work on them takes.
MOST_ITEMS = {"f": 16, "d": 8}
# And so many where a row lies in the registers more than once.
MOST_TWICE = {"f": 4, "d": 2}

# The most threads of a block.
MOST_THREADS = {"f": 1024, "d": 512}

# The registers of a processor of the GPU, and of a thread: with 80 there is room for six blocks of 128 threads, whose
# loads and stores then overlap.
REGISTER_FILE = 65_536
MOST_REGISTERS = {"f": 80, "d": 144}

# The fewest threads that share a row which they read in packs: theirs fill whole sectors of memory.
FEWEST_THREADS = 4

# The threads of a block whose rows are no more than a warp's.
WARPS_THREADS = 128

# Rows that pass through shared memory: the most elements of a thread, once and more than once, classes of a row, and
# threads of a block.
STAGED_ITEMS = 16
STAGED_TWICE = 6
STAGED_CLASSES = 128
STAGED_THREADS = 128


@dataclass(frozen=True)
class Plan:
    """How a row lies in the registers of the threads that share it.

    Attributes
    ----------
    threads
        That share a row: 1, neighbours in a warp, or all of a block.
    rows
        That a block takes.
    packs, lanes
        Every thread has so many packs of so many neighbours.
    number
        The character of the dtype computed in.
    staged
        The classes of a row that passes through shared memory; 0 for one that threads read and write themselves.
    """

    threads: int
    rows: int
    packs: int
    lanes: int
    number: str
    staged: int = 0

    @property
    def items(self) -> int:
        """How many elements a thread has."""
        return self.packs * self.lanes

    @property
    def width(self) -> int:
        """How many classes fit."""
        return self.threads * self.items

    @property
    def block_threads(self) -> int:
        """The threads of a block."""
        return self.threads * self.rows

    @property
    def blocks_together(self) -> int:
        """How many blocks a processor of the GPU must have registers for, at least."""
        return max(1, REGISTER_FILE // (MOST_REGISTERS[self.number] * self.block_threads))


def plan_for(classes: int, *arrays: Any, twice: bool = False) -> Plan:
    """The plan for rows of so many classes; a row, or part of one, that is wider than the plan's width is `wide`.

    Kernels that hold a row more than once ask for fewer elements a thread.
    """
    return _plan(classes, lanes_for(*arrays, row=classes), number_dtype(arrays[0].dtype).char, twice)


@cache
def _plan(classes: int, lanes: int, number: str, twice: bool) -> Plan:
    """Narrow rows are staged, unless packs of theirs fill the threads' registers."""
    most_items, most_staged = (MOST_TWICE, STAGED_TWICE) if twice else (MOST_ITEMS, STAGED_ITEMS)
    lanes = min(lanes, most_items[number])
    direct = _in_registers(classes, lanes, number, most_items[number])
    if classes > STAGED_CLASSES or (classes > most_staged and lanes > 1 and direct.width == classes):
        return direct
    threads = 1
    while threads * most_staged < classes:
        threads *= 2
    return Plan(threads, STAGED_THREADS // threads, -(-classes // threads), 1, number, classes)


@cache
def _in_registers(classes: int, lanes: int, number: str, most_items: int) -> Plan:
    most_packs, most_threads = most_items // lanes, MOST_THREADS[number]
    threads = FEWEST_THREADS
    while threads < most_threads and threads * lanes * most_packs < classes:
        threads *= 2
    parts = -(-classes // (threads * lanes * most_packs))  # of like size, and not the last of a few elements
    packs = -(-classes // (parts * threads * lanes))
    return Plan(threads, WARPS_THREADS // threads if threads <= WARP else 1, packs, lanes, number)
