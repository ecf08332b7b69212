"""A run directory: a training run and the files it leaves, so that it can be looked at, resumed and used.

``config.json`` holds the settings, ``metrics.jsonl`` a line an epoch, ``last.safetensors`` the state after the last
epoch (or where the run was interrupted) and ``best.safetensors`` that of the best test accuracy.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import softgrad
from softgrad.ops.backend import get_backend
from softgrad.train.atomic import atomic_write
from softgrad.train.checkpoint import load_checkpoint, save_checkpoint
from softgrad.train.config import TrainConfig
from softgrad.train.datasets import load_dataset
from softgrad.train.errors import CheckpointError, RunDirectoryError
from softgrad.train.loop import EpochRecord, Trainer


class Run:
    """A trainer and the directory it writes to.

    Made by `start` or `resume`.
    """

    def __init__(self, path: Path, trainer: Trainer) -> None:
        self.path = path
        self.trainer = trainer

    @classmethod
    def start(cls, config: TrainConfig, run_dir: Path | None = None, data_dir: Path | None = None) -> Run:
        """Load the data, set up a trainer and make the run directory, by default a new one under ``runs/``.

        Raises
        ------
        ValueError
            If a setting does not fit the data set.
        SoftgradError
            If the data cannot be had, or the directory cannot be written or holds a run already.
        BackendUnavailableError
            If the backend cannot run here.
        """
        backend = get_backend(config.backend)
        dataset = load_dataset(config.dataset, data_dir)
        config = replace(config, dataset=dataset.name)
        trainer = Trainer(config, dataset, backend)
        path = _make_directory(run_dir, dataset.name)
        about = {"softgrad": softgrad.__version__, "data": dataset.source, **trainer.config.to_json()}
        with _explained(path):
            atomic_write(path / "config.json", (json.dumps(about, indent=2) + "\n").encode())
        return cls(path, trainer)

    @classmethod
    def resume(cls, run_dir: Path, data_dir: Path | None = None) -> Run:
        """Take up a run where its last checkpoint stands, with its settings.

        Raises
        ------
        CheckpointError
            If there is none, it is damaged, or it does not fit the data.
        SoftgradError
            If the data cannot be had.
        BackendUnavailableError
            If the run's backend cannot run here.
        """
        if not run_dir.is_dir():
            raise CheckpointError(f"run directory {run_dir} does not exist; give one that `softgrad train` wrote")
        checkpoint = load_checkpoint(run_dir)
        config = checkpoint.config
        trainer = Trainer(config, load_dataset(config.dataset, data_dir), get_backend(config.backend))
        checkpoint.restore(trainer)
        run = cls(run_dir, trainer)
        run._drop_later_records()
        return run

    @property
    def checkpoint(self) -> Path:
        """The file of the last state."""
        return self.path / "last.safetensors"

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def epochs(
        self, on_batch: Callable[[Trainer], None] | None = None, stop: Callable[[], bool] | None = None
    ) -> Iterator[EpochRecord]:
        """Train, keeping the files up to date, and yield each epoch's record.

        Where `stop` ends the run within an epoch, the checkpoint holds exactly that place.
        """
        for record in self.trainer.fit(on_batch, stop):
            with _explained(self.path):
                # The checkpoint last: a record without it is dropped on resuming, and never missing.
                with self._metrics.open("a") as file:
                    file.write(json.dumps(record.to_json()) + "\n")
                if record.test_accuracy == self.trainer.progress.best_accuracy:
                    save_checkpoint(self.path / "best.safetensors", self.trainer)
                save_checkpoint(self.checkpoint, self.trainer)
            yield record
        if not self.trainer.finished:
            with _explained(self.path):
                save_checkpoint(self.checkpoint, self.trainer)

    def _drop_later_records(self) -> None:
        """Remove the records of epochs that the checkpoint does not have, and a line that was cut off."""
        records = [record for record in read_metrics(self.path) if record["epoch"] <= self.trainer.progress.epoch]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        with _explained(self.path):
            atomic_write(self._metrics, lines.encode())


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``; a last line that a crash cut off is passed over."""
    path = run_dir / "metrics.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def _make_directory(run_dir: Path | None, dataset: str) -> Path:
    if run_dir is None:
        stamp = f"{datetime.now():%Y%m%d-%H%M%S}-{dataset}"
        taken = (Path("runs") / f"{stamp}{suffix}" for suffix in ("", *(f"-{i}" for i in range(2, 1000))))
        run_dir = next(path for path in taken if not path.exists())
    elif (run_dir / "last.safetensors").exists() or (run_dir / "config.json").exists():
        raise RunDirectoryError(f"run directory {run_dir} holds a run already; resume it, or choose another")
    with _explained(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
    return run_dir


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn an OSError into one line that names the run directory and the remedy."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"run directory {path} cannot be written ({error.strerror}); free some space there or choose another"
        ) from error
