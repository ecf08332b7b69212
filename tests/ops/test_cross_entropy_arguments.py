"""What cross-entropy is given: labels, always checked, bounds always kept; shapes, dtypes and `out`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numerics import MANY_ROWS, Arrays, assert_same_bits, labelled_logits, one_quick

from softgrad import ops


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64])
def test_labels_of_every_integer_dtype(backend: Arrays, dtype: type) -> None:
    logits, labels = labelled_logits(6, 10)
    expected = backend.get(ops.softmax_cross_entropy(backend.put(logits), backend.put(labels)))
    loss = ops.softmax_cross_entropy(backend.put(logits), backend.put(labels, dtype))
    assert_same_bits(backend.get(loss), expected)


def test_big_endian_and_listed_labels() -> None:  # which only NumPy has
    logits, labels = labelled_logits(6, 10)
    expected = ops.softmax_cross_entropy(logits, labels)
    assert ops.softmax_cross_entropy(logits, labels.astype(">i4")) == expected
    assert ops.softmax_cross_entropy(logits.tolist(), labels.tolist()) == expected


BAD_LABELS = [
    ([0, 1, 2, 12, 99], np.int64, "labels must lie in [0, 10); found 12 at row 3"),
    ([0, -1, 2, 3, 4], np.int8, "labels must lie in [0, 10); found -1 at row 1"),
    ([0, 1, 2, 3, 10], np.uint8, "labels must lie in [0, 10); found 10 at row 4"),
    ([2**64 - 1, 1, 2, 3, 4], np.uint64, "labels must lie in [0, 10); found 18446744073709551615 at row 0"),
    ([0, 1, 2**63 + 5, 3, 4], np.uint64, "labels must lie in [0, 10); found 9223372036854775813 at row 2"),
]


@pytest.mark.parametrize(("labels", "dtype", "message"), BAD_LABELS)
def test_bad_label_is_named_before_anything_is_written(
    backend: Arrays, labels: list[int], dtype: type, message: str
) -> None:
    x, out = backend.put(np.zeros((5, 10))), backend.put(np.full((5, 10), 7.0))
    targets = backend.put(np.array(labels, dtype))
    with pytest.raises(ValueError, match="labels must lie in") as raised:
        ops.softmax_cross_entropy_with_grad(x, targets, out=out)
    assert str(raised.value) == message
    assert (backend.get(out) == 7).all()
    with pytest.raises(ValueError, match="labels must lie in"):
        ops.softmax_cross_entropy(x, targets)


@pytest.mark.parametrize("rows", one_quick([6, 5000]))  # below and above the parallel threshold
@pytest.mark.parametrize("bad", [10, -1, 2**62, -(2**63), 11])
def test_without_the_check_a_bad_label_makes_only_its_row_nan(backend: Arrays, bad: int, rows: int) -> None:
    logits, labels = labelled_logits(rows, 10)
    row = rows // 2
    expected_loss, expected = ops.softmax_cross_entropy_with_grad(
        backend.put(logits), backend.put(labels), reduction="none"
    )
    labels[row] = bad
    guarded = backend.xp.full((rows + 2, 10), 7.0)
    losses, grad = ops.softmax_cross_entropy_with_grad(
        backend.put(logits), backend.put(labels), reduction="none", validate=False, out=guarded[1:-1]
    )
    others = np.arange(rows) != row
    losses, grad, guarded = backend.get(losses), backend.get(grad), backend.get(guarded)
    assert np.isnan(losses[row])
    assert np.isnan(grad[row]).all()
    assert_same_bits(losses[others], backend.get(expected_loss)[others])
    assert_same_bits(grad[others], backend.get(expected)[others])
    assert (guarded[[0, -1]] == 7).all(), "written outside out"
    assert np.isnan(backend.get(ops.softmax_cross_entropy(backend.put(logits), backend.put(labels), validate=False)))


BAD_ARGUMENTS: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    (np.zeros((2, 3)), [0.0, 1.0], {}, TypeError, "targets must be an array of integers; got float64"),
    (np.zeros((2, 3)), [True, False], {}, TypeError, "targets must be an array of integers; got bool"),
    (np.zeros((2, 3)), [0, 1, 2], {}, ValueError,
     "targets must have shape (2,), one label for each row; got shape (3,)"),
    (np.zeros((2, 3)), [[0, 1, 0], [1, 0, 0]], {}, ValueError,
     "targets must have shape (2,), one label for each row; got shape (2, 3); of one-hot rows give their argmax(-1), "
     "or floats as probabilities"),
    (np.zeros((2, 3)), [0, -100], {}, ValueError,
     "labels must lie in [0, 3); found -100 at row 1; the losses leave out such rows with ignore_index=-100"),
    (np.zeros((2, 3)), [0, -100], {"ignore_index": -1}, ValueError,
     "labels must lie in [0, 3); found -100 at row 1; the losses leave out such rows with ignore_index=-100"),
    (np.zeros((2, 3)), [[0], [1]], {}, ValueError,
     "targets must have shape (2,), one label for each row; got shape (2, 1)"),
    (np.zeros((2, 3)), 1, {}, ValueError, "targets must have shape (2,), one label for each row; got shape ()"),
    (np.zeros(3), [0], {}, ValueError, "targets must have shape (), one label for each row; got shape (1,)"),
    (np.zeros((2, 3, 4)), [0, 1], {}, ValueError,
     "targets must have shape (2, 4), one label for each row; got shape (2,)"),
    (np.zeros(()), 0, {}, ValueError, "logits must have shape (N, C), (N, C, d1, ...) or (C,); got shape ()"),
    (np.zeros((2, 3, 0)), np.zeros((2, 1)), {}, TypeError, "targets must be an array of integers; got float64"),
    (np.zeros((2, 3)), np.zeros((2, 4)), {}, ValueError,
     "targets must have shape (2, 3), as the logits have, since they are probabilities; got shape (2, 4)"),
    (np.zeros((MANY_ROWS, 3)), np.full((MANY_ROWS, 3), -0.5), {}, ValueError,
     "targets must be finite and not below 0, since they are probabilities"),
    (np.zeros((MANY_ROWS, 3)), np.full((MANY_ROWS, 3), np.nan), {}, ValueError,
     "targets must be finite and not below 0, since they are probabilities"),
    (np.zeros((MANY_ROWS, 3)), np.full((MANY_ROWS, 3), np.inf), {}, ValueError,
     "targets must be finite and not below 0, since they are probabilities"),
    (np.zeros((2, 3)), np.ones((2, 3)), {"ignore_index": 1}, ValueError,
     "ignore_index must be None with probability targets; pass integer labels, or leave it out"),
    (np.zeros((2, 3)), [0, 1], {"ignore_index": 1.5}, TypeError, "ignore_index must be an integer or None; got float"),
    (np.zeros((2, 3)), [0, 1], {"ignore_index": 2**63}, ValueError,
     "ignore_index must be an integer of 64 bits; got 9223372036854775808"),
    (np.zeros((MANY_ROWS, 3)), [*[0] * (MANY_ROWS - 1), 4], {"ignore_index": -1}, ValueError,
     f"labels must lie in [0, 3); found 4 at row {MANY_ROWS - 1}"),
    (np.zeros((MANY_ROWS, 3)), [*[0] * (MANY_ROWS - 1), -1], {"label_smoothing": 0.1}, ValueError,
     f"labels must lie in [0, 3); found -1 at row {MANY_ROWS - 1}"),
    (np.zeros((2, 3)), [0, 1], {"label_smoothing": 1.5}, ValueError, "label_smoothing must lie in [0, 1]; got 1.5"),
    (np.zeros((2, 3)), [0, 1], {"label_smoothing": -0.1}, ValueError,
     "label_smoothing must be a finite float64 number not below 0; got -0.1"),
    (np.zeros((2, 3)), [0, 1], {"label_smoothing": np.nan}, ValueError,
     "label_smoothing must be a finite float64 number not below 0; got nan"),
    (np.zeros((2, 3)), [0, 1], {"label_smoothing": "0.1"}, TypeError, "label_smoothing must be a number; got str"),
    (np.zeros((2, 3)), [0, 1], {"z_loss": -1}, ValueError,
     "z_loss must be a finite float64 number not below 0; got -1"),
    (np.zeros((2, 3)), [0, 1], {"z_loss": np.inf}, ValueError,
     "z_loss must be a finite float64 number not below 0; got inf"),
    (np.zeros((2, 3)), [0, 1], {"softcap": 0}, ValueError, "softcap must be a float64 number above 0, or None; got 0"),
    (np.zeros((2, 3), np.float32), [0, 1], {"softcap": 1e-60}, ValueError,
     "softcap must be a float32 number above 0, or None; got 1e-60"),
    (np.zeros((2, 3)), [0, 1], {"softcap": np.nan}, ValueError, "softcap must be a finite float64 number; got nan"),
    (np.zeros((2, 0)), [0, 0], {}, ValueError, "logits must have at least one class; got shape (2, 0)"),
    (np.zeros((0, 0)), [], {}, ValueError, "logits must have at least one class; got shape (0, 0)"),
    (np.zeros((2, 3)), [0, 1], {"reduction": "max"}, ValueError,
     "reduction must be one of mean, sum, none; got 'max'"),
]  # fmt: skip


@pytest.mark.parametrize(("logits", "labels", "options", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments_raise(
    backend: Arrays, logits: Any, labels: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    x, targets = backend.put(logits), backend.put(labels)
    if targets.size == 0:
        targets = targets.astype(np.int64)
    for function in (ops.softmax_cross_entropy, ops.softmax_cross_entropy_with_grad):
        with pytest.raises(error) as raised:
            function(x, targets, **options)
        assert str(raised.value) == message


BAD_OUTS = [
    ((2, 4), np.float64, ValueError, "out must have shape (2, 3), as the result has; got shape (2, 4)"),
    ((2, 3), np.float32, TypeError, "out must be float64, as the result is; got float32"),
]


@pytest.mark.parametrize(("shape", "dtype", "error", "message"), BAD_OUTS)
def test_bad_out_raises_and_is_left_alone(
    backend: Arrays, shape: tuple[int, int], dtype: type, error: type[Exception], message: str
) -> None:
    out = backend.xp.full(shape, 7, dtype)
    with pytest.raises(error) as raised:
        ops.softmax_cross_entropy_with_grad(backend.put(np.zeros((2, 3))), backend.put([0, 1]), out=out)
    assert str(raised.value) == message
    assert (backend.get(out) == 7).all()


BAD_WEIGHTS: list[tuple[Any, type[Exception], str]] = [
    ([1.0, 2.0], ValueError, "weight must have shape (3,), one for each class; got shape (2,)"),
    ([[1.0, 2.0, 3.0]], ValueError, "weight must have shape (3,), one for each class; got shape (1, 3)"),
    ([1.0, -1.0, 1.0], ValueError, "weight must be finite and not below 0 for each class"),
    ([1.0, np.nan, 1.0], ValueError, "weight must be finite and not below 0 for each class"),
    ([1.0, np.inf, 1.0], ValueError, "weight must be finite and not below 0 for each class"),
    ([1j, 1, 1], TypeError,
     "weight must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got complex128"),
]  # fmt: skip


@pytest.mark.parametrize(("weight", "error", "message"), BAD_WEIGHTS)
def test_bad_weight_raises_before_anything_is_written(
    backend: Arrays, weight: Any, error: type[Exception], message: str
) -> None:
    x, out = backend.put(np.zeros((2, 3))), backend.put(np.full((2, 3), 7.0))
    with pytest.raises(error) as raised:
        ops.softmax_cross_entropy_with_grad(x, backend.put([0, 1]), weight=backend.put(weight), out=out)
    assert str(raised.value) == message
    assert (backend.get(out) == 7).all()


def test_weights_of_any_real_dtype(backend: Arrays) -> None:
    logits, labels = labelled_logits(6, 4, np.float64)
    x, targets = backend.put(logits), backend.put(labels)
    expected = ops.softmax_cross_entropy(x, targets, weight=backend.put([0.0, 1, 1, 1]))
    for dtype in (np.bool_, np.uint8, np.int64, np.float16, np.float32):
        loss = ops.softmax_cross_entropy(x, targets, weight=backend.put([0, 1, 1, 1], dtype))
        assert_same_bits(backend.get(loss), backend.get(expected))


def test_listed_probabilities() -> None:  # which only NumPy has
    logits, targets = [[1.0, 2.0], [0.0, 0.5]], [[0.25, 0.75], [1.0, 0.0]]
    expected = ops.softmax_cross_entropy(np.array(logits), np.array(targets))
    assert_same_bits(ops.softmax_cross_entropy(logits, targets), expected)
