"""Rows of the formula tables for a call: found by name, with the values of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from softgrad.kernels.formulas.registry import ACTIVATIONS, Activation, ElementwiseLoss
from softgrad.ops.scalars import check_number

IDENTITY = ACTIVATIONS["identity"]


def find_activation(name: str | None) -> Activation:
    """The row of that name; None is the identity.

    Raises
    ------
    ValueError
        If there is none; the message lists the names.
    """
    if name is None:
        return IDENTITY
    row = ACTIVATIONS.get(name) if isinstance(name, str) else None
    if row is None:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    return row


def check_differentiable(row: Activation) -> None:
    """Raise ValueError if the activation has no backward."""
    if row.backward is None:
        raise ValueError(
            f"{row.name} has no backward: its derivative is {row.derivative}, so nothing can be learned through it"
        )


def parameter_values(row: Activation | ElementwiseLoss, given: Mapping[str, Any], dtype: Any) -> tuple[float, ...]:
    """The row's parameters in order, checked to be numbers of the dtype the kernel computes in.

    Raises
    ------
    TypeError
        If the row has no parameter of a name that is given, or a value is no number.
    ValueError
        If a value is not finite in that dtype, or the row's check says what is wrong.
    """
    if not given:
        return tuple(row.parameters.values())
    unknown = [name for name in given if name not in row.parameters]
    if unknown:
        known = ", ".join(row.parameters) or "no parameters"
        raise TypeError(f"{row.name} has no parameter {unknown[0]!r}; it takes {known}")
    values = {
        # Rounded to the dtype, in which a tiny number may be 0, and so one that a formula divides by.
        name: float(dtype.type(check_number(given.get(name, default), name, dtype=dtype)))
        for name, default in row.parameters.items()
    }
    problem = row.check(**values)
    if problem:
        raise ValueError(f"{row.name}: {problem}")
    return tuple(values.values())
