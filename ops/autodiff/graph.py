"""The graph that a computation leaves behind, and the way back through it, from a result to what it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from softgrad.ops.arguments import convert
from softgrad.ops.backend import backend_of

# Which elements a gradient goes through, as an array of booleans of the gradient's shape; None is all.
Taken = Any

# How a gradient goes back to an argument: ``way(grad, taken)`` gives the argument's gradient, and the elements of it
# that it goes through.
Way = Callable[[Any, Taken], tuple[Any, Taken]]


class Node:
    """A value, the nodes it was computed from, and how the gradient of it becomes gradients of theirs.

    Attributes
    ----------
    value
        An array or number.
    parents
        None of a leaf. There is no other record: the graph is its nodes, and goes when the last of them goes.
    backward
        Called with the gradient with respect to `value` and the elements it goes through, gives the same for each
        parent. Gradients may have a shape to which the parent was broadcast, and any float dtype.
    log_of
        The node whose logarithm this is, if it is one.
    """

    __slots__ = ("backward", "log_of", "parents", "value")

    def __init__(
        self,
        value: Any,
        parents: tuple[Node, ...] = (),
        backward: Callable[[Any, Taken], Iterable[tuple[Any, Taken]]] | None = None,
    ) -> None:
        self.value = value
        self.parents = parents
        self.backward = backward
        self.log_of: Node | None = None


def value_of(x: Any) -> Any:
    """What is in a node; anything else as it is."""
    return x.value if isinstance(x, Node) else x


def record(value: Any, *links: tuple[Any, Way]) -> Any:
    """A node of that value, from the arguments it was computed from, each with the gradient's way back to it.

    Arguments that are no nodes are constants; if all are, the result is the value itself.
    """
    links = tuple(link for link in links if isinstance(link[0], Node))
    return record_joint(value, [x for x, _ in links], lambda grad, taken: (way(grad, taken) for _, way in links))


def record_joint(
    value: Any, parents: Sequence[Node], backward: Callable[[Any, Taken], Iterable[tuple[Any, Taken]]]
) -> Any:
    """The same with one way back for all, which gives a gradient for each parent."""
    if not parents:
        return value
    node = object.__new__(type(parents[0]))  # whatever arithmetic that class has, its results have
    Node.__init__(node, value, tuple(parents), backward)
    return node


# ---- ways: what becomes of the elements that a gradient goes through, beside the gradient itself


def _unchanged(grad: Any) -> Any:
    return grad


def each(backward: Callable[[Any], Any] = _unchanged) -> Way:
    """The way back of what computes element by element."""
    return lambda grad, taken: (backward(grad), taken)


def moved(backward: Callable[[Any], Any]) -> Way:
    """The way back of what moves elements: `backward` moves booleans as it moves numbers."""
    return lambda grad, taken: (backward(grad), None if taken is None else backward(taken) != 0)


def chosen(condition: Any, backward: Callable[[Any], Any] = _unchanged) -> Way:
    """The way back of what takes an argument's elements where the condition holds, and others elsewhere."""
    return lambda grad, taken: (backward(grad), both(taken, condition))


def both(taken: Taken, condition: Any) -> Taken:
    """Those of the taken elements for which the condition holds."""
    return condition if taken is None else taken & condition


def ancestry(result: Node) -> list[Node]:
    """The node and all that it was computed from, each once, and each before its parents."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(result, False)]  # of its own: a graph may be deeper than Python's stack
    while stack:
        node, parents_are_done = stack.pop()
        if parents_are_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents if id(parent) not in seen)
    order.reverse()
    return order


def propagate(order: list[Node], wanted: Iterable[Node]) -> dict[int, Any]:
    """The gradients of the first node of an ancestry by those `wanted` nodes that are in it, by their ids.

    A gradient is 0 where nothing was taken from, as at the other side of a `where`, whatever the slopes are on the way
    from there: a slope that is infinite or NaN, times a 0 that says so, would be NaN. A 0 that was computed says no
    such thing, and is multiplied.

    The arrays may be views of each other, and read-only.
    """
    result, kept = order[0].value, {id(node) for node in wanted}
    xp = backend_of(result=result).xp
    grads: dict[int, tuple[Any, Taken]] = {id(order[0]): (xp.ones((), result.dtype), None)}
    with np.errstate(all="ignore"):  # an infinite slope is a result like others
        for node in order:
            grad, taken = grads[id(node)] if id(node) in kept else grads.pop(id(node))
            if node.backward is None:
                continue
            for parent, part in zip(node.parents, node.backward(grad, taken), strict=True):
                found = _fitted(*part, parent.value, xp)
                known = grads.get(id(parent))
                # Never in place: the same array may be the gradient of several nodes.
                grads[id(parent)] = found if known is None else _sum(known, found)
    return {key: grad for key, (grad, _) in grads.items() if key in kept}


def _sum(one: tuple[Any, Taken], other: tuple[Any, Taken]) -> tuple[Any, Taken]:
    return one[0] + other[0], None if one[1] is None or other[1] is None else one[1] | other[1]


def _fitted(grad: Any, taken: Taken, value: Any, xp: Any) -> tuple[Any, Taken]:
    """A gradient in the shape and dtype of the value it belongs to, summed over what that was broadcast to."""
    if taken is not None:
        taken = xp.broadcast_to(taken, grad.shape)
        grad = xp.where(taken, grad, 0)
    if grad.shape != value.shape:
        added = grad.ndim - value.ndim
        axes = (*range(added), *(i + added for i, size in enumerate(value.shape) if size == 1))
        if taken is not None:
            taken = taken.any(axis=axes).reshape(value.shape)
        grad = grad.sum(axis=axes, dtype=np.float64).reshape(value.shape)
    return grad if grad.dtype == value.dtype else convert(grad, value.dtype), taken
