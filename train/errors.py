"""The errors a user can meet while training that are not a wrong argument (those are ValueError)."""

from __future__ import annotations


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
    """The loss of a training run is no longer a number."""


class NotFittedError(ValueError, AttributeError):
    """A linear model was asked for what it has only after `fit`; the same bases as scikit-learn's."""
