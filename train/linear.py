"""What the linear models share: checked arguments, gradient descent in batches of any size, labels of any kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np

from softgrad import ops
from softgrad.ops.arguments import check_number, check_shape, compute_dtype, contiguous, float_array, place_of
from softgrad.ops.backend import Backend, backend_of
from softgrad.train.criteria import CRITERIA, LossWithGrad
from softgrad.train.errors import DivergedError, NotFittedError, divergence
from softgrad.train.labels import as_labels, on_host, places_of, sorted_classes


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
        # On a card these are arrays there, and no update waits for another.
        loss_sum: Any = 0.0
        corrected: Any = False
        for start in range(0, rows, size):
            batch = x[start : start + size]
            scores = ops.linear(batch, w, b)
            loss, grad = loss_with_grad(scores, targets[start : start + size], xp.empty_like(scores))
            corrected = corrected | grad.any()
            _, w_grad, b_grad = ops.linear_backward(grad, None, batch, w, input_grad=False)
            ops.sgd_update(w, w_grad, lr=self.lr)
            if self.fit_intercept:
                ops.sgd_update(b, b_grad, lr=self.lr)
            loss_sum = loss_sum + loss * np.float64(len(batch))
        return float(loss_sum) / rows, bool(corrected)

    def _keep(self, w: Any, b: Any, losses: list[float]) -> Self:
        self.coef_, self.intercept_ = w.T, b
        self.n_features_in_ = len(w)
        self.loss_curve_, self.n_iter_ = losses, len(losses)
        return self


@dataclass(kw_only=True, eq=False)
class LinearClassifier(LinearModel):
    """A `LinearModel` of classes: the class of the largest score, or of the sign of a single one.

    Attributes
    ----------
    classes_ : ndarray
        The labels that `fit` met, sorted: the order of outputs, and of columns of probabilities.
    """

    criterion: ClassVar[str]

    def fit(self, x: Any, y: Any, /, *, coef_init: Any = None, intercept_init: Any = None) -> Self:
        """Learn from the samples x and their labels y, from zeros or what is given to begin with.

        Parameters
        ----------
        x : array_like
            Shape (N, features), finite.
        y : array_like
            Shape (N,): integers, booleans, strings or whole floats, of two kinds or more.
        coef_init, intercept_init : array_like, optional
            Of the shapes of `coef_` and `intercept_`.

        Returns
        -------
        LinearClassifier
            The model itself.

        Raises
        ------
        TypeError
            If x holds no real numbers, or labels cannot be sorted.
        ValueError
            If an option is out of range, shapes do not fit, x is not finite in the dtype computed in, or there is only
            one class.
        DivergedError
            If the loss or a weight is not finite after an epoch.
        """
        self._check_options()
        backend = backend_of(x=x)
        x = as_samples_to_learn(backend, x)
        labels = as_labels(y, len(x))
        classes = sorted_classes(labels, "y")
        w, b = self._initial(backend, x, self._outputs(classes), coef_init, intercept_init)
        targets = self._targets(backend, labels, classes, x.dtype)
        losses = self._descend(self._loss, x, targets, w, b, first=0, epochs=self.epochs)
        self.classes_ = classes
        return self._keep(w, b, losses)

    def partial_fit(self, x: Any, y: Any, /, *, classes: Any = None) -> Self:
        """Learn for one epoch more, from where the model stands; the first time `classes` must name all classes.

        Arguments and errors are those of `fit`; a label outside the classes is a ValueError, and so are other classes
        than the model has.
        """
        self._check_options()
        named = None if classes is None else sorted_classes(as_labels(classes, None, "classes"), "classes")
        if not hasattr(self, "coef_"):
            if named is None:
                raise ValueError("classes must be given to the first partial_fit, which may not meet all; got None")
            backend, known = backend_of(x=x), named
            x = as_samples_to_learn(backend, x)
            w, b = self._initial(backend, x, self._outputs(known), None, None)
        else:
            backend, known = backend_of(x=x, coef_=self.coef_), self.classes_
            if named is not None and named.tolist() != known.tolist():
                raise ValueError(
                    f"classes must be those that the model has, {known.tolist()}; got {named.tolist()}; "
                    "leave them out, or begin with a new model"
                )
            w, b = self._weights(backend)
            x = as_samples_to_learn(backend, x, w.dtype)
            check_shape(x, (len(x), len(w)), "x", "with the features of before")
        targets = self._targets(backend, as_labels(y, len(x)), known, x.dtype)
        losses = list(getattr(self, "loss_curve_", []))
        losses += self._descend(self._loss, x, targets, w, b, first=len(losses), epochs=1)
        self.classes_ = known
        return self._keep(w, b, losses)

    def predict(self, x: Any, /) -> Any:
        """The class of each row of x, shape (N,): where x lives, but for labels that only NumPy has.

        Raises
        ------
        ValueError
            If x is not finite, or a score is NaN: such a row has no class.
        """
        chosen = self._chosen(x)
        labels = self.classes_[chosen]
        return backend_of(x=self.coef_).xp.asarray(labels) if labels.dtype.kind in "iufb" else labels

    def score(self, x: Any, y: Any, /) -> float:
        """The fraction of samples that are given their label.

        Raises
        ------
        ValueError
            If a label is none of the classes: such a sample could not be right. And as `predict`.
        """
        chosen = self._chosen(x)
        places = places_of(as_labels(y, len(chosen)), self.classes_)
        return float(np.mean(chosen == places)) if len(places) else 0.0

    def _chosen(self, x: Any) -> np.ndarray:
        """The place of each row's class among the classes."""
        scores = on_host(self._scores(x))
        nowhere = np.flatnonzero(np.isnan(scores).any(axis=1))
        if nowhere.size:
            raise ValueError(
                f"x must give scores that are numbers; those of row {nowhere[0]} are {scores[nowhere[0]].tolist()}: "
                "x or the weights are too large"
            )
        single = scores.shape[1] == 1
        chosen: np.ndarray = (scores[:, 0] >= 0).astype(np.intp) if single else scores.argmax(axis=1)
        return chosen

    @property
    def _loss(self) -> LossWithGrad:
        return CRITERIA[self.criterion].loss_with_grad

    def _outputs(self, classes: np.ndarray) -> int:
        """One score tells two classes apart; more are each told from all the others."""
        return 1 if len(classes) == 2 else len(classes)

    def _targets(self, backend: Backend, labels: np.ndarray, classes: np.ndarray, dtype: Any) -> Any:
        """What the loss compares the scores with; for a single score that of the second class."""
        indices = backend.xp.asarray(places_of(labels, classes))
        targets = CRITERIA[self.criterion].targets(indices, len(classes), dtype)
        if targets.ndim == 2 and self._outputs(classes) == 1:
            return contiguous(backend, targets[:, 1:], dtype)
        return targets


