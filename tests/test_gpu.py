"""What is the GPU backend's alone: devices, streams, errors after which the GPU goes on, and rows of every width.

The other tests run over it, too, by their `backend` fixture, where there is a GPU or what stands in for one.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from devices import STAND_IN, gpu_or_skip
from numba.core import config
from numerics import KERNEL_DTYPES, Arrays, assert_ulp, few_on_gpu, few_together_on_gpu

from softgrad import ops
from softgrad.ops.backend import get_backend
from softgrad.train import TrainConfig, Trainer
from softgrad.train.config import MODELS
from softgrad.train.data.datasets import Dataset

GPU = Arrays(gpu_or_skip())

pytestmark = pytest.mark.gpu

on_a_card = pytest.mark.skipif(STAND_IN, reason="the stand-in has one device and one stream")

OPTIMIZERS = ("nesterov", "adagrad", "rmsprop", "adamw")

rng = np.random.default_rng(0)


def logits(rows: int, classes: int, dtype: type = np.float32) -> np.ndarray:
    return (rng.standard_normal((rows, classes)) * 4).astype(dtype)


# A thread a row; a warp, a block, a block with a row in shared memory and several blocks a row, whether rows begin at
# multiples of sixteen bytes or not. In the simulator blocks are small (conftest.py), and so are the last widths.
WIDTHS = [1, 3, 7, 16, 17, 40, 100, 257, 512, 600]
WIDTHS += [900, 901] if config.ENABLE_CUDASIM else [4097, 20_000, 40_001, 131_072, 131_073]


# Each way in one dtype at least; the others take seconds a kernel to compile.
NARROW = [(3, np.float32), (7, np.float64), (16, np.float32), (40, np.float64), (100, np.float32), (257, np.float64)]
WIDE = [(4097, np.float32), (20_000, np.float32), (40_001, np.float32), (131_072, np.float64), (131_073, np.float32)]
EVERY_WIDTH = few_together_on_gpu(product(WIDTHS, KERNEL_DTYPES), *NARROW, (600, np.float32), *WIDE)


@pytest.mark.parametrize("normalised", few_on_gpu(["softmax", "log_softmax"], "softmax"))
@pytest.mark.parametrize(("classes", "dtype"), EVERY_WIDTH)
def test_rows_of_every_width(classes: int, dtype: type, normalised: str) -> None:
    rows = 2 if classes > 128 else 510  # whole blocks of threads that have a row each, and most of one
    if config.ENABLE_CUDASIM:
        rows = 1 if classes > 700 else 34 if classes < 10 else 2
    x, grad = logits(rows, classes, dtype), logits(rows, classes, dtype)
    labels = rng.integers(0, classes, rows)
    labels[0] = classes - 1
    put, get = GPU.put, GPU.get

    def check(name: str, *arrays: np.ndarray, floor: object = 0.0) -> None:
        # Beside the CPU's, of which other tests say how exact it is; the sums are in another order.
        op = getattr(ops, name)
        expected, found = op(*arrays), op(*map(put, arrays))
        for one, other in zip(np.atleast_1d(expected), np.atleast_1d(get(found)), strict=True):
            assert_ulp(np.asarray(other), np.asarray(one, np.float64), 4, floor=floor)

    # What cancels: a gradient and a sum over its row, whose terms were rounded themselves.
    floor = np.abs(grad).max() + np.abs(grad.sum(axis=1)).max()
    if normalised == "softmax":
        y = ops.softmax(x)
        check("softmax", x)
        check("softmax_backward", grad, y, floor=floor * y.max())
    else:
        check("log_softmax", x, floor=1.0)
        check("log_softmax_backward", grad, ops.log_softmax(x), floor=floor)
    check("logsumexp", x, floor=1.0)
    check("softmax_cross_entropy", x, labels)
    check("accuracy", x, labels)
    loss, gradient = ops.softmax_cross_entropy_with_grad(put(x), put(labels))
    expected_loss, expected = ops.softmax_cross_entropy_with_grad(x, labels)
    assert_ulp(get(loss), np.asarray(expected_loss, np.float64), 4)
    assert_ulp(get(gradient), expected.astype(np.float64), 4, floor=np.finfo(dtype).eps)


# A thread, a warp, a block, a block with a row in shared memory, and several blocks a row; in the simulator 600 are in
# shared memory already.
KINDS_OF_ROWS = [5, 40, 600] + ([] if config.ENABLE_CUDASIM else [20_001, 60_000])


@pytest.mark.parametrize("classes", few_on_gpu(KINDS_OF_ROWS, 5, 600, 20_001, 60_000))
@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
def test_a_special_logit_anywhere_in_a_row_is_as_on_the_cpu(classes: int, value: float) -> None:
    rows = 2 if classes > 128 or config.ENABLE_CUDASIM else 510
    x, labels = logits(rows, classes), np.arange(rows) % 2
    x[0, classes // 2] = x[1, 0] = x[1, -1] = value

    def check(name: str, *arrays: np.ndarray, **options: float | str) -> None:
        op = getattr(ops, name)
        expected, found = op(*arrays, **options), op(*map(GPU.put, arrays), **options)
        for one, other in zip(*((r if isinstance(r, tuple) else (r,)) for r in (expected, found)), strict=True):
            np.testing.assert_allclose(GPU.get(other), one, rtol=1e-6, atol=1e-6)

    for name in ("softmax", "log_softmax"):
        check(name, x)
        check(name, x, temperature=0.5)
    check("logsumexp", x)
    check("softmax_cross_entropy_with_grad", x, labels, reduction="none")
    check("softmax_cross_entropy_with_grad", x, labels, reduction="none", label_smoothing=0.1)


@pytest.mark.parametrize("classes", KINDS_OF_ROWS)
def test_a_row_of_minus_infinity(classes: int) -> None:
    x = np.full((2, classes), -np.inf, np.float32)
    assert np.isnan(GPU.get(ops.softmax(GPU.put(x)))).all()
    np.testing.assert_array_equal(GPU.get(ops.logsumexp(GPU.put(x))), [-np.inf, -np.inf])


@pytest.mark.parametrize("classes", KINDS_OF_ROWS)
def test_parts_of_a_row_that_are_all_masked_add_nothing(classes: int) -> None:
    x = np.full((1, classes), -np.inf, np.float32)
    x[0, -3:] = [1.0, 2.0, 1.0]
    for temperature in (1.0, 0.5):
        y = GPU.get(ops.softmax(GPU.put(x), temperature=temperature))
        np.testing.assert_allclose(y, ops.softmax(x, temperature=temperature), rtol=1e-6)


OPTIONS = (
    {"label_smoothing": 0.1},
    {"label_smoothing": 0.1, "weight": True, "softcap": 30.0, "z_loss": 0.01, "ignore_index": 1},
    {"weight": True, "softcap": 30.0, "probabilities": True},
)


# In registers though rows begin anywhere, in shared memory, once and twice, and in parts.
@pytest.mark.skipif(config.ENABLE_CUDASIM, reason="blocks of the simulator's size have such rows in tests/ops")
@pytest.mark.parametrize(
    ("classes", "options"),
    few_together_on_gpu(
        product([4097, 16_390, 40_001, 60_001], OPTIONS),
        (4097, OPTIONS[2]), (16_390, OPTIONS[1]), (40_001, OPTIONS[0]), (40_001, OPTIONS[1]), (60_001, OPTIONS[1]),
    ),
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)  # fmt: skip
def test_losses_with_options_of_wide_rows(classes: int, options: dict[str, Any]) -> None:
    x, weight, options = logits(3, classes), np.linspace(0.5, 1.5, classes, dtype=np.float32), dict(options)
    targets = ops.softmax(logits(3, classes)) if options.pop("probabilities", False) else np.array([classes - 1, 1, 3])
    ours, theirs = dict(options), dict(options)
    if options.get("weight"):
        ours["weight"], theirs["weight"] = GPU.put(weight), weight
    logits_, aim = GPU.put(x), GPU.put(targets)
    alone = ops.softmax_cross_entropy(logits_, aim, reduction="none", **ours)
    losses, grad = ops.softmax_cross_entropy_with_grad(logits_, aim, reduction="none", out=logits_, **ours)
    expected, expected_grad = ops.softmax_cross_entropy_with_grad(x, targets, reduction="none", **theirs)
    assert grad is logits_
    np.testing.assert_array_equal(GPU.get(alone), GPU.get(losses))
    assert_ulp(GPU.get(losses), expected.astype(np.float64), 4)
    # Terms of the gradient cancel: beside the largest of a row.
    largest = np.abs(expected_grad).max(axis=1, keepdims=True)
    assert_ulp(GPU.get(grad), expected_grad.astype(np.float64), 8, floor=largest)


@pytest.mark.skipif(config.ENABLE_CUDASIM, reason="20,000 elements are too many for the simulator")
def test_a_row_in_shared_memory_begins_wherever_its_array_does() -> None:
    x, labels = logits(2, 20_000), GPU.put(np.array([19_999, 3]))
    aligned, odd = GPU.put(x), GPU.put(np.append(np.float32(0), x))[1:].reshape(2, -1)
    assert_ulp(GPU.get(ops.softmax(odd)), GPU.get(ops.softmax(aligned)).astype(np.float64), 2)
    expected = ops.softmax_cross_entropy_with_grad(aligned, labels, reduction="none")
    losses, grad = ops.softmax_cross_entropy_with_grad(odd, labels, reduction="none", out=odd)
    assert_ulp(GPU.get(losses), GPU.get(expected[0]).astype(np.float64), 2)
    assert_ulp(GPU.get(grad), GPU.get(expected[1]).astype(np.float64), 2, floor=1e-6)


@pytest.mark.parametrize("rows", [1, 64, 65, 200] + ([] if config.ENABLE_CUDASIM else [16_385, 40_000]))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_are_added_by_one_block_or_by_many(rows: int, dtype: type) -> None:
    x, labels = logits(rows, 2, dtype), rng.integers(0, 2, rows)
    each = ops.softmax_cross_entropy(GPU.put(x), GPU.put(labels), reduction="none")
    total = ops.softmax_cross_entropy(GPU.put(x), GPU.put(labels), reduction="sum")
    assert_ulp(GPU.get(total), np.array(math.fsum(GPU.get(each).astype(np.float64))), 1)


def test_numpy_and_cupy_arrays_do_not_mix() -> None:
    x, labels = logits(4, 3), np.zeros(4, np.int64)
    with pytest.raises(TypeError, match="logits is a CuPy array and targets a NumPy array"):
        ops.softmax_cross_entropy(GPU.put(x), labels)


def test_after_a_bad_label_the_next_call_works() -> None:
    x = GPU.put(logits(4, 3))
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 3\); found 7 at row 2"):
        ops.softmax_cross_entropy(x, GPU.put(np.array([0, 1, 7, 2])))
    assert np.isfinite(GPU.get(ops.softmax(x))).all()


def test_results_live_where_the_arguments_do() -> None:
    x = GPU.put(logits(4, 3))
    for result in (ops.softmax(x), ops.relu(x), ops.one_hot(GPU.put(np.array([1, 0])), 3), ops.logsumexp(x)):
        assert type(result) is GPU.xp.ndarray


SYSTEMS = (
    *({"optimizer": name, "hidden": (5,)} for name in OPTIMIZERS),
    *({"model": name} for name in MODELS if name != "mlp"),
)


@pytest.mark.parametrize("settings", SYSTEMS, ids=lambda settings: next(iter(settings.values())))
def test_training_takes_the_same_path_as_on_the_cpu(settings: dict[str, Any]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 6), np.uint8)
    labels = (pixels[:, 0] // 86).astype(np.int64)
    data = Dataset("tiny", pixels[:24], labels[:24], pixels[24:], labels[24:], (2, 3), 255, 3, ("a", "b", "c"), "here")
    activation = {"activation": "gelu"} if "hidden" in settings else {}
    config = TrainConfig(dataset="digits", epochs=2, batch_size=10, lr=0.1, **activation, **settings)
    ours, theirs = (list(Trainer(config, data, backend).fit()) for backend in (GPU.backend, get_backend("cpu")))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert mine.test_loss == pytest.approx(other.test_loss, rel=1e-5)
        assert (mine.train_accuracy, mine.test_accuracy) == (other.train_accuracy, other.test_accuracy)


@pytest.mark.parametrize("settings", SYSTEMS, ids=lambda settings: next(iter(settings.values())))
def test_no_step_waits_for_the_card(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (20, 6), np.uint8)
    labels = (pixels[:, 0] // 86).astype(np.int64)
    data = Dataset("tiny", pixels, labels, pixels, labels, (2, 3), 255, 3, ("a", "b", "c"), "here")
    trainer = Trainer(TrainConfig(dataset="digits", batch_size=8, warmup_steps=1, **settings), data, GPU.backend)
    order = trainer._shuffled(0)
    with monkeypatch.context() as patch:
        if STAND_IN:  # CuPy's own arrays cannot be patched
            for name in ("get", "item", "tolist", "__float__", "__int__", "__bool__"):
                patch.setattr(GPU.xp.ndarray, name, lambda *_: pytest.fail("waited for the GPU"))
        for _ in range(trainer.batches):
            trainer._train_batch(order)
        assert type(trainer.progress.loss_sum) is type(trainer.progress.correct) is GPU.xp.ndarray
    progress = trainer.read_progress()
    assert type(progress.loss_sum) is float
    assert 0 <= progress.correct <= 20


def test_results_of_losses_stay_on_the_card() -> None:
    x, labels = GPU.put(logits(4, 3)), GPU.put(np.array([0, 1, 2, 0]))
    for result, dtype in (
        (ops.softmax_cross_entropy(x, labels), np.float32),
        (ops.softmax_cross_entropy_with_grad(x, labels, reduction="sum")[0], np.float32),
        (ops.count_correct(x, labels), np.int64),
        (ops.accuracy(x, labels), np.float64),
    ):
        assert type(result) is GPU.xp.ndarray
        assert result.shape == ()
        assert result.dtype == dtype


@on_a_card
def test_work_is_queued_on_the_current_stream() -> None:
    x = GPU.put(logits(512, 4096))
    stream = GPU.xp.cuda.Stream(non_blocking=True)
    with stream:
        y = x
        for _ in range(20):
            y = ops.softmax(y + x)
    stream.synchronize()
    z = x
    for _ in range(20):
        z = ops.softmax(z + x)
    np.testing.assert_array_equal(GPU.get(y), GPU.get(z))


@on_a_card
@pytest.mark.skipif("GPU.xp.cuda.runtime.getDeviceCount() < 2", reason="needs two devices")
def test_work_is_done_on_the_device_that_is_current() -> None:
    x = logits(64, 100)
    with GPU.xp.cuda.Device(1):
        y = ops.softmax(GPU.put(x))
        assert y.device.id == 1
        assert_ulp(GPU.get(y), ops.softmax(x).astype(np.float64), 4)


@on_a_card
@pytest.mark.skipif("GPU.xp.cuda.runtime.getDeviceCount() < 2", reason="needs two devices")
def test_an_array_on_another_device_is_refused() -> None:
    with GPU.xp.cuda.Device(1):
        x = GPU.put(logits(4, 3))
    with pytest.raises(ValueError, match="arrays must be on the current device, 0; got one on device 1"):
        ops.softmax(x)


@on_a_card
def test_an_error_leaves_no_memory_behind() -> None:
    pool = GPU.xp.get_default_memory_pool()
    x, labels = GPU.put(logits(64, 100)), GPU.put(np.full(64, 100))
    before = pool.used_bytes()
    for _ in range(3):
        with pytest.raises(ValueError, match="labels must lie in"):
            ops.softmax_cross_entropy_with_grad(x, labels)
    assert pool.used_bytes() == before
