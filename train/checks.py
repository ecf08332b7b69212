"""Settings of the trainer, checked: a choice, a number in a range, a whole number."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from softgrad.ops.scalars import shown


class Range(NamedTuple):
    """Which finite numbers are allowed, in words and as a condition."""

    words: str
    holds: Callable[[float], bool]


NOT_NEGATIVE = Range("a finite number, 0 or above", lambda value: value >= 0)


def check_choice(value: Any, name: str, choices: Iterable[str]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in (names := tuple(choices)):
        raise ValueError(f"{name} must be one of {', '.join(names)}; got {value!r}")


def check_in(value: Any, name: str, allowed: Range) -> None:
    """Raise ValueError unless the value is a finite number of that range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # An integer may be beyond all floats.
    if not number or not abs(value) <= sys.float_info.max or not allowed.holds(value):
        raise ValueError(f"{name} must be {allowed.words}; got {shown(value)}")


def check_whole(value: Any, name: str, minimum: int) -> None:
    """Raise ValueError unless the value is a whole number, `minimum` or above."""
    if not is_whole(value, minimum):
        raise ValueError(f"{name} must be a whole number, {minimum} or above; got {shown(value)}")


def is_whole(value: Any, minimum: int) -> bool:
    """Is the value a whole number, `minimum` or above? A boolean is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum
