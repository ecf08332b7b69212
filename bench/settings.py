"""What a benchmark run measures. Nothing heavy is imported here: the command line reads it for its help."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

BACKENDS = ("cpu", "gpu")
FAMILIES = ("rows", "elementwise", "formulas", "other")
DTYPES = ("float32", "float64", "float16")

# What is measured where nothing else is asked for.
USUAL_DTYPES = {"cpu": ("float32", "float64"), "gpu": DTYPES}
PEERS = {
    "cpu": ("torch", "torch_compile", "jax", "scipy", "numpy", "numba", "numexpr"),
    "gpu": ("torch", "torch_compile", "triton", "cupy"),
}
ALL_PEERS = tuple(dict.fromkeys(PEERS["cpu"] + PEERS["gpu"]))

# The number of threads of a run whose work is a GPU's.
ON_GPU = 0

# Of an array on a GPU: in float32 256 MiB, well beyond any GPU's cache.
ELEMENTS = 1 << 26

BUDGET, QUICK_BUDGET = 0.1, 0.03  # seconds


@dataclass(frozen=True)
class Settings:
    """One run: which operations, at which shapes, beside whom, for how long.

    Attributes
    ----------
    operations
        Names of rows of `cases.OPERATIONS`.
    dtypes, threads, peers
        Every operation is measured in every dtype, with every number of threads (`ON_GPU` for a GPU), beside every
        peer that has it.
    budget
        Seconds of timing for each contender of a cell; a cell is one operation, shape, dtype and number of threads.
    quick
        Measure at few shapes.
    backend
        Where: "cpu" or "gpu".
    elements
        Of an array on a GPU.
    """

    operations: tuple[str, ...]
    dtypes: tuple[str, ...]
    threads: tuple[int, ...]
    peers: tuple[str, ...]
    budget: float
    quick: bool
    backend: str = "cpu"
    elements: int = ELEMENTS

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Settings:
        """The settings that `to_json` gave."""
        own: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        return cls(**own)


def all_threads() -> int:
    """How many threads can run at once here: the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
