"""What every op promises at its edges: one test for each row of the table of edge semantics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from numerics import (
    FLOATS,
    MANY_ROWS,
    Arrays,
    again,
    assert_same_bits,
    assert_ulp,
    few_on_gpu,
    loss_dtype,
    quick,
    ulp_of_many,
)

from softgrad import ops

INF, NAN = math.inf, math.nan
NORMALISED = ["softmax", "log_softmax"]
FORWARDS = [*NORMALISED, "logsumexp"]


def op(name: str) -> Callable[..., Any]:
    return getattr(ops, name)


def cross_entropy(backend: Arrays, logits: Any, labels: Any, reduction: str = "none") -> tuple[np.ndarray, np.ndarray]:
    """The losses and the gradient, which the loss without it must agree with."""
    targets = backend.put(labels, np.int64)
    loss, grad = ops.softmax_cross_entropy_with_grad(logits, targets, reduction=reduction)
    alone = ops.softmax_cross_entropy(logits, targets, reduction=reduction)
    assert_same_bits(backend.get(alone), backend.get(loss))
    return backend.get(loss), backend.get(grad)


# ---- NaN in a row: NaN in that row only


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("place", [0, 1, 3])  # NaN is met first, in the middle, last in the search for the largest
@pytest.mark.parametrize("name", FORWARDS)
def test_nan_in_a_row_stays_in_that_row(backend: Arrays, name: str, place: int, dtype: type) -> None:
    x = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [-1, -1, 0, 0]], dtype)
    clean = backend.get(op(name)(backend.put(x)))
    x[1, place] = NAN
    result = backend.get(op(name)(backend.put(x)))
    assert np.isnan(result[1]).all()
    assert_same_bits(result[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("place", [0, 1, 3])
def test_nan_in_a_row_stays_in_that_row_of_cross_entropy(backend: Arrays, place: int) -> None:
    x = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1], [-1, -1, 0, 0]])
    clean_losses, clean_grad = cross_entropy(backend, backend.put(x), [0, 1, 2])
    x[1, place] = NAN
    losses, grad = cross_entropy(backend, backend.put(x), [0, 1, 2])
    assert np.isnan(losses[1])
    assert np.isnan(grad[1]).all()
    assert_same_bits(losses[[0, 2]], clean_losses[[0, 2]])
    assert_same_bits(grad[[0, 2]], clean_grad[[0, 2]])


@pytest.mark.parametrize("name", ["softmax_backward", "log_softmax_backward"])
@pytest.mark.parametrize("which", [0, 1])
def test_nan_in_a_row_stays_in_that_row_of_a_backward(backend: Arrays, name: str, which: int) -> None:
    y = backend.get(op(name.removesuffix("_backward"))(backend.put(np.array([[1.0, 2], [0, 0], [5, 5]]))))
    arguments = [np.array([[1.0, -1], [2, 3], [0, 1]]), y]
    clean = backend.get(op(name)(*map(backend.put, arguments)))
    arguments[which][1, 0] = NAN
    result = backend.get(op(name)(*map(backend.put, arguments)))
    assert np.isnan(result[1, 0])
    assert np.isnan(result[1, 1]) or (name, which) == ("log_softmax_backward", 1)  # which sums grad, not y
    assert_same_bits(result[[0, 2]], clean[[0, 2]])


# ---- +inf in a row, or nothing but -inf: NaN; logsumexp gives +inf, -inf


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("row", [[INF, 1, 2], [1, INF, INF], [INF, INF, INF], [INF, -INF, 0], [-INF, -INF, -INF]])
@pytest.mark.parametrize("name", NORMALISED)
def test_infinite_row_is_nan(backend: Arrays, name: str, row: list[float], dtype: type) -> None:
    result = backend.get(op(name)(backend.put([[1, 1, 1], row], dtype)))
    assert np.isnan(result[1]).all()
    assert not np.isnan(result[0]).any()


@pytest.mark.parametrize("row", [[INF, 1, 2], [1, INF, INF], [INF, -INF, 0], [-INF, -INF, -INF]])
def test_infinite_row_of_cross_entropy_is_nan(backend: Arrays, row: list[float]) -> None:
    logits = again(np.array([[1, 1, 1], row]), MANY_ROWS)
    losses, grad = cross_entropy(backend, backend.put(logits), again(np.array([0, 1]), MANY_ROWS))
    np.testing.assert_array_equal(np.isnan(losses), again(np.array([False, True]), MANY_ROWS))
    np.testing.assert_array_equal(np.isnan(grad), again(np.array([[False] * 3, [True] * 3]), MANY_ROWS))


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_logsumexp_of_an_infinite_row_is_that_infinity(backend: Arrays, dtype: type) -> None:
    x = [[INF, 1, 2], [1, INF, INF], [INF, -INF, 0], [-INF, -INF, -INF], [NAN, INF, 0], [-INF, NAN, -INF]]
    result = backend.get(ops.logsumexp(backend.put(x, dtype)))
    np.testing.assert_array_equal(result, [INF, INF, INF, -INF, NAN, NAN])


# ---- -inf beside finite logits: probability exactly 0, loss +inf at the label, gradient finite


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_minus_infinity_beside_finite_logits(backend: Arrays, dtype: type) -> None:
    x = backend.put([[0, -INF, 0], [-INF, 3, -INF]], dtype)
    np.testing.assert_array_equal(backend.get(ops.softmax(x)), [[0.5, 0, 0.5], [0, 1, 0]])
    log_half = dtype(-math.log(2))
    np.testing.assert_array_equal(backend.get(ops.log_softmax(x)), [[log_half, -INF, log_half], [-INF, 0, -INF]])
    np.testing.assert_array_equal(backend.get(ops.logsumexp(x)), np.array([math.log(2), 3], dtype))


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_minus_infinity_at_and_beside_the_label(backend: Arrays, dtype: type) -> None:
    x = backend.put([[0, -INF, 0], [-INF, 3, -INF], [-INF, 3, -INF]], dtype)
    losses, grad = cross_entropy(backend, x, [1, 1, 0])
    np.testing.assert_array_equal(losses, [INF, 0, INF])
    np.testing.assert_array_equal(grad, [[0.5, -1, 0.5], [0, 0, 0], [-1, 1, 0]])


@pytest.mark.parametrize("name", NORMALISED)
def test_gradient_through_minus_infinity_is_zero_there(backend: Arrays, name: str) -> None:
    y = op(name)(backend.put([[0.0, -INF, 0.0]]))
    grad = backend.put([[1.0, 0.0, 2.0]])
    np.testing.assert_array_equal(backend.get(op(f"{name}_backward")(grad, y)), [[-0.25, 0, 0.25]] if name == "softmax"
                                  else [[-0.5, 0, 0.5]])  # fmt: skip


# ---- +inf in the gradient: -inf for the rest of its row, and NaN, inf - inf, at its place


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("classes", few_on_gpu([2, 16, 17, 100, 600], 16, 100, 600))  # each way to add up a row
@pytest.mark.parametrize("name", NORMALISED)
def test_an_infinite_gradient_is_of_its_row(backend: Arrays, name: str, classes: int, axis: int) -> None:
    shape = 2 if axis == 0 else MANY_ROWS if classes < 100 else 35, classes
    y = np.full(shape, 1 / classes if name == "softmax" else -math.log(classes))
    grad = np.zeros(shape)
    grad[1::2, classes // 2] = INF
    expected = np.where(np.isinf(grad), NAN, -INF)
    expected[::2] = 0
    arrays = (backend.put(array if axis == 1 else array.T.copy()) for array in (grad, y))
    result = backend.get(op(f"{name}_backward")(*arrays, axis=axis))
    np.testing.assert_array_equal(result if axis == 1 else result.T, expected)


# ---- `where` hides a whole row: zeros (softmax), -inf (log_softmax, logsumexp)


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize(("name", "result"), [("softmax", 0.0), ("log_softmax", -INF), ("logsumexp", -INF)])
def test_where_hides_a_whole_row(backend: Arrays, name: str, result: float, dtype: type) -> None:
    x = backend.put([[1, NAN, INF], [1, 1, 1]], dtype)
    found = backend.get(op(name)(x, where=backend.put([[False], [True]])))
    assert (found[0] == result).all()
    assert_same_bits(found[1], backend.get(op(name)(x))[1])


# ---- huge logits, or a constant shift: no overflow, the same result as shifted

HUGE = [
    (np.float16, [6e4, 6e4, 6e4, 0]),
    (np.float32, [1e4, 1e4 - 1, 1e4, 0]),
    (np.float64, [1e4, 1e4 - 1, 1e4, 0]),
    (np.float32, [3e38, 3e38, 3e38, 0]),
    (np.float32, [-3e38, -3e38, -2e4, -2e4]),
    (np.float64, [1.7e308, 1.7e308, 0, 1]),
]


@pytest.mark.parametrize(
    ("dtype", "row"),
    [pytest.param(*case, marks=[] if case[0] is np.float64 else pytest.mark.slow) for case in HUGE],
)
def test_huge_logits_do_not_overflow(backend: Arrays, dtype: type, row: list[float]) -> None:
    x, labels = np.array([row], dtype), np.array([2])
    rows = backend.put(again(x, MANY_ROWS))
    for name in FORWARDS:
        expected = getattr(reference, name)(reference.exactly(x))
        assert_ulp(backend.get(op(name)(rows)), again(expected, MANY_ROWS), 2)
    losses, grad = cross_entropy(backend, rows, again(labels, MANY_ROWS))
    expected = reference.softmax_cross_entropy(reference.exactly(x), labels)
    assert_ulp(losses, again(expected, MANY_ROWS), 2)
    expected = reference.softmax_cross_entropy_grad(reference.exactly(x), labels)
    assert_ulp(grad, again(expected, MANY_ROWS), 2)


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_logits_at_both_ends_of_the_range(backend: Arrays, dtype: type) -> None:
    # The distance of the two is beyond the dtype's range: the smaller one's probability is 0, its loss infinite.
    largest = np.finfo(dtype).max
    x = backend.put([[largest, -largest]] * MANY_ROWS, dtype)
    np.testing.assert_array_equal(backend.get(ops.softmax(x)), [[1, 0]] * MANY_ROWS)
    np.testing.assert_array_equal(backend.get(ops.log_softmax(x)), [[0, -INF]] * MANY_ROWS)
    losses, grad = cross_entropy(backend, x, [1] * MANY_ROWS)
    np.testing.assert_array_equal(
        losses, [2 * float(largest) if dtype == np.float16 else INF] * MANY_ROWS
    )  # float32 has room for it
    np.testing.assert_array_equal(grad, [[1, -1]] * MANY_ROWS)


@pytest.mark.parametrize("shift", [-1000.0, 1e4, 2.0**100])
@pytest.mark.parametrize("name", NORMALISED)
def test_constant_shift_changes_nothing(backend: Arrays, name: str, shift: float) -> None:
    step = max(np.spacing(np.abs(shift)), 2.0**-20)  # logits on a grid on which adding the shift is exact
    x = again(np.array([[0, 1, -3, 7], [2, 2, 0, -5]]), MANY_ROWS) * step * 1024
    expected = backend.get(op(name)(backend.put(x)))
    assert_same_bits(backend.get(op(name)(backend.put(x + shift))), expected)


@pytest.mark.parametrize("shift", [-1000.0, 1e4])
def test_constant_shift_changes_no_loss(backend: Arrays, shift: float) -> None:
    x, labels = (again(np.array(rows), MANY_ROWS) for rows in ([[0.0, 1, -3, 7], [2, 2, 0, -5]], [1, 2]))
    expected_losses, expected_grad = cross_entropy(backend, backend.put(x), labels)
    losses, grad = cross_entropy(backend, backend.put(x + shift), labels)
    assert_same_bits(losses, expected_losses)
    assert_same_bits(grad, expected_grad)


# ---- zero rows: an empty result, and a mean of 0


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_zero_rows(backend: Arrays, dtype: type) -> None:
    x = backend.xp.zeros((0, 5), dtype)
    for name in NORMALISED:
        assert_same_bits(backend.get(op(name)(x)), np.zeros((0, 5), dtype))
        assert_same_bits(backend.get(op(f"{name}_backward")(x, x)), np.zeros((0, 5), dtype))
    assert_same_bits(backend.get(ops.logsumexp(x)), np.zeros(0, dtype))
    kind = loss_dtype(dtype)
    for reduction, expected in (("mean", kind(0)), ("sum", kind(0)), ("none", np.zeros(0, kind))):
        loss, grad = cross_entropy(backend, x, [], reduction)
        assert_same_bits(loss, expected)
        assert_same_bits(grad, np.zeros((0, 5), dtype))
    assert ops.accuracy(x, backend.put([], np.int64)) == 0
    assert_same_bits(backend.get(ops.one_hot(backend.put([], np.int64), 5, dtype=dtype)), np.zeros((0, 5), dtype))


# ---- zero classes: ValueError for losses, empty for softmax, -inf for logsumexp


@pytest.mark.parametrize("shape", [(3, 0), (0, 0)])
def test_zero_classes(backend: Arrays, shape: tuple[int, int]) -> None:
    x = backend.xp.zeros(shape)
    for name in NORMALISED:
        assert_same_bits(backend.get(op(name)(x)), np.zeros(shape))
        assert_same_bits(backend.get(op(f"{name}_backward")(x, x)), np.zeros(shape))
    assert_same_bits(backend.get(ops.logsumexp(x)), np.full(shape[0], -INF))
    assert_same_bits(backend.get(ops.logsumexp(x, keepdims=True)), np.full((shape[0], 1), -INF))
    labels = backend.xp.zeros(shape[0], np.int64)
    for loss in (ops.softmax_cross_entropy, ops.softmax_cross_entropy_with_grad):
        with pytest.raises(ValueError, match=r"^logits must have at least one class; got shape "):
            loss(x, labels)
    with pytest.raises(ValueError, match=r"^logits must have shape .* with at least one class; got shape "):
        ops.accuracy(x, labels)
    with pytest.raises(ValueError, match=r"^num_classes must be a positive integer; got 0$"):
        ops.one_hot(labels, 0)


# ---- soft target 0 on a -inf logit: contributes 0


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_soft_target_0_on_a_minus_infinite_logit(backend: Arrays, dtype: type) -> None:
    logits = backend.put([[0, -INF, 0]] * MANY_ROWS, dtype)
    loss, grad = ops.softmax_cross_entropy_with_grad(logits, backend.put([[0.5, 0, 0.5]] * MANY_ROWS, dtype))
    assert_ulp(backend.get(loss), np.array(math.log(2)), ulp_of_many(backend))
    assert_same_bits(backend.get(grad), np.zeros((MANY_ROWS, 3), dtype))
    targets = backend.put([[0.5, 0.25, 0.25]] * MANY_ROWS, dtype)
    assert backend.get(ops.softmax_cross_entropy(logits, targets)) == INF


# ---- wrong shape, dtype, backend, read-only out: an error that says what was expected and what arrived


def test_wrong_shape_dtype_backend_and_read_only_out(backend: Arrays) -> None:
    x, out = backend.put(np.zeros((2, 3))), backend.put(np.full((2, 3), 7.0))
    elsewhere = type("ndarray", (), {"__module__": "elsewhere", "__cuda_array_interface__": {}, "__dlpack__": None})()
    here = "CuPy" if backend.backend.name == "gpu" else "NumPy"
    calls: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: ops.softmax(x, out=out[:1]), ValueError, r"^out must have shape \(2, 3\), .*; got shape \(1, 3\)$"),
        (lambda: ops.softmax_backward(x, x[:1]), ValueError, r"^grad must have shape \(1, 3\), as y has; got "),
        (lambda: ops.softmax(x.astype(np.float32), out=out), TypeError, r"^out must be float32, .*; got float64$"),
        (
            lambda: ops.softmax(x.astype(complex), out=out),
            TypeError,
            r"^x must be an array of .*; got complex128$",
        ),
        (lambda: ops.softmax(x, out=[1.0]), TypeError, r"^out must be a \w+\.ndarray to write to; got list$"),
    ]
    if here == "NumPy":
        calls.append(
            (lambda: ops.softmax_backward(x, elsewhere), TypeError, r"^y is .* array and grad a NumPy array; ")
        )
        frozen = np.broadcast_to(0.0, (2, 3))
        calls.append((lambda: ops.softmax(x, out=frozen), ValueError, r"^out is read-only; pass an array that can be"))
    for call, error, message in calls:
        with pytest.raises(error, match=message):
            call()
    assert (backend.get(out) == 7).all()


# ---- label out of range: ValueError, and nothing is read or written out of bounds without the check


@pytest.mark.parametrize("label", [3, -1, 2**40])
def test_label_out_of_range_raises_the_same_everywhere(backend: Arrays, label: int) -> None:
    logits, labels = backend.put(np.zeros((2, 3))), backend.put([0, label], np.int64)
    calls: list[Callable[[], Any]] = [
        lambda: ops.softmax_cross_entropy(logits, labels),
        lambda: ops.softmax_cross_entropy_with_grad(logits, labels),
        lambda: ops.accuracy(logits, labels),
        lambda: ops.count_correct(logits, labels),
        lambda: ops.one_hot(labels, 3),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"^labels must lie in \[0, 3\); found {label} at row 1$"):
            call()


@pytest.mark.parametrize("label", [3, -1, 2**40])
def test_label_out_of_range_unchecked_reads_and_writes_nothing_beyond(backend: Arrays, label: int) -> None:
    memory = backend.put(np.full((MANY_ROWS + 2, 3), 7.0))
    logits, labels = memory[1:-1], backend.put([0, label] * (MANY_ROWS // 2), np.int64)
    loss, grad = ops.softmax_cross_entropy_with_grad(logits, labels, validate=False, out=logits)
    assert np.isnan(backend.get(loss))
    np.testing.assert_array_equal(np.isnan(backend.get(grad)), [[False] * 3, [True] * 3] * (MANY_ROWS // 2))
    assert (backend.get(memory)[[0, -1]] == 7).all()


def test_an_infinite_loss_makes_the_mean_infinite(backend: Arrays) -> None:
    x = backend.put([[0, -INF, 0], [1, 2, 3]] * (MANY_ROWS // 2), np.float64)
    labels = backend.put([1, 0] * (MANY_ROWS // 2), np.int64)
    for reduction in ("mean", "sum"):
        assert backend.get(ops.softmax_cross_entropy(x, labels, reduction=reduction)) == INF


def test_exact_results_next_to_a_subnormal(backend: Arrays) -> None:
    # The smallest numbers are numbers, not zeros: flushing them would lose the tail of a softmax.
    x = np.array([0.0, -100.0, -103.0, -104.0], np.float32)
    y = backend.get(ops.softmax(backend.put(x)))
    assert_ulp(y, reference.softmax(reference.exactly(x)), 1)
    assert y[1] > 0
    assert y[2] > 0
