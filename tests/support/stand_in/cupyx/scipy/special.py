"""SciPy's functions over the stand-in's arrays."""

from __future__ import annotations

from functools import partial

import scipy.special
from cupy._array import called

softmax, log_softmax, logsumexp, expit = (
    partial(called, getattr(scipy.special, name)) for name in ("softmax", "log_softmax", "logsumexp", "expit")
)
