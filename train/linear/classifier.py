"""What the linear models of classes share: labels of any kind, the classes among them, and their prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from softgrad.ops.arguments import check_shape, contiguous
from softgrad.ops.backend import Backend, backend_of
from softgrad.train.linear.base import LinearModel
from softgrad.train.linear.labels import as_labels, on_host, places_of, sorted_classes
from softgrad.train.linear.samples import as_samples_to_learn
from softgrad.train.objectives import OBJECTIVES, LossWithGrad


@dataclass(kw_only=True, eq=False)
class LinearClassifier(LinearModel):
    """A `LinearModel` of classes: the class of the largest score, or of the sign of a single one.

    Attributes
    ----------
    classes_ : ndarray
        The labels that `fit` met, sorted: the order of outputs, and of columns of probabilities.
    """

    objective: ClassVar[str]

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
        return OBJECTIVES[self.objective].loss_with_grad

    def _outputs(self, classes: np.ndarray) -> int:
        """One score tells two classes apart; more are each told from all the others."""
        return 1 if len(classes) == 2 else len(classes)

    def _targets(self, backend: Backend, labels: np.ndarray, classes: np.ndarray, dtype: Any) -> Any:
        """What the loss compares the scores with; for a single score that of the second class."""
        indices = backend.xp.asarray(places_of(labels, classes))
        targets = OBJECTIVES[self.objective].targets(indices, len(classes), dtype)
        if targets.ndim == 2 and self._outputs(classes) == 1:
            return contiguous(backend, targets[:, 1:], dtype)
        return targets
