"""How much of the machine others used while we measured: a loaded machine slows some packages far more than others.

An OpenMP thread that finds its partner displaced by another process waits for a whole time slice, 4 to 16 ms.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

STATISTICS = Path("/proc/stat")

# From this share on, the report warns.
BUSY = 0.1


@dataclass(frozen=True)
class Clock:
    """Processor seconds at one moment: of the whole machine, and of this process."""

    elapsed: float
    machine: float
    own: float

    @classmethod
    def now(cls) -> Clock | None:
        """The moment's clock; None where the system does not tell (it does on Linux)."""
        try:
            with STATISTICS.open() as file:
                user, nice, system, _idle, _waiting, *rest = (int(ticks) for ticks in file.readline().split()[1:9])
        except (OSError, ValueError):
            return None
        machine = (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
        return cls(time.monotonic(), machine, time.process_time())


def share_of_others(before: Clock | None) -> float | None:
    """The share of all processors that other processes took since `before`, from 0 to 1."""
    after = Clock.now()
    if before is None or after is None:
        return None
    others = (after.machine - before.machine) - (after.own - before.own)
    capacity = (after.elapsed - before.elapsed) * (os.cpu_count() or 1)
    return min(max(others / capacity, 0.0), 1.0)
