"""Checkpoints: a model, its optimizer and its place in a run, in one safetensors file. Nothing is unpickled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import softgrad
from softgrad.ops.backend import Backend
from softgrad.ops.dtypes import compute_dtype, dtype_named
from softgrad.train import description
from softgrad.train.atomic import atomic_write
from softgrad.train.config import TrainConfig
from softgrad.train.data.datasets import Dataset
from softgrad.train.data.standardise import Standardisation
from softgrad.train.errors import CheckpointError
from softgrad.train.evaluation import to_numpy
from softgrad.train.loop import Progress, Trainer
from softgrad.train.model import MLP, parameter_shapes
from softgrad.train.regular_file import open_regular
from softgrad.train.tensor_file import TensorFileError, pack, unpack


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: checked against its own configuration.

    Attributes
    ----------
    path
        Where it was read.
    config, progress, inputs
        Of the run.
    image_shape, max_value, class_names
        Of the images the model was trained on.
    tensors
        Weights and biases by name, and the optimizer's states, as "velocity.<name>" or "exp_avg.<name>".
    """

    path: Path
    config: TrainConfig
    progress: Progress
    inputs: Standardisation
    image_shape: tuple[int, int]
    max_value: int
    class_names: tuple[str, ...]
    tensors: dict[str, np.ndarray]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, hidden layers, classes."""
        return (math.prod(self.image_shape), *self.config.hidden, len(self.class_names))

    def model(self, backend: Backend) -> MLP:
        """The network, on that backend.

        Raises
        ------
        CheckpointError
            If the file holds another network than its configuration describes, or weights that are not finite.
        """
        for name, shape in parameter_shapes(self.sizes).items():  # before memory is asked for
            if not np.isfinite(self._tensor(name, shape, compute_dtype(dtype_named(self.config.dtype)))).all():
                raise CheckpointError(
                    f"{self.path} holds weights that are not finite, in {name}: the run diverged; take an earlier one"
                )
        model = MLP(self.sizes, self.config.activation, self.config.dtype, backend)
        self._fill(model, {"": model.params})
        return model

    def restore(self, trainer: Trainer) -> None:
        """Put weights, optimizer state and place into a trainer of the same configuration.

        Raises
        ------
        CheckpointError
            If the trainer's network or data are not those of the checkpoint; the trainer is then as it was.
        """
        self.check_fits(trainer.dataset)
        if trainer.inputs != self.inputs:
            raise CheckpointError(f"{self.path} was trained on other images than those of {trainer.dataset.source}")
        epoch, batch = self.progress.epoch, self.progress.batch
        if epoch * trainer.batches + batch > trainer.config.epochs * trainer.batches or batch > trainer.batches:
            raise CheckpointError(
                f"{self.path} stands at batch {batch} of epoch {epoch + 1}, which is none of the run's "
                f"{trainer.config.epochs} epochs of {trainer.batches} batches"
            )
        self._fill(trainer.model, _flat_arrays(trainer))
        trainer.progress = replace(self.progress)

    def check_fits(self, dataset: Dataset) -> None:
        """Raise CheckpointError unless the model takes the data set's images and classes."""
        if dataset.image_shape != self.image_shape or dataset.classes != len(self.class_names):
            raise CheckpointError(
                f"{self.path} takes {_size(self.image_shape)} images of {len(self.class_names)} classes; "
                f"{dataset.name} has {_size(dataset.image_shape)} images of {dataset.classes}: "
                f"choose the data set it was trained on, {self.config.dataset}"
            )

    def _fill(self, model: MLP, flats: Mapping[str, Any]) -> None:
        """Copy tensors into arrays of the network's parameters, by the prefix of the names; all or none."""
        views = {prefix + name: view for prefix, flat in flats.items() for name, view in model.named(flat)}
        tensors = {name: self._tensor(name, view.shape, view.dtype) for name, view in views.items()}
        for name, view in views.items():
            view[...] = model.backend.xp.asarray(tensors[name])

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        tensor = self.tensors.get(name)
        if tensor is None or tensor.shape != shape or tensor.dtype != dtype:
            found = "nothing" if tensor is None else f"{tensor.dtype} of shape {tensor.shape}"
            raise CheckpointError(
                f"{self.path} is of another network: {name} must be {dtype} of shape {shape}; found {found}"
            )
        return tensor


def save_checkpoint(path: str | Path, trainer: Trainer) -> None:
    """Write the trainer's state to `path`, atomically: what was there stays until the new file is whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    tensors = {
        prefix + name: np.ascontiguousarray(to_numpy(view))
        for prefix, flat in _flat_arrays(trainer).items()
        for name, view in trainer.model.named(flat)
    }
    dataset = trainer.dataset
    about = {
        "softgrad": softgrad.__version__,
        "config": trainer.config.to_json(),
        "progress": asdict(trainer.read_progress()),
        "inputs": asdict(trainer.inputs),
        "image_shape": list(dataset.image_shape),
        "max_value": dataset.max_value,
        "class_names": list(dataset.class_names),
    }
    atomic_write(Path(path), pack(tensors, about))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file, or the last one of a run directory.

    Raises
    ------
    CheckpointError
        If there is none, it is damaged in any bit, or no checkpoint of softgrad.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "last.safetensors"
    try:
        with open_regular(path) as file:
            content = file.read()
    except (OSError, ValueError) as error:  # a ValueError of a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"checkpoint {path} cannot be read ({reason}); give a run directory or a .safetensors file"
        ) from error
    try:
        tensors, about = unpack(content)
    except TensorFileError as error:
        raise CheckpointError(f"checkpoint {path} {error}") from error
    try:
        return Checkpoint(
            path=path,
            config=description.config(about["config"]),
            progress=description.progress(about["progress"]),
            inputs=description.inputs(about["inputs"]),
            image_shape=description.image_shape(about["image_shape"]),
            max_value=description.max_value(about["max_value"]),
            class_names=description.class_names(about["class_names"]),
            tensors=tensors,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} has a damaged description ({error})") from error


def _flat_arrays(trainer: Trainer) -> dict[str, Any]:
    """The flat arrays of a checkpoint, parameters and optimizer state, by the prefix of their tensors' names."""
    return {"": trainer.model.params} | {f"{name}.": flat for name, flat in trainer.optimizer.state.items()}


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
