"""What a card would make of a kernel's counts: a model of three bounds, the largest of which is the time.

Moving its sectors; issuing its instructions; and waiting for memory once for all blocks that fit on the card together,
as often as it takes until all blocks have run. Nothing here was measured on a card: `make gpu-check` measures there
what the model predicts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WARP = 32
SECTOR_BYTES = 32

# Of a warp that is issued to one of a processor's four schedulers, in cycles; and how much of the slots are used when
# nothing else limits: dependent instructions leave some empty.
SCHEDULERS = 4
ISSUE_EFFICIENCY = 0.8

# Registers are given to warps in so many, shared memory to blocks in so many bytes beside the driver's own.
REGISTERS, REGISTER_UNIT = 65_536, 256
SHARED_UNIT, DRIVER_SHARED_BYTES = 128, 1024
MOST_THREADS, MOST_BLOCKS = 2048, 32


@dataclass(frozen=True)
class Card:
    """A GPU, as its maker describes it.

    Attributes
    ----------
    processors, clock
        Streaming multiprocessors, and their cycles a second.
    copy_rate
        Bytes a second, read and written, of the best copy: nine tenths of what the memory is said to do.
    latency
        Seconds from a load to its bytes, where the memory is busy.
    shared_bytes
        Of a processor.
    """

    name: str
    processors: int
    clock: float
    copy_rate: float
    latency: float
    shared_bytes: int


H100 = Card("H100", 132, 1.755e9, 0.9 * 3.35e12, 800e-9, 228 << 10)
H200 = Card("H200", 132, 1.755e9, 0.9 * 4.8e12, 800e-9, 228 << 10)
CARDS = (H100, H200)


@dataclass(frozen=True)
class Shape:
    """A kernel as a processor makes room for it."""

    threads: int
    registers: int
    shared_bytes: int

    def blocks(self, card: Card) -> int:
        """How many blocks a processor holds."""
        warps = -(-self.threads // WARP)
        of_warp = -(-self.registers * WARP // REGISTER_UNIT) * REGISTER_UNIT
        shared = -(-self.shared_bytes // SHARED_UNIT) * SHARED_UNIT + DRIVER_SHARED_BYTES
        return min(
            MOST_BLOCKS, MOST_THREADS // (warps * WARP), REGISTERS // (of_warp * warps), card.shared_bytes // shared
        )


def seconds(card: Card, shape: Shape, grid: int, slots: int, sectors: int) -> float:
    """How long a launch takes, without what it costs to launch it.

    Parameters
    ----------
    grid
        The blocks.
    slots, sectors
        Warp instructions, and sectors read and written, of all blocks.
    """
    busy = min(card.processors, grid)
    moving = sectors * SECTOR_BYTES / card.copy_rate
    issuing = slots / (busy * SCHEDULERS * card.clock * ISSUE_EFFICIENCY)
    waves = grid / (busy * min(shape.blocks(card), math.ceil(grid / busy)))
    return max(moving, issuing, waves * card.latency)