def as_samples(backend: Backend, x: Any, dtype: Any = None) -> Any:
    """x as a clean and finite matrix of that dtype, else of what its own is computed in."""
    array = float_array(backend, x, "x")
    if array.ndim != 2:
        raise ValueError(
            f"x must have shape (samples, features); got shape {array.shape}; a single sample is x[None, :]"
        )
    return finite(backend, array, dtype or compute_dtype(array.dtype), "x")


def as_samples_to_learn(backend: Backend, x: Any, dtype: Any = None) -> Any:
    """The same, of one sample or more."""
    x = as_samples(backend, x, dtype)
    if len(x) == 0:
        raise ValueError(f"x must have at least one sample to learn from; got shape {x.shape}")
    return x


def finite(backend: Backend, array: Any, dtype: Any, name: str) -> Any:
    """The array, clean and of that dtype; raises ValueError unless all numbers are finite there, naming the first."""
    clean = contiguous(backend, array, dtype)
    wrong = ~backend.xp.isfinite(clean).reshape(-1)
    if wrong.any():
        index = place_of(int(wrong.argmax()), array.shape)
        beyond = f" as {dtype}" if math.isfinite(array[index]) else ""
        raise ValueError(f"{name} must hold finite numbers{beyond}; found {float(array[index])} at index {index}")
    return clean
