"""Learning-rate schedules: the factor on the learning rate at each step."""

from __future__ import annotations

import math


def learning_rate(schedule: str, lr: float, step: int, total_steps: int) -> float:
    """The learning rate of a step, counted from 0, in a run of `total_steps`.

    "constant" is lr; "cosine" is lr (1 + cos(pi step / total_steps)) / 2, Loshchilov and Hutter 2017
    (arXiv:1608.03983), without restarts.
    """
    if schedule == "constant":
        return lr
    if schedule == "cosine":
        return lr * 0.5 * (1.0 + math.cos(math.pi * step / total_steps))
    raise ValueError(f"schedule must be constant or cosine; got {schedule!r}")
