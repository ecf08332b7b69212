"""The operations of `softgrad.ops` for variables, made of the forwards and backwards that are there."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

from softgrad import ops
from softgrad.kernels.formulas.registry import ELEMENTWISE_LOSSES
from softgrad.ops.arguments import float_array
from softgrad.ops.autodiff.arrays import product_ways, stretched
from softgrad.ops.autodiff.graph import Node, Taken, Way, both, each, record, record_joint, value_of
from softgrad.ops.axes import Axis
from softgrad.ops.backend import backend_of
from softgrad.ops.elementwise import Elementwise
from softgrad.ops.lookup import find_activation

Function = Callable[..., Any]


def _from_backward(name: str, saved: str) -> Function:
    """An operation of one array, from its backward, which takes what is `saved`: the "input" or the "output"."""
    forward, backward = getattr(ops, name), getattr(ops, f"{name}_backward")

    def function(x: Any, /, **options: Any) -> Any:
        _refuse_out(name, options)
        value = value_of(x)
        y = forward(value, **options)
        kept = value if saved == "input" else y
        return record(y, (x, each(lambda grad: backward(grad, kept, **options))))

    return described(function, forward)


def _normalised(name: str) -> Function:
    """softmax or log_softmax, from the backward: every element of a row comes from all of them."""
    forward, backward = getattr(ops, name), getattr(ops, f"{name}_backward")

    def function(x: Any, /, *, axis: Axis = -1, where: Any = None, **options: Any) -> Any:
        _refuse_out(name, options)
        options |= {"axis": axis, "where": where}
        y = forward(value_of(x), **options)

        def way(grad: Any, taken: Taken) -> tuple[Any, Taken]:
            rows = None if taken is None else taken.any(axis=axis, keepdims=True)
            return backward(grad, y, **options), rows if where is None else both(rows, _seen(y, where))

        return record(y, (x, way))

    return described(function, forward)


def _seen(like: Any, where: Any) -> Any:
    xp = backend_of(like=like).xp
    return xp.broadcast_to(xp.asarray(where), like.shape)


def _from_with_grad(name: str) -> Function:
    """A loss, from the function that gives its gradient in the same pass."""
    loss, with_grad = getattr(ops, name), getattr(ops, f"{name}_with_grad")

    def function(x: Any, targets: Any, /, **options: Any) -> Any:
        _refuse_out(name, options)
        _refuse_variable(targets)
        if not isinstance(x, Node):
            return loss(x, targets, **options)
        value, slope = with_grad(x.value, targets, **options)

        def by_element(of_loss: Any) -> Any:
            # One loss for each row, without reduction: it is that of all the row's classes, axis 1.
            whole = of_loss is None or of_loss.ndim in (0, slope.ndim)
            return of_loss if whole else of_loss.reshape(of_loss.shape[0], 1, *of_loss.shape[1:])

        return record(value, (x, lambda grad, taken: (slope * by_element(grad), by_element(taken))))

    return described(function, loss)


def _refuse_out(name: str, options: dict[str, Any]) -> None:
    if "out" in options:
        raise TypeError(f"autodiff.{name} takes no out: the result is kept for the gradient; leave it away")


def _refuse_variable(targets: Any) -> None:
    if isinstance(targets, Node):
        raise TypeError("targets must be constants, which have no gradient; pass the .value of the Variable")


def described(function: Function, op: Function, more: str = "") -> Function:
    """Give the function the name and signature of the op, which has its documentation; `more` is to be said here."""
    signature = inspect.signature(op, eval_str=True)  # the names in its annotations are of another module
    function.__name__ = function.__qualname__ = op.__name__
    function.__module__ = "softgrad.ops.autodiff"
    function.__doc__ = f"`ops.{op.__name__}`, for a Variable too{more}."
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter for parameter in signature.parameters.values() if parameter.name != "out"]
    )
    return function


FUNCTIONS: dict[str, Function] = {
    **{name: _from_backward(name, row.saved) for name, row in ops.ACTIVATIONS.items()},
    **{name: _normalised(name) for name in ("softmax", "log_softmax")},
    **{name: _from_with_grad(name) for name in ("softmax_cross_entropy", *ELEMENTWISE_LOSSES)},
}


def logsumexp(x: Any, /, *, axis: Axis = -1, keepdims: bool = False, where: Any = None) -> Any:
    """`ops.logsumexp`, for a Variable too; its gradient is grad * softmax(x), and 0 where all of a row is -inf.

    Of the logarithm of a 0, ``logsumexp(log(v))`` with a v of 0, it is the limit: grad / sum(v).
    """
    value = value_of(x)
    sums = ops.logsumexp(value, axis=axis, keepdims=keepdims, where=where)
    if not isinstance(x, Node):
        return sums
    xp = backend_of(value=value).xp
    nothing = value == -math.inf

    def over_elements(reduced: Any) -> Any:
        return stretched(xp, reduced, value.shape, axis, keepdims)

    def through(elements: Any, slope: Callable[[], Any]) -> Way:
        def way(grad: Any, taken: Taken) -> tuple[Any, Taken]:
            taken = both(None if taken is None else over_elements(taken), elements)
            return over_elements(grad) * slope(), taken if where is None else both(taken, _seen(value, where))

        return way

    def softmax() -> Any:
        return ops.softmax(value, axis=axis, where=where)

    # exp(log(v)) is v, and its slope 1: but by way of the logarithm, 0 times infinity.
    past_log = through(nothing, lambda: xp.exp(-over_elements(sums)))
    return record(sums, (x, through(~nothing, softmax)), (x.log_of, past_log))


def linear(x: Any, w: Any, b: Any = None, /, *, activation: Any = None, **parameters: Any) -> Any:
    """`ops.linear`, f(x @ w + b), where any of the three may be a Variable; its gradients are `ops.linear_backward`."""
    _refuse_out("linear", parameters)
    x_value, w_value, b_value = map(value_of, (x, w, b))
    parents, of_parents = _variables(x, w, b)
    backend = backend_of(x=x_value, w=w_value, b=b_value)
    x_value, w_value = float_array(backend, x_value, "x"), float_array(backend, w_value, "w")
    kept = None
    if parents and activation is not None and find_activation(activation).saved == "input":
        kept = backend.xp.empty((*x_value.shape[:-1], *w_value.shape[-1:]), x_value.dtype)
    y = ops.linear(x_value, w_value, b_value, activation=activation, preactivation=kept, **parameters)
    saved = y if activation is not None and kept is None else kept

    def backward(grad: Any, taken: Taken) -> Iterable[tuple[Any, Taken]]:
        if taken is None:
            grads = ops.linear_backward(
                grad, saved, x_value, w_value, activation=activation, input_grad=isinstance(x, Node), **parameters
            )
            return of_parents((part, None) for part in grads)
        if activation is not None:
            through = (
                activation.backward if isinstance(activation, Elementwise) else getattr(ops, f"{activation}_backward")
            )
            grad = through(grad, saved, **parameters)
        grad = backend.xp.where(taken, grad, 0)
        by_x, by_w = product_ways(backend.xp, x_value, w_value)
        return of_parents((by_x(grad, taken), by_w(grad, taken), (grad, taken)))

    return record_joint(y, parents, backward)


def linear_cross_entropy(
    x: Any, w: Any, targets: Any, /, *, bias: Any = None, reduction: str = "mean", **options: Any
) -> Any:
    """`ops.linear_cross_entropy`, where x, w and bias may be Variables; of those only reduced to a number."""
    _refuse_variable(targets)
    values = [*map(value_of, (x, w)), targets]
    options |= {"bias": value_of(bias), "reduction": reduction}
    parents, of_parents = _variables(x, w, bias)
    if not parents:
        return ops.linear_cross_entropy(*values, **options)
    if reduction == "none":
        raise ValueError(
            'reduction must be "mean" or "sum" for a gradient, which is that of all losses together; got "none"; '
            "use linear and softmax_cross_entropy"
        )
    loss, slopes = ops.linear_cross_entropy_with_grad(*values, **options)
    return record_joint(loss, parents, lambda grad, taken: [(slope * grad, taken) for slope in of_parents(slopes)])


def _variables(*arguments: Any) -> tuple[list[Node], Callable[[Iterable[Any]], list[Any]]]:
    """Those of the arguments that are Variables, and what takes theirs from things of which there is one for each."""
    chosen = [isinstance(argument, Node) for argument in arguments]

    def of_variables(each: Iterable[Any]) -> list[Any]:
        return list(itertools.compress(each, chosen))

    return of_variables(arguments), of_variables
