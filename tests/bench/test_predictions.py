"""What was predicted of a GPU, beside what was measured: the right rows, the worst first."""

from __future__ import annotations

from pathlib import Path

import pytest

from softgrad.bench.predictions import host_sheet, predicted_sheet
from softgrad.bench.results import OURS, Cell, Overhead, Results, Time
from softgrad.bench.settings import ON_GPU, Settings
from softgrad.bench.sheets import shape_text
from softgrad.bench.training import Training, TrainingResults, TrainingSettings

COUNTS = Path(__file__).resolve().parents[2] / "bench" / "results" / "gpu-counts.md"

TABLE = """# Counts

| operation | dtype | shape | slots | bytes | in sectors | registers | blocks | launches | H100 | H200 |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| softmax | float32 | 13107×10 | 42 | 8.0 | 8.0 | 40 | 12 | 1 | 100% | 80% |
| softmax | float32 | 1310×100 | 48 | 8.0 | 8.0 | 48 | 10 | 1 | 100% | 92% |
| relu | float32 | 131072 | 5 | 8.0 | 8.0 | 22 | 8 | 1 | 90% | 90% |
"""


def measured(operation: str, shape: tuple[int, ...], seconds: float, dtype: str = "float32") -> Cell:
    """A cell in which a call moves a gigabyte."""
    return Cell(operation, "rows", shape, dtype, ON_GPU, 10**9, (Time("softgrad", "", True, seconds),))


def test_measured_and_predicted_stand_side_by_side(tmp_path: Path) -> None:
    table = tmp_path / "gpu-counts.md"
    table.write_text(TABLE, encoding="utf-8")
    results = Results(Settings((), ("float32",), (ON_GPU,), (), 1.0, False, "gpu"))
    results.copy_rates[ON_GPU] = [1000.0]  # GB/s: a gigabyte in a millisecond
    results.cells += [
        measured("softmax", (1000, 10), 1.25e-3),
        measured("relu", (2000,), 4e-3),
        measured("softmax", (1000, 33), 1e-3),  # of such a width nothing was predicted
        measured("softmax", (1000, 10), 1e-3, "float64"),
    ]
    assert predicted_sheet(results, table).rows == (
        ("relu", shape_text((2000,)), "float32", "25%", "90%", "90%", "0.28"),
        ("softmax", shape_text((1000, 10)), "float32", "80%", "100%", "80%", "0.80"),
    )


@pytest.mark.parametrize("operation", ["softmax", "softmax_backward", "softmax_cross_entropy_with_grad"])
def test_the_table_that_is_kept_can_be_read(operation: str) -> None:
    results = Results(Settings((), ("float32",), (ON_GPU,), (), 1.0, False, "gpu"))
    results.copy_rates[ON_GPU] = [1000.0]
    results.cells.append(measured(operation, (1 << 20, 1000), 1e-3))
    ((name, *_, ratio),) = predicted_sheet(results, COUNTS).rows
    assert name == operation
    assert float(ratio) > 0


def test_the_host_s_time_is_expected_and_found() -> None:
    results = Results(Settings((), ("float32",), (ON_GPU,), (), 1.0, False, "gpu"))
    results.overheads.append(Overhead(ON_GPU, 2e-6, 12e-6, 11e-6))
    training = TrainingResults(TrainingSettings("gpu", "digits", None, 2, 1, ON_GPU), "a card", "not set")
    training.trainings.append(Training(OURS, (1e-3, 1.42e-3, 2e-3), (0.5, 0.6, 0.7)))
    assert host_sheet(results, training, 10).rows == (
        ("ops.softmax of 128 x 10", "6.0", "12.0", "2.00"),
        ("a training step, 784-256-128-10", "142.0", "142.0", "1.00"),
    )
