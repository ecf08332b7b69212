"""A training run, and the directory that it leaves its files in, so that it can be looked at, resumed and used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import softgrad
from softgrad.ops.backend import get_backend
from softgrad.train.checkpoint import save_checkpoint
from softgrad.train.config import TrainConfig
from softgrad.train.data.datasets import load_dataset
from softgrad.train.errors import CheckpointError, DivergedError, RunDirectoryError
from softgrad.train.loop import EpochRecord, Trainer
from softgrad.train.metrics import append_record
from softgrad.train.run_directory import RunDirectory, explained


class Run:
    """A trainer and the directory it writes to, which no other run can take until the last epoch or an error.

    Made by `start` or `resume`.
    """

    def __init__(self, directory: RunDirectory, trainer: Trainer) -> None:
        self.directory = directory
        self.trainer = trainer

    @classmethod
    def start(cls, config: TrainConfig, run_dir: str | Path | None = None, data_dir: str | Path | None = None) -> Run:
        """Load the data, set up a trainer and make the run directory, by default a new one under ``runs/``.

        A directory in which a run ended before its first epoch did is begun anew.

        Raises
        ------
        ValueError
            If a setting does not fit the data set.
        SoftgradError
            If the data cannot be had, or the directory cannot be written, holds a run already or is in use.
        BackendUnavailableError
            If the backend cannot run here.
        """
        backend = get_backend(config.backend)
        dataset = load_dataset(config.dataset, data_dir)
        config = replace(config, dataset=dataset.name)
        trainer = Trainer(config, dataset, backend)
        directory = RunDirectory.create(None if run_dir is None else Path(run_dir), dataset.name)
        with directory.released_on_error():
            directory.write_config(trainer.config, {"softgrad": softgrad.__version__, "data": dataset.source})
        return cls(directory, trainer)

    @classmethod
    def resume(cls, run_dir: str | Path, data_dir: str | Path | None = None) -> Run:
        """Take up a run where its last checkpoint stands, or at its beginning if there is none, with its settings.

        Raises
        ------
        CheckpointError
            If there is no run, its checkpoint is damaged, or it does not fit the data.
        SoftgradError
            If the data cannot be had, or the directory is in use.
        BackendUnavailableError
            If the run's backend cannot run here.
        """
        run_dir = Path(run_dir)
        if not run_dir.is_dir():
            raise CheckpointError(f"run directory {run_dir} does not exist; give one that `softgrad train` wrote")
        directory = RunDirectory(run_dir)
        with directory.released_on_error():
            config, checkpoint = directory.read_state()
            trainer = Trainer(config, load_dataset(config.dataset, data_dir), get_backend(config.backend))
            if checkpoint is not None:
                checkpoint.restore(trainer)
        return cls(directory, trainer)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def checkpoint(self) -> Path:
        """The file of the last state."""
        return self.directory.last

    def epochs(
        self, on_batch: Callable[[Trainer], None] | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[EpochRecord]:
        """Train, keeping the files up to date, and yield each epoch's record; then release the directory.

        Where `stop` ends the run within an epoch, or `on_batch` by an error, the checkpoint holds exactly that place.

        Raises
        ------
        DivergedError
            If the loss or a weight is not finite; the checkpoint is the last for which they were.
        RunDirectoryError
            If the directory cannot be written, or these are not the first epochs asked for: `resume` goes on.
        """
        directory = self.directory
        if not directory.held and not self.trainer.finished:  # another run may have gone on since
            raise RunDirectoryError(
                f"run directory {self.path} was released when its epochs ended; take it up again with Run.resume"
            )
        try:
            for record in self.trainer.fit(on_batch and self._saving_on_error(on_batch), stop):
                with explained(self.path):
                    # The checkpoint last: a record without it is dropped on resuming, and never missing.
                    append_record(directory.metrics, record)
                    if record.test_accuracy == self.trainer.progress.best_accuracy:
                        save_checkpoint(directory.best, self.trainer)
                    save_checkpoint(directory.last, self.trainer)
                yield record
            if not self.trainer.finished:
                self._save()
        finally:
            directory.release()

    def _save(self) -> None:
        with explained(self.path):
            save_checkpoint(self.directory.last, self.trainer)

    def _saving_on_error(self, on_batch: Callable[[Trainer], None]) -> Callable[[Trainer], None]:
        """What is called after each batch: if it fails, a terminal that is gone perhaps, what was learned is kept."""

        def called(trainer: Trainer) -> None:
            try:
                on_batch(trainer)
            except BaseException:
                with contextlib.suppress(DivergedError):
                    trainer.check_finite()
                    self._save()
                raise

        return called
