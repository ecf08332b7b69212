"""Rows of the formula tables for a call: found by name, with the values of their parameters."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from softgrad.kernels.formulas.registry import ACTIVATIONS, Activation, ElementwiseLoss
from softgrad.ops.elementwise import Elementwise
from softgrad.ops.scalars import check_number

IDENTITY = ACTIVATIONS["identity"]


def find_activation(activation: Any) -> Activation:
    """The row of that name; that of a formula made by `ops.elementwise`, or named "module:name"; None is the identity.

    Raises
    ------
    ValueError
        If there is none; the message lists the names. A module is not imported: a name may come from a file.
    """
    if activation is None:
        return IDENTITY
    if isinstance(activation, str):
        row = ACTIVATIONS.get(activation)
        if row is not None:
            return row
        if is_formula_name(activation):
            return _formula_named(activation).activation
    elif isinstance(activation, Elementwise):
        return activation.activation
    raise ValueError(
        f"activation must be one of {', '.join(ACTIVATIONS)}, or a formula made by ops.elementwise; got {activation!r}"
    )


def is_formula_name(activation: Any) -> bool:
    """Is it a name of the form "module:name"?"""
    return isinstance(activation, str) and ":" in activation


def _formula_named(name: str) -> Elementwise:
    module, _, path = name.partition(":")
    if module not in sys.modules:
        raise ValueError(
            f"activation {name} is a formula of the module {module}, which is not imported; import it first, on the "
            f"command line with --import {module}"
        )
    try:
        formula = attrgetter(path)(sys.modules[module])
    except AttributeError:
        raise ValueError(f"activation {name} is not there: the module {module} has no {path}") from None
    if not isinstance(formula, Elementwise):
        raise ValueError(f"activation {name} must be a formula made by ops.elementwise; got {type(formula).__name__}")
    return formula


def name_of_formula(formula: Elementwise) -> str:
    """The name by which `find_activation` finds a formula, in this process or in one that imports its module.

    Raises
    ------
    ValueError
        If it is not found so.
    """
    name = f"{formula.__module__}:{formula.__qualname__}"
    try:
        if _formula_named(name) is formula:
            return name
    except ValueError:
        pass
    raise ValueError(
        f"activation must be a formula that its module has by its name, {name}, so that a run can find it again; "
        "define it at the top of a module"
    )


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
