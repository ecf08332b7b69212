"""Linear regression over `ops`: the least squares at once, or by gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from softgrad.ops.arguments import check_shape, convert, float_array
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.dtypes import FLOAT64
from softgrad.train.errors import DivergedError, divergence
from softgrad.train.linear.base import LinearModel
from softgrad.train.linear.samples import as_samples_to_learn, finite
from softgrad.train.objectives import l2_of_rows


@dataclass(kw_only=True, eq=False)
class LinearRegression(LinearModel):
    """Least squares: the w and b for which (x @ w + b - y)^2 / 2 is least, exactly or by gradient descent.

    Parameters
    ----------
    solver : {"exact", "sgd"}
        "exact" is the closed form, by LAPACK's least squares (of all that are least the shortest w); "sgd" descends
        along the gradient, (x @ w + b - y) x of each sample, and the other options are then those of `LinearModel`.

    Attributes
    ----------
    coef_, intercept_
        Shape (features,) and a number if y is (N,); (outputs, features) and (outputs,) if y is (N, outputs).

    Notes
    -----
    Of one feature the closed form is w = cov(x, y) / var(x), b = mean(y) - w mean(x). Gauss 1809; Robbins and Monro
    1951 for descent by single samples.

    Examples
    --------
    >>> from softgrad.train import LinearRegression
    >>> model = LinearRegression().fit([[50], [80], [120]], [150, 200, 280])
    >>> round(float(model.coef_[0]), 6), round(float(model.intercept_), 6)
    (1.864865, 54.594595)
    """

    solver: str = "exact"

    def fit(self, x: Any, y: Any, /, *, coef_init: Any = None, intercept_init: Any = None) -> Self:
        """Learn from the samples x and their values y.

        Parameters
        ----------
        x : array_like
            Shape (N, features), finite.
        y : array_like
            Shape (N,) or (N, outputs), finite.
        coef_init, intercept_init : array_like, optional
            Where "sgd" begins, of the shapes of `coef_` and `intercept_`; zeros by default.

        Returns
        -------
        LinearRegression
            The model itself.

        Raises
        ------
        TypeError
            If x or y hold no real numbers, or are on different devices.
        ValueError
            If an option is out of range, shapes do not fit, or numbers are not finite.
        DivergedError
            If the loss is not finite after an epoch.
        """
        self._check_options()
        backend, x, y, targets = self._values(x, y)
        if self.solver == "exact":
            if coef_init is not None or intercept_init is not None:
                raise ValueError("coef_init and intercept_init are where solver='sgd' begins; got solver='exact'")
            w, b = _least_squares(backend, x, targets, self.fit_intercept)
            return self._keep_like(y, w, b, [])
        w, b = self._initial(backend, x, targets.shape[1], coef_init, intercept_init)
        losses = self._descend(l2_of_rows, x, targets, w, b, first=0, epochs=self.epochs)
        return self._keep_like(y, w, b, losses)

    def partial_fit(self, x: Any, y: Any, /) -> Self:
        """Descend for one epoch more, from where the model stands; arguments and errors are those of `fit`."""
        self._check_options()
        backend, x, y, targets = self._values(x, y)
        fitted = hasattr(self, "coef_")
        w, b = self._weights(backend) if fitted else self._initial(backend, x, targets.shape[1], None, None)
        if w.shape != (x.shape[1], targets.shape[1]):
            raise ValueError(
                f"x and y must have {w.shape[0]} features and {w.shape[1]} outputs, as before; "
                f"got {x.shape[1]} and {targets.shape[1]}"
            )
        losses = list(getattr(self, "loss_curve_", []))
        losses += self._descend(l2_of_rows, x, targets, w, b, first=len(losses), epochs=1)
        return self._keep_like(y, w, b, losses)

    def predict(self, x: Any, /) -> Any:
        """x @ coef_.T + intercept_, of the shape of fit's y."""
        scores = self._scores(x)
        return scores[:, 0] if self.coef_.ndim == 1 else scores

    def score(self, x: Any, y: Any, /) -> float:
        """The coefficient of determination, 1 - sum (y - prediction)^2 / sum (y - mean(y))^2, averaged over outputs.

        Of a constant y it is 1 if predicted exactly, else 0. y has the shape of the predictions.
        """
        predicted = self.predict(x)
        backend = backend_of(predicted=predicted, y=y)
        y = float_array(backend, y, "y")
        check_shape(y, predicted.shape, "y", "as the predictions have")
        xp, rows = backend.xp, len(y)
        y = finite(backend, y, FLOAT64, "y").reshape(rows, -1)
        predicted = predicted.astype(FLOAT64).reshape(rows, -1)
        with np.errstate(all="ignore"):
            # Both are divided by what is largest, since squares overflow beyond 1e154 and vanish below 1e-162.
            y, predicted = y / (size := _largest(xp, y)), predicted / size
            from_mean = y - y.mean(axis=0)
            spread = _largest(xp, from_mean)
            left, whole = (((array / spread) ** 2).sum(axis=0) for array in (predicted - y, from_mean))
            shares = xp.where(from_mean.any(axis=0), 1 - left / whole, (predicted == y).all(axis=0))
        return float(shares.mean()) if shares.size else 0.0

    def _check_options(self) -> None:
        super()._check_options()
        if self.solver not in ("exact", "sgd"):
            raise ValueError(f"solver must be exact or sgd; got {self.solver!r}")

    def _values(self, x: Any, y: Any) -> tuple[Backend, Any, Any, Any]:
        """The backend, clean samples, the values as they came, and as a matrix beside the samples."""
        backend = backend_of(x=x, y=y)
        x = as_samples_to_learn(backend, x, self.coef_.dtype if hasattr(self, "coef_") else None)
        y = float_array(backend, y, "y")
        if y.ndim not in (1, 2) or len(y) != len(x):
            raise ValueError(f"y must have shape ({len(x)},) or ({len(x)}, outputs); got shape {y.shape}")
        return backend, x, y, finite(backend, y, x.dtype, "y").reshape(len(x), -1)

    def _keep_like(self, y: Any, w: Any, b: Any, losses: list[float]) -> Self:
        self._keep(w, b, losses)
        if y.ndim == 1:
            self.coef_, self.intercept_ = self.coef_[0], self.intercept_[0]
        return self


