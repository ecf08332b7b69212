"""Softmax cross-entropy and its gradient against exact arithmetic, also where saturated, in any memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
from numerics import (
    FLOATS,
    KERNEL_DTYPES,
    MANY_ROWS,
    Arrays,
    again,
    assert_same_bits,
    assert_ulp,
    central_difference,
    few_on_gpu,
    labelled_logits,
    layouts,
    loss_dtype,
    one_quick,
    quick,
)

from softgrad import ops

REDUCTIONS = ["mean", "sum", "none"]

# Rows are summed 8 at a time: less than a block, a block, a block and one, several with a rest; and on a GPU several.
ROWS = [1, 7, 8, 9, 30, 261]
# No other class; fewer than a vector holds; an odd rest of a vector; many vectors.
CLASSES = [1, 2, 10, 17, 1000]

# exp, sum, division (or logarithm and the distance to the largest), and the product with 1 / N.
ULP = 4


def reduced(losses: np.ndarray, grad: np.ndarray, reduction: str) -> tuple[np.ndarray, np.ndarray]:
    """What a reduction makes of each row's loss and gradient."""
    if reduction == "none":
        return losses, grad
    divisor = len(losses) if reduction == "mean" else 1
    return np.array(losses.sum() / divisor), grad / divisor


def check(backend: Arrays, logits: np.ndarray, labels: np.ndarray, reduction: str, ulp: float) -> None:
    """Loss and gradient, together and the loss alone, against exact arithmetic."""
    exact_logits = reference.exactly(logits)
    losses = reference.softmax_cross_entropy(exact_logits, labels)
    grads = reference.softmax_cross_entropy_grad(exact_logits, labels)
    exact_loss, exact_grad = reduced(losses, grads, reduction)

    x, targets = backend.put(logits), backend.put(labels)
    loss, grad = ops.softmax_cross_entropy_with_grad(x, targets, reduction=reduction)
    assert loss.dtype == loss_dtype(logits.dtype)
    assert grad.dtype == logits.dtype
    assert_ulp(backend.get(loss), exact_loss, max(ulp, ULP) if loss.dtype != grad.dtype else ulp)
    assert_ulp(backend.get(grad), exact_grad, ulp)
    alone = ops.softmax_cross_entropy(x, targets, reduction=reduction)
    assert_same_bits(backend.get(alone), backend.get(loss))


# ---- values


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("classes", few_on_gpu(CLASSES, 10, 1000))
def test_loss_and_gradient_are_exact(backend: Arrays, classes: int, dtype: type, reduction: str) -> None:
    check(backend, *labelled_logits(5, classes, dtype), reduction, ULP)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("rows", ROWS)
def test_any_number_of_rows(backend: Arrays, rows: int, reduction: str) -> None:
    check(backend, *labelled_logits(rows, 10, np.float64), reduction, ULP)


@pytest.mark.slow
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_float16_is_rounded_once(backend: Arrays, reduction: str) -> None:
    check(backend, *labelled_logits(6, 10, np.float16), reduction, 0.51)


@pytest.mark.parametrize("dtype", [np.int8, np.uint32, np.bool_])
def test_integer_logits_are_computed_in_float64(backend: Arrays, dtype: type) -> None:
    logits = np.random.default_rng(0).integers(0, 2, (6, 4)).astype(dtype)
    labels = backend.put([0, 1, 2, 3, 0, 1])
    loss, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), labels)
    expected_loss, expected_grad = ops.softmax_cross_entropy_with_grad(backend.put(logits, np.float64), labels)
    assert_same_bits(backend.get(loss), backend.get(expected_loss))
    assert_same_bits(backend.get(grad), backend.get(expected_grad))


