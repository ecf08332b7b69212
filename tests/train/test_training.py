"""The model and the loop: gradients of a whole network, learning, determinism, and no allocation in a step."""

from __future__ import annotations

import gc
import math
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numba.core import config
from numerics import one_quick, quick

from softgrad import ops
from softgrad.ops.backend import CPU
from softgrad.train import MLP, TrainConfig, Trainer, load_dataset
from softgrad.train.config import DTYPES, MODELS, OPTIMIZERS, SCHEDULES, TRAINABLE_ACTIVATIONS
from softgrad.train.errors import DivergedError
from softgrad.train.model import Batch
from softgrad.train.optimizers import Optimizer

DIGITS = load_dataset("digits")
SMALL = TrainConfig(dataset="digits", hidden=(16,), epochs=2)


@pytest.fixture
def backend(backend):
    """The record itself: the trainer takes NumPy's data sets to the backend on its own."""
    if config.ENABLE_CUDASIM and backend.backend.name == "gpu":
        pytest.skip("a network is too much for the simulator; test_gpu.py trains a very small one")
    return backend.backend


def trained(config, backend, dataset=DIGITS):
    trainer = Trainer(config, dataset, backend)
    return trainer, list(trainer.fit())


def as_numpy(array):
    return array if isinstance(array, np.ndarray) else array.get()


@pytest.mark.parametrize("activation", quick(TRAINABLE_ACTIVATIONS, "relu", "silu"))
def test_every_parameter_gradient_agrees_with_central_differences(activation, backend):
    model = MLP((5, 4, 3, 3), activation, "float64", backend)
    model.initialise(3)
    # Away from the kinks: differences across one would measure the mean of two slopes.
    for name, view in model.named(model.params):
        if name.endswith("bias"):
            view[...] = 0.25
    rows = 6
    rng = np.random.default_rng(1)
    batch = Batch(model, rows)
    batch.inputs[...] = backend.xp.asarray(rng.uniform(0.1, 1.0, (rows, 5)))
    labels = backend.xp.asarray(rng.integers(0, 3, rows))

    def loss():
        return float(ops.softmax_cross_entropy(model.forward(batch), labels))

    _, grad = ops.softmax_cross_entropy_with_grad(model.forward(batch), labels)
    model.backward(batch, grad)
    found = as_numpy(model.grads).copy()
    expected = np.zeros_like(found)
    step = 1e-6
    for i in range(found.size):
        before = float(model.params[i])
        model.params[i] = before + step
        above = loss()
        model.params[i] = before - step
        expected[i] = (above - loss()) / (2 * step)
        model.params[i] = before
    # Differences of losses near 1 keep 10 digits: an absolute error of about 1e-16 / step.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-9)
    assert np.abs(found).max() > 1e-3


def test_he_initialisation_has_its_deviation_and_zero_biases(backend):
    model = MLP((400, 300, 10), "relu", "float32", backend)
    model.initialise(0)
    views = {name: as_numpy(view) for name, view in model.named(model.params)}
    assert views["layers.0.weight"].std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert views["layers.1.weight"].std() == pytest.approx(np.sqrt(2 / 300), rel=0.05)
    assert not views["layers.0.bias"].any()


def test_a_small_network_learns_the_digits(backend):
    _, records = trained(TrainConfig(dataset="digits"), backend)
    assert len(records) == 10
    assert records[-1].test_accuracy >= 0.96
    assert records[-1].train_loss < records[0].train_loss


def test_without_hidden_layers_it_is_softmax_regression_and_learns_too(backend):
    trainer, records = trained(replace(SMALL, hidden=(), epochs=8), backend)
    assert trainer.model.sizes == (64, 10)
    assert records[-1].test_accuracy >= 0.93


@pytest.mark.parametrize(
    ("model", "accuracy"), [("perceptron", 0.92), ("adaline", 0.90), ("logistic", 0.93), ("softmax", 0.93)]
)
def test_every_linear_model_learns_the_digits_at_its_defaults(model, accuracy, backend):
    trainer, records = trained(TrainConfig(dataset="digits", model=model, epochs=8), backend)
    assert trainer.model.sizes == (64, 10)
    assert records[-1].test_accuracy >= accuracy
    assert records[-1].train_loss < 0.5 * records[0].train_loss


