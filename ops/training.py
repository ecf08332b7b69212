"""What a training step does in one launch on a GPU, over arrays that it owns: nothing is checked here.

They are as the kernels take them, contiguous, apart from each other, and of one backend.
"""

from __future__ import annotations

from typing import Any

from softgrad.ops.arguments import contiguous
from softgrad.ops.backend import Backend
from softgrad.ops.dtypes import FLOAT64, INT64, compute_dtype
from softgrad.ops.lookup import IDENTITY


def ready_data(backend: Backend, x: Any, labels: Any) -> tuple[Any, Any]:
    """Rows and their labels as `kernels.gather_batch` takes them."""
    array = backend.xp.asarray(x)
    rows = contiguous(backend, array, array.dtype.newbyteorder("="))
    return rows, contiguous(backend, backend.xp.asarray(labels), INT64)


def gather_batch(
    backend: Backend, x: Any, labels: Any, order: Any, begin: int, scale: float, shift: float, out: Any, labels_out: Any
) -> None:
    """The rows of x scaled, and their labels, at `order` from `begin` on: as many as `out` has."""
    backend.kernels.gather_batch(x, labels, order, begin, scale, shift, backend.bits(out), labels_out)


def classification_step(
    backend: Backend, product: Any, bias: Any, labels: Any, loss_sum: Any, correct: Any, grad: Any
) -> None:
    """Of logits = product + bias: the gradient of their mean cross-entropy in `grad`, and what an epoch adds up.

    `loss_sum` grows by the mean times the rows, and `correct` by how many rows have their largest logit at their label:
    arrays without axes, of float64 and of int64. The product may be overwritten. A label outside the classes makes the
    loss NaN.
    """
    kernels, rows, dtype = backend.kernels, len(product), compute_dtype(product.dtype)
    product, bias, grad = backend.bits(product), backend.bits(bias), backend.bits(grad)
    if kernels.classification_step(product, bias, labels, loss_sum, correct, grad):
        return
    add_bias(backend, product, bias)
    right = kernels.count_correct(product, labels)
    loss = kernels.softmax_cross_entropy_with_grad(product, labels, None, rows, 1.0 / rows, None, grad)
    add_up(loss_sum, correct, dtype.type(loss) if type(loss) is float else loss, right, rows)


def add_bias(backend: Backend, product: Any, bias: Any) -> None:
    """product += bias, of which there is one for each column."""
    product, bias = backend.bits(product), backend.bits(bias)
    backend.kernels.bias_activation_forward(IDENTITY, product, bias, (), None, product)


def add_up(loss_sum: Any, correct: Any, loss: Any, right: Any, rows: int) -> None:
    """Add a batch's mean loss and how many of its rows are right to those of the epoch."""
    loss_sum += loss.astype(FLOAT64) * rows
    correct += right
