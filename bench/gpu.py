"""All that is measured on a GPU, in one run: `softgrad bench ops` and `softgrad bench train` with ``--backend gpu``.

    python -m softgrad.bench.gpu FOLDER [--data-dir DATA] [--seconds N]

Writes gpu.json and gpu.md, with what was expected beside what was measured, of kernels where FOLDER has gpu-counts.md.
Of the activations a choice is measured, one of each kind of formula; `softgrad bench ops` measures them all.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import click

from softgrad.bench.cases import OPERATIONS, QUICK_OPERATIONS, find_operations
from softgrad.bench.peers import find_peers
from softgrad.bench.predictions import host_sheet, predicted_sheet
from softgrad.bench.progress import run_with_progress, train_with_progress
from softgrad.bench.report import markdown, ops_report, print_report
from softgrad.bench.results import Results
from softgrad.bench.settings import DTYPES, ON_GPU, QUICK_BUDGET, Settings
from softgrad.bench.training import TrainingSettings, training_report
from softgrad.ops.backend import get_backend
from softgrad.train import TrainConfig, load_dataset, strict_json
from softgrad.train.atomic import atomic_write

EPOCHS, ROUNDS = 10, 2
ELEMENTWISE = find_operations((), "elementwise")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Holds mnist/; without it digits are learned.")
@click.option("--seconds", type=float, default=math.inf, help="Of measuring operations; the rest is left.")
def main(folder: Path, data_dir: Path | None, seconds: float) -> None:
    """Measure on the current CUDA device and write gpu.json and gpu.md into FOLDER."""
    get_backend("gpu")
    # torch.compile takes seconds for each formula: `softgrad bench formulas --backend gpu` has the time for that.
    others = (name for name, row in OPERATIONS.items() if row.family in ("rows", "other"))
    measured = tuple(dict.fromkeys((*QUICK_OPERATIONS, *others)))
    settings = Settings(measured, DTYPES, (ON_GPU,), find_peers((), "gpu"), QUICK_BUDGET, False, "gpu")
    results = Results(settings, os.environ.get("OPENBLAS_CORETYPE", "not set"))
    reports = []
    found: dict[str, object] = {}
    try:
        run_with_progress(results, seconds)
    except TimeoutError as error:
        click.echo(f"{error}; --seconds allows more", err=True)
    finally:  # what there is is written, whatever stopped it
        report, counts = ops_report(results), folder / "gpu-counts.md"
        if counts.exists():
            report = replace(report, sheets=(predicted_sheet(results, counts), *report.sheets))
        reports.append(report)
        found["ops"] = results.to_json()
        _write(folder, found, "\n".join(map(markdown, reports)))
    data = load_dataset("auto", data_dir, download=False)
    epochs = TrainingSettings("gpu", data.name, str(data_dir) if data_dir else None, EPOCHS, ROUNDS, ON_GPU)
    training = train_with_progress(epochs)
    report, steps = training_report(training), math.ceil(len(data.train_images) / TrainConfig().batch_size)
    reports.append(replace(report, sheets=(*report.sheets, host_sheet(results, training, steps))))
    found["train"] = training.to_json()
    _write(folder, found, "\n".join(map(markdown, reports)))
    for report in reports:
        print_report(report)


def _write(folder: Path, found: dict[str, object], document: str) -> None:
    atomic_write(folder / "gpu.json", strict_json.dumps(found, indent=1).encode())
    atomic_write(folder / "gpu.md", document.encode())


if __name__ == "__main__":
    main()
