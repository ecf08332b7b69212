"""A whole run: one process for each number of threads, its environment set before anything is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from softgrad.bench.cases import OPERATIONS
from softgrad.bench.results import Cell, Overhead, Results
from softgrad.bench.settings import ON_GPU, Settings
from softgrad.bench.sheets import thread_words

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

OnCell = Callable[[Cell], None]


def count_cells(settings: Settings) -> int:
    """How many cells a run of these settings has."""
    return len(settings.threads) * sum(len(list(OPERATIONS[name].places(settings))) for name in settings.operations)


def run(results: Results, on_cell: OnCell) -> None:
    """Measure what `results.settings` ask for and add it to `results`, calling `on_cell` after each cell.

    There is a process for each number of threads; for a GPU there is one.

    Raises
    ------
    ChildProcessError
        If a measuring process fails; what came before is in `results`.
    """
    for threads in results.settings.threads:
        _run_process(threads, results, on_cell)


def environment_for(threads: int) -> dict[str, str]:
    """The environment of a process in which every library is to use so many threads; their usual ones for a GPU."""
    environment = dict(os.environ)
    if threads != ON_GPU:
        environment |= {name: str(threads) for name in THREAD_VARIABLES}
    # It makes OpenBLAS use the kernels of another processor: NumPy's matrix products, and so ours, would be slower.
    environment.pop("OPENBLAS_CORETYPE", None)
    return environment


def _run_process(threads: int, results: Results, on_cell: OnCell) -> None:
    command = [sys.executable, "-m", "softgrad.bench", str(threads), json.dumps(results.settings.to_json())]
    environment = environment_for(threads)
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                _add(results, threads, **json.loads(line), on_cell=on_cell)
        except BaseException:
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            last = last_words(errors.read(), process.returncode)
            raise ChildProcessError(f"the measuring process with {thread_words(threads)} failed: {last}")


def last_words(errors: str, code: int) -> str:
    """The last line of what a process that failed wrote, or its exit code."""
    return (errors.strip().splitlines() or [f"exit code {code}"])[-1]


def _add(results: Results, threads: int, event: str, value: Any, on_cell: OnCell) -> None:
    if event == "cell":
        cell = Cell.from_json(value)
        results.cells.append(cell)
        on_cell(cell)
    elif event == "copy_rate":
        results.copy_rates.setdefault(threads, []).append(value)
    elif event == "overhead":
        results.overheads.append(Overhead(**value))
    elif event == "others":
        results.others[threads] = value
    else:
        results.environments[threads] = value
