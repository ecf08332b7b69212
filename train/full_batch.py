"""Full-batch training by SciPy's quasi-Newton methods, for linear models and small networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from softgrad import ops
from softgrad.ops.backend import CPU
from softgrad.ops.labels import check_labels
from softgrad.train.checks import NOT_NEGATIVE, check_choice, check_in, check_whole
from softgrad.train.data.standardise import Standardisation
from softgrad.train.errors import DivergedError, divergence
from softgrad.train.evaluation import EVALUATION_ROWS, to_numpy
from softgrad.train.model import MLP, Batch

QUASI_NEWTON = ("L-BFGS-B", "BFGS")

# BFGS keeps a square matrix of the parameters: of 5,000 it has 200 MB, and every iteration goes over it.
MOST_PARAMETERS_OF_BFGS = 5000


@dataclass(frozen=True)
class FullBatchResult:
    """What a minimisation came to.

    Attributes
    ----------
    loss
        What was minimised, at its end: the mean cross-entropy in nats, and the penalty.
    iterations, evaluations
        Steps taken, and how often loss and gradient were computed.
    message
        SciPy's word on why it ended.
    """

    loss: float
    iterations: int
    evaluations: int
    message: str


def minimise(
    model: MLP,
    images: Any,
    labels: Any,
    *,
    inputs: Standardisation | None = None,
    method: str = "L-BFGS-B",
    weight_decay: float = 0.0,
    max_iterations: int = 200,
    tolerance: float = 1e-5,
) -> FullBatchResult:
    """Minimise the cross-entropy over all images at once: its mean + weight_decay / 2 |params|^2.

    Parameters
    ----------
    model : MLP
        Its parameters are where the search begins, and are written with where it ends.
    images : ndarray of uint8
        Shape (rows, pixels).
    labels : ndarray of int
        Shape (rows,), each in [0, classes).
    inputs : Standardisation, optional
        What becomes of a pixel; by default that of these images, as in `Trainer`.
    method : str, default "L-BFGS-B"
        "L-BFGS-B", which remembers the last ten steps, or "BFGS", which keeps the whole matrix: for a float64 model of
        up to 5,000 parameters.
    weight_decay : float, default 0
        The L2 penalty's factor, 0 or above.
    max_iterations : int, default 200
        The most steps to take.
    tolerance : float, default 1e-5
        End where no element of the gradient is larger; 0 or above. L-BFGS-B also ends where a step lowers the loss by
        no more than rounding.

    Returns
    -------
    FullBatchResult
        The loss, and how it was reached.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ValueError
        If an argument does not fit the model or is out of range; the model is as it was.
    DivergedError
        If the loss or a weight is not finite; the model is as it was.

    Notes
    -----
    ``scipy.optimize.minimize``; Nocedal and Wright 2006, chapters 6 and 7.

    Examples
    --------
    >>> from softgrad.ops.backend import CPU
    >>> from softgrad.train import MLP, load_dataset
    >>> from softgrad.train.full_batch import minimise
    >>> digits, model = load_dataset("digits"), MLP((64, 10), "relu", "float64", CPU)
    >>> result = minimise(model, digits.train_images, digits.train_labels, weight_decay=1e-2)
    >>> round(result.loss, 4)
    0.3074
    """
    _check(model, images, labels, method, weight_decay, max_iterations, tolerance)
    try:
        from scipy import optimize
    except ImportError as error:
        raise ImportError(f"minimise needs SciPy ({error}); install it with: pip install 'softgrad[scipy]'") from error

    objective = _FullLoss(model, images, labels, inputs or Standardisation.of(images), weight_decay)
    options: dict[str, Any] = {"maxiter": max_iterations, "gtol": tolerance}
    if method == "L-BFGS-B":
        options |= {"ftol": float(np.finfo(model.dtype).eps), "maxfun": math.inf}
    start = to_numpy(model.params).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # a line search may look too far; it comes back
        result = optimize.minimize(objective, start, method=method, jac=True, options=options)
        model.params[...] = model.backend.xp.asarray(result.x)
    # A weight beyond the dtype of the model becomes infinite there, and an activation can hide that in the loss.
    what = divergence(model.backend.xp, result.fun, model.params)
    if what is not None:
        model.params[...] = model.backend.xp.asarray(start)
        raise DivergedError(f"{what}; begin with smaller weights, or with a weight decay")
    return FullBatchResult(float(result.fun), int(result.nit), int(result.nfev), str(result.message))


class _FullLoss:
    """Loss and gradient over all images, as functions of the flat parameters; sums in float64."""

    def __init__(
        self, model: MLP, images: np.ndarray, labels: np.ndarray, inputs: Standardisation, weight_decay: float
    ) -> None:
        xp = model.backend.xp
        self._model, self._inputs, self._weight_decay = model, inputs, weight_decay
        self._images, self._labels = xp.asarray(images), xp.asarray(labels, np.int64)
        self._order = xp.arange(len(images))
        self._batch = Batch(model, min(EVALUATION_ROWS, len(images)))
        self._grad_sum = xp.zeros(model.params.shape, np.float64)

    def __call__(self, params: np.ndarray) -> tuple[float, np.ndarray]:
        model, rows = self._model, len(self._order)
        model.params[...] = model.backend.xp.asarray(params)
        self._grad_sum[...] = 0
        loss_sum = 0.0
        for start in range(0, rows, EVALUATION_ROWS):
            chosen = self._order[start : start + EVALUATION_ROWS]
            labels = self._labels[start : start + EVALUATION_ROWS]
            batch = self._batch.first(len(chosen))
            scale, shift = self._inputs.scale, self._inputs.shift
            ops.gather_scale(self._images, chosen, scale=scale, shift=shift, validate=False, out=batch.inputs)
            logits = model.forward(batch)
            loss, grad = ops.softmax_cross_entropy_with_grad(
                logits, labels, reduction="sum", validate=False, out=logits
            )
            model.backward(batch, grad)
            loss_sum += float(loss)
            self._grad_sum += model.grads
        penalty = 0.5 * self._weight_decay * float(params @ params)
        grad_mean = to_numpy(self._grad_sum) / rows
        return loss_sum / rows + penalty, grad_mean + self._weight_decay * params


def _check(
    model: MLP, images: Any, labels: Any, method: str, weight_decay: float, max_iterations: int, tolerance: float
) -> None:
    pixels = model.sizes[0]
    if getattr(images, "dtype", None) != np.uint8 or images.ndim != 2 or images.shape[1] != pixels or not len(images):
        raise ValueError(f"images must be uint8 of shape (rows, {pixels}), a row at least; got {_kind(images)}")
    if getattr(labels, "shape", None) != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers of shape ({len(images)},), one an image; got {_kind(labels)}")
    check_labels(CPU, np.ascontiguousarray(labels, np.int64), model.sizes[-1], given=labels)
    check_choice(method, "method", QUASI_NEWTON)
    check_in(weight_decay, "weight_decay", NOT_NEGATIVE)
    check_in(tolerance, "tolerance", NOT_NEGATIVE)
    check_whole(max_iterations, "max_iterations", 1)
    if method == "BFGS" and model.params.size > MOST_PARAMETERS_OF_BFGS:
        raise ValueError(
            f"method BFGS keeps a matrix of all pairs of parameters, and takes {MOST_PARAMETERS_OF_BFGS:,} at most; "
            f"the model has {model.params.size:,}: choose L-BFGS-B"
        )
    if model.params.dtype != model.dtype:
        raise ValueError(f"model must be in float32 or float64; this one is in {model.dtype}: train it by batches")
    if method == "BFGS" and model.dtype != np.float64:
        raise ValueError(f"method BFGS needs a model in float64; this one is in {model.dtype}: choose L-BFGS-B")


def _kind(array: Any) -> str:
    return f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
