"""The softmax family over an axis that is not the last: held to the reference, and to the kernels of rows."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from numerics import KERNEL_DTYPES, Arrays, assert_same_bits, assert_ulp, layouts, one_quick, quick, spiky

from softgrad import ops
from softgrad.ops import axes

NORMALISED = ["softmax", "log_softmax"]
FORWARDS = [*NORMALISED, "logsumexp"]
BACKWARDS = ["softmax_backward", "log_softmax_backward"]

# (outer, classes, inner): classes that are one, fewer and more than a block of rows, or many blocks; columns that are
# fewer than a vector has lanes, just as many, or end inside one, and more than one strip of them.
SHAPES = [
    (1, 1, 2), (3, 2, 3), (1, 10, 15), (2, 10, 16), (5, 10, 17), (1, 257, 40), (2, 1000, 3), (1, 1000, 17),
    (1, 9, 1500),
]  # fmt: skip

ULP = 4  # as in the tests of rows


FEWEST_COLUMNS = 2


@pytest.fixture(autouse=True)
def _columns_however_few(monkeypatch: pytest.MonkeyPatch, backend: Arrays) -> None:
    """Here columns are taken as they lie where a copy would be quicker, too."""
    monkeypatch.setattr(backend.backend.kernels, "FEWEST_COLUMNS", FEWEST_COLUMNS)


def op(name: str) -> Callable[..., Any]:
    return getattr(ops, name)


def spiky_columns(shape: tuple[int, int, int], dtype: Any = np.float64) -> np.ndarray:
    """Logits as `spiky` makes them, of each column."""
    outer, classes, inner = shape
    rows = spiky(np.random.default_rng(math.prod(shape)), (outer, inner, classes), dtype)
    return np.ascontiguousarray(rows.swapaxes(1, 2))


def by_rows(backend: Arrays, name: str, *arguments: np.ndarray, **options: Any) -> np.ndarray:
    """The op over axis 1, computed by the kernels of rows on a copy whose axis 1 is the last."""
    copies = (backend.put(np.ascontiguousarray(argument.swapaxes(1, -1))) for argument in arguments)
    result = backend.get(op(name)(*copies, **options))
    return result if name == "logsumexp" else result.swapaxes(1, -1)


def check_backward(result: np.ndarray, name: str, grad: np.ndarray, y: np.ndarray, temperature: float = 1.0) -> None:
    """Hold a backward to the reference, in ULP of the terms that cancel in it."""
    grad, y = reference.exactly(grad), reference.exactly(y)
    exact = getattr(reference, name)(grad, y, axis=1, temperature=reference.exactly(temperature).item())
    if name == "softmax_backward":
        floor = y * (abs(grad) + (abs(grad) * y).sum(axis=1, keepdims=True)) / temperature
    else:
        floor = (abs(grad) + reference.exp(y) * abs(grad.sum(axis=1, keepdims=True))) / temperature
    assert_ulp(result, exact, ULP, floor=floor)


# ---- values


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("shape", quick(SHAPES, *SHAPES[:5]))
@pytest.mark.parametrize("name", FORWARDS)
def test_forward_is_exact(backend: Arrays, name: str, shape: tuple[int, int, int], dtype: type) -> None:
    x = spiky_columns(shape, dtype)
    result = backend.get(op(name)(backend.put(x), axis=1))
    assert result.dtype == dtype
    assert result.flags.c_contiguous
    assert_ulp(result, getattr(reference, name)(reference.exactly(x), axis=1), ULP)
    assert_ulp(result, by_rows(backend, name, x), ULP)


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("shape", quick(SHAPES, *SHAPES[:5]))
@pytest.mark.parametrize("name", BACKWARDS)
def test_backward_is_exact(backend: Arrays, name: str, shape: tuple[int, int, int], dtype: type) -> None:
    grad = np.random.default_rng(1).normal(size=shape).astype(dtype)
    y = backend.get(op(name.removesuffix("_backward"))(backend.put(spiky_columns(shape, dtype)), axis=1))
    result = backend.get(op(name)(backend.put(grad), backend.put(y), axis=1))
    assert result.dtype == dtype
    assert result.flags.c_contiguous
    check_backward(result, name, grad, y)


@pytest.mark.parametrize("temperature", [0.25, 3.0])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("name", NORMALISED)
def test_temperature_divides_the_logits(backend: Arrays, name: str, temperature: float, dtype: type) -> None:
    x = spiky_columns((2, 21, 19), dtype)
    result = backend.get(op(name)(backend.put(x), axis=1, temperature=temperature))
    exact = getattr(reference, name)(
        reference.exactly(x), axis=1, temperature=reference.exactly(dtype(temperature)).item()
    )
    distance = np.abs(x.astype(np.float64) - x.max(axis=1, keepdims=True)) / temperature
    assert_ulp(result, exact, ULP + distance)  # as in the test of rows: (x - max(x)) / T is rounded

    grad = np.random.default_rng(2).normal(size=x.shape).astype(dtype)
    backward = op(f"{name}_backward")
    check_backward(
        backend.get(backward(backend.put(grad), backend.put(result), axis=1, temperature=temperature)),
        f"{name}_backward", grad, result, temperature,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, math.inf])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("name", NORMALISED)
def test_limits_of_the_temperature_are_those_of_rows(
    backend: Arrays, name: str, temperature: float, dtype: type
) -> None:
    x = np.random.default_rng(3).integers(-3, 3, (2, 21, 19)).astype(dtype)  # with ties
    x[:, ::4] = -np.inf
    result = op(name)(backend.put(x), axis=1, temperature=temperature)
    assert_same_bits(backend.get(result), by_rows(backend, name, x, temperature=temperature))
    gradient = op(f"{name}_backward")(backend.put(np.ones_like(x)), result, axis=1, temperature=temperature)
    np.testing.assert_array_equal(backend.get(gradient), 0)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0, math.inf])
@pytest.mark.parametrize("name", FORWARDS)
def test_infinities_and_nan_stay_in_their_column(backend: Arrays, name: str, temperature: float) -> None:
    if name == "logsumexp" and temperature != 1:
        return
    options = {} if name == "logsumexp" else {"temperature": temperature}
    x = spiky_columns((2, 20, 24), np.float64)
    for column, values in enumerate([(math.nan,), (math.inf,), (-math.inf,), (math.inf, math.nan), (math.inf,) * 2]):
        x[0, 11 : 11 + len(values), 3 * column] = values
    x[0, :, 15], x[0, :, 17], x[0, :, 19], x[0, :, 21] = -math.inf, math.inf, math.nan, 3.0
    x[0, 5, 15], x[1, 0, 0], x[1, -1, 23] = -math.inf, math.nan, math.inf

    result = backend.get(op(name)(backend.put(x), axis=1, **options))
    assert_ulp(result, by_rows(backend, name, x, **options), ULP)
    bad = np.isnan(x).any(axis=1) | np.isposinf(x).any(axis=1) | np.isneginf(x).all(axis=1)
    assert bad.sum() == 9
    if name != "logsumexp":
        np.testing.assert_array_equal(np.isnan(result).any(axis=1), bad)


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_small_losses_stay_exact(backend: Arrays, dtype: type) -> None:
    # One class holds nearly all: log(1 + rest) with a rest far below the precision of 1 + rest.
    x = np.zeros((3, 18), dtype)
    x[1] = np.arange(18) * 2 + 20
    log_y = backend.get(ops.log_softmax(backend.put(x), axis=0))
    assert (log_y[1] < 0).all()
    assert_ulp(log_y, reference.log_softmax(reference.exactly(x), axis=0), ULP)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_probabilities_of_262144_classes_sum_to_one(backend: Arrays, dtype: type, spread: float) -> None:
    x = np.random.default_rng(4).normal(0, spread, (262_144, 2)).astype(dtype)
    y = backend.get(ops.softmax(backend.put(x), axis=0))
    for column in y.T:
        assert abs(math.fsum(column.tolist()) - 1) <= 4 * np.finfo(dtype).eps


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FORWARDS, *BACKWARDS])
def test_bits_do_not_depend_on_the_place(backend: Arrays, name: str) -> None:
    x = spiky_columns((2, 30, 2100), np.float32)  # above the parallel threshold, and several strips
    arguments = (x, np.ascontiguousarray(x[::-1]) - 20) if name in BACKWARDS else (x,)
    whole = backend.get(op(name)(*map(backend.put, arguments), axis=1))
    for start, stop in ((0, 2), (1, 24), (1000, 1040), (2097, 2100)):
        parts = (backend.put(argument[1:, :, start:stop]) for argument in arguments)
        assert_same_bits(backend.get(op(name)(*parts, axis=1)), whole[1:, ..., start:stop], f"{start} to {stop}")


@pytest.mark.parametrize("shape", [(0, 3, 20), (2, 0, 20), (2, 3, 0)])
def test_nothing_in_nothing_out(backend: Arrays, shape: tuple[int, int, int]) -> None:
    x = backend.put(np.zeros(shape, np.float64))
    for name in NORMALISED:
        assert op(name)(x, axis=1).shape == shape
        assert op(f"{name}_backward")(x, x, axis=1).shape == shape
    result = backend.get(ops.logsumexp(x, axis=1))
    assert_same_bits(result, np.full((shape[0], shape[2]), -math.inf, np.float64))


# ---- axes and memory


@pytest.mark.parametrize(
    ("shape", "axis", "alone"),
    [
        ((6, 5, 4), (0, 1), (1, 30, 4)),
        ((3, 4, 5, 6), (1, 2), (3, 20, 6)),
        ((3, 4, 5, 6), (2, 1), (3, 20, 6)),
        ((3, 4, 5, 6), 1, (3, 4, 30)),
        ((3, 1, 7, 6), (0, 2), (1, 21, 6)),
        ((1, 9, 1, 6), (0, 1), (1, 9, 6)),
        ((9, 6), (0,), (1, 9, 6)),
    ],
)
def test_neighbouring_axes_are_one(backend: Arrays, shape: tuple[int, ...], axis: Any, alone: tuple[int, ...]) -> None:
    rows = axes.Rows(shape, axis, FEWEST_COLUMNS)
    assert rows.columns
    assert rows.view_shape == alone
    x = np.random.default_rng(5).normal(size=shape)
    y = backend.get(ops.softmax(backend.put(x), axis=axis))
    assert_same_bits(y.reshape(alone), backend.get(ops.softmax(backend.put(x.reshape(alone)), axis=1)))
    sums = backend.get(ops.logsumexp(backend.put(x), axis=axis, keepdims=True))
    np.testing.assert_allclose(np.exp(sums), np.exp(x).sum(axis=axis, keepdims=True), rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "axis", "columns", "moved"),
    [
        ((5, 1), 0, False, False),  # a column is a row of its own
        ((5, 3, 1), (1, 2), False, False),
        ((5, 3), (), False, False),
        ((3, 4, 5), (0, 2), False, True),
        ((3, 4, 5), 2, False, False),
    ],
)
def test_other_axes_are_rows(shape: tuple[int, ...], axis: Any, columns: bool, moved: bool) -> None:
    rows = axes.Rows(shape, axis, FEWEST_COLUMNS)
    assert (rows.columns, rows.moved) == (columns, moved)


@pytest.mark.parametrize("name", FORWARDS)
def test_layout_does_not_matter(backend: Arrays, name: str) -> None:
    x = spiky_columns((3, 7, 20), np.float64)
    for layout, view in layouts(x, backend.xp):
        expected = op(name)(backend.put(view, np.float64), axis=1)
        result = op(name)(view, axis=1)
        assert result.flags.c_contiguous
        assert_same_bits(backend.get(result), backend.get(expected), layout)
        if name != "logsumexp":
            backward = op(f"{name}_backward")
            expected_grad = backend.get(backward(expected, expected, axis=1))
            assert_same_bits(backend.get(backward(result, expected, axis=1)), expected_grad, layout)


@pytest.mark.parametrize("shape", one_quick([(3, 7, 20), (2, 300, 130)]))  # below and above the parallel threshold
@pytest.mark.parametrize("name", NORMALISED)
def test_out_may_be_the_input(backend: Arrays, name: str, shape: tuple[int, int, int]) -> None:
    values = spiky_columns(shape)
    expected = backend.get(op(name)(backend.put(values), axis=1))
    x = backend.put(values)
    assert op(name)(x, axis=1, out=x) is x
    assert_same_bits(backend.get(x), expected)

    grads = np.random.default_rng(6).normal(size=shape)
    expected_grad = backend.get(op(f"{name}_backward")(backend.put(grads), backend.put(expected), axis=1))
    for which in (0, 1):
        arguments = (backend.put(grads), backend.put(expected))
        op(f"{name}_backward")(*arguments, axis=1, out=arguments[which])
        assert_same_bits(backend.get(arguments[which]), expected_grad)


@pytest.mark.parametrize("name", FORWARDS)
def test_out_may_be_strided(backend: Arrays, name: str) -> None:
    x = spiky_columns((3, 7, 20))
    expected = backend.get(op(name)(backend.put(x), axis=1))
    memory = backend.xp.full(tuple(2 * size + 1 for size in expected.shape), 7.0)
    out = memory[tuple(slice(1, None, 2) for _ in expected.shape)]
    assert op(name)(backend.put(x), axis=1, out=out) is out
    assert_same_bits(backend.get(out), expected)
    assert (backend.get(memory)[::2] == 7).all(), "written outside out"

    fortran = backend.xp.asfortranarray(backend.xp.full(expected.shape, 7.0))
    assert op(name)(backend.put(x), axis=1, out=fortran) is fortran
    assert_same_bits(backend.get(fortran), expected)


@pytest.mark.parametrize("name", [*FORWARDS, *BACKWARDS])
def test_nothing_is_copied(name: str) -> None:  # NumPy tells tracemalloc what it allocates
    x = np.random.default_rng(7).normal(size=(50, 2000)).astype(np.float64)
    arguments = (x, x - 10) if name in BACKWARDS else (x,)
    result = op(name)(*arguments, axis=0)  # compiles
    tracemalloc.start()
    try:
        op(name)(*arguments, axis=0, out=result)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 10
