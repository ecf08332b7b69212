"""The errors a user can meet while training that are not a wrong argument (those are ValueError)."""

from __future__ import annotations

import math
from typing import Any


class SoftgradError(Exception):
    """Something outside the program is not as it must be; the message names it and the remedy."""


class DatasetError(SoftgradError):
    """A data set is missing, cannot be downloaded, or its files are not what they must be."""


class CheckpointError(SoftgradError):
    """A checkpoint is missing, damaged, or belongs to another network."""


class ImageError(SoftgradError):
    """A picture is missing, damaged, or nothing that can be read as one."""


class RunDirectoryError(SoftgradError):
    """A run directory cannot be written, or is in use."""


class DivergedError(SoftgradError):
    """The loss or the weights of a training run are no longer finite."""


def divergence(xp: Any, loss: float, *weights: Any) -> str | None:
    """What is not finite, in words for a `DivergedError`; None of a healthy run.

    The loss of a batch is taken before its update: of the last update only the weights can tell.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    return None if all(xp.isfinite(array).all() for array in weights) else "weights are not finite"


class NotFittedError(ValueError, AttributeError):
    """A linear model was asked for what it has only after `fit`; the same bases as scikit-learn's."""
