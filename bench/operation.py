"""What an operation of the benchmark is, and the work of one cell: an operation at a shape and dtype."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from softgrad.bench.device import PROCESSORS, Device
from softgrad.bench.settings import DTYPES, Settings

Shape = tuple[int, ...]
Make = Callable[[Shape, Any, Any], tuple[Any, ...]]

# How many classes rows have, and how many elements there are elsewhere.
GPU_CLASSES = (10, 100, 1000, 4096, 32_768, 131_072, 262_144)
QUICK_GPU_CLASSES = (1000, 32_768)
SIZES: tuple[Shape, ...] = ((1000,), (100_000,), (10_000_000,))


@dataclass(frozen=True)
class Case:
    """The work of one cell, the same for every contender.

    Attributes
    ----------
    operation, shape, dtype
        Where it came from.
    arguments
        The positional arguments, most of them arrays.
    read
        The bytes that must be read of them.
    """

    operation: Operation
    shape: Shape
    dtype: str
    arguments: tuple[Any, ...]
    read: int


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    Attributes
    ----------
    name
        As printed: the public function, and what is special about this row.
    function
        The public function of `softgrad.ops`, by which peers know what to do.
    family
        "rows", "elementwise", "formulas" or "other": operations that share their shapes share a table.
    make
        Makes the arguments, from shape, dtype and a random generator.
    shapes, quick_shapes
        Where it is measured on the processors, and where in a quick run; `shapes_of` knows where on a GPU.
    options
        The keyword arguments.
    in_place
        Its results are its first arguments, written anew.
    read
        The bytes that must be read of the arguments; by default all of them.
    dtypes
        In which it is to be had.
    """

    name: str
    function: str
    family: str
    make: Make
    shapes: tuple[Shape, ...]
    quick_shapes: tuple[Shape, ...]
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    in_place: bool = False
    read: Callable[[tuple[Any, ...]], int] = lambda arguments: array_bytes(arguments)
    dtypes: tuple[str, ...] = DTYPES

    def places(self, settings: Settings) -> Iterator[tuple[str, Shape]]:
        """Each dtype and shape in which a run of these settings measures it."""
        return itertools.product([name for name in settings.dtypes if name in self.dtypes], self.shapes_of(settings))

    def shapes_of(self, settings: Settings) -> tuple[Shape, ...]:
        """Where a run of these settings measures it.

        On a GPU rows and elements are as many as fill its memory well beyond its cache.
        """
        if settings.backend == "cpu":
            return self.quick_shapes if settings.quick else self.shapes
        if self.family == "rows":
            widths = QUICK_GPU_CLASSES if settings.quick else GPU_CLASSES
            return tuple((settings.elements // width, width) for width in widths if width <= settings.elements)
        return ((settings.elements,),) if self.shapes is SIZES else self.shapes

    def case(self, shape: Shape, dtype: str, device: Device = PROCESSORS) -> Case:
        """The work at that shape and dtype; the same numbers every time."""
        arguments = self.make(shape, np.dtype(dtype), device.generator())
        return Case(self, shape, dtype, arguments, self.read(arguments))


def is_array(value: Any) -> bool:
    """Is the value an array, NumPy's or a GPU's?"""
    return hasattr(value, "nbytes") and not isinstance(value, np.generic)


def array_bytes(values: Any) -> int:
    """The bytes of all arrays among the values."""
    return sum(value.nbytes for value in values if is_array(value))
