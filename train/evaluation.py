"""How good a model is on a set of images: loss, accuracy, and which class is taken for which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from softgrad import ops
from softgrad.ops.dtypes import compute_dtype
from softgrad.train.data.standardise import Standardisation
from softgrad.train.model import MLP, Batch
from softgrad.train.objectives import OBJECTIVES

# Rows of a forward pass: enough for the matrix products to run at full speed.
EVALUATION_ROWS = 1000


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and their harmonic mean for one class; 0 where nothing was predicted or nothing is there."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """The result of `Evaluator.run`.

    Attributes
    ----------
    loss
        The mean of what the model learned from: of a network the cross-entropy in nats.
    accuracy
        The fraction classified rightly.
    confusion
        Shape (classes, classes): how many images of class i were taken for class j.
    support
        Shape (classes,): how many images of each class there are. Those with a score of NaN are taken for no class.
    """

    loss: float
    accuracy: float
    confusion: np.ndarray
    support: np.ndarray

    @property
    def unclassified(self) -> int:
        """How many images were taken for no class."""
        return int(self.support.sum() - self.confusion.sum())

    def class_scores(self) -> list[ClassScore]:
        """The scores of each class, in order."""
        hits = np.diag(self.confusion)
        predicted = self.confusion.sum(axis=0)
        scores = []
        for hit, guesses, present in zip(hits.tolist(), predicted.tolist(), self.support.tolist(), strict=True):
            precision, recall = hit / max(guesses, 1), hit / max(present, 1)
            f1 = 2 * hit / max(guesses + present, 1)
            scores.append(ClassScore(precision, recall, f1, present))
        return scores


class Evaluator:
    """Runs a model over a fixed set of images; the buffers and the data are set up once."""

    def __init__(
        self, model: MLP, images: np.ndarray, labels: np.ndarray, inputs: Standardisation, objective: str = "softmax"
    ) -> None:
        xp = model.backend.xp
        self._model, self._inputs, self._objective = model, inputs, OBJECTIVES[objective]
        self._images, self._labels = xp.asarray(images), xp.asarray(labels)
        self._true = labels
        self._order = xp.arange(len(images))
        self._batch = Batch(model, max(1, min(EVALUATION_ROWS, len(images))))

    @np.errstate(all="ignore")
    def run(self) -> Evaluation:
        """Loss, accuracy and confusion of the model as it now is."""
        xp, classes = self._model.backend.xp, self._model.sizes[-1]
        confusion, support = np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64)
        loss_sum, correct = 0.0, 0
        scale, shift = self._inputs.scale, self._inputs.shift
        for start in range(0, len(self._order), EVALUATION_ROWS):
            chosen = self._order[start : start + EVALUATION_ROWS]
            labels = self._labels[start : start + EVALUATION_ROWS]
            batch = self._batch.first(len(chosen))
            ops.gather_scale(self._images, chosen, scale=scale, shift=shift, validate=False, out=batch.inputs)
            logits = self._model.forward(batch)
            correct += int(ops.count_correct(logits, labels))
            targets = self._objective.targets(labels, classes, logits.dtype)
            loss, _ = self._objective.loss_with_grad(logits, targets, out=batch.grads[-1])
            loss_sum += float(loss) * len(chosen)
            # Only the classes come to the host, -1 where there is none.
            found = to_numpy(xp.where(xp.isnan(logits).any(axis=1), -1, logits.argmax(axis=1)))
            true = self._true[start : start + EVALUATION_ROWS]
            known = found >= 0
            np.add.at(confusion, (true[known], found[known]), 1)
            support += np.bincount(true, minlength=classes)
        rows = max(len(self._order), 1)
        return Evaluation(loss_sum / rows, correct / rows, confusion, support)


@np.errstate(all="ignore")
def class_probabilities(
    model: MLP, images: np.ndarray, inputs: Standardisation, temperature: float = 1.0, objective: str = "softmax"
) -> np.ndarray:
    """The probability of each class for each image, shape (images, classes); NaN for one that has a score of NaN."""
    xp = model.backend.xp
    batch = Batch(model, len(images))
    order = xp.arange(len(images))
    ops.gather_scale(xp.asarray(images), order, scale=inputs.scale, shift=inputs.shift, out=batch.inputs)
    probabilities: np.ndarray = to_numpy(OBJECTIVES[objective].probabilities(model.forward(batch), temperature))
    return probabilities.astype(compute_dtype(model.dtype), copy=False)


def to_numpy(array: Any) -> Any:
    """The array on the host."""
    return array if isinstance(array, np.ndarray) else array.get()
