"""What a person sees while a run measures: a bar on the error stream, so that the output stays clean."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from softgrad.bench.results import Cell, Results
from softgrad.bench.run import count_cells, run
from softgrad.bench.sheets import shape_text, thread_words
from softgrad.bench.training import TrainingResults, TrainingSettings, measure_training, sides_of
from softgrad.train.screen import Screen


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], None]]:
    """A bar, moved on by telling it what is done; nothing where the error stream is no terminal."""
    console = Screen(stderr=True).rich
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda done: bar.update(task, advance=1, description=done)


def run_with_progress(results: Results, seconds: float = math.inf) -> None:
    """Measure, showing which cell was the last and how much is left.

    Raises
    ------
    TimeoutError
        If it takes longer; what was measured until then is in `results`.
    """
    end = time.monotonic() + seconds
    cells = count_cells(results.settings)
    with _bar(cells) as tell:

        def on_cell(cell: Cell) -> None:
            tell(f"{cell.operation} {shape_text(cell.shape)} {cell.dtype}, {thread_words(cell.threads)}")
            if time.monotonic() > end and len(results.cells) < cells:
                raise TimeoutError(f"{len(results.cells)} of {cells} cells were measured in {seconds:g} seconds")

        run(results, on_cell)


def train_with_progress(settings: TrainingSettings) -> TrainingResults:
    """Train all sides, showing who was the last and how much is left."""
    with _bar(settings.rounds * len(sides_of(settings.backend))) as tell:
        return measure_training(settings, tell)
