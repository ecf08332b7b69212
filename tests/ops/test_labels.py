"""Labels and rows of pixels: one_hot, accuracy, count_correct and gather_scale, and the indices they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerics import FLOATS, MANY_ROWS, Arrays, assert_same_bits, assert_ulp, layouts, one_quick, quick

from softgrad import ops

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]

# ---- one_hot


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (0, 2), (5000,)])  # 5000 x 10 is above the threshold
def test_one_hot(backend: Arrays, shape: tuple[int, ...], dtype: type) -> None:
    labels = np.random.default_rng(0).integers(0, 10, shape)
    result = backend.get(ops.one_hot(backend.put(labels), 10, dtype=dtype))
    assert_same_bits(result, reference.one_hot(np.asarray(labels), 10).astype(dtype))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_one_hot_of_every_integer_dtype(backend: Arrays, dtype: type) -> None:
    labels = backend.put([2, 0, 1], dtype)
    assert_same_bits(backend.get(ops.one_hot(labels, 3)), np.eye(3)[[2, 0, 1]])


def test_one_hot_writes_into_out(backend: Arrays) -> None:
    memory = backend.xp.full((4, 7), 7, np.float32)
    out = memory[::2, 1::2]  # strided
    assert ops.one_hot(backend.put([2, 0]), 3, dtype=np.float32, out=out) is out
    np.testing.assert_array_equal(backend.get(out), [[0, 0, 1], [1, 0, 0]])
    assert (backend.get(memory)[1::2] == 7).all(), "written outside out"
    assert (backend.get(memory)[:, ::2] == 7).all(), "written outside out"


BAD_ONE_HOT: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    ([0, 3], 3, {}, ValueError, "labels must lie in [0, 3); found 3 at row 1"),
    ([-1], 3, {}, ValueError, "labels must lie in [0, 3); found -1 at row 0"),
    ([0.0], 3, {}, TypeError, "labels must be an array of integers; got float64"),
    ([True], 3, {}, TypeError, "labels must be an array of integers; got bool"),
    ([0], 0, {}, ValueError, "num_classes must be a positive integer; got 0"),
    ([0], -2, {}, ValueError, "num_classes must be a positive integer; got -2"),
    ([0], 2.0, {}, TypeError, "num_classes must be a positive integer; got float"),
    ([0], True, {}, TypeError, "num_classes must be a positive integer; got bool"),
    ([0], 2, {"dtype": np.int32}, TypeError, "dtype must be float16, bfloat16, float32 or float64; got int32"),
    ([0], 2, {"dtype": complex}, TypeError, "dtype must be float16, bfloat16, float32 or float64; got complex128"),
    ([0], 2, {"out": np.zeros((1, 3))}, ValueError,
     "out must have shape (1, 2), as the result has; got shape (1, 3)"),
    ([0], 2, {"out": np.zeros((1, 2), np.float32)}, TypeError,
     "out must be float64, as the result is; got float32"),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "classes", "options", "error", "message"), BAD_ONE_HOT)
def test_bad_arguments_of_one_hot_raise(
    labels: Any, classes: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        ops.one_hot(labels, classes, **options)
    assert str(raised.value) == message


def test_one_hot_in_another_byte_order() -> None:  # which only NumPy has
    assert_same_bits(ops.one_hot([1], 2, dtype=">f4").astype(np.float32), np.array([[0, 1]], np.float32))


# ---- accuracy


@pytest.mark.parametrize("dtype", [*FLOATS, np.int8])
@pytest.mark.parametrize("shape", [(1, 1), (20, 3), (MANY_ROWS, 17), (5000, 10), (3, 5000)])
def test_accuracy(backend: Arrays, shape: tuple[int, int], dtype: type) -> None:
    rng = np.random.default_rng(1)
    logits = rng.integers(-20, 20, shape).astype(dtype)  # with ties, of which the first counts
    labels = np.where(rng.random(shape[0]) < 0.5, logits.argmax(axis=1), rng.integers(0, shape[1], shape[0]))
    found = float(ops.accuracy(backend.put(logits), backend.put(labels)))
    assert found == reference.accuracy(logits, labels)
    assert ops.count_correct(backend.put(logits), backend.put(labels)) == round(found * shape[0])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_row_with_nan_is_not_correct(backend: Arrays, place: int) -> None:
    logits = np.array([[1.0, 3, 2], [1, 3, 2]])
    logits[1, place] = np.nan
    for label in range(3):
        assert ops.count_correct(backend.put(logits), backend.put([1, label])) == 1


def test_infinities_are_compared_like_numbers(backend: Arrays) -> None:
    logits = backend.put([[-np.inf, -np.inf], [-np.inf, 0], [np.inf, 0], [np.inf, np.inf]])
    assert ops.count_correct(logits, backend.put([0, 1, 0, 0])) == 4


@given(logits=arrays(np.float32, (6, 4), elements=st.floats(width=32, allow_nan=False)), data=st.data())
def test_accuracy_of_any_logits(backend: Arrays, logits: np.ndarray, data: st.DataObject) -> None:
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6)))
    assert ops.accuracy(backend.put(logits), backend.put(labels)) == reference.accuracy(logits, labels)


@pytest.mark.parametrize("layout", range(8))
def test_layout_of_logits_does_not_matter_to_accuracy(layout: int) -> None:
    rng = np.random.default_rng(2)
    name, view = list(layouts(rng.normal(size=(6, 4)).astype(np.float32)))[layout]
    labels = rng.integers(0, 4, 6)
    assert ops.accuracy(view, labels) == reference.accuracy(np.array(view), labels), name


BAD_ACCURACY: list[tuple[Any, Any, type[Exception], str]] = [
    (np.zeros((2, 3)), [0, 3], ValueError, "labels must lie in [0, 3); found 3 at row 1"),
    (np.zeros((2, 3)), [0.0, 1.0], TypeError, "labels must be an array of integers; got float64"),
    (
        np.zeros((2, 3)),
        [[0, 1, 0], [1, 0, 0]],
        ValueError,
        "labels must have shape (2,), one label for each row; got shape (2, 3); of one-hot rows give their argmax(-1)",
    ),
    (np.zeros((2, 3)), [0], ValueError, "labels must have shape (2,), one label for each row; got shape (1,)"),
    (np.zeros(3), [0], ValueError, "logits must have shape (N, C) with at least one class; got shape (3,)"),
    (np.zeros((2, 0)), [0, 0], ValueError, "logits must have shape (N, C) with at least one class; got shape (2, 0)"),
]


@pytest.mark.parametrize(("logits", "labels", "error", "message"), BAD_ACCURACY)
def test_bad_arguments_of_accuracy_raise(logits: Any, labels: Any, error: type[Exception], message: str) -> None:
    for function in (ops.accuracy, ops.count_correct):
        with pytest.raises(error) as raised:
            function(logits, labels)
        assert str(raised.value) == message


@pytest.mark.parametrize("classes", [3, 40])  # a tile of rows, and rows one by one
def test_without_validation_a_label_outside_the_classes_is_not_correct(backend: Arrays, classes: int) -> None:
    logits, labels = backend.put(np.zeros((4, classes))), backend.put([0, -1, classes, 2**40])
    assert ops.count_correct(logits, labels, validate=False) == 1
    assert ops.accuracy(logits, labels, validate=False) == 0.25


# ---- gather_scale


def test_without_validation_an_index_outside_the_rows_stands_for_the_nearest(backend: Arrays) -> None:
    x = backend.put(np.array([[1, 2], [3, 4], [5, 6]]), np.uint8)
    indices = backend.put([0, -7, 3, 2**40])
    found = backend.get(ops.gather_scale(x, indices, validate=False))
    np.testing.assert_array_equal(found, [[1, 2], [1, 2], [5, 6], [5, 6]])
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 0\)"):
        ops.gather_scale(x[:0], indices, validate=False)


# Pixels to both dtypes, integers and booleans to one, floats to their own.
DTYPE_PAIRS = [
    (np.uint8, np.float32),
    (np.uint8, np.float64),
    (np.int32, np.float64),
    (np.bool_, np.float32),
    (np.float32, np.float32),
    (np.float64, np.float64),
]


@pytest.mark.parametrize(("dtype", "out_dtype"), DTYPE_PAIRS)
@pytest.mark.parametrize("shape", one_quick([(5, 7), (600, 70)]))  # below and above the parallel threshold
def test_gather_scale(backend: Arrays, shape: tuple[int, int], dtype: type, out_dtype: type) -> None:
    rows, columns = shape
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (50, columns)).astype(dtype)
    indices = rng.integers(0, 50, rows)
    scale, shift = out_dtype(1 / 255), out_dtype(-0.5)
    found = ops.gather_scale(backend.put(x), backend.put(indices), scale=scale, shift=shift, dtype=out_dtype)
    assert found.dtype == out_dtype
    exact = reference.gather_scale(x, indices, float(scale), float(shift))
    # One rounding, at the end. The float64 reference has two, of which the one is of the product.
    assert_ulp(backend.get(found), exact, 0.5 if out_dtype == np.float32 else 1.0, floor=0.5)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.uint8, np.float64), (np.float16, np.float64), (np.float32, np.float32), (np.float64, np.float64)],
)
def test_gather_scale_takes_the_dtype_of_out_or_x(backend: Arrays, dtype: type, expected: type) -> None:
    x = backend.put([[1, 2], [3, 4]], dtype)
    indices = backend.put([1])
    out = backend.xp.zeros((1, 2), np.float32)
    assert ops.gather_scale(x, indices, out=out) is out
    np.testing.assert_array_equal(backend.get(out), [[3, 4]])
    found = ops.gather_scale(x, indices)
    assert found.dtype == expected
    np.testing.assert_array_equal(backend.get(found), [[3, 4]])


@pytest.mark.parametrize("layout", range(8))
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_layout_of_pixels_does_not_matter(dtype: type, layout: int) -> None:
    x = np.random.default_rng(4).integers(0, 256, (6, 4)).astype(dtype)
    name, view = list(layouts(x))[layout]
    found = ops.gather_scale(view, [5, 0, 0, 3], scale=0.5)
    np.testing.assert_array_equal(found, np.array(view)[[5, 0, 0, 3]] * 0.5, name)


def test_gather_scale_into_strided_and_overlapping_memory(backend: Arrays) -> None:
    x = np.random.default_rng(5).normal(size=(4, 3))
    indices = backend.put([3, 2, 1, 0])
    expected = x[::-1] * 2 + 1
    out = backend.xp.zeros((3, 4)).T
    assert ops.gather_scale(backend.put(x), indices, scale=2, shift=1, out=out) is out
    np.testing.assert_array_equal(backend.get(out), expected)
    own = backend.put(x)  # row 0 is written before it is read for row 3
    ops.gather_scale(own, indices, scale=2, shift=1, out=own)
    np.testing.assert_array_equal(backend.get(own), expected)


def test_gather_nothing(backend: Arrays) -> None:
    none = backend.put([], np.int64)
    assert ops.gather_scale(backend.put(np.zeros((4, 3))), none).shape == (0, 3)
    assert ops.gather_scale(backend.put(np.zeros((0, 3))), none).shape == (0, 3)
    assert ops.gather_scale(backend.put(np.zeros((4, 0))), backend.put([1, 2])).shape == (2, 0)


M = np.full((4, 3), 5, np.uint8)
BAD_GATHER: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    (M, [0, 4], {}, ValueError, "indices must lie in [0, 4); found 4 at row 1"),
    (M, [-1], {}, ValueError, "indices must lie in [0, 4); found -1 at row 0"),
    (M[:0], [0], {}, ValueError, "indices must lie in [0, 0); found 0 at row 0"),
    (M, [[0]], {}, ValueError, "indices must have shape (B,); got shape (1, 1)"),
    (M, [0.0], {}, TypeError, "indices must be an array of integers; got float64"),
    (M[0], [0], {}, ValueError, "x must be a matrix, a row for each index to choose; got shape (3,)"),
    (M.astype(complex), [0], {}, TypeError,
     "x must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got complex128"),
    (M, [0], {"dtype": int}, TypeError, "dtype must be float16, bfloat16, float32 or float64; got int64"),
    (M, [0], {"scale": "1"}, TypeError, "scale must be a number; got str"),
    (M, [0], {"scale": np.nan}, ValueError, "scale must be a finite float64 number; got nan"),
    (M, [0], {"shift": 1e39, "dtype": np.float32}, ValueError, "shift must be a finite float32 number; got 1e+39"),
    (M, [0], {"out": np.full((1, 4), 7.0)}, ValueError,
     "out must have shape (1, 3), as the result has; got shape (1, 4)"),
    (M, [0], {"out": np.full((1, 3), 7.0), "dtype": np.float32}, TypeError,
     "out must be float32, as the result is; got float64"),
    (M, [0], {"out": [[7.0] * 3]}, TypeError, "out must be a numpy.ndarray to write to; got list"),
    (M, [9], {"out": np.full((1, 3), 7.0)}, ValueError, "indices must lie in [0, 4); found 9 at row 0"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "indices", "options", "error", "message"), BAD_GATHER)
def test_bad_arguments_of_gather_scale_raise_and_leave_out_alone(
    x: Any, indices: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        ops.gather_scale(x, indices, **options)
    assert str(raised.value) == message
    assert (np.asarray(options.get("out", 7)) == 7).all()


def test_what_does_not_fit_the_memory_is_an_error_that_names_its_size_and_no_more(backend: Arrays) -> None:
    labels = backend.put([0, 0, 0])
    with pytest.raises(MemoryError, match=r"\d"):
        ops.one_hot(labels, 1 << 45)
    assert_same_bits(backend.get(ops.one_hot(labels[:1], 2)), np.array([[1.0, 0.0]]))
