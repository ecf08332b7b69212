"""`TrainConfig`: everything that decides a run's result, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from softgrad.ops import ACTIVATIONS

OPTIMIZERS = ("sgd", "momentum", "nesterov")
SCHEDULES = ("constant", "cosine")
BACKENDS = ("auto", "cpu", "gpu")
DTYPES = ("float32", "float64")
TRAINABLE_ACTIVATIONS = tuple(name for name, row in ACTIVATIONS.items() if row.backward is not None)


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run.

    Attributes
    ----------
    dataset
        The name of a data set (`train.datasets.DATASETS`), or "auto".
    hidden
        Sizes of the hidden layers; empty for softmax regression.
    activation
        Of the hidden layers; one of `ops.ACTIVATIONS` that has a backward.
    optimizer
        "sgd", "momentum" or "nesterov".
    lr
        The learning rate at the start.
    momentum
        For "momentum" and "nesterov", in [0, 1).
    weight_decay
        The L2 penalty's factor, 0 or above.
    schedule
        "constant", or "cosine" from lr to 0 over all steps.
    batch_size, epochs, seed
        Whole numbers; the seed decides weights and shuffles.
    dtype
        "float32" or "float64", of weights and arithmetic.
    backend
        "cpu", "gpu", or "auto".

    Raises
    ------
    ValueError
        If a setting is outside its range; the message starts with its name.
    """

    dataset: str = "auto"
    hidden: tuple[int, ...] = (256, 128)
    activation: str = "relu"
    optimizer: str = "nesterov"
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    batch_size: int = 128
    epochs: int = 10
    seed: int = 0
    dtype: str = "float32"
    backend: str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, str):
            raise ValueError(f"dataset must be a name; got {self.dataset!r}")
        _check_hidden(self.hidden)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        _check_choice("activation", self.activation, TRAINABLE_ACTIVATIONS)
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("schedule", self.schedule, SCHEDULES)
        _check_choice("dtype", self.dtype, DTYPES)
        _check_choice("backend", self.backend, BACKENDS)
        _check_number("lr", self.lr, "a finite number above 0", lambda value: value > 0)
        _check_number("momentum", self.momentum, "in [0, 1)", lambda value: 0 <= value < 1)
        _check_number("weight_decay", self.weight_decay, "a finite number, 0 or above", lambda value: value >= 0)
        _check_whole("batch_size", self.batch_size, 1)
        _check_whole("epochs", self.epochs, 1)
        _check_whole("seed", self.seed, 0)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON's types."""
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> TrainConfig:
        """The settings that `to_json` gave.

        Raises
        ------
        ValueError
            If a setting is missing, unknown or outside its range.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(settings, dict) or set(settings) != names:
            wrong = sorted(names ^ set(settings)) if isinstance(settings, dict) else type(settings).__name__
            raise ValueError(f"config must hold exactly {', '.join(sorted(names))}; differs in {wrong}")
        hidden = settings["hidden"]
        return cls(**{**settings, "hidden": tuple(hidden) if isinstance(hidden, list) else hidden})


def _check_hidden(hidden: Iterable[Any]) -> None:
    if isinstance(hidden, str | int) or not all(_is_whole(size, 1) for size in hidden):
        raise ValueError(f"hidden must be positive whole numbers, such as 256,128; got {hidden!r}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def _check_number(name: str, value: Any, expected: str, holds: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not holds(value):
        raise ValueError(f"{name} must be {expected}; got {value!r}")


def _check_whole(name: str, value: Any, minimum: int) -> None:
    if not _is_whole(value, minimum):
        raise ValueError(f"{name} must be a whole number, {minimum} or above; got {value!r}")


def _is_whole(value: Any, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum
