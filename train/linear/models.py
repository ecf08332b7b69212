"""Linear models of classes with scikit-learn's habits: perceptron, Adaline, logistic and softmax regression.

Options are kept as given, `fit` returns the model, what it learned has a name with a trailing underscore. Arrays of
NumPy or CuPy; labels of any kind. They learn on-line, in mini-batches or from all samples at once (`batch_size`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from softgrad import ops
from softgrad.ops.backend import backend_of
from softgrad.train.linear.classifier import LinearClassifier
from softgrad.train.objectives import OBJECTIVES


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

    objective = "perceptron"

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

    objective = "adaline"


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

    objective = "logistic"

    lr: float = 0.1

    def predict_proba(self, x: Any, /) -> Any:
        """Probabilities, shape (N, classes): sigmoids of the scores; of more than two, divided by their sum."""
        scores = self._scores(x)
        if scores.shape[1] > 1:
            return OBJECTIVES[self.objective].probabilities(scores, 1.0)
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

    objective = "softmax"

    lr: float = 0.1

    def predict_proba(self, x: Any, /) -> Any:
        """Probabilities, shape (N, classes): the softmax of the scores."""
        return OBJECTIVES[self.objective].probabilities(self._scores(x), 1.0)

    def _outputs(self, classes: Any) -> int:
        return len(classes)
