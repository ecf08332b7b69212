"""Run directories: whose they are, and which files they hold.

``config.json`` holds the settings, ``metrics.jsonl`` a line an epoch, ``last.safetensors`` the state after the last
epoch (or where the run was interrupted) and ``best.safetensors`` that of the best test accuracy. While a run is trained
its directory is locked, so that no second process writes there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from softgrad.train import metrics, strict_json
from softgrad.train.atomic import atomic_write, remove_leftovers
from softgrad.train.checkpoint import Checkpoint, load_checkpoint
from softgrad.train.config import TrainConfig
from softgrad.train.errors import CheckpointError, RunDirectoryError, remedy
from softgrad.train.lock import FolderLock
from softgrad.train.regular_file import open_regular

# What config.json tells besides the settings: the version that began the run, and where its data lay.
ABOUT = ("softgrad", "data")


class RunDirectory:
    """An existing folder, taken for a run until `release`, and the files in it.

    What a killed process left half-written there is removed.

    Raises
    ------
    RunDirectoryError
        If another run has taken it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.metrics = path / "config.json", path / metrics.NAME
        self.last, self.best = path / "last.safetensors", path / "best.safetensors"
        with explained(path):
            try:
                self._lock = FolderLock(self.path)
            except BlockingIOError as error:
                raise RunDirectoryError(
                    f"run directory {self.path} is in use, a run is being trained there; "
                    "wait until that ends, or choose another"
                ) from error
            if self._lock.certain:
                remove_leftovers(self.config, self.metrics, self.last, self.best)

    @classmethod
    def create(cls, path: Path | None, dataset: str) -> RunDirectory:
        """Take a folder for a new run: by default one made under ``runs/``, else one in which nothing was trained.

        Raises
        ------
        RunDirectoryError
            If it cannot be made, or holds a run.
        """
        if path is None:
            path = _new_folder(Path("runs"), f"{datetime.now():%Y%m%d-%H%M%S}-{dataset}")
        else:
            path = Path(path)
            with explained(path):
                path.mkdir(parents=True, exist_ok=True)
        directory = cls(path)
        with directory.released_on_error(), explained(path):
            if directory.has_checkpoint or not directory.is_fresh(metrics.read_metrics(path)):
                raise RunDirectoryError(f"run directory {path} holds a run already; resume it, or choose another")
            metrics.keep_records(directory.metrics, [])
        return directory

    @property
    def held(self) -> bool:
        """Has it not been released?"""
        return self._lock.held

    def release(self) -> None:
        """Let other processes take it."""
        self._lock.release()

    @contextmanager
    def released_on_error(self) -> Iterator[None]:
        """Release it if what is done within fails."""
        try:
            yield
        except BaseException:
            self.release()
            raise

    @property
    def has_checkpoint(self) -> bool:
        """Was anything trained here that can be taken up?"""
        return self.last.exists()

    @staticmethod
    def is_fresh(records: list[metrics.Record]) -> bool:
        """Without a checkpoint, is there nothing to lose? A kill before the first one leaves a record at most."""
        return len(records) <= 1

    def write_config(self, config: TrainConfig, about: dict[str, str]) -> None:
        """Keep the settings of a run, and what `ABOUT` names."""
        with explained(self.path):
            atomic_write(self.config, (strict_json.dumps(about | config.to_json(), indent=2) + "\n").encode())

    def read_state(self) -> tuple[TrainConfig, Checkpoint | None]:
        """The settings of the run, and its last checkpoint if there is one; records of later epochs are dropped.

        Raises
        ------
        CheckpointError
            If the checkpoint is damaged or lost, or there is neither a checkpoint nor a configuration.
        """
        checkpoint = load_checkpoint(self.path) if self.has_checkpoint else None
        config = self._read_config() if checkpoint is None else checkpoint.config
        with explained(self.path):
            records = metrics.read_metrics(self.path)
            if checkpoint is None and not self.is_fresh(records):
                raise CheckpointError(
                    f"run directory {self.path} has records of {len(records)} epochs but no checkpoint; "
                    f"put {self.last.name} back, or start anew in another"
                )
            epoch = 0 if checkpoint is None else checkpoint.progress.epoch
            metrics.keep_records(self.metrics, [record for record in records if record["epoch"] <= epoch])
        return config, checkpoint

    def _read_config(self) -> TrainConfig:
        try:
            with open_regular(self.config) as file:
                settings: Any = strict_json.loads(file.read())
            if not isinstance(settings, dict):
                raise ValueError(f"it must hold an object; got {type(settings).__name__}")
            return TrainConfig.from_json({name: value for name, value in settings.items() if name not in ABOUT})
        except FileNotFoundError as error:
            raise CheckpointError(
                f"run directory {self.path} holds no run, neither a checkpoint nor {self.config.name}; "
                f"start one there with --run-dir"
            ) from error
        except (OSError, AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.config} is damaged ({error}), and there is no checkpoint; start anew with --run-dir"
            ) from error


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder of that name, or with a number after it: making is what finds a name that nobody else has."""
    with explained(parent):
        parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = parent / (name if number == 1 else f"{name}-{number}")
        with explained(path):
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    raise AssertionError


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError into one line that names the run directory and the remedy."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"run directory {path} cannot be written ({error.strerror or error}); {remedy(error)}"
        ) from error
