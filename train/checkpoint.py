"""Checkpoints: a model, its optimizer and its place in a run, in one safetensors file. Nothing is unpickled."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

import softgrad
from softgrad.ops.backend import Backend
from softgrad.train.atomic import atomic_write
from softgrad.train.config import TrainConfig
from softgrad.train.datasets import Dataset
from softgrad.train.errors import CheckpointError
from softgrad.train.evaluation import to_numpy
from softgrad.train.loop import Progress, Trainer
from softgrad.train.model import MLP
from softgrad.train.standardise import Standardisation

FORMAT = "softgrad-checkpoint-1"


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
            If the file holds another network than its configuration describes.
        """
        model = MLP(self.sizes, self.config.activation, self.config.dtype, backend)
        self._fill(model, model.params, "")
        return model

    def restore(self, trainer: Trainer) -> None:
        """Put weights, optimizer state and place into a trainer of the same configuration.

        Raises
        ------
        CheckpointError
            If the trainer's network or data are not those of the checkpoint.
        """
        self.check_fits(trainer.dataset)
        if trainer.inputs != self.inputs:
            raise CheckpointError(f"{self.path} was trained on other images than those of {trainer.dataset.source}")
        self._fill(trainer.model, trainer.model.params, "")
        for name, state in trainer.optimizer.state.items():
            self._fill(trainer.model, state, f"{name}.")
        trainer.progress = Progress(**asdict(self.progress))

    def check_fits(self, dataset: Dataset) -> None:
        """Raise CheckpointError unless the model takes the data set's images and classes."""
        if dataset.image_shape != self.image_shape or dataset.classes != len(self.class_names):
            raise CheckpointError(
                f"{self.path} takes {_size(self.image_shape)} images of {len(self.class_names)} classes; "
                f"{dataset.name} has {_size(dataset.image_shape)} images of {dataset.classes}: "
                f"choose the data set it was trained on, {self.config.dataset}"
            )

    def _fill(self, model: MLP, flat: Any, prefix: str) -> None:
        for name, view in model.named(flat):
            tensor = self.tensors.get(prefix + name)
            if tensor is None or tensor.shape != view.shape or tensor.dtype != view.dtype:
                found = "nothing" if tensor is None else f"{tensor.dtype} of shape {tensor.shape}"
                raise CheckpointError(
                    f"{self.path} is of another network: {prefix + name} must be {view.dtype} of shape {view.shape}; "
                    f"found {found}"
                )
            view[...] = model.backend.xp.asarray(tensor)


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Write the trainer's state to `path`, atomically: what was there stays until the new file is whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    flats = {"": trainer.model.params} | {f"{name}.": flat for name, flat in trainer.optimizer.state.items()}
    tensors = {
        prefix + name: np.ascontiguousarray(to_numpy(view))
        for prefix, flat in flats.items()
        for name, view in trainer.model.named(flat)
    }
    dataset = trainer.dataset
    about = {
        "format": FORMAT,
        "softgrad": softgrad.__version__,
        "config": trainer.config.to_json(),
        "progress": asdict(trainer.read_progress()),
        "inputs": asdict(trainer.inputs),
        "image_shape": list(dataset.image_shape),
        "max_value": dataset.max_value,
        "class_names": list(dataset.class_names),
    }
    atomic_write(path, save_safetensors(tensors, metadata={key: json.dumps(value) for key, value in about.items()}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file, or the last one of a run directory.

    Raises
    ------
    CheckpointError
        If there is none, it is damaged or no checkpoint of softgrad.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "last.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be read ({error.strerror}); give a run directory or a .safetensors file"
        ) from error
    try:
        tensors = load_safetensors(content)
        metadata = _metadata(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged or no safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {path} is no softgrad checkpoint; give one that `softgrad train` wrote")
    try:
        return Checkpoint(
            path=path,
            config=TrainConfig.from_json(metadata["config"]),
            progress=_progress(metadata["progress"]),
            inputs=Standardisation(**metadata["inputs"]),
            image_shape=_pair(metadata["image_shape"]),
            max_value=int(metadata["max_value"]),
            class_names=tuple(metadata["class_names"]),
            tensors=tensors,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} has a damaged description ({error})") from error


def _metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a safetensors file: a JSON header after its length in eight bytes, little-endian."""
    length = int.from_bytes(content[:8], "little")
    strings = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    if "format" not in strings:
        return {}
    return {key: json.loads(value) for key, value in strings.items()}


def _progress(values: dict[str, Any]) -> Progress:
    names = {field.name for field in fields(Progress)}
    if set(values) != names:
        raise ValueError(f"progress must hold {', '.join(sorted(names))}")
    return Progress(**values)


def _pair(values: list[int]) -> tuple[int, int]:
    height, width = values
    return int(height), int(width)


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
