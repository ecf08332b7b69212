"""The errors a user can meet while training that are not a wrong argument (those are ValueError)."""

from __future__ import annotations

import errno
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


def remedy(error: OSError) -> str:
    """What to do about an error of the system, by its number."""
    return _REMEDIES.get(error.errno or 0, "choose another place")


_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space there or choose another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a place where this user may read and write"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file of that name is in the way: choose another place"),
    errno.EISDIR: "a folder of that name is in the way: choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead back to themselves: choose another place",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too many files are open: close some"),
}


def divergence(xp: Any, loss: float, *weights: Any) -> str | None:
    """What is not finite, in words for a `DivergedError`; None of a healthy run.

    The loss of a batch is taken before its update: of the last update only the weights can tell.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    return None if all(xp.isfinite(array).all() for array in weights) else "weights are not finite"


class NotFittedError(ValueError, AttributeError):
    """A linear model was asked for what it has only after `fit`; the same bases as scikit-learn's."""
