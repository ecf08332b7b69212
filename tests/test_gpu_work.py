"""What small work asks of a GPU: launches of ours and operations of CuPy's, of each op and of a training step.

A launch takes longer than what it does to a batch. They are counted by the stand-in that executes PTX.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import EXECUTED, gpu_or_skip
from numerics import Arrays, few_together_on_gpu

from softgrad import ops
from softgrad.kernels.cuda import launch, sums
from softgrad.ops.training import classification_step
from softgrad.train import TrainConfig, Trainer
from softgrad.train.data.datasets import Dataset

if not EXECUTED:
    pytest.skip("launches are counted where PTX is executed: make test-gpu-executed", allow_module_level=True)

GPU = Arrays(gpu_or_skip())

pytestmark = pytest.mark.gpu

rng = np.random.default_rng(0)


def normal(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def counted(call: Callable[[], Any]) -> tuple[int, int]:
    """Our launches and CuPy's operations of a call that has been made before."""
    import cupy
    from ptx.totals import measured

    call()
    before = cupy.calls()
    with measured() as launches:
        call()
    return len(launches), cupy.calls() - before


X, Y, LABELS = (GPU.put(array) for array in (normal(6, 10), normal(6, 10), rng.integers(0, 10, 6)))
W, B, HIDDEN = GPU.put(normal(10, 4)), GPU.put(normal(4)), GPU.put(normal(6, 4))
PARAM, GRAD, STATES = GPU.put(normal(40)), GPU.put(normal(40)), [GPU.put(np.zeros(40, np.float32)) for _ in range(2)]
MOMENTS = dict(zip(("exp_avg", "exp_avg_sq"), STATES, strict=True))
loss, with_grad = ops.softmax_cross_entropy, ops.softmax_cross_entropy_with_grad

