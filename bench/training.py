"""`softgrad bench train`: how long an epoch takes, and how long it takes to an accuracy, beside PyTorch.

The sides take turns, each time in a new process (`training_sides`): in one process the thread pools of two BLAS
libraries disturb each other.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from softgrad.bench.copy_rate import copy_rate_of
from softgrad.bench.device import device_of
from softgrad.bench.peers import is_installed
from softgrad.bench.report import Report
from softgrad.bench.results import OURS
from softgrad.bench.run import environment_for, last_words
from softgrad.bench.settings import ELEMENTS
from softgrad.bench.sheets import Sheet, rate_text, thread_words
from softgrad.ops.environment import Environment

Side = str

PEER_SIDES = {"cpu": ("torch",), "gpu": ("torch", "torch_compile")}

# Of which the time is given until it is reached.
ACCURACY = 0.98


@dataclass(frozen=True)
class TrainingSettings:
    """What all sides train: `epochs` epochs on that data set, there, with so many threads, each side `rounds` times."""

    backend: str
    dataset: str
    data_dir: str | None
    epochs: int
    rounds: int
    threads: int


@dataclass(frozen=True)
class Training:
    """One side's training in one process: its epochs' seconds, and the test accuracy after each."""

    side: Side
    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]

    def seconds_to(self, accuracy: float) -> float | None:
        """Seconds of training until an epoch ends with that test accuracy; None if none does."""
        reached = next((i for i, found in enumerate(self.accuracies) if found >= accuracy), None)
        return None if reached is None else sum(self.seconds[: reached + 1])


@dataclass
class TrainingResults:
    """All trainings, and the copy rates measured between them, in GB/s."""

    settings: TrainingSettings
    device: str
    openblas_coretype: str
    trainings: list[Training] = field(default_factory=list)
    copy_rates: list[float] = field(default_factory=list)

    def of(self, side: Side) -> list[Training]:
        """The trainings of one side."""
        return [training for training in self.trainings if training.side == side]

    def epoch_seconds(self, side: Side) -> float:
        """The median over all epochs of a side."""
        return statistics.median(second for training in self.of(side) for second in training.seconds)

    def seconds_to(self, side: Side, accuracy: float) -> float | None:
        """The median over a side's trainings; None if one of them does not come there."""
        times = [training.seconds_to(accuracy) for training in self.of(side)]
        return None if None in times else statistics.median(time for time in times if time is not None)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON's types."""
        return asdict(self)


def sides_of(backend: str) -> tuple[Side, ...]:
    """Who can train there: softgrad, and PyTorch's ways if it is installed."""
    return OURS, *(side for side in PEER_SIDES[backend] if is_installed(side))


def measure_training(settings: TrainingSettings, on_training: Callable[[Side], None]) -> TrainingResults:
    """Train round by round, calling `on_training` after each training.

    Raises
    ------
    ChildProcessError
        If a side fails.
    """
    found = Environment.here()
    where = found.gpu if settings.backend == "gpu" else f"{found.cpu}, {thread_words(settings.threads)}"
    results = TrainingResults(settings, where, os.environ.get("OPENBLAS_CORETYPE", "not set"))
    for _ in range(settings.rounds):
        results.copy_rates.append(copy_rate_of(device_of(settings.backend), settings.threads, ELEMENTS))
        for side in sides_of(settings.backend):
            seconds, accuracies = zip(*_run(side, settings), strict=True)
            results.trainings.append(Training(side, seconds, accuracies))
            on_training(side)
    return results


def _run(side: Side, settings: TrainingSettings) -> list[tuple[float, float]]:
    command = [sys.executable, "-m", "softgrad.bench.training_sides", side, json.dumps(asdict(settings))]
    environment = environment_for(settings.threads)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChildProcessError(f"the training by {side} failed: {last_words(done.stderr, done.returncode)}")
    found: list[tuple[float, float]] = json.loads(done.stdout)
    return found


EXPLANATION = (
    "Times are the training's alone, without tests, after an epoch that is thrown away. Each side trains in a process "
    "of its own; they take turns."
)


def training_report(results: TrainingResults) -> Report:
    """The report of a run of `softgrad bench train`."""
    settings = results.settings
    facts = (
        (settings.backend, f"{results.device}; copies {rate_text(results.copy_rates)} GB/s"),
        ("training", f"{settings.dataset}, {settings.rounds} times {settings.epochs} epochs a side"),
        ("BLAS", f"OPENBLAS_CORETYPE was {results.openblas_coretype}, unset for the run"),
    )
    return Report("softgrad bench train", EXPLANATION, facts, (_sheet(results),))


def _sheet(results: TrainingResults) -> Sheet:
    """A row for each side."""
    sides = list(dict.fromkeys(training.side for training in results.trainings))
    rows = []
    for side in sides:
        times = [second for training in results.of(side) for second in training.seconds]
        to_accuracy = results.seconds_to(side, ACCURACY)
        last = statistics.median(training.accuracies[-1] for training in results.of(side))
        rows.append(
            (
                side,
                f"{results.epoch_seconds(side) * 1e3:.1f}",
                f"{min(times) * 1e3:.1f} to {max(times) * 1e3:.1f}",
                "-" if to_accuracy is None else f"{to_accuracy * 1e3:.0f}",
                f"{last:.2%}",
                f"{results.epoch_seconds(side) / results.epoch_seconds(OURS):.2f}×",
            )
        )
    headings = ("", "ms an epoch", "from, to", f"ms to {ACCURACY:.0%}", "test accuracy", "times our epoch")
    return Sheet("Training, medians", headings, tuple(rows))
