"""Numbers in: what a caller gives as an option, and how a value is shown in a message."""

from __future__ import annotations

import math
import sys
from numbers import Number, Real
from operator import index
from typing import Any

import numpy as np

from softgrad.ops.arguments import refuse_masked
from softgrad.ops.dtypes import FLOAT64, LARGEST

# Characters of a value in a message.
LONGEST_SHOWN = 80


def unboxed(value: Any, name: str) -> Any:
    """The number in an array without axes, NumPy's or another package's; any other value as it is."""
    if getattr(value, "ndim", None) != 0 or getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        return value  # of a time NumPy would give the count of its nanoseconds
    refuse_masked(value, name)
    try:
        return value.item() if hasattr(value, "item") else np.asarray(value).item()
    except (TypeError, ValueError, RuntimeError) as error:  # an array that another package cannot look into now
        raise TypeError(f"{name} must be a number; got {type(value).__name__}: {error}") from error


def whole_number(value: Any, name: str, expected: str = "an integer or None") -> int:
    """`value` as an integer, which a boolean is not; raises TypeError if it is none."""
    number: Any = unboxed(value, name)
    if isinstance(number, bool):
        number = None
    try:
        return index(number)
    except TypeError:
        raise TypeError(f"{name} must be {expected}; got {type(value).__name__}") from None


def real_number(value: Any, name: str) -> float:
    """`value` as a float, infinite if it is an integer beyond all floats; raises TypeError if it is no real number."""
    if type(value) is float:
        return value
    number = unboxed(value, name)
    if not isinstance(number, Real):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}")
    try:
        return float(number)
    except OverflowError:
        return math.inf if number >= 0 else -math.inf  # type: ignore[operator]


def check_number(value: Any, name: str, *, minimum: float = -math.inf, dtype: Any = FLOAT64) -> float:
    """`value` as a number that is finite in that dtype, float32 or float64, and not below `minimum`.

    Raises
    ------
    TypeError
        If it is no real number.
    ValueError
        If it is not finite in that dtype, or below `minimum`.
    """
    number, largest = real_number(value, name), LARGEST[dtype]
    if not (minimum <= number <= largest and number >= -largest):
        bound = "" if minimum == -math.inf else f" not below {minimum:g}"
        raise ValueError(f"{name} must be a finite {dtype} number{bound}; got {shown(value)}")
    return number


def check_size(shape: tuple[int, ...], dtype: Any, name: str, value: Any) -> None:
    """Raise ValueError if no array can have that shape, for which the `value` of the argument `name` is to blame."""
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > sys.maxsize:
        raise ValueError(f"{name} must be small enough for a result that fits any memory; got {shown(value)}")


def shown(value: Any) -> str:
    """The value for a message, cut if it is long; an integer may have more digits than Python is willing to write."""
    try:
        words = str(value) if isinstance(value, Number) else repr(value)
    except ValueError:
        words = f"a number of type {type(value).__name__} with too many digits to print"
    return words if len(words) <= LONGEST_SHOWN else f"{words[:LONGEST_SHOWN]}..."
