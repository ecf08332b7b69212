"""A function that somebody wrote as a formula: what it takes, and the functions to compile that it is traced to."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from inspect import Parameter, Signature, signature
from numbers import Real
from typing import Any

import numpy as np

from softgrad.kernels.formulas.derivatives import Slope, derivative
from softgrad.kernels.formulas.generated import generated
from softgrad.kernels.formulas.tracing import ZERO, Argument, Expression, FormulaError, Given, Number, number

Function = Callable[..., Any]

MOST_ARRAYS = 4

# A parameter whose default is one of these is an option, which is known when the formula is traced: a Python `if` may
# ask for it, and every value of it is compiled for itself.
OPTION_TYPES = bool | str | None

# What the operations made of a formula take besides its parameters.
TAKEN = frozenset({"out"})


@dataclass(frozen=True, eq=False)
class Traced:
    """What a formula is traced to: functions of arrays' elements and of numbers, to compile.

    Attributes
    ----------
    forward
        Of the arrays' elements, the numbers that stand for arrays, and the parameters, to the results.
    backward
        Builds, once for each set of results whose gradients are given, the function of those gradients and the same,
        to the gradient by each that may be an array, in their order.
    results
        How many there are.
    is_tuple
        Are they to be given as a tuple? A single one may be.
    """

    forward: Function
    backward: Callable[..., Function]
    results: int
    is_tuple: bool


class Authored:
    """A function as a formula.

    Attributes
    ----------
    arrays
        The names of the arguments that may be arrays.
    parameters
        The names of the numbers that are the same for all elements, and their defaults.
    options
        The names and defaults of what is known when the formula is traced.
    watched
        What of its author's the function referred to when it was traced, and how it is looked up.

    Raises
    ------
    TypeError
        If the function takes arguments in another way.
    """

    def __init__(self, function: Function) -> None:
        if not isinstance(function, types.FunctionType):
            raise TypeError(f"a formula must be a function, written with def or lambda; got {type(function).__name__}")
        self.function, self.name = function, function.__name__
        self.arrays, defaults = _arguments(function)
        self.options = {name: value for name, value in defaults.items() if isinstance(value, OPTION_TYPES)}
        self.parameters = {name: float(value) for name, value in defaults.items() if name not in self.options}
        self.slopes: Function | None = None
        self._traced: dict[Any, Traced] = {}
        self.watched: tuple[tuple[Callable[[str], Any], str, Any], ...] = ()

    def signature(self) -> Signature:
        """That of a call: arrays by position, the rest by name."""
        arrays = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in self.arrays]
        defaults = {"out": None, **self.parameters, **self.options}
        named = [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in defaults.items()]
        return Signature([*arrays, *named])

    def set_slopes(self, function: Function) -> None:
        """Have these slopes instead of the derivatives that are found: a function of the same arguments.

        Raises
        ------
        TypeError
            If the function takes other arguments.
        """
        arrays, defaults = _arguments(function)
        if arrays != self.arrays or set(defaults) != {*self.parameters, *self.options}:
            raise TypeError(
                f"the derivative of {self.name} must take the same arguments, {signature(self.function)}; "
                f"{function.__name__} takes {signature(function)}"
            )
        self.slopes = function
        self._traced = {}

    def is_current(self) -> bool:
        """Is all that the function refers to what it was when it was traced? If not it is forgotten."""
        for get, name, value in self.watched:
            if get(name) is not value:
                self._traced, self.watched = {}, ()
                return False
        return True

    def traced(self, are_arrays: tuple[bool, ...], options: Mapping[str, Any]) -> Traced:
        """The functions for arguments of which some are arrays and the others numbers, and for these options.

        Raises
        ------
        FormulaError
            If the function does what cannot be traced.
        """
        key = are_arrays, tuple(options.items())
        if not self.is_current() or key not in self._traced:
            watched = (*_referred(self.function), *_referred(self.slopes))
            self._traced[key] = self._trace(are_arrays, options)
            self.watched = watched
        return self._traced[key]

    def _trace(self, are_arrays: tuple[bool, ...], options: Mapping[str, Any]) -> Traced:
        elements = [Argument(f"x{i}") for i, _ in enumerate(self.arrays)]
        parameters = {name: Argument(f"p{i}") for i, name in enumerate(self.parameters)}
        results, several = self.applied(elements, {**parameters, **options})
        inputs = [one for one, is_array in zip(elements, are_arrays, strict=True) if is_array]
        numbers = [one for one, is_array in zip(elements, are_arrays, strict=True) if not is_array]
        numbers += parameters.values()

        def backward(given: tuple[bool, ...] = (True,)) -> Function:
            through = [result for result, is_given in zip(results, given, strict=True) if is_given]
            grads = [Argument(f"g{i}") for i, _ in enumerate(through)]
            of_elements = [_gradient(through, grads, element) for element in elements]
            return generated(f"{self.name}_backward", [*grads, *inputs], numbers, of_elements)

        return Traced(generated(self.name, inputs, numbers, results), cache(backward), len(results), several)

    def applied(self, elements: list[Any], others: Mapping[str, Any]) -> tuple[list[Number], bool]:
        """The results of expressions, and whether they are several."""
        given = self.function(*elements, **others)
        several = isinstance(given, tuple)
        results = list(given) if several else [given]
        if not results or not all(isinstance(one, Expression | Real | np.number) for one in results):
            found = type(given).__name__ if not several else f"({', '.join(type(one).__name__ for one in results)})"
            raise FormulaError(f"{self._where()} must return a number, or a tuple of numbers; it returns {found}")
        if any(isinstance(one, Expression) and not isinstance(one, Number) for one in results):
            raise FormulaError(
                f"{self._where()} returns a condition; a formula gives numbers: write where(condition, 1.0, 0.0)"
            )
        values = [number(one) for one in results]
        if self.slopes is not None:
            slopes = _slopes(self, elements, others, len(values) if several else None)
            values = [Given(value, tuple(elements), _chain(row)) for value, row in zip(values, slopes, strict=True)]
        return values, several

    def _where(self) -> str:
        code = self.function.__code__
        return f"{self.name}, line {code.co_firstlineno} of {code.co_filename},"


def _slopes(formula: Authored, elements: list[Any], others: Mapping[str, Any], results: int | None) -> list[Any]:
    """Of each result the slopes by the arrays, as the author's function gives them."""
    assert formula.slopes is not None
    given = formula.slopes(*elements, **others)
    rows = [given] if results is None else list(given) if isinstance(given, tuple) else []
    rows = [row if isinstance(row, tuple) else (row,) for row in rows]
    if len(rows) != (results or 1) or any(len(row) != len(elements) for row in rows):
        names = ", ".join(formula.arrays)
        by = f"the slope by {names}" if len(elements) == 1 else f"a tuple of the slopes by {names}"
        of_each = "" if results is None else f", for each of {results} results, in a tuple"
        raise FormulaError(f"{formula.slopes.__name__}, the derivative of {formula.name}, must return {by}{of_each}")
    return [tuple(number(slope) for slope in row) for row in rows]


def _chain(slopes: tuple[Number, ...]) -> Callable[[list[Slope]], Slope]:
    def chained(derivatives: list[Slope]) -> Slope:
        total: Any = None
        for slope, of_argument in zip(slopes, derivatives, strict=True):
            if of_argument is not None:
                term = slope * of_argument
                total = term if total is None else total + term
        return total

    return chained


def _gradient(results: list[Number], grads: list[Argument], element: Argument) -> Number:
    """The sum of the results' gradients times their derivatives; 0 if there are none."""
    total: Any = None
    for result, grad in zip(results, grads, strict=True):
        slope = derivative(result, element)
        if slope is not None:
            total = grad * slope if total is None else total + grad * slope
    return ZERO if total is None else total


def _arguments(function: Function) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the arrays, and the names and defaults of the rest."""
    takes = f"{function.__name__} takes {signature(function)}"
    arguments = signature(function).parameters
    if any(one.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for one in arguments.values()):
        raise TypeError(f"a formula takes its arguments one by one, not as *args or **kwargs; {takes}")
    for name, one in arguments.items():
        if one.kind is Parameter.KEYWORD_ONLY and one.default is Parameter.empty:
            raise TypeError(f"the parameter {name} of a formula must have a default; {takes}")
        if name in TAKEN:
            raise TypeError(f"{takes}, but {name} is an argument of every operation; give the parameter another name")
    arrays = tuple(name for name, one in arguments.items() if one.default is Parameter.empty)
    if not 1 <= len(arrays) <= MOST_ARRAYS:
        raise TypeError(f"a formula takes one to {MOST_ARRAYS} arrays, the arguments without a default; {takes}")
    defaults = {name: one.default for name, one in arguments.items() if name not in arrays}
    for name, default in defaults.items():
        if not isinstance(default, Real | np.number | OPTION_TYPES):
            raise TypeError(f"the default of {name} must be a number, or a bool, str or None for an option; {takes}")
    return arrays, defaults


def _referred(function: Any, seen: frozenset[int] = frozenset()) -> Iterator[tuple[Callable[[str], Any], str, Any]]:
    """What of a user's the function refers to, and where it is looked up: constants, and functions and what they do.

    Not what is this package's, NumPy's or Python's: nobody edits that in a notebook.
    """
    other = getattr(function, "formula", None)
    if isinstance(other, Authored):
        yield partial(getattr, other), "slopes", other.slopes
        yield from _referred(other.slopes, seen)
        function = other.function
    if not isinstance(function, types.FunctionType) or id(function) in seen:
        return
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for name in (*function.__code__.co_names, *cells):
        get = (lambda name, cells=cells: _content(cells[name])) if name in cells else function.__globals__.get
        value = get(name)
        if value is None or isinstance(value, types.ModuleType | types.BuiltinFunctionType | np.ufunc):
            continue
        if (getattr(value, "__module__", None) or "").startswith("softgrad.kernels"):
            continue
        yield get, name, value
        yield from _referred(value, seen | {id(function)})


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None
