"""Evaluation of a model: what its scores are counted as, those that are no numbers above all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba.core import config
from numerics import Arrays

from softgrad.train import MLP, load_dataset
from softgrad.train.data.standardise import Standardisation
from softgrad.train.evaluation import Evaluator, class_probabilities

DIGITS = load_dataset("digits")

pytestmark = pytest.mark.skipif(bool(config.ENABLE_CUDASIM), reason="hundreds of images are too much for the simulator")


def test_an_image_with_a_score_of_nan_has_no_class(backend: Arrays) -> None:
    model = MLP((64, 10), "relu", "float64", backend.backend)
    model.params[...] = math.nan
    inputs = Standardisation.of(DIGITS.train_images)
    result = Evaluator(model, DIGITS.test_images, DIGITS.test_labels, inputs).run()
    count = len(DIGITS.test_labels)
    assert (result.accuracy, result.unclassified, result.confusion.sum()) == (0, count, 0)
    assert all(score.recall == score.precision == score.f1 == 0 for score in result.class_scores())
    assert [score.support for score in result.class_scores()] == np.bincount(DIGITS.test_labels).tolist()
    assert np.isnan(class_probabilities(model, DIGITS.test_images[:2], inputs)).all()


def test_some_images_without_a_class(backend: Arrays) -> None:
    model = MLP((64, 10), "relu", "float64", backend.backend)
    images = DIGITS.test_images.copy()
    images[::2, 0], images[1::2, 0] = 0, 16
    (_, weight), _ = model.named(model.params)
    weight[0, 1] = math.inf  # times a dark pixel NaN, times a bright one infinity
    with np.errstate(all="ignore"):
        result = Evaluator(model, images, DIGITS.test_labels, Standardisation(1.0, 0.0)).run()
    assert result.unclassified == len(images[::2])
    assert result.confusion[:, 1].sum() == len(images[1::2]) == result.confusion.sum()
    assert result.accuracy == np.mean((DIGITS.test_labels == 1) & (images[:, 0] > 0))
