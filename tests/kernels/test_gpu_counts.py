"""What kernels for the GPU cost, counted by executing them: instruction slots and bytes an element.

The table of counts (bench/results/gpu-counts.md) is held to bounds, and the kernels, for a spread of its rows, to the
table. One that is not kept any more is a reason to look, and to write down what is bought with it.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import gpu_counts
import pytest

if os.environ.get("SOFTGRAD_PTX") != "sm_90":  # of another architecture they are a little others
    pytest.skip("counts are of PTX that is executed for sm_90: make test-gpu-executed", allow_module_level=True)

pytestmark = pytest.mark.gpu

TABLE = gpu_counts.table(Path(__file__).resolve().parents[2] / "bench" / "results" / "gpu-counts.md")

# So much more than the table says is the compiler's, and nobody's fault.
MORE = 1.03

# Classes of float32 that a block's registers hold, and those that its shared memory holds, of one array and of two.
IN_REGISTERS, HELD, HELD_TWICE = 16_384, 56_000, 28_000

# Instruction slots an element in float32: of 10 classes, of 64 and more in registers, in shared memory, and beyond.
SLOTS = {
    "softmax": (36, 42, 48, 68),
    "log_softmax": (42, 46, 52, 52),
    "softmax_backward": (22, 25, 34, 28),
    "softmax_cross_entropy_with_grad": (56, 55, 58, 72),
    "softmax_cross_entropy_with_grad label_smoothing": (72, 72, 76, 90),
    "softmax_cross_entropy_with_grad weight": (60, 60, 62, 74),
}

# With options a row takes so many times the slots of one without: options are summed, too.
WITH_OPTIONS = 1.4

# And no width so many times those of the next, within registers and beyond them; where they end softmax_backward takes
# twice as many, since each number is held in shared memory and taken from there.
OF_NEIGHBOURS, OF_NEIGHBOURS_BEYOND = 1.5, 1.55

# Where a block holds a row each number is moved once: read and written, and of backwards read twice.
MOVED = {"softmax": 8, "log_softmax": 8, "softmax_backward": 12, "softmax_cross_entropy_with_grad": 8}

# Rows of the table that are counted anew: every kind of kernel.
SPREAD = [
    ("softmax", "float32", 10),
    ("softmax", "float32", 33),
    ("softmax", "float32", 4097),
    ("softmax", "float32", 48_000),
    ("softmax", "float32", 131_072),
    ("log_softmax", "float32", 1),
    ("logsumexp", "float32", 16_385),
    ("softmax_backward", "float32", 1000),
    ("softmax_backward", "float32", 48_000),
    ("softmax_cross_entropy_with_grad", "float32", 16_385),
    ("softmax_cross_entropy_with_grad label_smoothing", "float32", 4097),
    ("softmax_cross_entropy_with_grad weight", "float32", 10),
    ("entropy", "float32", 10),
    ("relu", "float32", None),
    ("gelu_backward", "float32", None),
    ("hinge_loss_with_grad", "float32", None),
]


def slots_of(name: str) -> dict[int, float]:
    """By classes, in float32."""
    rows = {shape: cells for (one, dtype, shape), cells in TABLE.items() if (one, dtype) == (name, "float32")}
    return {int(shape.partition("×")[2]): float(cells[0]) for shape, cells in rows.items()}


def test_every_row_is_there() -> None:
    keys = {
        gpu_counts.key_of(name, dtype, shape)
        for name in gpu_counts.names()
        for dtype in gpu_counts.WIDTHS
        for shape in gpu_counts.shapes_of(name, dtype)
    }
    assert keys == set(TABLE)


@pytest.mark.parametrize(("name", "dtype", "classes"), SPREAD)
def test_kernels_cost_what_the_table_says(name: str, dtype: str, classes: int | None) -> None:
    (shape,) = (one for one in gpu_counts.shapes_of(name, dtype) if classes in (None, *one[1:]))
    slots, moved, sectors, _, _, launches, *_ = TABLE[gpu_counts.key_of(name, dtype, shape)]
    one = gpu_counts.cost(name, shape, dtype)
    assert one.slots <= MORE * float(slots) + 0.5  # which is rounded
    assert one.bytes <= MORE * float(moved) + 0.05
    assert one.sector_bytes <= MORE * float(sectors) + 0.05
    assert len(one.launches) <= int(launches)


@pytest.mark.parametrize("name", SLOTS)
def test_rows_take_few_instructions(name: str) -> None:
    narrow, in_registers, held, wide = SLOTS[name]
    for classes, slots in slots_of(name).items():
        if classes == 10:
            assert slots <= narrow
        elif 64 <= classes <= IN_REGISTERS:
            assert slots <= in_registers, classes
        elif classes > IN_REGISTERS:
            assert slots <= (held if classes <= HELD else wide), classes


@pytest.mark.parametrize("name", SLOTS)
def test_no_width_is_far_from_the_next(name: str) -> None:
    slots = slots_of(name)
    in_registers = [classes for classes in slots if 10 <= classes <= IN_REGISTERS]
    beyond = [classes for classes in slots if classes > IN_REGISTERS]
    for widths, times in ((in_registers, OF_NEIGHBOURS), (beyond, OF_NEIGHBOURS_BEYOND)):
        for one, other in pairwise(sorted(widths)):
            few, many = sorted((slots[one], slots[other]))
            assert many <= times * few, (one, other)


@pytest.mark.parametrize("option", gpu_counts.OPTIONS)
def test_options_cost_little_more(option: str) -> None:
    plain = slots_of("softmax_cross_entropy_with_grad")
    for classes, slots in slots_of(f"softmax_cross_entropy_with_grad {option}").items():
        assert slots <= WITH_OPTIONS * plain[classes], classes


@pytest.mark.parametrize("name", MOVED)
def test_rows_are_moved_once_and_by_whole_sectors(name: str) -> None:
    for (one, dtype, shape), cells in TABLE.items():
        if (one, dtype) != (name, "float32"):
            continue
        rows, classes = map(int, shape.split("×"))
        moved, in_sectors = map(float, cells[1:3])
        most = HELD_TWICE if name.endswith("backward") else HELD
        if 10 <= classes <= most:
            # A row's label, its loss, and the loss read again by the sum; of few rows, all that is written beside them.
            beside = 64 / classes + (0.5 if rows < 10 else 0)
            # A row that begins anywhere has two sectors more than it fills.
            ragged = 8 * MOVED[name] / classes if classes % 8 else 0
            assert MOVED[name] <= moved <= MOVED[name] + beside + 1, shape
            assert in_sectors <= 1.05 * (MOVED[name] + beside) + ragged, shape