# Each is one launch; of CuPy's own there are products alone.
CALLS: dict[str, tuple[Callable[[], Any], int]] = {
    "softmax": (lambda: ops.softmax(X), 0),
    "softmax_backward": (lambda: ops.softmax_backward(X, Y), 0),
    "logsumexp": (lambda: ops.logsumexp(X), 0),
    "relu": (lambda: ops.relu(X), 0),
    "relu_backward": (lambda: ops.relu_backward(X, Y), 0),
    "cross-entropy": (lambda: loss(X, LABELS), 0),
    "cross-entropy, summed": (lambda: loss(X, LABELS, reduction="sum"), 0),
    "cross-entropy, each": (lambda: loss(X, LABELS, reduction="none"), 0),
    "cross-entropy, smoothed": (lambda: loss(X, LABELS, label_smoothing=0.1), 0),
    "cross-entropy with gradient": (lambda: with_grad(X, LABELS), 0),
    "cross-entropy with gradient, smoothed": (lambda: with_grad(X, LABELS, label_smoothing=0.1), 0),
    "l2_loss": (lambda: ops.l2_loss(X, Y), 0),
    "sigmoid_cross_entropy with gradient": (lambda: ops.sigmoid_cross_entropy_with_grad(X, Y, validate=False), 0),
    "count_correct": (lambda: ops.count_correct(X, LABELS, validate=False), 0),
    "linear": (lambda: ops.linear(X, W, B, activation="relu"), 1),
    "linear_backward": (lambda: ops.linear_backward(HIDDEN, HIDDEN, X, W, activation="relu"), 2),
    "sgd_update": (lambda: ops.sgd_update(PARAM, GRAD, lr=0.1, momentum=0.9, velocity=STATES[0]), 0),
    "adam_update": (lambda: ops.adam_update(PARAM, GRAD, lr=0.1, step=1, **MOMENTS), 0),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_op_is_one_launch(name: str) -> None:
    call, products = CALLS[name]
    assert counted(call) == (1, products)


def trainer(backend: Any, rows: int = 24, **settings: Any) -> Trainer:
    pixels = np.random.default_rng(1).integers(0, 256, (rows, 6), np.uint8)
    labels = (pixels[:, 0] // 86).astype(np.int64)
    data = Dataset("tiny", pixels, labels, pixels[:1], labels[:1], (2, 3), 255, 3, ("a", "b", "c"), "here")
    return Trainer(TrainConfig(dataset="digits", **settings), data, backend)


@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_a_training_step_is_eight_launches_and_the_products(optimizer: str) -> None:
    run = trainer(GPU.backend, hidden=(5, 4), batch_size=8, optimizer=optimizer)
    order = run._shuffled(0)
    assert counted(lambda: run._train_batch(order)) == (8, 8)


STEPS = [(1, 1), (133, 3), (130, 10), (300, 16), (5, 100), (4, 600), (3, 1000)]


BOTH = itertools.product([np.float32, np.float64], STEPS)


@pytest.mark.parametrize(
    ("dtype", "size"), few_together_on_gpu(BOTH, *((np.float32, size) for size in STEPS[1:5]), (np.float64, STEPS[6]))
)
def test_a_step_of_one_launch_has_the_bits_of_its_parts(dtype: type, size: tuple[int, int]) -> None:
    rows, classes = size
    product, bias, labels = (
        normal(rows, classes, dtype=dtype),
        normal(classes, dtype=dtype),
        rng.integers(0, classes, rows),
    )
    product[0, :] = product[0, 0]  # of equals the first is the largest
    if rows > 4:
        labels[1], product[2, -1], product[3, 0] = classes, np.nan, -np.inf
    loss_sum, correct = GPU.put(np.array(2.5)), GPU.put(np.array(3))
    grad = GPU.put(np.zeros_like(product))
    classification_step(GPU.backend, GPU.put(product), GPU.put(bias), GPU.put(labels), loss_sum, correct, grad)

    logits = GPU.put(product + bias)
    mean, expected = ops.softmax_cross_entropy_with_grad(logits, GPU.put(labels), validate=False)
    right = ops.count_correct(logits, GPU.put(labels), validate=False)
    np.testing.assert_array_equal(GPU.get(grad), GPU.get(expected))
    assert int(correct) == 3 + int(right)
    np.testing.assert_array_equal(float(loss_sum), 2.5 + float(mean) * rows)


@pytest.mark.parametrize("classes", [3, 100])
def test_more_rows_than_a_last_block_adds_up_are_added_by_parts(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    product, bias, labels = normal(40, classes), normal(classes), rng.integers(0, classes, 40)

    def step() -> tuple[float, int, np.ndarray]:
        loss_sum, correct = GPU.put(np.zeros(())), GPU.put(np.zeros((), np.int64))
        grad = GPU.put(np.zeros_like(product))
        classification_step(GPU.backend, GPU.put(product), GPU.put(bias), GPU.put(labels), loss_sum, correct, grad)
        return float(loss_sum), int(correct), GPU.get(grad)

    found = step()
    for name in ("classification_step", "label_cross_entropy", "labels"):
        monkeypatch.setattr(import_module(f"softgrad.kernels.cuda.{name}"), "_launches", {})
    monkeypatch.setattr(sums, "MOST_LEFT", 0)
    other = step()
    assert found[:2] == other[:2]
    np.testing.assert_array_equal(found[2], other[2])


def test_sums_begin_anew_after_each_launch() -> None:
    """Blocks count themselves in memory that launches share: what one leaves there must not reach the next."""
    x, labels = GPU.put(normal(400, 3)), GPU.put(rng.integers(0, 3, 400))
    first = [float(ops.softmax_cross_entropy(x, labels)) for _ in range(3)]
    assert int(ops.count_correct(x, labels)) == int(ops.count_correct(x, labels))
    assert first == [float(ops.softmax_cross_entropy(x, labels))] * 3
    assert all(int(space.arrived[0]) == 0 for space in sums._of_thread.spaces.values())


def test_a_launch_that_is_refused_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    product, bias, labels = normal(300, 3), GPU.put(normal(3)), GPU.put(rng.integers(0, 3, 300))
    loss_sum, correct, grad = GPU.put(np.array(1.0)), GPU.put(np.array(1)), GPU.put(np.zeros((300, 3), np.float32))
    arguments = GPU.put(product), bias, labels, loss_sum, correct, grad
    classification_step(GPU.backend, *arguments)  # so that the launch is there already
    kept = float(loss_sum), int(correct), GPU.get(grad)

    monkeypatch.setattr(launch, "device_count", lambda: 2)
    elsewhere = SimpleNamespace(data=SimpleNamespace(ptr=grad.data.ptr, device_id=1))
    with pytest.raises(ValueError, match="current device, 0; got one on device 1"):
        classification_step(GPU.backend, *arguments[:-1], elsewhere)
    assert (float(loss_sum), int(correct)) == kept[:2]
    np.testing.assert_array_equal(GPU.get(grad), kept[2])
    classification_step(GPU.backend, *arguments)
    assert float(loss_sum) > kept[0]


def test_a_launch_that_is_kept_tells_0_from_minus_0() -> None:
    x = GPU.put(np.full(40, -2.0, np.float32))
    for slope in (0.0, -0.0, 0.0):
        y = GPU.get(ops.leaky_relu(x, negative_slope=slope))
        np.testing.assert_array_equal(np.signbit(y), np.signbit(np.float32(-2.0) * np.float32(slope)))
    for temperature in (-0.0, 0.0):
        np.testing.assert_array_equal(GPU.get(ops.softmax(X, temperature=temperature)).sum(axis=1), 1.0)
