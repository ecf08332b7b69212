"""Linear models over `ops`: perceptron, Adaline, linear, logistic and softmax regression, with scikit-learn's habits.

Options are kept as given, `fit` returns the model, what it learned has a name with a trailing underscore. Arrays of
NumPy or CuPy; labels of any kind. They learn on-line, in mini-batches or from all samples at once (`batch_size`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from softgrad import ops
from softgrad.ops.arguments import FLOAT64, check_shape, convert, float_array
from softgrad.ops.backend import Backend, backend_of
from softgrad.train.criteria import CRITERIA, l2_of_rows
from softgrad.train.errors import DivergedError, divergence
from softgrad.train.linear import LinearClassifier, LinearModel, as_samples_to_learn, finite


@dataclass(kw_only=True, eq=False)
class Perceptron(LinearClassifier):
    """Rosenblatt's perceptron: y = heaviside(x @ w + b), corrected by w += lr (t - y) x and b += lr (t - y).

    Heaviside's step is 1 at 0 and above. Learning ends with the first epoch without a mistake; where no hyperplane
    separates the classes it never does, and ends after `epochs`. More than two classes are each told from all others,
    and the largest score decides.

    A threshold theta, y = 1 where x @ w >= theta, is the intercept -theta: learned by default, or fixed with
    ``fit_intercept=False`` and ``fit(..., intercept_init=-theta)``. With ``fit_intercept=False`` and a column of ones
    in x it is folded into the weights.

    Options, attributes and errors are those of `LinearModel`; the loss is max(0, -t z), t = -1 or 1, of scores z.

    Notes
    -----
    Rosenblatt 1958, Psychological Review 65(6). Where scikit-learn's corrects every score of exactly 0, this one
    takes it for a 1.

    Examples
    --------
    >>> from softgrad.train import Perceptron
    >>> model = Perceptron(shuffle=False).fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1])
    >>> model.coef_.tolist(), model.intercept_.tolist(), model.n_iter_
    ([[2.0, 1.0]], [-3.0], 6)
    """

    criterion = "perceptron"

    lr: float = 1.0
    epochs: int = 1000


@dataclass(kw_only=True, eq=False)
class Adaline(LinearClassifier):
    """The adaptive linear neuron: least squares (x @ w + b - t)^2 / 2 to targets t = -1 and 1; the sign decides.

    More than two classes are each told from all others, and the largest score decides. A learning rate above 2 / L
    diverges, with L the largest eigenvalue of the mean of x x^T.

    Options, attributes and errors are those of `LinearModel`.

    Notes
    -----
    Widrow and Hoff 1960, "Adaptive switching circuits": w -= lr (x @ w + b - t) x.

    Examples
    --------
    >>> from softgrad.train import Adaline
    >>> model = Adaline(lr=0.1).fit([[0, 0], [0, 1], [1, 0], [1, 1]], ["no", "no", "no", "yes"])
    >>> model.predict([[1, 1], [1, 0]])
    array(['yes', 'no'], dtype='<U3')
    """

    criterion = "adaline"


@dataclass(kw_only=True, eq=False)
class LogisticRegression(LinearClassifier):
    """Logistic regression: P(y = 1 | x) = sigmoid(x @ w + b), by the gradient of binary cross-entropy; no penalty.

    More than two classes are each told from all others; `SoftmaxRegression` has one model of all.

    Options, attributes and errors are those of `LinearModel`.

    Notes
    -----
    The loss is `ops.sigmoid_cross_entropy`, its gradient (sigmoid(z) - y) x. Cox 1958.

    Examples
    --------
    >>> from softgrad.train import LogisticRegression
    >>> model = LogisticRegression(lr=1.0).fit([[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 1])
    >>> model.predict([[-0.5], [0.5]])
    array([0, 1])
    """

    criterion = "logistic"

    lr: float = 0.1

    def predict_proba(self, x: Any, /) -> Any:
        """Probabilities, shape (N, classes): sigmoids of the scores; of more than two, divided by their sum."""
        scores = self._scores(x)
        if scores.shape[1] > 1:
            return CRITERIA[self.criterion].probabilities(scores, 1.0)
        both = backend_of(scores=scores).xp.concatenate([-scores, scores], axis=1)
        return ops.sigmoid(both)


@dataclass(kw_only=True, eq=False)
class SoftmaxRegression(LinearClassifier):
    """Softmax regression: P(y = k | x) = softmax(x @ W + b)_k, by the gradient of cross-entropy; no penalty.

    There is a column of scores for every class, of two classes too.

    Options, attributes and errors are those of `LinearModel`.

    Notes
    -----
    The loss is `ops.softmax_cross_entropy`, the mean's gradient x^T (softmax(z) - one_hot(y)) / N. Bishop 2006, 4.3.4.

    Examples
    --------
    >>> from softgrad.train import SoftmaxRegression
    >>> model = SoftmaxRegression(lr=1.0).fit([[-2.0], [0.0], [2.0]], ["low", "mid", "high"])
    >>> model.classes_.tolist(), model.predict([[-3.0], [3.0]]).tolist()
    (['high', 'low', 'mid'], ['low', 'high'])
    """

    criterion = "softmax"

    lr: float = 0.1

    def predict_proba(self, x: Any, /) -> Any:
        """Probabilities, shape (N, classes): the softmax of the scores."""
        return CRITERIA[self.criterion].probabilities(self._scores(x), 1.0)

    def _outputs(self, classes: Any) -> int:
        return len(classes)


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
