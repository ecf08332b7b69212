"""Gradients: of a function by its arguments, and of a Variable by those it was computed from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from softgrad.ops.autodiff.graph import Node, ancestry, propagate
from softgrad.ops.autodiff.variable import Variable, checked_floats
from softgrad.ops.backend import backend_of


def value_and_grad(f: Callable[..., Any], /, argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that gives f's value and its gradient with respect to some of its arguments, by reverse mode.

    f is called once, with a `Variable` in the place of each array of those arguments. What it depends on is found in
    the result itself: there is no global state, so several threads may do this at once.

    Parameters
    ----------
    f : callable
        Computes a number with the arithmetic of arrays and the functions of `autodiff`.
    argnums : int or tuple of int, default 0
        Which positional arguments: numbers or arrays of floats, which keep their dtype (integers, and Python's
        numbers, count as float64), or tuples, lists and dicts of them, nested as they may be. None in them is passed
        on as it is.

    Returns
    -------
    callable
        Takes f's arguments; gives ``(value, gradient)``, or with a tuple ``(value, (gradient, ...))``. A gradient has
        the structure, shapes and dtypes of its argument, in arrays of its own; it is 0 for what the value does not
        depend on.

    Raises
    ------
    TypeError
        If f cannot be called or an argnum is no integer. When called: if an argument holds no numbers, or the value
        depends on a Variable that is no argument's. So gradients of gradients, which are not supported, are refused.
    ValueError
        When called: if there is no such argument, f returns no number, or an activation in it has no derivative.

    Notes
    -----
    The names are those of ``jax.value_and_grad`` and ``jax.grad``.

    Examples
    --------
    >>> from softgrad.ops import autodiff
    >>> value, (dx, dy) = autodiff.value_and_grad(lambda x, y: x**2 * y + y, argnums=(0, 1))(1.0, 1.0)
    >>> float(value), float(dx), float(dy)
    (2.0, 2.0, 2.0)
    """
    if not callable(f):
        raise TypeError(f"f must be a function; got {type(f).__name__}; pass f itself, not what it returns")
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    if not isinstance(numbers, tuple) or not all(isinstance(number, int) for number in numbers):
        raise TypeError(f"argnums must be an integer or a tuple of integers; got {argnums!r}")

    @functools.wraps(f, assigned=("__name__", "__qualname__", "__module__"))
    def differentiated(*arguments: Any, **options: Any) -> tuple[Any, Any]:
        variables: list[Variable] = []

        def variable(leaf: Any, path: str) -> Variable:
            variables.append(Variable(checked_floats(leaf, path)))
            return variables[-1]

        places = _places(numbers, len(arguments))
        given = list(arguments)
        for place in places:
            given[place] = _mapped(variable, given[place], f"argument {place}")
        result = f(*given, **options)
        value = _number(result, "f's result")
        grads = {}
        if isinstance(result, Variable):
            order = ancestry(result)
            known = {id(node) for node in variables}
            if any(node.backward is None and id(node) not in known for node in order):
                raise TypeError(
                    "f's result depends on a Variable that is none of its arguments; pass it as one, or its .value "
                    "(gradients of gradients are not supported)"
                )
            grads = propagate(order, variables)
        own = [_mapped(lambda node, _: _owned(grads, node), given[place], "") for place in places]
        return value, own[0] if isinstance(argnums, int) else tuple(own)

    return differentiated


def grad(f: Callable[..., Any], /, argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that gives f's gradient with respect to some of its arguments: `value_and_grad` without the value.

    Parameters, results and errors are otherwise those of `value_and_grad`.

    Examples
    --------
    >>> from softgrad.ops import autodiff
    >>> import numpy as np
    >>> autodiff.grad(lambda x: autodiff.log(x).sum())(np.array([1.0, 2.0]))
    array([1. , 0.5])
    """
    both = value_and_grad(f, argnums)

    @functools.wraps(both)
    def gradient(*arguments: Any, **options: Any) -> Any:
        return both(*arguments, **options)[1]

    return gradient


def gradients(result: Variable, variables: Variable | Iterable[Variable], /) -> Any:
    """The gradient of a number with respect to a Variable it was computed from, or a tuple of them for several.

    Parameters
    ----------
    result : Variable
        A number: of shape ().
    variables : Variable or iterable of Variable
        What to differentiate by, leaves or results of a computation.

    Returns
    -------
    ndarray or floating, or tuple of them
        Of each Variable's shape and dtype; zeros where the result does not depend on it.

    Raises
    ------
    TypeError
        If one of them is no Variable.
    ValueError
        If the result is no number, or an activation on the way has no derivative.

    Examples
    --------
    >>> from softgrad.ops import autodiff
    >>> x = autodiff.Variable(3.0)
    >>> float(autodiff.gradients(x**2, x))
    6.0
    """
    wanted = (variables,) if isinstance(variables, Variable) else tuple(variables)
    for name, node in (("result", result), *(("variables", node) for node in wanted)):
        if not isinstance(node, Variable):
            raise TypeError(f"{name} must be a Variable; got {type(node).__name__}; make one with autodiff.Variable")
    _number(result, "result")
    grads = propagate(ancestry(result), wanted)
    own = tuple(_owned(grads, node) for node in wanted)
    return own[0] if isinstance(variables, Variable) else own


def _number(result: Any, name: str) -> Any:
    """The number that the result is, in a Variable or not; raises ValueError if it is none."""
    value = result.value if isinstance(result, Variable) else result
    if getattr(value, "shape", None) == ():
        return value[()]
    if isinstance(value, (int, float)):
        return value
    found = f"shape {value.shape}; take its sum or mean" if hasattr(value, "shape") else type(value).__name__
    raise ValueError(f"{name} must be a number to be differentiated; got {found}")


def _owned(grads: dict[int, Any], node: Node) -> Any:
    """The gradient of that node in an array of its own, that its owner may write to; numbers are numbers."""
    found = grads.get(id(node))
    if found is None:
        found = backend_of(value=node.value).xp.zeros(node.value.shape, node.value.dtype)
    return found.copy()[()]


def _places(numbers: tuple[int, ...], count: int) -> list[int]:
    """The positions of the arguments by which to differentiate, of so many; negative numbers count from the end."""
    for number in numbers:
        if not -count <= number < count:
            raise ValueError(f"argnums must name positional arguments, {count} here; got {number}")
    places = [number % count for number in numbers]
    if len(set(places)) < len(places):
        raise ValueError(f"argnums must be different; got {numbers}")
    return places


def _mapped(function: Callable[[Any, str], Any], structure: Any, path: str) -> Any:
    """The same tuples, lists and dicts with `function(leaf, path)` in the place of each leaf; None is no leaf."""
    if structure is None:
        return None
    if isinstance(structure, dict):
        return {key: _mapped(function, item, f"{path}[{key!r}]") for key, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        items = [_mapped(function, item, f"{path}[{i}]") for i, item in enumerate(structure)]
        named = hasattr(structure, "_fields")  # a namedtuple takes its items one by one
        return type(structure)(*items) if named else type(structure)(items)
    return function(structure, path)
