"""The parts of a checkpoint's description, each checked: a file may be whole, and yet of another program's making.

Each function takes what JSON holds, and raises KeyError, TypeError or ValueError unless it is what a run would write.
"""

from __future__ import annotations

import math
import sys
from dataclasses import fields
from typing import Any

from softgrad.ops.scalars import shown
from softgrad.train.checks import check_choice
from softgrad.train.config import TrainConfig
from softgrad.train.data.catalogue import DATASETS
from softgrad.train.data.standardise import Standardisation
from softgrad.train.loop import Progress


def config(values: Any) -> TrainConfig:
    """The settings of the run."""
    settings = TrainConfig.from_json(values)
    check_choice(settings.dataset, "dataset", ("auto", *DATASETS))
    return settings


def progress(values: Any) -> Progress:
    """How far it has come."""
    _check_names(values, "progress", Progress)
    return Progress(
        epoch=_whole(values["epoch"], "epoch", 0),
        batch=_whole(values["batch"], "batch", 0),
        loss_sum=_number(values["loss_sum"], "loss_sum"),
        correct=_whole(values["correct"], "correct", 0),
        seconds=_number(values["seconds"], "seconds", 0),
        best_accuracy=_number(values["best_accuracy"], "best_accuracy", -1, 1),
    )


def inputs(values: Any) -> Standardisation:
    """What becomes of a pixel."""
    _check_names(values, "inputs", Standardisation)
    scale, shift = (_number(values[name], name) for name in ("scale", "shift"))
    if not (math.isfinite(scale) and math.isfinite(shift)):
        raise ValueError("scale and shift must be finite")
    return Standardisation(scale, shift)


def image_shape(value: Any) -> tuple[int, int]:
    """Height and width of the images."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"image_shape must be a height and a width; got {value!r}")
    height, width = (_whole(size, "image_shape", 1) for size in value)
    return height, width


def max_value(value: Any) -> int:
    """The value of full brightness."""
    return _whole(value, "max_value", 1, 255)


def class_names(value: Any) -> tuple[str, ...]:
    """A name for each class."""
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError(f"class_names must be a list of names; got {value!r}")
    return tuple(value)


def _check_names(values: Any, name: str, kind: type) -> None:
    names = sorted(field.name for field in fields(kind))
    if not isinstance(values, dict) or sorted(values) != names:
        raise ValueError(f"{name} must hold {', '.join(names)}; got {values!r}")


def _whole(value: Any, name: str, least: int, most: float = math.inf) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most:g}; got {value!r}")
    return value


def _number(value: Any, name: str, least: float = -math.inf, most: float = math.inf) -> float:
    """The value as a float; None, which stands for what is not finite, as NaN."""
    if value is None:
        return math.nan
    largest = sys.float_info.max
    if type(value) not in (int, float) or not max(least, -largest) <= value <= min(most, largest):
        raise ValueError(f"{name} must be a number from {least:g} to {most:g}; got {shown(value)}")
    return float(value)
