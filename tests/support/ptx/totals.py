"""What launches come to: their number, the kernels, and the share of their instructions that were executed.

python -m ptx.totals FOLDER    those of all processes that have written theirs there
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ptx.execution import Counts, settings
from ptx.reading import Program


@dataclass
class Kernel:
    """A kernel of one architecture, for the dtypes that its name has: how often, and what of it was executed."""

    launches: int
    executed: np.ndarray


@dataclass
class Totals:
    slots: int = 0
    kernels: dict[tuple[int, str], Kernel] = field(default_factory=dict)

    def add(self, key: tuple[int, str], launches: int, executed: np.ndarray) -> None:
        kernel = self.kernels.setdefault(key, Kernel(0, np.zeros(len(executed), bool)))
        kernel.launches += launches
        kernel.executed |= executed

    def write(self, folder: Path) -> None:
        """For `read`, in a file of this process's own."""
        folder.mkdir(parents=True, exist_ok=True)
        kernels = [(*key, one.launches, one.executed.astype(int).tolist()) for key, one in self.kernels.items()]
        Path(folder, f"{os.getpid()}.json").write_text(json.dumps([self.slots, kernels]))

    def read(self, folder: Path) -> None:
        for file in folder.glob("*.json"):
            slots, kernels = json.loads(file.read_text())
            self.slots += slots
            for target, name, launches, executed in kernels:
                self.add((target, name), launches, np.array(executed, bool))

    def __str__(self) -> str:
        kernels = self.kernels.values()
        executed, there = (sum(one.executed.sum() for one in kernels), sum(one.executed.size for one in kernels))
        targets = sorted({target for target, _ in self.kernels})
        return (
            f"{sum(one.launches for one in kernels):,} launches of {len(kernels):,} kernels x dtypes x architectures "
            f"({', '.join(f'sm_{target}' for target in targets)}); {self.slots:,} warp instructions; "
            f"{executed:,} of {there:,} PTX instructions executed, {100 * executed / max(there, 1):.1f} %"
        )


class Launched(NamedTuple):
    """A launch: what it has cost, and how often each instruction was executed."""

    program: Program
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared_bytes: int
    counts: Counts
    executions: np.ndarray


TOTALS = Totals()

_lists: list[list[Launched]] = []


def note(launched: Launched) -> None:
    """Add a launch of this process."""
    TOTALS.slots += launched.counts.slots
    TOTALS.add((launched.program.target, launched.program.name), 1, launched.executions > 0)
    for one in _lists:
        one.append(launched)


@contextmanager
def measured() -> Iterator[list[Launched]]:
    """A list of the launches within, whose accesses to memory are counted, too."""
    before, settings.measure = settings.measure, True
    _lists.append([])
    try:
        yield _lists[-1]
    finally:
        _lists.pop()
        settings.measure = before


def main(folder: str) -> Any:
    totals = Totals()
    totals.read(Path(folder))
    print(totals)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