@pytest.mark.slow
@pytest.mark.usefixtures("small_arrays_shared")
@pytest.mark.parametrize("shape", [(700, 64), (9, 40_000), (4099, 10)])
def test_rows_above_the_parallel_threshold(backend: Arrays, shape: tuple[int, int]) -> None:
    # More than 128 KiB: many blocks of 8 rows, two blocks of rows that are above the threshold
    # themselves, and blocks that no number of threads divides evenly. A row has the bits it has alone.
    logits, labels = labelled_logits(*shape, np.float32)
    x, targets = backend.put(logits), backend.put(labels)
    losses, grad = ops.softmax_cross_entropy_with_grad(x, targets, reduction="none")
    losses, grad = backend.get(losses), backend.get(grad)
    for row in (0, shape[0] // 2, shape[0] - 1):
        one = slice(row, row + 1)
        loss, row_grad = ops.softmax_cross_entropy_with_grad(x[one], targets[one], reduction="none")
        assert_same_bits(losses[one], backend.get(loss))
        assert_same_bits(grad[one], backend.get(row_grad))
    wide = logits.astype(np.float64)
    # The float64 reference loses digits where the label's probability nears 1: the loss is a small difference of
    # numbers up to 16, the gradient there one of 1.
    assert_ulp(losses, reference.softmax_cross_entropy(wide, labels), ULP, floor=1e-6)
    assert_ulp(grad, reference.softmax_cross_entropy_grad(wide, labels), ULP, floor=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [100, 70_001])
def test_loss_sums_accumulate_in_float64(backend: Arrays, rows: int) -> None:
    # In float32 a sum of 70,001 losses near 2.3 would be off by hundreds of ULP.
    logits, labels = labelled_logits(rows, 3, np.float32)
    x, targets = backend.put(logits), backend.put(labels)
    losses = backend.get(ops.softmax_cross_entropy(x, targets, reduction="none")).tolist()
    total = backend.get(ops.softmax_cross_entropy(x, targets, reduction="sum"))
    mean = backend.get(ops.softmax_cross_entropy(x, targets))
    assert_ulp(total, np.array(math.fsum(losses)), 0.501)
    assert_ulp(mean, np.array(math.fsum(losses) / rows), 0.501)


# ---- saturated logits: nothing is computed as 1 - nearly 1


@pytest.mark.parametrize("gap", [1.0, 20.0, 40.0, 80.0, 100.0])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_relative_accuracy_survives_saturation(backend: Arrays, dtype: type, gap: float) -> None:
    logits = again(np.array([[gap, 0.0], [0.0, gap], [gap, 0.0]], dtype), 35)
    check(backend, logits, again(np.array([0, 1, 1]), 35), "none", ULP)
    loss, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits[:1]), backend.put([0]))
    assert_ulp(backend.get(loss), np.array(math.log1p(math.exp(-gap))), ULP)
    assert backend.get(grad)[0, 0] < 0


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_many_small_rivals_add_up(backend: Arrays, dtype: type) -> None:
    # 999 logits 40 below the label's: each alone would vanish beside 1, and together too in a plain sum.
    logits = np.full((1, 1000), -40, dtype)
    logits[0, 500] = 0
    check(backend, logits, np.array([500]), "sum", ULP)


# ---- the gradient is that of the loss


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient_is_the_slope_of_the_loss(backend: Arrays, reduction: str) -> None:
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(0, 2, (4, 6)), backend.put([0, 5, 2, 2])

    def f(values: np.ndarray) -> float:
        return float(backend.get(ops.softmax_cross_entropy(backend.put(values), labels, reduction=reduction)).sum())

    loss, grad = map(backend.get, ops.softmax_cross_entropy_with_grad(backend.put(logits), labels, reduction=reduction))
    np.testing.assert_allclose(grad, central_difference(f, logits), rtol=1e-7, atol=1e-9)
    rows = backend.put(again(logits, MANY_ROWS)), backend.put(again(backend.get(labels), MANY_ROWS))
    losses, grads = map(backend.get, ops.softmax_cross_entropy_with_grad(*rows, reduction=reduction))
    factor = len(logits) / MANY_ROWS if reduction == "mean" else 1
    np.testing.assert_allclose(grads, again(grad, MANY_ROWS) * factor, rtol=1e-14)
    if reduction == "none":
        assert_same_bits(losses, again(loss, MANY_ROWS))
    else:
        each = backend.get(ops.softmax_cross_entropy(*rows, reduction="none"))
        np.testing.assert_allclose(losses, each.mean() if reduction == "mean" else each.sum(), rtol=1e-14)


def test_gradient_of_a_row_sums_to_zero(backend: Arrays) -> None:
    logits, labels = labelled_logits(20, 1000)
    _, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put(labels), reduction="none")
    np.testing.assert_allclose(backend.get(grad).sum(axis=1), 0, atol=1e-15 * 4)


# ---- memory


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_layout_does_not_matter(backend: Arrays, dtype: type) -> None:
    logits, labels = labelled_logits(6, 8, dtype)
    apart = backend.xp.zeros(12, np.int64)
    apart[::2] = backend.put(labels)
    for layout, view in layouts(logits, backend.xp):
        loss, grad = ops.softmax_cross_entropy_with_grad(view, apart[::2])
        expected = ops.softmax_cross_entropy_with_grad(backend.put(view, dtype), backend.put(labels))
        assert_same_bits(backend.get(loss), backend.get(expected[0]), layout)
        assert_same_bits(backend.get(grad), backend.get(expected[1]), layout)


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("shape", one_quick([(5, 7), (600, 70)]))  # below and above the parallel threshold
def test_out_may_be_the_logits_overlap_them_or_be_strided(backend: Arrays, shape: tuple[int, int], dtype: type) -> None:
    logits, labels = labelled_logits(*shape, dtype)
    targets = backend.put(labels)
    expected = ops.softmax_cross_entropy_with_grad(backend.put(logits), targets)

    x = backend.put(logits)
    loss, grad = ops.softmax_cross_entropy_with_grad(x, targets, out=x)
    assert grad is x
    assert_same_bits(backend.get(loss), backend.get(expected[0]))
    assert_same_bits(backend.get(x), backend.get(expected[1]))

    buffer = backend.xp.zeros((shape[0] + 1, shape[1]), dtype)
    buffer[:-1] = backend.put(logits)
    loss, grad = ops.softmax_cross_entropy_with_grad(buffer[:-1], targets, out=buffer[1:])
    assert_same_bits(backend.get(loss), backend.get(expected[0]))
    assert_same_bits(backend.get(grad), backend.get(expected[1]))

    strided = backend.xp.zeros(shape[::-1], dtype).T
    _, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), targets, out=strided)
    assert grad is strided
    assert_same_bits(backend.get(grad), backend.get(expected[1]))
