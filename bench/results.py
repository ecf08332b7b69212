"""What was measured: a `Cell` for each operation, shape, dtype and number of threads, and all of them together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from softgrad.bench.settings import Settings

OURS = "softgrad"

# A cell is lost when the best peer needs less than this of our time; the rest is noise.
LOSING = 0.95


@dataclass(frozen=True)
class Time:
    """The median seconds of one contender's call; `way` says how, where a peer has several ways."""

    peer: str
    way: str
    out: bool
    seconds: float

    @property
    def label(self) -> str:
        """Peer and way in words."""
        return self.peer + (f" ({self.way})" if self.way else "")


@dataclass(frozen=True)
class Problem:
    """A contender that was not timed, and why: it failed, or its result is not ours."""

    contender: str
    reason: str


@dataclass(frozen=True)
class Cell:
    """One contest. `traffic` is the bytes a perfect kernel moves: arguments read once, results written once."""

    operation: str
    family: str
    shape: tuple[int, ...]
    dtype: str
    threads: int
    traffic: int
    times: tuple[Time, ...]
    problems: tuple[Problem, ...] = ()

    def ours(self, *, out: bool) -> Time | None:
        """Our time, allocating or with `out=`."""
        return next((time for time in self.times if time.peer == OURS and time.out == out), None)

    def best_peer(self, *, out: bool) -> Time | None:
        """The quickest peer's, in the same mode."""
        peers = [time for time in self.times if time.peer != OURS and time.out == out]
        return min(peers, key=lambda time: time.seconds, default=None)

    def ratio(self, *, out: bool) -> float | None:
        """The best peer's time over ours: above 1 we are quicker. None without a peer or without us."""
        ours, best = self.ours(out=out), self.best_peer(out=out)
        return best.seconds / ours.seconds if ours and best else None

    def is_lost(self, *, out: bool) -> bool:
        """Is the best peer quicker by more than noise?"""
        ratio = self.ratio(out=out)
        return ratio is not None and ratio < LOSING

    def rate(self, *, out: bool) -> float | None:
        """GB/s of our kernel, counting the bytes of `traffic`."""
        ours = self.ours(out=out)
        return self.traffic / ours.seconds / 1e9 if ours else None

    def to_json(self) -> dict[str, Any]:
        """The fields, and what follows from them."""
        ratios = {"ratio": self.ratio(out=False), "ratio_out": self.ratio(out=True)}
        return asdict(self) | ratios

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Cell:
        """The cell that `to_json` gave."""
        own = {name: value for name, value in fields.items() if name not in ("ratio", "ratio_out")}
        own["shape"] = tuple(own["shape"])
        own["times"] = tuple(Time(**time) for time in own["times"])
        own["problems"] = tuple(Problem(**problem) for problem in own["problems"])
        return cls(**own)


@dataclass(frozen=True)
class Overhead:
    """What checks and dispatch of a public function cost: its time beside its kernel's, in seconds."""

    threads: int
    kernel: float
    call: float
    call_out: float


@dataclass
class Results:
    """Everything one run measured; lists grow while it runs."""

    settings: Settings
    openblas_coretype: str = "not set"  # as found; it is unset for the run
    environments: dict[int, dict[str, Any]] = field(default_factory=dict)
    copy_rates: dict[int, list[float]] = field(default_factory=dict)
    others: dict[int, float | None] = field(default_factory=dict)  # the share of the machine other processes took
    overheads: list[Overhead] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)

    def copy_rate(self, threads: int) -> float | None:
        """The median of the copy rates measured with so many threads, in GB/s."""
        rates = self.copy_rates.get(threads)
        return statistics.median(rates) if rates else None

    def share(self, cell: Cell, *, out: bool) -> float | None:
        """The cell's rate as a share of the copy rate; above 1 where the data stays in a cache."""
        rate, copy = cell.rate(out=out), self.copy_rate(cell.threads)
        return rate / copy if rate and copy else None

    @property
    def problems(self) -> list[tuple[Cell, Problem]]:
        """All contenders that were not timed."""
        return [(cell, problem) for cell in self.cells for problem in cell.problems]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON's types, with shares."""
        return {
            "settings": self.settings.to_json(),
            "openblas_coretype": self.openblas_coretype,
            "environments": self.environments,
            "copy_rates": self.copy_rates,
            "others": self.others,
            "overheads": [asdict(overhead) for overhead in self.overheads],
            "cells": [
                cell.to_json() | {"share": self.share(cell, out=False), "share_out": self.share(cell, out=True)}
                for cell in self.cells
            ],
        }


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """The mean under which 2 and 1/2 average to 1; None of nothing."""
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(statistics.fmean(logs)) if logs else None
