"""`MLP`: a multi-layer perceptron over `ops`, with every buffer of a step allocated once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from softgrad import ops
from softgrad.ops.backend import Backend
from softgrad.ops.dtypes import compute_dtype, dtype_named
from softgrad.ops.lookup import find_activation

# Each parameter starts on a cache line of the flat buffer: 64 bytes are 16 float32.
ALIGNMENT = 16


class MLP:
    """Affine layers with an activation between them; the last gives logits.

    All weights and biases are views of one flat array, `params`, and their gradients of another, `grads`, so
    that an optimizer updates the whole network in one pass.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden layers, classes; at least two.
    activation : str
        What `ops.linear` takes, of the hidden layers.
    dtype : str
        "float32", "float64", or "bfloat16": then outputs, gradients and what products read are stored in 16 bits, while
        `params` are float32, in which small updates are not lost.
    backend : Backend
        Where the arrays live.
    """

    def __init__(self, sizes: tuple[int, ...], activation: str, dtype: str, backend: Backend) -> None:
        self.sizes = sizes
        self.activation = activation
        self.dtype = dtype_named(dtype)
        self.backend = backend
        self.layers = len(sizes) - 1
        self._activations = [*[activation] * (self.layers - 1), None]
        self._shapes = parameter_shapes(sizes)
        self.params = self.zeros()
        self.grads = self._zeros(self.dtype)
        self._take_views()

    def _take_views(self) -> None:
        self._read = self.params if self.params.dtype == self.dtype else self._zeros(self.dtype)
        self._weights, self._biases = self._by_layer(self._read)
        self._weight_grads, self._bias_grads = self._by_layer(self.grads)

    # A copy has flat arrays of its own, and views of these.
    def __getstate__(self) -> dict[str, Any]:
        views = {"_read", "_weights", "_biases", "_weight_grads", "_bias_grads"}
        return {name: value for name, value in vars(self).items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._take_views()

    @property
    def saves_preactivation(self) -> bool:
        """Does the activation's backward need its input, which is then kept in the forward pass?"""
        return find_activation(self.activation).saved == "input"

    def zeros(self) -> Any:
        """A flat array of zeros that `named` can read like `params`: an optimizer's state, say."""
        return self._zeros(compute_dtype(self.dtype))

    def _zeros(self, dtype: Any) -> Any:
        return self.backend.xp.zeros(sum(_padded(shape) for shape in self._shapes.values()), dtype)

    def named(self, flat: Any) -> Iterator[tuple[str, Any]]:
        """The name and the view of each parameter in a flat array like `params`."""
        start = 0
        for name, shape in self._shapes.items():
            yield name, flat[start : start + math.prod(shape)].reshape(shape)
            start += _padded(shape)

    def initialise(self, seed: int) -> None:
        """Draw weights from N(0, 2 / inputs) and set biases to 0; He et al. 2015, arXiv:1502.01852."""
        rng = np.random.default_rng((seed, 0))
        for weight, bias in zip(*self._by_layer(self.params), strict=True):
            draw = rng.standard_normal(weight.shape) * math.sqrt(2.0 / weight.shape[0])
            weight[...] = self.backend.xp.asarray(draw.astype(weight.dtype))
            bias[...] = 0

    @property
    def last_bias(self) -> Any:
        """The bias of the last layer, as products are stored."""
        return self._biases[-1]

    def forward(self, batch: Batch, *, last_bias: bool = True) -> Any:
        """The logits of the batch's inputs, in its last output buffer; without the last bias what it is added to."""
        if self._read is not self.params:
            self._read[...] = self.params
        x = batch.inputs
        for layer in range(self.layers):
            x = ops.linear(
                x,
                self._weights[layer],
                self._biases[layer] if last_bias or layer + 1 < self.layers else None,
                activation=self._activations[layer],
                preactivation=batch.preactivations[layer],
                out=batch.outputs[layer],
            )
        return x

    def backward(self, batch: Batch, grad: Any) -> None:
        """Write `grads`, from the gradient with respect to the logits, which is overwritten."""
        for layer in reversed(range(self.layers)):
            below = batch.grads[layer - 1] if layer > 0 else None
            ops.linear_backward(
                grad,
                batch.saved[layer],
                batch.layer_inputs[layer],
                self._weights[layer],
                activation=self._activations[layer],
                input_grad=layer > 0,
                overwrite_grad=True,
                out=(below, self._weight_grads[layer], self._bias_grads[layer]),
            )
            grad = below

    def _by_layer(self, flat: Any) -> tuple[list[Any], list[Any]]:
        views = [view for _, view in self.named(flat)]
        return views[::2], views[1::2]


class Batch:
    """The buffers of a forward and backward pass over up to `rows` rows: lists have an entry a layer."""

    def __init__(self, model: MLP, rows: int) -> None:
        xp, sizes = model.backend.xp, model.sizes
        keeps = model.saves_preactivation

        def buffer(size: int) -> Any:
            return xp.empty((rows, size), model.dtype)

        self.inputs = buffer(sizes[0])
        self.labels = xp.empty(rows, np.int64)
        self.outputs = [buffer(size) for size in sizes[1:]]
        self.preactivations = [*(buffer(size) if keeps else None for size in sizes[1:-1]), None]
        self.grads = [buffer(size) for size in sizes[1:]]
        self.targets = xp.empty_like(self.grads[-1])
        self._take_for_backward()

    def _take_for_backward(self) -> None:
        """What the way back reads in each layer: its inputs, and what its activation saved."""
        *hidden, _ = zip(self.outputs, self.preactivations, strict=True)
        self.layer_inputs = [self.inputs, *(output for output, _ in hidden)]
        self.saved = [*(output if before is None else before for output, before in hidden), None]

    def first(self, rows: int) -> Batch:
        """The same buffers, cut to their first `rows` rows: what a last, smaller batch takes."""
        cut = object.__new__(Batch)
        cut.inputs, cut.labels, cut.targets = self.inputs[:rows], self.labels[:rows], self.targets[:rows]
        cut.outputs, cut.grads = [a[:rows] for a in self.outputs], [a[:rows] for a in self.grads]
        cut.preactivations = [None if a is None else a[:rows] for a in self.preactivations]
        cut._take_for_backward()
        return cut


def parameter_shapes(sizes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a network's parameters, in their order in the flat array."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        shapes[f"layers.{layer}.weight"] = (inputs, outputs)
        shapes[f"layers.{layer}.bias"] = (outputs,)
    return shapes


def _padded(shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT
