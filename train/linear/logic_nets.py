"""The classic nets of logic: AND and OR by the perceptron rule, XOR by two layers of them and by a trained MLP.

XOR(x1, x2) = OR[AND(x1, not x2), AND(not x1, x2)]: no line separates its classes, but two AND units make inputs of
which one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from softgrad import ops
from softgrad.ops.backend import CPU, Backend
from softgrad.train.linear.models import Perceptron
from softgrad.train.model import MLP, Batch
from softgrad.train.objectives import OBJECTIVES

INPUTS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The rows of every truth table."""

GATES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"and": (0, 0, 0, 1), "or": (0, 1, 1, 1), "xor": (0, 1, 1, 0), "x1 and not x2": (0, 0, 1, 0),
     "not x1 and x2": (0, 1, 0, 0)}
)  # fmt: skip
"""What each gate makes of the `INPUTS`."""

Layer = tuple[Any, Any]

XOR_LAYERS: tuple[Layer, ...] = (
    (((1.0, -0.5), (-0.5, 1.0)), (-1.0, -1.0)),
    (((1.0,), (1.0,)), (-1.0,)),
)
"""Weights, a column a unit, and intercepts of XOR's two layers: every unit fires from 1 on."""


def threshold_network(x: Any, layers: Iterable[Layer], /) -> Any:
    """heaviside(x @ w + b), layer after layer.

    Parameters
    ----------
    x : array_like
        Shape (N, inputs).
    layers : iterable of pairs
        Weights (inputs, outputs) and intercepts (outputs,) of each layer.

    Returns
    -------
    ndarray
        Zeros and ones, shape (N, outputs).

    Notes
    -----
    McCulloch and Pitts 1943.

    Examples
    --------
    >>> from softgrad.train.linear.logic_nets import INPUTS, XOR_LAYERS, threshold_network
    >>> threshold_network(INPUTS, XOR_LAYERS)[:, 0].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    for w, b in layers:
        x = ops.linear(x, w, b, activation="heaviside")
    return x


def learn_gate(gate: str, /, *, epochs: int = 1000) -> Perceptron:
    """A perceptron that learned a gate of `GATES` on-line from zeros, row after row.

    Raises
    ------
    ValueError
        If there is no such gate.

    Examples
    --------
    >>> from softgrad.train.linear.logic_nets import learn_gate
    >>> model = learn_gate("or")
    >>> model.coef_.tolist(), model.intercept_.tolist(), model.n_iter_
    ([[1.0, 1.0]], [-1.0], 4)
    """
    if gate not in GATES:
        raise ValueError(f"gate must be one of {', '.join(GATES)}; got {gate!r}")
    return Perceptron(epochs=epochs, shuffle=False).fit(INPUTS, GATES[gate])


def learn_xor_layers() -> tuple[Layer, ...]:
    """XOR's two layers, each unit learned on-line by the perceptron rule from weights of 1; thresholds stay 1.

    What the rule makes of them is `XOR_LAYERS`.

    Examples
    --------
    >>> from softgrad.train.linear.logic_nets import learn_xor_layers
    >>> hidden, output = learn_xor_layers()
    >>> hidden[0].tolist()
    [[1.0, -0.5], [-0.5, 1.0]]
    """

    def unit(x: Any, labels: Any) -> Perceptron:
        model = Perceptron(lr=1.5, shuffle=False, fit_intercept=False)
        return model.fit(x, labels, coef_init=[[1.0, 1.0]], intercept_init=[-1.0])

    ands = [unit(INPUTS, GATES[gate]) for gate in ("x1 and not x2", "not x1 and x2")]
    hidden = tuple(np.concatenate([getattr(unit, name) for unit in ands]) for name in ("coef_", "intercept_"))
    layers = [(hidden[0].T, hidden[1])]
    last = unit(threshold_network(INPUTS, layers), GATES["xor"])
    return (*layers, (last.coef_.T, last.intercept_))


def train_xor_mlp(*, hidden: int = 4, lr: float = 0.5, epochs: int = 500, seed: int = 0, backend: Backend = CPU) -> MLP:
    """A network 2-hidden-2 of tanh that learned XOR by gradient descent on the softmax cross-entropy of all four rows.

    Deterministic: the seed decides the first weights.

    Examples
    --------
    >>> from softgrad.train.linear.logic_nets import predict_classes, train_xor_mlp
    >>> predict_classes(train_xor_mlp()).tolist()
    [0, 1, 1, 0]
    """
    xp = backend.xp
    model = MLP((2, hidden, 2), "tanh", "float64", backend)
    model.initialise(seed)
    batch = Batch(model, len(INPUTS))
    batch.inputs[...] = xp.asarray(INPUTS)
    batch.labels[...] = xp.asarray(GATES["xor"])
    for _ in range(epochs):
        logits = model.forward(batch)
        _, grad = OBJECTIVES["softmax"].loss_with_grad(logits, batch.labels, out=batch.grads[-1])
        model.backward(batch, grad)
        ops.sgd_update(model.params, model.grads, lr=lr)
    return model


def predict_classes(model: MLP, x: Any = INPUTS, /) -> Any:
    """The class of each row of x, by the largest logit."""
    xp = model.backend.xp
    x = xp.asarray(x, model.dtype)
    batch = Batch(model, len(x))
    batch.inputs[...] = x
    return model.forward(batch).argmax(axis=1)
