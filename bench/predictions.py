"""What was expected of a GPU before there was one, beside what was measured: how far to believe it, where to look.

The table of counts is written by `make gpu-counts`; its last columns are the share of a copy's rate that a model of
two cards predicts of large arrays. Small work takes the host's time, which `make host-time` tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from softgrad.bench.results import OURS, Cell, Results
from softgrad.bench.sheets import NOTHING, Sheet, shape_text
from softgrad.bench.training import TrainingResults

# Microseconds of the host, by `make host-time` (bench/NOTES.md): of `ops.softmax` of a small matrix, and of a training
# step; what that launches, products included; and what the driver may add for each launch.
SOFTMAX, STEP, STEP_LAUNCHES, DRIVER = 3.5, 102.0, 16, 2.5

# The columns of the table that tell its rows apart, and those that are counted; behind them are the cards.
KEYS, COUNTED = 3, 6


def predicted_sheet(results: Results, table: Path) -> Sheet:
    """A row for each cell whose operation, dtype and row width the table has, those that fall shortest first."""
    cards, predictions = _read(table)
    rows = []
    for cell in results.cells:
        predicted = predictions.get((cell.operation, cell.dtype, _width(cell.shape)))
        shares = [share for out in (False, True) if (share := results.share(cell, out=out))]
        if predicted and shares:
            rows.append((max(shares) / max(predicted), cell, max(shares), predicted))
    return Sheet(
        "Shares of the copy rate: measured, and as a model predicts from counted instructions and bytes",
        ("", "shape", "dtype", "measured", *cards, "of the better"),
        tuple(_texts(*row) for row in sorted(rows, key=lambda row: row[0])),
        names=3,
    )


def host_sheet(results: Results, training: TrainingResults, steps: int) -> Sheet:
    """The host's microseconds for a small call, and for a step of training whose epochs have so many."""
    found = [("ops.softmax of 128 x 10", SOFTMAX + DRIVER, one.call) for one in results.overheads]
    step = training.epoch_seconds(OURS) / steps
    found.append(("a training step, 784-256-128-10", STEP + STEP_LAUNCHES * DRIVER, step))
    return Sheet(
        "Small work, in microseconds: as the host's time and the number of launches say, and measured",
        ("", "expected", "measured", "of the expected"),
        tuple((name, f"{us:.1f}", f"{time * 1e6:.1f}", f"{time * 1e6 / us:.2f}") for name, us, time in found),
        names=1,
    )


def _texts(ratio: float, cell: Cell, measured: float, predicted: tuple[float, ...]) -> tuple[str, ...]:
    shares = (f"{share:.0%}" if share else NOTHING for share in (measured, *predicted))
    return cell.operation, shape_text(cell.shape), cell.dtype, *shares, f"{ratio:.2f}"


def _width(shape: tuple[int, ...]) -> int:
    """The classes of a row; 0 of an array of one axis, whose length does not matter."""
    return shape[-1] if len(shape) > 1 else 0


def _read(table: Path) -> tuple[list[str], dict[tuple[str, str, int], tuple[float, ...]]]:
    """The names of the cards, and the shares predicted for each operation, dtype and width."""
    lines = iter(_cells(table))
    cards = next(lines)[KEYS + COUNTED :]
    next(lines)  # the rule below the headings
    found = {}
    for name, dtype, shape, *cells in lines:
        sizes = tuple(map(int, shape.split("×")))
        found[name, dtype, _width(sizes)] = tuple(float(cell.rstrip("%")) / 100 for cell in cells[COUNTED:])
    return cards, found


def _cells(table: Path) -> Iterator[list[str]]:
    for line in table.read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            yield line.strip("| ").split(" | ")
