"""What is measured: a row for each operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from softgrad import ops
from softgrad.bench.formulas import ARRAYS, name_of
from softgrad.bench.operation import SIZES, Make, Operation, Shape, array_bytes
from softgrad.bench.settings import DTYPES
from softgrad.kernels.formulas.elementwise_losses import PROBABILITIES, SIGNS
from softgrad.kernels.formulas.registry import ELEMENTWISE_LOSSES, ElementwiseLoss


def _normal(shape: Shape, dtype: Any, rng: Any) -> Any:
    drawn = np.result_type(dtype, np.float32)  # no generator draws float16
    return rng.standard_normal(shape, drawn).astype(dtype, copy=False)


def _logits(shape: Shape, dtype: Any, rng: Any) -> Any:
    x = _normal(shape, dtype, rng)
    x *= 2  # spread enough that a softmax is not flat
    x[x == 0] = 1  # packages differ in which side's derivative they give at a kink, all rightly
    return x


# ---- rows

ROW_SHAPES: tuple[Shape, ...] = ((128, 10), (1024, 10), (60_000, 10), (4096, 1000), (256, 32_000), (64, 128_256))
QUICK_ROW_SHAPES: tuple[Shape, ...] = ((128, 10), (4096, 1000))


def _one(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
    return (_logits(shape, dtype, rng),)


def _grad_and(forward: Callable[[Any], Any]) -> Make:
    """Arguments of a backward that takes the output: the gradient and forward(x)."""

    def make(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
        return _normal(shape, dtype, rng), forward(_logits(shape, dtype, rng))

    return make


def _distributions(count: int) -> Make:
    """Arguments of a measure of one distribution a row, or of two."""
    return lambda shape, dtype, rng: tuple(ops.softmax(_logits(shape, dtype, rng)) for _ in range(count))


def _labelled(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
    return _logits(shape, dtype, rng), rng.integers(0, shape[1], shape[0])


def _rows(function: str, make: Make, **options: Any) -> Operation:
    return Operation(function, function, "rows", make, ROW_SHAPES, QUICK_ROW_SHAPES, MappingProxyType(options))


ROWS = (
    _rows("softmax", _one, axis=-1),
    _rows("log_softmax", _one, axis=-1),
    _rows("logsumexp", _one, axis=-1),
    _rows("softmax_backward", _grad_and(ops.softmax), axis=-1),
    _rows("log_softmax_backward", _grad_and(ops.log_softmax), axis=-1),
    _rows("softmax_cross_entropy", _labelled),
    _rows("softmax_cross_entropy_with_grad", _labelled),
    _rows("entropy", _distributions(1), axis=-1),
    _rows("perplexity", _distributions(1), axis=-1),
    _rows("cross_entropy", _distributions(2), axis=-1),
    _rows("kl_divergence", _distributions(2), axis=-1),
)

# ---- elementwise

QUICK_SIZES: tuple[Shape, ...] = ((1000,), (100_000,))

# These do little but move memory: in a quick run too they are measured where that is slowest.
MEMORY_BOUND = ("relu", "relu_backward", "sigmoid", "sigmoid_backward")


def _elementwise(function: str, make: Make) -> Operation:
    quick = SIZES if function in MEMORY_BOUND else QUICK_SIZES
    return Operation(function, function, "elementwise", make, SIZES, quick)


def _activations() -> tuple[Operation, ...]:
    """Forward and backward of every activation, side by side."""
    operations = []
    for name, row in ops.ACTIVATIONS.items():
        operations.append(_elementwise(name, _one))
        if row.backward is not None:
            saved = getattr(ops, name) if row.saved == "output" else lambda x: x
            operations.append(_elementwise(f"{name}_backward", _grad_and(saved)))
    return tuple(operations)


def _targets_of(row: ElementwiseLoss) -> Make:
    """Arguments of a loss: predictions, and targets that it takes, drawn at random or of one sign or the other."""

    def make(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
        x, targets = _logits(shape, dtype, rng), _normal(shape, dtype, rng)
        if row.targets is SIGNS:
            targets = 2 * (targets > 0).astype(dtype) - 1
        elif row.targets is PROBABILITIES:
            targets = (targets > 0).astype(dtype)
        return x, targets

    return make


def _losses() -> tuple[Operation, ...]:
    """Every elementwise loss, alone and with its gradient."""
    return tuple(
        _elementwise(function, _targets_of(row))
        for name, row in ELEMENTWISE_LOSSES.items()
        for function in (name, f"{name}_with_grad")
    )


# ---- formulas of users' own


def _several(count: int) -> Make:
    return lambda shape, dtype, rng: tuple(_logits(shape, dtype, rng) for _ in range(count))


def _formulas() -> tuple[Operation, ...]:
    """Every formula, and its gradients by all of its arrays."""
    operations = []
    for name, arrays in ARRAYS.items():
        for gradient in (False, True):
            called = name_of(name, gradient=gradient)
            make = _several(arrays + gradient)
            operations.append(Operation(called, called, "formulas", make, SIZES, QUICK_SIZES))
    return tuple(operations)


# ---- other

# A batch of 128 through the first layer of the MNIST network: (rows, inputs, outputs).
LAYER: Shape = (128, 784, 256)
# The last layer of a small language model.
VOCABULARY: Shape = (1024, 256, 8192)


def _layer(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
    rows, inputs, outputs = shape
    x, w = _normal((rows, inputs), dtype, rng), _normal((inputs, outputs), dtype, rng)
    w /= np.sqrt(inputs)
    return x, w, _normal((outputs,), dtype, rng)


def _layer_and_labels(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
    x, w, _ = _layer(shape, dtype, rng)
    return x, w, rng.integers(0, shape[2], shape[0])


def _layer_backward(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
    x, w, b = _layer(shape, dtype, rng)
    y = ops.linear(x, w, b, activation="relu")
    return _normal(y.shape, dtype, rng), y, x, w


def _arrays(count: int) -> Make:
    return lambda shape, dtype, rng: tuple(_normal(shape, dtype, rng) for _ in range(count))


def _adaptive(count: int) -> Make:
    """Param, grad, and so many states of which the last is of squares."""

    def make(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
        *arrays, last = _arrays(2 + count)(shape, dtype, rng)
        return *arrays, last**2

    return make


def _labels_and_classes(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
    return rng.integers(0, shape[1], shape[0]), shape[1], dtype


def _pixels_and_indices(shape: Shape, dtype: Any, rng: Any) -> tuple[Any, ...]:
    images = rng.integers(0, 256, (60_000, shape[1]), np.uint8)
    return images, rng.integers(0, len(images), shape[0]), dtype


def _gathered_bytes(arguments: tuple[Any, ...]) -> int:
    images, indices, _ = arguments
    return int(indices.nbytes + len(indices) * images[0].nbytes)


def _other(
    name: str,
    make: Make,
    shapes: tuple[Shape, ...],
    in_place: bool = False,
    read: Any = array_bytes,
    dtypes: tuple[str, ...] = DTYPES,
    **options: Any,
) -> Operation:
    function, fixed = name.partition(" ")[0], MappingProxyType(options)
    return Operation(name, function, "other", make, shapes, shapes[:2], fixed, in_place, read, dtypes)


LABELLED_SHAPES: tuple[Shape, ...] = ((128, 10), (60_000, 10), (4096, 1000))

ADAM: Mapping[str, Any] = MappingProxyType({"lr": 0.01, "step": 10, "betas": (0.9, 0.999), "eps": 1e-8})

OTHER = (
    _other("softmax axis=0", _one, ((64, 128_256), (1000, 4096)), axis=0),
    _other("softmax axis=1", _one, ((32, 1000, 64),), axis=1),
    _other("linear", _layer, (LAYER,), activation=None),
    _other("linear relu", _layer, (LAYER,), activation="relu"),
    _other("linear_backward relu", _layer_backward, (LAYER,), activation="relu"),
    _other("linear_cross_entropy", _layer_and_labels, (VOCABULARY,)),
    _other("linear_cross_entropy_with_grad", _layer_and_labels, (VOCABULARY,)),
    _other("sgd_update", _arrays(2), SIZES, in_place=True, lr=0.01, momentum=0.0),
    _other("sgd_update momentum", _arrays(3), SIZES, in_place=True, lr=0.01, momentum=0.9),
    _other("adagrad_update", _adaptive(1), SIZES, in_place=True, lr=0.01, step=10, eps=1e-10),
    _other("rmsprop_update", _adaptive(1), SIZES, in_place=True, lr=0.01, alpha=0.99, eps=1e-8),
    _other("adam_update", _adaptive(2), SIZES, in_place=True, weight_decay=0.0, **ADAM),
    _other("adamw_update", _adaptive(2), SIZES, in_place=True, weight_decay=0.01, **ADAM),
    _other("sample_categorical", _one, LABELLED_SHAPES, rng=0),
    _other("self_information", _distributions(1), SIZES),
    _other("one_hot", _labels_and_classes, LABELLED_SHAPES),
    _other("accuracy", _labelled, LABELLED_SHAPES),
    _other("count_correct", _labelled, LABELLED_SHAPES),
    _other(
        "gather_scale",
        _pixels_and_indices,
        ((128, 784),),
        read=_gathered_bytes,
        dtypes=("float32", "float64"),
        scale=1 / 78.6,
        shift=-0.42,
    ),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {operation.name: operation for operation in (*ROWS, *_activations(), *_losses(), *_formulas(), *OTHER)}
)

# What a quick run measures: of each kind of kernel one.
QUICK_OPERATIONS = (
    "softmax",
    "softmax_backward",
    "logsumexp",
    "softmax_cross_entropy_with_grad",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "tanh",
    "gelu",
    "gelu_backward",
    "linear relu",
    "sgd_update momentum",
)


def find_operations(names: tuple[str, ...], family: str | None) -> tuple[str, ...]:
    """The operations of those names (of all, if none is given), in the table's order, of that family.

    Raises
    ------
    ValueError
        If there is no such operation, or none of them is of the family; the message lists the names.
    """
    for name in names:
        if name not in OPERATIONS:
            raise ValueError(f"op must be one of {', '.join(OPERATIONS)}; got {name!r}")
    found = tuple(
        name
        for name, operation in OPERATIONS.items()
        if (not names or name in names) and family in (None, operation.family)
    )
    if not found:
        raise ValueError(f"op {', '.join(names)} has nothing of the family {family}; leave one of the two out")
    return found
