"""The tables of formulas, and the decorators by which a formula enters one.

A formula, what is said of it, its parameters' defaults and its derivative stand together, where they are written; the
decorator makes the row from which kernels, public functions, their documentation and the tests follow. It gives a
function back that other formulas and compiled code may call.

A formula is a plain function of numbers over `primitives`, which give a number of the type they are given: constants
are written ``const(x, 0.5)``, and parameters ``const(x, alpha)``, since users who call the formula may give them in any
type. NaN must go through it, and no comparison holds for NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import Parameter, signature, unwrap
from numbers import Real
from types import FunctionType, MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.tracing import composable

Formula = Callable[..., Any]
Check = Callable[..., str | None]
Function = TypeVar("Function", bound=Formula)
Row = TypeVar("Row", "Activation", "ElementwiseLoss", "UpdateRule")

# What the operations made of a row take besides its parameters.
TAKEN = frozenset(
    {"out", "activation", "preactivation", "input_grad", "overwrite_grad", "reduction", "validate", "targets"}
)


def unlimited(**parameters: float) -> str | None:
    """The check of parameters that may be anything."""
    return None


# ---- rows: they are themselves, compared and hashed by identity


@dataclass(frozen=True, eq=False)
class Activation:
    """A row of `ACTIVATIONS`: a formula and its backward, and what is said of them.

    Attributes
    ----------
    forward, backward
        The formulas; `backward` is None where no useful derivative exists.
    saved
        Which array of the forward pass the backward formula takes: its "input" or its "output".
    formula, derivative
        The same, for readers.
    parameters
        Name and default of each parameter, in the order the formulas take them.
    check
        Says what is wrong with a set of parameters, or None.
    """

    forward: Formula
    backward: Formula | None
    saved: Literal["input", "output"]
    formula: str
    derivative: str
    parameters: Mapping[str, float]
    check: Check

    @property
    def name(self) -> str:
        return self.forward.__name__

    @cached_property
    def defaults(self) -> tuple[float, ...]:
        """The parameters of a plain call."""
        return tuple(self.parameters.values())


class Condition(NamedTuple):
    """What every element of an array must fulfil: a formula that says whether it does, and the same in words."""

    holds: Formula
    words: str


@dataclass(frozen=True, eq=False)
class ElementwiseLoss:
    """A row of `ELEMENTWISE_LOSSES`: the formulas of a loss and of its gradient, what they take, what is said of them.

    Attributes
    ----------
    forward, gradient
        The formulas of an element: ``(x, target, *weights, *parameters)`` to the loss, and to its derivative by x;
        `gradient` is None until `gradient_of` gives it.
    predictions
        What x is called.
    formula, derivative
        The same, for readers, of x and t.
    source
        Where else the loss is defined so.
    targets
        What the targets must fulfil, or None.
    weights
        Names of the weights, numbers or arrays not below 0, by default 1.
    parameters
        Name and default of each parameter.
    check
        Says what is wrong with a set of parameters, or None.
    """

    forward: Formula
    gradient: Formula | None
    predictions: str
    formula: str
    derivative: str
    source: str
    targets: Condition | None
    weights: tuple[str, ...]
    parameters: Mapping[str, float]
    check: Check

    @property
    def name(self) -> str:
        return self.forward.__name__

    @cached_property
    def defaults(self) -> tuple[float, ...]:
        """The weights and parameters of a plain call."""
        return (*(1.0 for _ in self.weights), *self.parameters.values())


@dataclass(frozen=True, eq=False)
class UpdateRule:
    """A row of `UPDATE_RULES`: a step of an optimizer, of one element.

    Attributes
    ----------
    step
        The formula: ``(param, grad, *states, *numbers)`` to the new param and states.
    states, numbers
        Their names.
    """

    step: Formula
    states: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.step.__name__


_activations: dict[str, Activation] = {}
_elementwise_losses: dict[str, ElementwiseLoss] = {}
_update_rules: dict[str, UpdateRule] = {}

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(_activations)
ELEMENTWISE_LOSSES: Mapping[str, ElementwiseLoss] = MappingProxyType(_elementwise_losses)
UPDATE_RULES: Mapping[str, UpdateRule] = MappingProxyType(_update_rules)


# ---- decorators


def activation(
    *, formula: str, derivative: str = "not given", check: Check = unlimited
) -> Callable[[Function], Function]:
    """Enter the function in `ACTIVATIONS` as an activation of that name.

    Its first argument is x; further ones are parameters, each with its default.

    Parameters
    ----------
    formula : str
        What it computes, of x and the parameters, for readers.
    derivative : str, optional
        Of an activation without a useful derivative, what that is; of all others `backward_of` says it.
    check : callable, optional
        Called with the parameters by name; returns what is wrong with them, or None.

    Raises
    ------
    TypeError
        If the function takes other arguments than these.
    ValueError
        If there is an activation of that name, or a parameter's name is taken.

    Examples
    --------
    ::

        @activation(formula="0 if |x| <= width else x", check=lambda width: None if width >= 0 else "width is below 0")
        def hardshrink(x, width=0.5):
            return where(fabs(x) <= width, const(x, 0.0), x)

        @backward_of(hardshrink, derivative="0 if |x| <= width else 1")
        def hardshrink_backward(grad, x, width):
            return where(fabs(x) <= width, const(x, 0.0), grad)
    """

    def enter(function: Function) -> Function:
        weights, parameters = _arguments(function, ("x",))
        if weights:
            raise TypeError(f"{function.__name__}: the parameter {weights[0]} must have a default")
        row = Activation(function, None, "input", formula, derivative, parameters, check)
        _describe(function, f"{formula}.")
        _enter(_activations, row)
        return composable(function)

    return enter


def backward_of(forward: Formula, *, derivative: str) -> Callable[[Function], Function]:
    """Give the activation `forward` its backward: the function ``(grad, x, ...)``, or ``(grad, y, ...)`` of y = f(x).

    It returns grad times the derivative. Its second argument's name says which of the two it is given; the activation's
    parameters follow.

    Parameters
    ----------
    forward : function
        What `activation` was put before.
    derivative : str
        The derivative, of x or y and the parameters, for readers.

    Raises
    ------
    TypeError
        If the function takes other arguments than these, or `forward` is no activation.
    ValueError
        If it has a backward.
    """

    def give(function: Function) -> Function:
        row = _row_of(_activations, forward, "an activation")
        if row.backward is not None:
            raise ValueError(f"{row.name} has a backward, {row.backward.__name__}")
        second = [*signature(function).parameters][1:2]
        _check_arguments(function, ("grad", "y" if second == ["y"] else "x", *row.parameters))
        saved: Literal["input", "output"] = "output" if second == ["y"] else "input"
        _activations[row.name] = replace(row, backward=function, saved=saved, derivative=derivative)
        _describe(function, f"grad * ({derivative}).")
        return composable(function)

    return give


def elementwise_loss(
    *,
    formula: str,
    source: str,
    predictions: str = "predictions",
    targets: Condition | None = None,
    check: Check = unlimited,
) -> Callable[[Function], Function]:
    """Enter the function in `ELEMENTWISE_LOSSES` as the loss of that name; `gradient_of` gives its derivative.

    Its first arguments are the prediction x and its target t. Those that follow without a default are weights, each 1
    unless an array or a number is given; those with a default are parameters.

    Parameters
    ----------
    formula : str
        What it computes, of x, t, the weights and the parameters, for readers.
    source : str
        Where else the loss is defined so.
    predictions : str, default "predictions"
        What x is called.
    targets : Condition, optional
        What targets must fulfil.
    check : callable, optional
        Called with the parameters by name; returns what is wrong with them, or None.

    Raises
    ------
    TypeError
        If the function takes other arguments than these.
    ValueError
        If there is a loss of that name, or a parameter's name is taken.

    Examples
    --------
    ::

        @elementwise_loss(formula="|x - t|", source="``torch.nn.functional.l1_loss``")
        def absolute_error(x, t):
            return fabs(x - t)

        @gradient_of(absolute_error, derivative="sign(x - t)")
        def absolute_error_gradient(x, t):
            one = const(x, 1.0)
            return where(x > t, one, where(x < t, -one, x - t))
    """

    def enter(function: Function) -> Function:
        weights, parameters = _arguments(function, ("x", "t"))
        row = ElementwiseLoss(
            function, None, predictions, formula, "not given", source, targets, weights, parameters, check
        )
        _describe(function, f"{formula}.")
        _enter(_elementwise_losses, row)
        return composable(function)

    return enter


def gradient_of(loss: Formula, *, derivative: str) -> Callable[[Function], Function]:
    """Give the elementwise loss its derivative with respect to x, a function of the same arguments.

    Parameters
    ----------
    loss : function
        What `elementwise_loss` was put before.
    derivative : str
        The same, for readers.

    Raises
    ------
    TypeError
        If the function takes other arguments, or `loss` is no elementwise loss.
    ValueError
        If it has a gradient.
    """

    def give(function: Function) -> Function:
        row = _row_of(_elementwise_losses, loss, "an elementwise loss")
        if row.gradient is not None:
            raise ValueError(f"{row.name} has a gradient, {row.gradient.__name__}")
        _check_arguments(function, ("x", "t", *row.weights, *row.parameters))
        _elementwise_losses[row.name] = replace(row, gradient=function, derivative=derivative)
        _describe(function, f"{derivative}.")
        return composable(function)

    return give


def update_rule(function: Function) -> Function:
    """Enter the function in `UPDATE_RULES` as the rule of that name.

    It takes ``param, grad``, the optimizer's states and, after a ``/``, numbers that are the same for all elements; it
    returns the new param and states.

    Raises
    ------
    TypeError
        If the function takes other arguments than these.
    ValueError
        If there is a rule of that name.

    Examples
    --------
    ::

        @update_rule
        def momentum_descent(param, grad, velocity, /, lr, momentum):
            velocity = fma(momentum, velocity, grad)
            return fma(-lr, velocity, param), velocity
    """
    arrays = [name for name, argument in _plain(function).items() if argument.kind is Parameter.POSITIONAL_ONLY]
    numbers = [*signature(function).parameters][len(arrays) :]
    if arrays[:2] != ["param", "grad"]:
        raise TypeError(
            f"{function.__name__} must take (param, grad, *states, /, *numbers); it takes {signature(function)}"
        )
    _enter(_update_rules, UpdateRule(function, tuple(arrays[2:]), tuple(numbers)))
    return jitable(function)


# ---- what the decorators share


def _enter(table: dict[str, Row], row: Row) -> None:
    if row.name in table:
        raise ValueError(f"there is a formula named {row.name} already; choose another name")
    table[row.name] = row


def _describe(function: Formula, words: str) -> None:
    """Give the function these words as its docstring, if it has none of its own."""
    function.__doc__ = function.__doc__ or words


def _row_of(table: dict[str, Row], function: Formula, kind: str) -> Row:
    for row in table.values():
        if getattr(row, "forward", None) is unwrap(function):
            return row
    raise TypeError(f"{getattr(function, '__name__', function)!r} is not {kind}; its decorator must come first")


def _arguments(function: Formula, first: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, float]]:
    """What a formula takes after the `first`: the names without default, and those with theirs."""
    arguments = _plain(function)
    if tuple(arguments)[: len(first)] != first:
        raise TypeError(f"{function.__name__} must take ({', '.join(first)}, ...); it takes {signature(function)}")
    for name in TAKEN.intersection(arguments):
        raise ValueError(f"{function.__name__}: the operation has an option {name}; give the parameter another name")
    further = {name: argument.default for name, argument in arguments.items() if name not in first}
    weights = tuple(name for name, default in further.items() if default is Parameter.empty)
    parameters = {name: default for name, default in further.items() if name not in weights}
    for name, default in parameters.items():
        if not isinstance(default, Real):
            raise TypeError(f"{function.__name__}: the default of {name} must be a number; got {default!r}")
    return weights, MappingProxyType({name: float(default) for name, default in parameters.items()})


def _check_arguments(function: Formula, names: tuple[str, ...]) -> None:
    if tuple(_plain(function)) != names:
        raise TypeError(f"{function.__name__} must take ({', '.join(names)}); it takes {signature(function)}")


def _plain(function: Formula) -> Mapping[str, Parameter]:
    """The arguments of a function with a name, none of them by keyword only or of any number."""
    if not isinstance(function, FunctionType) or not function.__name__.isidentifier():
        raise TypeError(f"a formula must be a function with a name, written with def; got {function!r}")
    arguments = signature(function).parameters
    if any(argument.kind not in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
           for argument in arguments.values()):  # fmt: skip
        raise TypeError(f"{function.__name__} must take its arguments one by one; it takes {signature(function)}")
    return arguments
