"""What each kind of model learns from: a loss of its scores, and what the scores are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from softgrad import ops
from softgrad.ops.training import add_bias, add_up, classification_step


class LossWithGrad(Protocol):
    """A loss as `Objective` wants it."""

    def __call__(self, scores: Any, targets: Any, /, *, out: Any) -> tuple[Any, Any]: ...


@dataclass(frozen=True)
class Objective:
    """A loss of scores x @ w + b, a row a sample and a column a class.

    Attributes
    ----------
    loss_with_grad
        ``(scores, targets, out=out)`` to the mean of the rows' losses and its gradient, written to `out`: of the
        scores' shape and dtype, and not the scores themselves. Nothing is validated, and a GPU is not waited for.
    step
        ``(backend, product, bias, labels, targets, loss_sum, correct, grad)``: of scores = product + bias, in the
        product's place, the same gradient, and what `ops.training.classification_step` adds up.
    targets
        ``(labels, classes, dtype)`` to what the scores are compared with: the labels, or a row for each of them.
    probabilities
        ``(scores, temperature)`` to a distribution over the classes for each row.
    """

    loss_with_grad: LossWithGrad
    step: Callable[..., None]
    targets: Callable[[Any, int, Any], Any]
    probabilities: Callable[[Any, float], Any]

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        # Its functions are made from others, and have no names to be found by in another process.
        return objective_of, (next(name for name, row in OBJECTIVES.items() if row is self),)


# ---- losses


def _of_rows(loss_with_grad: Callable[..., tuple[Any, Any]]) -> LossWithGrad:
    """An elementwise loss, summed over a row and averaged over the rows: every column learns as if it were alone."""

    def mean_of_rows(scores: Any, targets: Any, /, *, out: Any) -> tuple[Any, Any]:
        total, grad = loss_with_grad(scores, targets, reduction="sum", out=out)
        rows = max(len(scores), 1)
        grad /= rows
        return total / rows, grad

    return mean_of_rows


def _perceptron_loss(scores: Any, targets: Any, /, *, out: Any) -> tuple[Any, Any]:
    """max(0, -t z) with t = -1 or 1, as (heaviside(z) - y) z of targets y = 0 or 1, and Rosenblatt's heaviside(z) - y.

    At z = 0, where Heaviside's step is 1, the loss is 0 and yet a target 0 corrects the weights: so learning starts.
    """
    rows = max(len(scores), 1)
    grad = ops.heaviside(scores, out=out)
    grad -= targets
    with np.errstate(all="ignore"):  # scores that overflow are for the caller to find, in the loss
        loss = grad.reshape(-1) @ scores.reshape(-1) / rows
    grad /= rows
    return loss, grad


def _step_of(loss_with_grad: LossWithGrad) -> Callable[..., None]:
    """The step of a loss, by its parts."""

    def step(
        backend: Any, product: Any, bias: Any, labels: Any, targets: Any, loss_sum: Any, correct: Any, grad: Any
    ) -> None:
        add_bias(backend, product, bias)
        right = ops.count_correct(product, labels, validate=False)
        loss, _ = loss_with_grad(product, targets, out=grad)
        add_up(loss_sum, correct, loss, right, len(product))

    return step


def _softmax_step(
    backend: Any, product: Any, bias: Any, labels: Any, targets: Any, loss_sum: Any, correct: Any, grad: Any
) -> None:
    classification_step(backend, product, bias, labels, loss_sum, correct, grad)


l2_of_rows = _of_rows(ops.l2_loss_with_grad)
"""Half the squared distance of a row to its targets, averaged over the rows."""


# ---- targets


def _labels(labels: Any, classes: int, dtype: Any) -> Any:
    return labels


def _one_hot(labels: Any, classes: int, dtype: Any) -> Any:
    return ops.one_hot(labels, classes, dtype=dtype)


def _signs(labels: Any, classes: int, dtype: Any) -> Any:
    """1 at the label and -1 elsewhere."""
    return 2 * _one_hot(labels, classes, dtype) - 1


# ---- probabilities


def _softmax(scores: Any, temperature: float) -> Any:
    return ops.softmax(scores, temperature=temperature)


def _sigmoids(scores: Any, temperature: float) -> Any:
    """The classes' sigmoids, divided by their sum: taken through their logarithms, which do not underflow."""
    return ops.softmax(ops.log_sigmoid(scores), temperature=temperature)


def _objective(loss_with_grad: LossWithGrad, targets: Any, probabilities: Any) -> Objective:
    return Objective(loss_with_grad, _step_of(loss_with_grad), targets, probabilities)


_logistic_loss = _of_rows(partial(ops.sigmoid_cross_entropy_with_grad, validate=False))
_softmax_loss = partial(ops.softmax_cross_entropy_with_grad, validate=False)

# The scores of a perceptron and of an Adaline stand for no probabilities: their softmax ranks the classes, no more.
OBJECTIVES = {
    "perceptron": _objective(_perceptron_loss, _one_hot, _softmax),
    "adaline": _objective(l2_of_rows, _signs, _softmax),
    "logistic": _objective(_logistic_loss, _one_hot, _sigmoids),
    "softmax": Objective(_softmax_loss, _softmax_step, _labels, _softmax),
}
"""By the name of a linear model; a multi-layer perceptron learns by that of "softmax"."""


def objective_of(name: str) -> Objective:
    """The objective of that name."""
    return OBJECTIVES[name]
