"""The graph that a computation leaves behind, and the way back through it, from a result to what it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from softgrad.ops.arguments import convert
from softgrad.ops.backend import backend_of


class Node:
    """A value, the nodes it was computed from, and how the gradient of it becomes gradients of theirs.

    Attributes
    ----------
    value
        An array or number.
    parents
        None of a leaf. There is no other record: the graph is its nodes, and goes when the last of them goes.
    backward
        Called with the gradient with respect to `value`, gives one for each parent. They may have a shape to which the
        parent was broadcast, and any float dtype.
    """

    __slots__ = ("backward", "parents", "value")

    def __init__(
        self, value: Any, parents: tuple[Node, ...] = (), backward: Callable[[Any], Iterable[Any]] | None = None
    ) -> None:
        self.value = value
        self.parents = parents
        self.backward = backward


def value_of(x: Any) -> Any:
    """What is in a node; anything else as it is."""
    return x.value if isinstance(x, Node) else x


def record(value: Any, *links: tuple[Any, Callable[[Any], Any]]) -> Any:
    """A node of that value, from the arguments it was computed from, each with the gradient's way back to it.

    Arguments that are no nodes are constants; if all are, the result is the value itself.
    """
    links = tuple(link for link in links if isinstance(link[0], Node))
    return record_joint(value, [x for x, _ in links], lambda grad: (backward(grad) for _, backward in links))


def record_joint(value: Any, parents: Sequence[Node], backward: Callable[[Any], Iterable[Any]]) -> Any:
    """The same with one way back for all, which gives a gradient for each parent."""
    if not parents:
        return value
    node = object.__new__(type(parents[0]))  # whatever arithmetic that class has, its results have
    Node.__init__(node, value, tuple(parents), backward)
    return node


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

    The arrays may be views of each other, and read-only.
    """
    result, kept = order[0].value, {id(node) for node in wanted}
    grads = {id(order[0]): backend_of(result=result).xp.ones((), result.dtype)}
    with np.errstate(all="ignore"):  # an infinite slope is a result like others
        for node in order:
            grad = grads[id(node)] if id(node) in kept else grads.pop(id(node))
            if node.backward is None:
                continue
            for parent, part in zip(node.parents, node.backward(grad), strict=True):
                part = _fitted(part, parent.value)
                # Never in place: the same array may be the gradient of several nodes.
                grads[id(parent)] = grads[id(parent)] + part if id(parent) in grads else part
    return {key: grad for key, grad in grads.items() if key in kept}


def _fitted(grad: Any, value: Any) -> Any:
    """The gradient in the shape and dtype of the value it belongs to, summed over what that was broadcast to."""
    if grad.shape != value.shape:
        added = grad.ndim - value.ndim
        stretched = (i + added for i, size in enumerate(value.shape) if size == 1)
        grad = grad.sum(axis=(*range(added), *stretched), dtype=np.float64).reshape(value.shape)
    return grad if grad.dtype == value.dtype else convert(grad, value.dtype)
