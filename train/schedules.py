"""Learning-rate schedules: the learning rate of each step of a run.

Each is a function ``schedule(lr, step, total_steps)`` of the learning rate that was set, the step, counted from 0, and
the number of steps; what else it takes are the schedule's settings, with their defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

# One cycle as PyTorch has it: the share of the steps that climb, and what lr is divided by before and after them.
CLIMB, FIRST_DIVISOR, LAST_DIVISOR = 0.3, 25.0, 1e4


def constant(lr: float, step: int, total_steps: int) -> float:
    """lr at every step."""
    return lr


def step_decay(lr: float, step: int, total_steps: int, *, decay: float = 0.1, decay_steps: int | None = None) -> float:
    """lr decay^floor(step / decay_steps); ``torch.optim.lr_scheduler.StepLR``."""
    return lr * math.pow(decay, step // (decay_steps or _third(total_steps)))


def exponential(lr: float, step: int, total_steps: int, *, decay: float = 0.1, decay_steps: int | None = None) -> float:
    """lr decay^(step / decay_steps); ``torch.optim.lr_scheduler.ExponentialLR`` gamma = decay^(1 / decay_steps)."""
    return lr * math.pow(decay, step / (decay_steps or _third(total_steps)))


def inverse_time(lr: float, step: int, total_steps: int, *, decay_steps: int | None = None) -> float:
    """lr / (1 + step / decay_steps): a half after decay_steps, a third after twice as many; Robbins and Monro 1951."""
    return lr / (1.0 + step / (decay_steps or _third(total_steps)))


def cosine(lr: float, step: int, total_steps: int) -> float:
    """lr (1 + cos(pi step / total_steps)) / 2, without restarts; Loshchilov and Hutter 2017, arXiv:1608.03983."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * step / total_steps))


def one_cycle(lr: float, step: int, total_steps: int) -> float:
    """From lr / 25 up to lr over 30 % of the steps, then down to lr / 250,000, along cosines.

    Smith and Topin 2018, arXiv:1708.07120; ``torch.optim.lr_scheduler.OneCycleLR``, the momentum left alone.
    """
    first, last = lr / FIRST_DIVISOR, lr / FIRST_DIVISOR / LAST_DIVISOR
    top, end = CLIMB * total_steps - 1.0, total_steps - 1.0
    if step <= top:
        return _along_cosine(first, lr, step / top)
    return _along_cosine(lr, last, (step - top) / (end - top))


SCHEDULES: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "constant": constant,
        "step": step_decay,
        "exponential": exponential,
        "inverse-time": inverse_time,
        "cosine": cosine,
        "one-cycle": one_cycle,
    }
)


def settings_of(schedule: str) -> Mapping[str, Any]:
    """What a user can set of a schedule, with the defaults; None is a third of the steps."""
    return SCHEDULES[schedule].__kwdefaults__ or {}


def learning_rate(
    schedule: str, lr: float, step: int, total_steps: int, *, warmup_steps: int = 0, **settings: Any
) -> float:
    """The learning rate of a step, counted from 0, in a run of `total_steps`.

    The schedule begins after `warmup_steps`, of which there are fewer than `total_steps`. In them the learning rate
    climbs to the schedule's first in equal parts: step + 1 of warmup_steps + 1. Goyal et al. 2017, arXiv:1706.02677;
    ``torch.optim.lr_scheduler.LinearLR``.
    """
    function, total_steps = SCHEDULES[schedule], total_steps - warmup_steps
    if step < warmup_steps:
        return function(lr, 0, total_steps, **settings) * ((step + 1) / (warmup_steps + 1))
    return function(lr, step - warmup_steps, total_steps, **settings)


def _third(total_steps: int) -> int:
    return -(-total_steps // 3)


def _along_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))
