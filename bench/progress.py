"""What a person sees while a run measures: a bar on the error stream, so that the output stays clean."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from softgrad.bench.results import Cell, Results
from softgrad.bench.run import count_cells, run
from softgrad.bench.sheets import shape_text, thread_words
from softgrad.bench.training import Side, TrainingResults, TrainingSettings, measure_training, sides_of


def run_with_progress(results: Results) -> None:
    """Measure, showing which cell was the last and how much is left; nothing where the error stream is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        run(results, lambda cell: None)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=count_cells(results.settings))

        def on_cell(cell: Cell) -> None:
            where = f"{cell.operation} {shape_text(cell.shape)} {cell.dtype}, {thread_words(cell.threads)}"
            bar.update(task, advance=1, description=where)

        run(results, on_cell)


def train_with_progress(settings: TrainingSettings) -> TrainingResults:
    """Train all sides, showing who was the last and how much is left."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=settings.rounds * len(sides_of(settings.backend)))

        def on_training(side: Side) -> None:
            bar.update(task, advance=1, description=side)

        return measure_training(settings, on_training)
