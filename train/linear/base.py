"""What the linear models share: checked options, scores, and gradient descent in batches of any size."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np

from softgrad import ops
from softgrad.ops.arguments import check_shape, float_array
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.scalars import check_number
from softgrad.train.errors import DivergedError, NotFittedError, divergence
from softgrad.train.linear.samples import as_samples, finite
from softgrad.train.objectives import LossWithGrad


@dataclass(kw_only=True, eq=False)
class LinearModel:
    """Scores x @ coef_.T + intercept_, by descent along the gradient of a loss: what the linear models have in common.

    Parameters
    ----------
    lr : float
        The learning rate, 0 or above.
    epochs : int
        How many passes over the samples there are at most.
    batch_size : int or None
        Samples an update: 1 learns on-line, None from all samples at once. The gradient is their mean.
    shuffle : bool
        Whether each epoch takes the samples in an order of its own.
    seed : int
        Of the orders: the same seed, the same bits.
    tolerance : float or None
        Stop after an epoch whose loss is not below the one before by more than this; None never does. An epoch in
        which there was nothing to correct is always the last.
    fit_intercept : bool
        Whether to learn the intercept; if not, it stays where it begins, at 0 or `intercept_init`.

    Attributes
    ----------
    coef_ : ndarray
        The weights, shape (outputs, features), of x's dtype and on its device.
    intercept_ : ndarray
        Shape (outputs,).
    n_features_in_ : int
        Features of a sample.
    n_iter_ : int
        Epochs that were made.
    loss_curve_ : list of float
        The mean loss of each epoch, taken while it was learned from.

    Notes
    -----
    Options are kept as they are given and checked by `fit`. Samples are an array (N, features) of NumPy or CuPy, or
    what NumPy can make one; float32 stays float32, float16 is computed in float32, integers and booleans in float64.
    """

    lr: float = 0.01
    epochs: int = 100
    batch_size: int | None = 1
    shuffle: bool = True
    seed: int = 0
    tolerance: float | None = None
    fit_intercept: bool = True

    def decision_function(self, x: Any, /) -> Any:
        """The scores of each row of x, which must be finite: shape (N, outputs), or (N,) of a single output."""
        scores = self._scores(x)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def _scores(self, x: Any) -> Any:
        if not hasattr(self, "coef_"):
            raise NotFittedError(f"this {type(self).__name__} has not learned anything yet; call fit first")
        backend = backend_of(x=x, coef_=self.coef_)
        w, b = self._weights(backend)
        x = as_samples(backend, x, w.dtype)
        if x.shape[1] != len(w):
            raise ValueError(f"x must have {len(w)} features, as in fit; got shape {x.shape}")
        return ops.linear(x, w, b)

    def _weights(self, backend: Backend) -> tuple[Any, Any]:
        """The weights, (features, outputs), and the intercept, (outputs,), as arrays of their own."""
        xp = backend.xp
        return xp.array(xp.atleast_2d(self.coef_).T, order="C"), xp.array(xp.atleast_1d(self.intercept_))

    def _initial(self, backend: Backend, x: Any, outputs: int, coef: Any, intercept: Any) -> tuple[Any, Any]:
        """Weights and intercept to begin with: zeros, or what the caller gave."""
        w, b = backend.xp.zeros((x.shape[1], outputs), x.dtype), backend.xp.zeros(outputs, x.dtype)
        for name, given, target in (("coef_init", coef, w.T), ("intercept_init", intercept, b)):
            if given is not None:
                values = finite(backend, float_array(backend, given, name), x.dtype, name)
                if outputs == 1 and values.ndim < target.ndim:  # as scikit-learn takes and shows those of one output
                    values = values[None]
                check_shape(values, target.shape, name, f"for outputs and features ({outputs}, {x.shape[1]})")
                target[...] = values
        return w, b

    def _check_options(self) -> None:
        check_number(self.lr, "lr", minimum=0.0)
        if self.tolerance is not None:
            check_number(self.tolerance, "tolerance", minimum=0.0)
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if name == "batch_size" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} must be a whole number, {least} or above; got {value!r}")

    def _descend(
        self, loss_with_grad: LossWithGrad, x: Any, targets: Any, w: Any, b: Any, *, first: int, epochs: int
    ) -> list[float]:
        """Change w and b in so many epochs, the one of number `first` and those after it; the loss of each."""
        losses: list[float] = []
        for epoch in range(first, first + epochs):
            loss, corrected = self._epoch(loss_with_grad, x, targets, w, b, epoch)
            what = divergence(backend_of(w=w).xp, loss, w, b)
            if what is not None:
                raise DivergedError(
                    f"learning diverged in epoch {epoch + 1}: {what}; try a smaller lr than {self.lr:g}"
                )
            losses.append(loss)
            slow = self.tolerance is not None and len(losses) > 1 and losses[-2] - losses[-1] <= self.tolerance
            if slow or not corrected:
                break
        return losses

    # What an update rounds to 0 or to infinity is the loss's to tell, whatever the caller has NumPy raise.
    @np.errstate(all="ignore")
    def _epoch(
        self, loss_with_grad: LossWithGrad, x: Any, targets: Any, w: Any, b: Any, epoch: int
    ) -> tuple[float, bool]:
        """The mean loss of an epoch, and whether there was anything to correct."""
        xp, rows, size = backend_of(x=x).xp, len(x), self.batch_size or len(x)
        if self.shuffle and size < rows:
            order = xp.asarray(np.random.default_rng((self.seed, epoch)).permutation(rows))
            x, targets = x[order], targets[order]
        # On a GPU these are arrays there, and no update waits for another.
        loss_sum: Any = 0.0
        corrected: Any = False
        for start in range(0, rows, size):
            batch = x[start : start + size]
            scores = ops.linear(batch, w, b)
            loss, grad = loss_with_grad(scores, targets[start : start + size], out=xp.empty_like(scores))
            corrected = corrected | grad.any()
            _, w_grad, b_grad = ops.linear_backward(grad, None, batch, w, input_grad=False)
            ops.sgd_update(w, w_grad, lr=self.lr)
            if self.fit_intercept:
                ops.sgd_update(b, b_grad, lr=self.lr)
            loss_sum = loss_sum + loss.astype(np.float64) * len(batch)
        return float(loss_sum) / rows, bool(corrected)

    def _keep(self, w: Any, b: Any, losses: list[float]) -> Self:
        self.coef_, self.intercept_ = w.T, b
        self.n_features_in_ = len(w)
        self.loss_curve_, self.n_iter_ = losses, len(losses)
        return self