def test_softmax_regression_is_a_network_without_hidden_layers_that_begins_at_zeros(backend):
    network, regression = (
        Trainer(replace(SMALL, hidden=(), model=model), DIGITS, backend) for model in ("mlp", "softmax")
    )
    assert as_numpy(network.model.params).any()
    assert not as_numpy(regression.model.params).any()
    network.model.params[...] = 0
    assert [r.test_loss for r in network.fit()] == [r.test_loss for r in regression.fit()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimizer_learns_in_every_dtype(optimizer, dtype, backend):
    trainer, records = trained(replace(SMALL, optimizer=optimizer, dtype=dtype, epochs=4), backend)
    assert trainer.model.params.dtype == dtype
    assert records[-1].train_loss < 0.9 * records[0].train_loss


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_learns_after_a_warm_up(schedule, backend):
    trainer, records = trained(replace(SMALL, schedule=schedule, warmup_steps=5), backend)
    assert records[-1].train_loss < 0.9 * records[0].train_loss
    assert records[-1].lr == trainer._learning_rate(trainer.step - 1) > 0


OPTIMIZER_CASES = [
    ("sgd", {"weight_decay": 0.1}, ops.sgd_update, {"weight_decay": 0.1}, ()),
    ("momentum", {"momentum": 0.8, "weight_decay": 0.1}, ops.sgd_update, {"momentum": 0.8, "weight_decay": 0.1},
     ("velocity",)),
    ("nesterov", {"momentum": 0.8, "weight_decay": 0.1}, ops.sgd_update,
     {"momentum": 0.8, "weight_decay": 0.1, "nesterov": True}, ("velocity",)),
    ("nesterov", {"momentum": 0, "weight_decay": 0.1}, ops.sgd_update, {"weight_decay": 0.1}, ()),
    ("adagrad", {"weight_decay": 0.1}, ops.adagrad_update, {"weight_decay": 0.1}, ("state_sum",)),
    ("rmsprop", {"weight_decay": 0.1}, ops.rmsprop_update, {"weight_decay": 0.1}, ("square_avg",)),
    ("adam", {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.99}, ops.adam_update,
     {"weight_decay": 0.1, "betas": (0.8, 0.99)}, ("exp_avg", "exp_avg_sq")),
    ("adamw", {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.99}, ops.adamw_update,
     {"weight_decay": 0.1, "betas": (0.8, 0.99)}, ("exp_avg", "exp_avg_sq")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "numbers", "update", "options", "states"), OPTIMIZER_CASES)
def test_an_optimizer_takes_the_steps_of_its_update(name, numbers, update, options, states, backend):
    model = MLP((5, 4, 3), "relu", "float64", backend)
    model.initialise(1)
    param = model.params.copy()
    kept = {state: model.zeros() for state in states}
    optimizer = Optimizer(model, name, numbers)
    rng = np.random.default_rng(2)
    for step in range(3):
        model.grads[...] = backend.xp.asarray(rng.standard_normal(param.size))
        optimizer.step(0.1, step)
        count = {"step": step + 1} if name in ("adagrad", "adam", "adamw") else {}
        update(param, model.grads, lr=0.1, **count, **options, **kept)
    assert np.array_equal(as_numpy(model.params), as_numpy(param))
    assert optimizer.state.keys() == kept.keys()
    for state, expected in kept.items():
        assert np.array_equal(as_numpy(optimizer.state[state]), as_numpy(expected))
        assert as_numpy(expected).any()


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(backend):
    first, records = trained(SMALL, backend)
    again, records_again = trained(SMALL, backend)
    other, _ = trained(replace(SMALL, seed=1), backend)
    assert np.array_equal(as_numpy(first.model.params), as_numpy(again.model.params))
    assert not np.array_equal(as_numpy(first.model.params), as_numpy(other.model.params))
    assert [r.train_loss for r in records] == [r.train_loss for r in records_again]


def test_an_epoch_uses_every_image_once(backend):
    trainer = Trainer(replace(SMALL, batch_size=1000), DIGITS, backend)
    order = as_numpy(trainer._shuffled(0))
    assert sorted(order.tolist()) == list(range(len(DIGITS.train_images)))
    assert trainer.batches == 2  # 1000 and the 442 that remain
    next(trainer.fit())
    assert trainer.step == 2


def test_the_record_says_what_the_epoch_was(backend):
    trainer, records = trained(SMALL, backend)
    first, last = records
    assert (first.epoch, last.epoch) == (1, 2)
    assert last.step == 2 * trainer.batches
    assert first.lr > last.lr > 0
    assert first.samples_per_second == pytest.approx(len(DIGITS.train_images) / first.seconds)
    assert 0 <= first.test_accuracy <= 1


@pytest.mark.parametrize(
    "changes",
    [
        *one_quick([{"optimizer": name} for name in OPTIMIZERS]),
        *one_quick([{"model": name, "hidden": (), "activation": "relu"} for name in MODELS[:-1]]),
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_a_step_allocates_no_arrays(changes, backend):
    if backend.name != "cpu":
        pytest.skip("tracemalloc sees NumPy's memory only")
    settings = {"hidden": (256, 128), "activation": "silu", "batch_size": 1024, **changes}
    trainer = Trainer(replace(SMALL, **settings), DIGITS, backend)
    order = trainer._shuffled(0)
    for _ in ("the full batch", "the last one"):  # each has kernels to load, with threads and without
        trainer._train_batch(order)
    trainer.progress.batch = 0
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        trainer._train_batch(order)
        trainer._train_batch(order)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    # Python's own views and numbers come and go; the logits of the last batch, 418 x 10 floats, have 16,720 bytes
    assert peak < 16384


def test_a_batch_larger_than_the_data_is_refused(backend):
    with pytest.raises(ValueError, match="batch_size must be at most 1442, the number of training images of digits"):
        Trainer(replace(SMALL, batch_size=1443), DIGITS, backend)


def test_a_warm_up_longer_than_the_run_is_refused(backend):
    with pytest.raises(ValueError, match="warmup_steps must be below 24, the number of steps in 2 epochs of digits; "):
        Trainer(replace(SMALL, warmup_steps=24), DIGITS, backend)
    assert Trainer(replace(SMALL, warmup_steps=23), DIGITS, backend)._learning_rate(23) == 0.05


def test_a_run_whose_loss_is_not_finite_says_so(backend):
    trainer = Trainer(replace(SMALL, lr=1e30, schedule="constant"), DIGITS, backend)
    with pytest.raises(DivergedError, match=r"training diverged in epoch 1: .* smaller learning rate than 1e"):
        list(trainer.fit())


LARGEST = {"float32": 3e38, "float64": 1e308, "bfloat16": 3e38}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "changes",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        *({"model": name, "hidden": (), "activation": "relu"} for name in MODELS[:-1]),
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_a_run_that_diverges_at_its_last_step_says_so(changes, dtype, backend):
    whole = {"batch_size": 1442, "epochs": 1, "schedule": "constant", "weight_decay": 0.0}
    trainer = Trainer(replace(SMALL, lr=LARGEST[dtype], dtype=dtype, **whole, **changes), DIGITS, backend)
    words = r"training diverged in epoch 1: (weights are not finite|the loss on the test images is (nan|inf)); try"
    with pytest.raises(DivergedError, match=words):
        list(trainer.fit())
    assert math.isfinite(trainer.progress.loss_sum)


def test_infinite_weights_that_the_activation_hides_are_found(backend):
    trainer = Trainer(replace(SMALL, optimizer="sgd", weight_decay=0.0), DIGITS, backend)
    dict(trainer.model.named(trainer.model.params))["layers.0.bias"][0] = -np.inf  # its ReLU is 0 for every image
    with pytest.raises(DivergedError, match="weights are not finite"):
        list(trainer.fit())


def test_a_run_that_diverged_is_not_stopped_as_if_it_were_well(backend):
    trainer = Trainer(replace(SMALL, lr=1e30, schedule="constant"), DIGITS, backend)
    with pytest.raises(DivergedError, match="training diverged in epoch 1"):
        list(trainer.fit(stop=lambda: trainer.progress.batch == 5))


@pytest.mark.slow
@pytest.mark.mnist
def test_mnist_is_learned_in_one_epoch(backend):
    _, records = trained(TrainConfig(dataset="mnist", epochs=1), backend, load_dataset("mnist", download=False))
    assert records[0].test_accuracy > 0.96


def test_bfloat16_learns_as_float32_does(backend):
    """Products read weights of 16 bits; those that learn are float32, and keep what 16 bits would round away."""
    (half, records), (_, expected) = (
        trained(replace(SMALL, dtype=dtype, epochs=4), backend) for dtype in ("bfloat16", "float32")
    )
    assert abs(records[-1].test_accuracy - expected[-1].test_accuracy) < 0.03
    assert half.model.params.dtype == np.float32
    assert half.model.dtype.name == half.model.grads.dtype.name == "bfloat16"
    batch = Batch(half.model, 1)
    assert half.model.forward(batch).dtype.name == "bfloat16"
    before = as_numpy(half.model.params).copy()
    half.model.grads[...] = 1
    ops.sgd_update(half.model.params, half.model.grads, lr=1e-6)
    assert (as_numpy(half.model.params) != before).mean() > 0.9


def test_bfloat16_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    needs = r"^dtype bfloat16 needs the package ml_dtypes \(.*\); pip install 'softgrad\[bfloat16\]'$"
    with pytest.raises(ValueError, match=needs):
        Trainer(replace(SMALL, dtype="bfloat16"), DIGITS, CPU)
