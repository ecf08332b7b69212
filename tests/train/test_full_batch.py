"""Training on all images at once: the gradient, the minimum, and what is refused before anything is written."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numerics import one_quick

from softgrad.ops.backend import CPU
from softgrad.train import MLP, FullBatchResult, load_dataset, minimise
from softgrad.train import full_batch as module
from softgrad.train.data.standardise import Standardisation
from softgrad.train.errors import DivergedError

DIGITS = load_dataset("digits")
IMAGES, LABELS = DIGITS.train_images[:150], DIGITS.train_labels[:150]


def network(*hidden, dtype="float64", activation="tanh", seed=0):
    model = MLP((64, *hidden, 10), activation, dtype, CPU)
    model.initialise(seed)
    return model


def objective_of(model, weight_decay=0.0):
    return module._FullLoss(model, IMAGES, LABELS, Standardisation.of(IMAGES), weight_decay)


def regression_loss(params, model, weight_decay):
    """Loss and gradient of softmax regression in NumPy alone, in the model's order of parameters."""
    views = dict(model.named(params))
    inputs = Standardisation.of(IMAGES)
    x = IMAGES * inputs.scale + inputs.shift
    logits = x @ views["layers.0.weight"] + views["layers.0.bias"]
    shifted = logits - logits.max(axis=1, keepdims=True)
    lse = np.log(np.exp(shifted).sum(axis=1))
    rows = np.arange(len(x))
    loss = (lse - shifted[rows, LABELS]).mean() + 0.5 * weight_decay * params @ params
    delta = np.exp(shifted - lse[:, None])
    delta[rows, LABELS] -= 1
    grad = np.zeros_like(params)
    grads = dict(model.named(grad))
    grads["layers.0.weight"][...] = x.T @ delta / len(x)
    grads["layers.0.bias"][...] = delta.mean(axis=0)
    return loss, grad + weight_decay * params


@pytest.mark.parametrize("hidden", [(), (3,)])
def test_every_element_of_the_gradient_agrees_with_central_differences(hidden, monkeypatch):
    monkeypatch.setattr(module, "EVALUATION_ROWS", 64)  # batches of 64, 64 and the 22 that remain
    model = network(*hidden)
    objective = objective_of(model, weight_decay=0.3)
    params = model.params.copy()
    _, found = objective(params)
    expected = np.zeros_like(params)
    step = 1e-6
    for i in range(params.size):
        for sign in (1, -1):
            moved = params.copy()
            moved[i] += sign * step
            expected[i] += sign * objective(moved)[0] / (2 * step)
    # Differences of losses below 100 keep 8 digits: an absolute error of about 1e-14 / step.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-8)
    assert np.abs(found).max() > 1e-2


def test_loss_and_gradient_are_those_of_softmax_regression():
    model = network()
    params = model.params.copy()
    loss, grad = objective_of(model, weight_decay=0.2)(params)
    expected_loss, expected_grad = regression_loss(params, model, 0.2)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("method", one_quick(module.QUASI_NEWTON))
def test_softmax_regression_reaches_its_one_minimum(method):
    model = network()
    result = minimise(model, IMAGES, LABELS, method=method, weight_decay=0.05, max_iterations=500, tolerance=1e-7)
    loss, grad = regression_loss(model.params, model, 0.05)
    assert np.abs(grad).max() <= 1e-7
    assert result.loss == pytest.approx(loss, rel=1e-13)
    # Convex: the loss lies above its minimum by no more than |grad|^2 / (2 decay).
    other = network(seed=1)
    minimise(other, IMAGES, LABELS, weight_decay=0.05, tolerance=1e-7)
    assert result.loss == pytest.approx(regression_loss(other.params, other, 0.05)[0], abs=1e-10)
    assert 0 < result.iterations < result.evaluations


@pytest.mark.slow
@pytest.mark.parametrize("method", module.QUASI_NEWTON)
def test_a_small_network_learns_nearly_all_the_digits_by_heart(method):
    model = network(8)
    result = minimise(model, IMAGES, LABELS, method=method, max_iterations=60)
    assert result.loss < 0.05  # where it ends is a matter of luck: an image or two may be left


def test_in_float32_it_ends_near_the_minimum_of_float64():
    single, double = network(dtype="float32"), network()
    results = [minimise(model, IMAGES, LABELS, weight_decay=0.05) for model in (single, double)]
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-4)
    assert single.params.dtype == np.float32


def test_it_ends_where_it_is_told_and_says_so():
    model = network()
    start = objective_of(model)(model.params.copy())[0]
    result = minimise(model, IMAGES, LABELS, max_iterations=3)
    assert isinstance(result, FullBatchResult)
    assert result.iterations == 3
    assert "LIMIT" in result.message
    assert 0 < result.loss < start
    assert minimise(network(), IMAGES, LABELS, tolerance=1e3).iterations == 0


def test_the_same_start_ends_in_the_same_bits():
    first, again = network(4), network(4)
    results = [minimise(model, IMAGES, LABELS, max_iterations=20) for model in (first, again)]
    assert results[0] == results[1]
    assert np.array_equal(first.params, again.params)


def test_labels_of_other_integers_and_strided_images_give_the_same():
    expected, found = network(), network()
    minimise(expected, IMAGES, LABELS, max_iterations=5)
    wide = np.repeat(IMAGES, 2, axis=1)
    minimise(found, wide[:, ::2], LABELS.astype(np.uint8), max_iterations=5)
    assert np.array_equal(expected.params, found.params)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": IMAGES.astype(float)}, r"images must be uint8 of shape \(rows, 64\), .*; got float64 of shape"),
        ({"images": IMAGES[:, :63]}, r"images must be uint8 of shape \(rows, 64\), .* \(150, 63\)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "a row at least; got uint8 of shape"),
        ({"images": IMAGES.tolist()}, "images must be uint8 .*; got list"),
        ({"labels": LABELS[1:]}, r"labels must be integers of shape \(150,\), one an image; got int64 of shape \(149,"),
        ({"labels": LABELS.astype(float)}, "labels must be integers .*; got float64"),
        ({"labels": LABELS + 3}, r"labels must lie in \[0, 10\); found 1\d at row"),
        ({"method": "CG"}, "method must be one of L-BFGS-B, BFGS; got 'CG'"),
        ({"weight_decay": -1}, "weight_decay must be a finite number, 0 or above; got -1"),
        ({"tolerance": np.nan}, "tolerance must be a finite number, 0 or above; got nan"),
        ({"max_iterations": 0}, "max_iterations must be a whole number, 1 or above; got 0"),
        (
            {"model": network(80), "method": "BFGS"},
            r"takes 5,000 at most; the model has 6,016: choose L-BFGS-B",
        ),
        (
            {"model": network(dtype="float32"), "method": "BFGS"},
            "method BFGS needs a model in float64; this one is in float32: choose L-BFGS-B",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_the_model_untouched(changes, words):
    arguments = {"model": network(), "images": IMAGES, "labels": LABELS, **changes}
    model = arguments.pop("model")
    before = model.params.copy()
    with pytest.raises(ValueError, match=words):
        minimise(model, arguments.pop("images"), arguments.pop("labels"), **arguments)
    assert np.array_equal(model.params, before)


def test_a_loss_that_is_not_finite_leaves_the_model_as_it_was():
    model = network()
    model.params[3] = np.inf
    before = model.params.copy()
    with pytest.raises(DivergedError, match="the loss is nan; begin with smaller weights"):
        minimise(model, IMAGES, LABELS)
    assert np.array_equal(model.params, before)


def test_a_weight_beyond_the_dtype_of_the_model_leaves_it_as_it_was(monkeypatch):
    """The minimum in float64 may lie where float32 has only infinity, which a ReLU can hide in the loss."""
    from scipy import optimize

    model = network(4, dtype="float32", activation="relu")
    before = model.params.copy()

    def far(objective, start, **options):
        end = start.copy()
        dict(model.named(end))["layers.0.bias"][0] = -1e39
        return optimize.OptimizeResult(x=end, fun=objective(end)[0], nit=1, nfev=1, message="")

    monkeypatch.setattr(optimize, "minimize", far)
    with pytest.raises(DivergedError, match="weights are not finite; begin with smaller weights"):
        minimise(model, IMAGES, LABELS)
    assert np.array_equal(model.params, before)


def test_without_scipy_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    model = network()
    before = model.params.copy()
    with pytest.raises(ImportError, match=r"minimise needs SciPy .*; install it with: pip install 'softgrad\[scipy\]'"):
        minimise(model, IMAGES, LABELS)
    assert np.array_equal(model.params, before)
