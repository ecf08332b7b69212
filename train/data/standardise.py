"""Standardised inputs: (pixel - mean) / standard deviation, over all pixels of the training images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# Pixels counted at a time: np.bincount makes an int64 copy of what it is given.
CHUNK = 1 << 20


@dataclass(frozen=True)
class Standardisation:
    """What a pixel becomes: pixel * scale + shift."""

    scale: float
    shift: float

    @classmethod
    def of(cls, images: Any) -> Standardisation:
        """From uint8 images, exactly: their histogram gives mean and variance without rounding sums."""
        flat = images.reshape(-1)
        counts = np.zeros(256, np.int64)
        for start in range(0, flat.size, CHUNK):
            counts += np.bincount(flat[start : start + CHUNK], minlength=256)
        values = np.arange(256)
        mean = float(counts @ values) / flat.size
        variance = float(counts @ (values - mean) ** 2) / flat.size
        scale = 1.0 / math.sqrt(variance) if variance > 0 else 1.0
        return cls(scale, -mean * scale)
