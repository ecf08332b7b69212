"""What a person, or with --json a program, reads while a run is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from softgrad.train import strict_json
from softgrad.train.loop import EpochRecord, Trainer
from softgrad.train.metrics import read_metrics
from softgrad.train.run import Run

# Seconds between two redraws of the progress bar: a batch takes less than a millisecond.
REDRAW = 0.1

OnBatch = Callable[[Trainer], None]


class Reporter(Protocol):
    """Follows a training run from its start to its end."""

    def start(self, run: Run, *, resumed: bool) -> None: ...

    def progress(self, run: Run) -> Any: ...

    def epoch(self, record: EpochRecord, run: Run) -> None: ...

    def end(self, run: Run) -> None: ...


def reporter(*, as_json: bool, quiet: bool) -> Reporter:
    """The reporter for people, for programs, or for those who want only the result."""
    if as_json:
        return JsonReporter()
    return QuietReporter() if quiet else ScreenReporter()


class JsonReporter:
    """One JSON object a line: "start", an "epoch" each, "end"."""

    def start(self, run: Run, *, resumed: bool) -> None:
        dataset = run.trainer.dataset
        print_json(
            event="start",
            run_dir=str(run.path),
            resumed=resumed,
            data=dataset.source,
            note=dataset.note,
            config=run.trainer.config.to_json(),
        )

    def progress(self, run: Run) -> Any:
        return nullcontext(None)

    def epoch(self, record: EpochRecord, run: Run) -> None:
        print_json(event="epoch", **record.to_json())

    def end(self, run: Run) -> None:
        print_json(
            event="end",
            status="finished" if run.trainer.finished else "interrupted",
            run_dir=str(run.path),
            step=run.trainer.step,
            best_test_accuracy=_best(run),
        )


class QuietReporter:
    """Only the result, in one line; an interruption with how to go on."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def _say(self, line: str) -> None:
        # Soft: a line longer than the terminal stays one line, for those who copy or grep it.
        self._console.print(line, soft_wrap=True)

    def start(self, run: Run, *, resumed: bool) -> None:
        self._note(run)

    def progress(self, run: Run) -> Any:
        return nullcontext(None)

    def epoch(self, record: EpochRecord, run: Run) -> None: ...

    def end(self, run: Run) -> None:
        trainer = run.trainer
        if trainer.finished:
            best = _best(run)
            score = "" if best is None else f"best test accuracy {best:.2%}; "
            self._say(f"{score}run directory {escape(str(run.path))}")
            return
        progress = trainer.progress
        self._say(
            f"Interrupted in epoch {progress.epoch + 1}, after batch {progress.batch} of {trainer.batches}. "
            f"The state is kept in {escape(str(run.checkpoint))}."
        )
        self._say(f"Resume with: softgrad train --resume {escape(str(run.path))}")

    def _note(self, run: Run) -> None:
        if run.trainer.dataset.note:
            self._say(f"[yellow]{escape(run.trainer.dataset.note)}")


class ScreenReporter(QuietReporter):
    """A progress bar with loss, accuracy, speed and time left; a line an epoch; the result."""

    def start(self, run: Run, *, resumed: bool) -> None:
        self._note(run)
        trainer, config = run.trainer, run.trainer.config
        dataset, model = trainer.dataset, trainer.model
        weights = sum(math.prod(view.shape) for _, view in model.named(model.params))
        layers = "-".join(map(str, model.sizes))
        kind = config.activation if config.model == "mlp" else config.model
        self._say(
            f"[bold]{dataset.name}[/]: {len(dataset.train_images):,} training and {len(dataset.test_images):,} test "
            f"images of {dataset.image_shape[0]}x{dataset.image_shape[1]} ({escape(dataset.source)})"
        )
        self._say(
            f"[bold]{layers}[/] {kind}, {weights:,} parameters, {config.dtype} on the "
            f"{model.backend.name}; {config.optimizer}, lr {run.trainer.lr:g} {config.schedule}, batches of "
            f"{config.batch_size}"
        )
        verb = "going on in" if resumed else "writing to"
        self._say(f"{verb} [bold]{escape(str(run.path))}[/]")
        if not trainer.finished:
            self._say("\n    epoch  train loss  accuracy    test loss  accuracy    seconds   samples/s")

    @contextmanager
    def progress(self, run: Run) -> Iterator[OnBatch]:
        trainer = run.trainer
        columns = (
            TextColumn("epoch {task.fields[epoch]:>{task.fields[width]}}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:6.2%}"),
            TextColumn("{task.fields[speed]:>9,.0f} samples/s"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(
                "", total=trainer.config.epochs * trainer.batches, completed=trainer.step,
                epoch=trainer.progress.epoch + 1, width=len(str(trainer.config.epochs)),
                loss=0.0, accuracy=0.0, speed=0.0,
            )  # fmt: skip
            last_drawn = 0.0

            def on_batch(trainer: Trainer) -> None:
                nonlocal last_drawn
                if time.monotonic() - last_drawn < REDRAW:
                    return
                last_drawn = time.monotonic()
                progress, rows = trainer.read_progress(), trainer.rows_seen
                bar.update(
                    task, completed=trainer.step, epoch=progress.epoch + 1, loss=progress.loss_sum / rows,
                    accuracy=progress.correct / rows, speed=rows / progress.seconds,
                )  # fmt: skip

            yield on_batch

    def epoch(self, record: EpochRecord, run: Run) -> None:
        self._say(
            f"{f'{record.epoch}/{run.trainer.config.epochs}':>9}"
            f"{record.train_loss:12.4f}{record.train_accuracy:10.2%}"
            f"{record.test_loss:13.4f}[bold]{record.test_accuracy:10.2%}[/]"
            f"{record.seconds:11.2f}{record.samples_per_second:12,.0f}"
        )

    def end(self, run: Run) -> None:
        records = read_metrics(run.path)
        if run.trainer.finished and records:
            self._console.print(_summary(records))
        super().end(run)


def _summary(records: list[dict[str, Any]]) -> Table:
    """First, best and last epoch side by side."""
    best = max(records, key=lambda record: record["test_accuracy"])
    table = Table(title="Summary")
    for heading in ("", "epoch", "train loss", "train accuracy", "test loss", "test accuracy", "seconds"):
        table.add_column(heading, justify="right")
    for label, record in (("first", records[0]), ("best", best), ("last", records[-1])):
        table.add_row(
            label,
            str(record["epoch"]),
            f"{record['train_loss']:.4f}",
            f"{record['train_accuracy']:.2%}",
            f"{record['test_loss']:.4f}",
            f"{record['test_accuracy']:.2%}",
            f"{record['seconds']:.2f}",
        )
    return table


def _best(run: Run) -> float | None:
    best = run.trainer.progress.best_accuracy
    return best if best >= 0 else None


def print_json(**fields: Any) -> None:
    """Print one JSON object on a line; what is not finite is null."""
    print(strict_json.dumps(fields), flush=True)  # noqa: T201  (the output asked for)