def _largest(xp: Any, array: Any) -> Any:
    """The largest absolute value of each column, and 1 where that is 0."""
    largest = xp.abs(array).max(axis=0, initial=0)
    return xp.where(largest == 0, 1, largest)


def _least_squares(backend: Backend, x: Any, y: Any, fit_intercept: bool) -> tuple[Any, Any]:
    """w and b of the least squares, computed in float64; the intercept is what takes the means to each other.

    Raises
    ------
    DivergedError
        If they are not finite in x's dtype.
    """
    xp, dtype = backend.xp, x.dtype
    x, y = (array.astype(FLOAT64) for array in (x, y))
    # Divided by their largest, so that neither means nor squares overflow. Of x that is one number: if each column had
    # its own, the shortest w would be another one.
    x_size, y_size = _largest(xp, x.reshape(-1)), _largest(xp, y)
    x, y = x / x_size, y / y_size
    x_mean, y_mean = (array.mean(axis=0) * float(fit_intercept) for array in (x, y))
    # What is dependent but for x's own rounding is dependent.
    w = xp.linalg.lstsq(x - x_mean, y - y_mean, rcond=float(np.finfo(dtype).eps) * max(x.shape))[0]
    b = y_mean - x_mean @ w
    with np.errstate(all="ignore"):
        w, b = convert(w / x_size * y_size, dtype), convert(b * y_size, dtype)
    what = divergence(backend.xp, 0.0, w, b)
    if what is not None:
        raise DivergedError(f"the least squares of x and y cannot be told in {dtype}: {what}; scale x or y")
    return w, b
