"""What a person, or with --json a program, reads while a run is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from softgrad.terminal import shell_word
from softgrad.train import strict_json
from softgrad.train.epoch_table import EPOCH_COLUMNS, SUMMARY, columns_in, summary
from softgrad.train.loop import EpochRecord, Trainer
from softgrad.train.metrics import read_metrics
from softgrad.train.run import Run
from softgrad.train.screen import Screen

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
        strict_json.print_line(
            event="start",
            run_dir=str(run.path),
            resumed=resumed,
            finished=run.trainer.finished,
            data=dataset.source,
            note=dataset.note,
            config=run.trainer.config.to_json(),
        )

    def progress(self, run: Run) -> Any:
        return nullcontext(None)

    def epoch(self, record: EpochRecord, run: Run) -> None:
        strict_json.print_line(event="epoch", **record.to_json())

    def end(self, run: Run) -> None:
        strict_json.print_line(
            event="end",
            status="finished" if run.trainer.finished else "interrupted",
            run_dir=str(run.path),
            step=run.trainer.step,
            best_test_accuracy=_best(run),
        )


class QuietReporter:
    """Only the result, in one line; an interruption with how to go on."""

    def __init__(self) -> None:
        self._screen = Screen()

    def start(self, run: Run, *, resumed: bool) -> None:
        if run.trainer.dataset.note:
            self._screen.tell((run.trainer.dataset.note, "yellow"))
        if resumed and run.trainer.finished:
            self._screen.tell(f"Nothing is left to train: the run is finished, with all {_epochs(run)}.")

    def progress(self, run: Run) -> Any:
        return nullcontext(None)

    def epoch(self, record: EpochRecord, run: Run) -> None: ...

    def end(self, run: Run) -> None:
        trainer = run.trainer
        if trainer.finished:
            best = _best(run)
            score = "" if best is None else f"best test accuracy {best:.2%}; "
            self._screen.say(f"{score}run directory {run.path}")
            return
        progress = trainer.progress
        self._screen.tell(
            f"Interrupted in epoch {progress.epoch + 1}, after batch {progress.batch} of {trainer.batches}. "
            f"The state is kept in {run.checkpoint}."
        )
        self._screen.say(f"Resume with: softgrad train --resume {shell_word(run.path)}")


class ScreenReporter(QuietReporter):
    """A progress bar with loss, accuracy, speed and time left; a line an epoch; the result."""

    def start(self, run: Run, *, resumed: bool) -> None:
        super().start(run, resumed=resumed)
        trainer, config = run.trainer, run.trainer.config
        dataset, model = trainer.dataset, trainer.model
        weights = sum(math.prod(view.shape) for _, view in model.named(model.params))
        layers = "-".join(map(str, model.sizes))
        kind = config.activation if config.model == "mlp" else config.model
        self._screen.tell(
            (dataset.name, "bold"),
            f": {len(dataset.train_images):,} training and {len(dataset.test_images):,} test images of "
            f"{dataset.image_shape[0]}x{dataset.image_shape[1]} ({dataset.source})",
        )
        self._screen.tell(
            (layers, "bold"),
            f" {kind}, {weights:,} parameters, {config.dtype} on the {model.backend.name}; {config.optimizer}, "
            f"lr {run.trainer.lr:g} {config.schedule}, batches of {config.batch_size}",
        )
        self._screen.say("going on in " if resumed else "writing to ", (str(run.path), "bold"))
        self._columns = columns_in(self._screen.width, config.epochs)
        if not trainer.finished:
            left_out = [column.meaning for column in EPOCH_COLUMNS if column not in self._columns]
            self._screen.say()
            if left_out:
                self._screen.tell(f"Too narrow for: {', '.join(left_out)}.")
            self._screen.say("".join(column.heading.rjust(column.width(config.epochs)) for column in self._columns))

    @contextmanager
    def progress(self, run: Run) -> Iterator[OnBatch]:
        trainer = run.trainer
        fields = (
            TextColumn("epoch {task.fields[epoch]:>{task.fields[width]}}"),
            BarColumn(None),
            TimeRemainingColumn(),
            TextColumn("accuracy {task.fields[accuracy]:6.2%}"),
            TextColumn("loss {task.fields[loss]:.4f}"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]:>9,.0f} samples/s"),
        )
        columns = fields[: next((count for least, count in BAR_FIELDS if self._screen.width >= least), 1)]
        with Progress(*columns, console=self._screen.rich, transient=True) as bar:
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
        epochs = run.trainer.config.epochs
        self._screen.say(
            *((column.cell(record, epochs).rjust(column.width(epochs)), column.style) for column in self._columns)
        )

    def end(self, run: Run) -> None:
        records = read_metrics(run.path)
        if run.trainer.finished and records:
            self._screen.say()
            self._screen.table("Summary", SUMMARY, summary(records))
        super().end(run)


# The least width of the screen for so many fields of the bar.
BAR_FIELDS = ((100, 7), (80, 6), (60, 5), (45, 4), (30, 3))


def _epochs(run: Run) -> str:
    count = run.trainer.config.epochs
    return f"{count} epoch" + "s" * (count > 1)


def _best(run: Run) -> float | None:
    best = run.trainer.progress.best_accuracy
    return best if best >= 0 else None
