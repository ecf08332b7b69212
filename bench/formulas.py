"""Formulas as users write them, each once for all packages: of numbers, or of arrays, over a package's functions.

A package is anything with the functions that formulas use: ``exp``, ``erf``, ``fabs``, ``tanh``, ``sqrt``, ``log1p``
and ``where``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

Function = Callable[..., Any]


def swish(package: Any) -> Function:
    """x / (1 + exp(-1.5 x))"""
    exp = package.exp

    def formula(x: Any) -> Any:
        return x / (1.0 + exp(-1.5 * x))

    return formula


def gelu_by_erf(package: Any) -> Function:
    erf = package.erf

    def formula(x: Any) -> Any:
        return 0.5 * x * (1.0 + erf(0.7071067811865476 * x))

    return formula


def rational(package: Any) -> Function:
    """An activation without any function but |x|."""
    fabs = package.fabs

    def formula(x: Any) -> Any:
        return (x + 0.25 * x * x * x) / (1.0 + fabs(x) + x * x)

    return formula


def swiglu(package: Any) -> Function:
    exp = package.exp

    def formula(x: Any, gate: Any) -> Any:
        return x * gate / (1.0 + exp(-gate))

    return formula


def weighted_huber(package: Any) -> Function:
    """A loss of predictions, targets and weights."""
    fabs, where = package.fabs, package.where

    def formula(x: Any, t: Any, weight: Any) -> Any:
        distance = fabs(x - t)
        return weight * where(distance <= 1.0, 0.5 * distance * distance, distance - 0.5)

    return formula


def twenty_operations(package: Any) -> Function:
    exp, tanh, sqrt, log1p = package.exp, package.tanh, package.sqrt, package.log1p

    def formula(x: Any, y: Any) -> Any:
        square = x * x + y * y
        wave = tanh(x) * exp(-0.5 * square) + log1p(square)
        return wave / (1.0 + square) + sqrt(1.0 + square) * (0.25 * x - 0.75 * y) - 0.125 * wave * wave * x

    return formula


FORMULAS: Mapping[str, Function] = MappingProxyType(
    {one.__name__: one for one in (swish, gelu_by_erf, rational, swiglu, weighted_huber, twenty_operations)}
)

# How many arrays each takes, and which functions it uses that not every package has.
ARRAYS: Mapping[str, int] = MappingProxyType(
    {"swish": 1, "gelu_by_erf": 1, "rational": 1, "swiglu": 2, "weighted_huber": 3, "twenty_operations": 2}
)


def name_of(formula: str, *, gradient: bool = False) -> str:
    """What the formula, or its gradient, is called among the operations."""
    return f"formula {formula}{' gradient' if gradient else ''}"
