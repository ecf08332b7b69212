"""Softmax, log_softmax and logsumexp against exact arithmetic, over any axis, at any temperature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numerics import (
    FLOATS,
    KERNEL_DTYPES,
    MANY_ROWS,
    Arrays,
    again,
    assert_same_bits,
    assert_ulp,
    one_quick,
    quick,
    spiky,
)

from softgrad import ops

FORWARDS = ["softmax", "log_softmax", "logsumexp"]
NORMALISED = ["softmax", "log_softmax"]

# Classes that reach: no other class; fewer than a vector holds; an odd rest of a vector; many vectors.
CLASSES = [1, 2, 10, 17, 1000]

# exp, the division and the sum each round once or twice; logarithms and differences add as much.
ULP = 4


def op(name: str) -> Callable[..., Any]:
    return getattr(ops, name)


def exact(name: str, x: np.ndarray, **options: Any) -> np.ndarray:
    """The reference in exact arithmetic, of the very numbers in x."""
    return getattr(reference, name)(reference.exactly(x), **options)


# ---- values


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", FORWARDS)
def test_forward_is_exact(backend: Arrays, name: str, classes: int, dtype: type) -> None:
    x = spiky(np.random.default_rng(classes), (5, classes), dtype)
    result = backend.get(op(name)(backend.put(x)))
    assert result.dtype == dtype
    assert_ulp(result, exact(name, x), ULP)
    if classes < 100:
        assert_same_bits(backend.get(op(name)(backend.put(again(x, MANY_ROWS)))), again(result, MANY_ROWS))


@pytest.mark.slow
@pytest.mark.usefixtures("small_arrays_shared")
@pytest.mark.parametrize("name", one_quick(FORWARDS))
@pytest.mark.parametrize("shape", [(700, 64), (2, 40_000), (3, 11_003)])
def test_rows_above_the_parallel_threshold(backend: Arrays, name: str, shape: tuple[int, int]) -> None:
    # More than 128 KiB: many short rows, two that are above the threshold themselves, and an odd number
    # that no number of threads divides evenly. A row has the bits it has alone.
    x = spiky(np.random.default_rng(1), shape, np.float32)
    result = backend.get(op(name)(backend.put(x)))
    for row in (0, shape[0] // 2, shape[0] - 1):
        assert_same_bits(result[row], backend.get(op(name)(backend.put(x[row]))))
    assert_ulp(result, getattr(reference, name)(x.astype(np.float64)), ULP)


@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0, 30.0])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_probabilities_of_262144_classes_sum_to_one(backend: Arrays, dtype: type, spread: float) -> None:
    x = np.random.default_rng(2).normal(0, spread, 262_144).astype(dtype)
    y = backend.get(ops.softmax(backend.put(x)))
    assert abs(math.fsum(y.tolist()) - 1) <= 4 * np.finfo(dtype).eps


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMALISED)
def test_rounding_of_the_shift_is_all_that_grows(backend: Arrays, name: str) -> None:
    # Logits off any grid: x - max(x) is rounded by up to 2^-24 of itself, which exp turns into as many times 2^-24
    # of the result.
    x = np.random.default_rng(3).uniform(-60, 20, (4, 50)).astype(np.float32)
    distance = np.abs(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    allowed = ULP + distance if name == "softmax" else ULP
    assert_ulp(backend.get(op(name)(backend.put(x))), exact(name, x), allowed, inputs=x)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORWARDS)
def test_float16_is_rounded_once(backend: Arrays, name: str) -> None:
    x = spiky(np.random.default_rng(4), (7, 30), np.float16)
    result = backend.get(op(name)(backend.put(x)))
    assert result.dtype == np.float16
    assert_ulp(result, exact(name, x), 0.51)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.bool_])
@pytest.mark.parametrize("name", FORWARDS)
def test_integers_are_computed_in_float64(backend: Arrays, name: str, dtype: type) -> None:
    x = np.random.default_rng(5).integers(0, 9, (4, 6)).astype(dtype)
    result = backend.get(op(name)(backend.put(x)))
    assert_same_bits(result, backend.get(op(name)(backend.put(x, np.float64))))
    assert_ulp(result, exact(name, x), ULP)


# ---- axes

AXES = [-1, 0, 1, 2, -3, (0, 2), (2, 0), (0, 1, 2), (-1,), (), None]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", FORWARDS)
def test_any_axis(backend: Arrays, name: str, axis: Any) -> None:
    x = spiky(np.random.default_rng(6), (3, 4, 5))
    options = {} if name != "logsumexp" else {"keepdims": True}
    result = backend.get(op(name)(backend.put(x), axis=axis, **options))
    assert_ulp(result, exact(name, x, axis=axis, **options), ULP)
    if name == "logsumexp":
        assert_ulp(backend.get(ops.logsumexp(backend.put(x), axis=axis)), exact(name, x, axis=axis), ULP)


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2), (0, 5), 1.0, "x"])
@pytest.mark.parametrize("name", FORWARDS)
def test_axis_that_does_not_exist_raises(backend: Arrays, name: str, axis: Any) -> None:
    message = f"axis must be None, or different integers in [-2, 2) for shape (2, 3); got {axis!r}"
    with pytest.raises((ValueError, TypeError)) as raised:
        op(name)(backend.put(np.zeros((2, 3))), axis=axis)
    assert str(raised.value) == message


# ---- temperature


@pytest.mark.parametrize("temperature", [0.25, 0.7, 3, np.float32(8.0)])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("name", NORMALISED)
def test_temperature_divides_the_logits(backend: Arrays, name: str, temperature: Any, dtype: type) -> None:
    x = spiky(np.random.default_rng(8), (4, 12), dtype)
    exact_temperature = reference.exactly(dtype(temperature)).item()
    expected = exact(name, x, temperature=exact_temperature)
    # Dividing by 0.7 or 3 rounds (x - max(x)) / T, and exp turns that into a relative error.
    distance = np.abs(x.astype(np.float64) - x.max(axis=-1, keepdims=True)) / temperature
    result = backend.get(op(name)(backend.put(x), temperature=temperature))
    assert_ulp(result, expected, ULP + distance)
    many = op(name)(backend.put(again(x, MANY_ROWS)), temperature=temperature)
    assert_same_bits(backend.get(many), again(result, MANY_ROWS))


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_temperature_zero_is_the_arg_max_with_ties(backend: Arrays, dtype: type) -> None:
    x = backend.put([[1, 5, 5, -np.inf], [7, 3, 2, 1], [-np.inf, -4, -4, -4]], dtype)
    y = backend.get(ops.softmax(x, temperature=0))
    assert_same_bits(y, np.array([[0, 0.5, 0.5, 0], [1, 0, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3]]).astype(dtype))
    log_y = backend.get(ops.log_softmax(x, temperature=0))
    with np.errstate(divide="ignore"):
        assert_ulp(log_y, np.log([[0, 0.5, 0.5, 0], [1, 0, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3]]), 1)


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_temperature_infinity_is_uniform_above_minus_infinity(backend: Arrays, dtype: type) -> None:
    x = backend.put([[1, 5, -900, -np.inf], [2, 2, 2, 2]], dtype)
    y = backend.get(ops.softmax(x, temperature=math.inf))
    assert_same_bits(y, np.array([[1 / 3, 1 / 3, 1 / 3, 0], [0.25] * 4]).astype(dtype))
    log_y = backend.get(ops.log_softmax(x, temperature=math.inf))
    assert_ulp(log_y, np.array([[-np.log(3)] * 3 + [-np.inf], [-np.log(4)] * 4]), 1)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1e-45, 1e-300, 5e-324])
def test_tiny_temperature_nears_the_arg_max(backend: Arrays, temperature: float) -> None:
    for dtype in (np.float32, np.float64):  # 1e-300 is 0 in float32
        y = backend.get(ops.softmax(backend.put([1, 5, 5, -9], dtype), temperature=temperature))
        assert_same_bits(y, np.array([0, 0.5, 0.5, 0], dtype))


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMALISED)
def test_huge_logits_at_a_high_temperature_do_not_overflow(backend: Arrays, name: str) -> None:
    # x - max(x) is -6e38, beyond float32; (x - max(x)) / T is not.
    x = np.array([[3e38, -3e38, 0.0]], np.float32)
    temperature = np.float32(1e38)
    expected = exact(name, x, temperature=reference.exactly(temperature).item())
    assert_ulp(backend.get(op(name)(backend.put(x), temperature=temperature)), expected, ULP + 3)


BAD_TEMPERATURES = [
    (-1.0, ValueError, "temperature must be 0 or above; got -1.0"),
    (-math.inf, ValueError, "temperature must be 0 or above; got -inf"),
    (math.nan, ValueError, "temperature must be 0 or above; got nan"),
    ("warm", TypeError, "temperature must be a number; got str"),
    (None, TypeError, "temperature must be a number; got NoneType"),
    (np.ones(2), TypeError, "temperature must be a number; got ndarray"),
]


@pytest.mark.parametrize(("temperature", "error", "message"), BAD_TEMPERATURES)
@pytest.mark.parametrize("name", NORMALISED)
def test_bad_temperature_raises(
    backend: Arrays, name: str, temperature: Any, error: type[Exception], message: str
) -> None:
    x, out = backend.put([1.0, 2.0]), backend.put([7.0, 7.0])
    options = {"temperature": temperature, "out": out}
    for call in (lambda: op(name)(x, **options), lambda: op(f"{name}_backward")(x, x, **options)):
        with pytest.raises(error) as raised:
            call()
        assert str(raised.value) == message
    np.testing.assert_array_equal(backend.get(out), [7, 7])


# ---- any array at all

LOGITS = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([-np.inf, 0.0, -0.0, 1e-45, -3e38, 3e38])
SHAPES = array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6)


@given(x=arrays(np.float32, SHAPES, elements=LOGITS), axis=st.integers(0, 2), data=st.data())
def test_any_logits_give_probabilities(backend: Arrays, x: np.ndarray, axis: int, data: st.DataObject) -> None:
    axis = axis % x.ndim
    y = backend.get(ops.softmax(backend.put(x), axis=axis)).astype(np.float64)
    sums = y.sum(axis=axis)
    alive = (x > -np.inf).any(axis=axis)
    np.testing.assert_array_equal(np.isnan(sums), ~alive)
    np.testing.assert_allclose(sums[alive], 1, atol=4 * np.finfo(np.float32).eps)
    assert (y[np.broadcast_to(np.expand_dims(alive, axis), x.shape)] >= 0).all()

    # The order of the classes does not matter but for their place.
    order = data.draw(st.permutations(range(x.shape[axis])))
    shuffled = backend.get(ops.softmax(backend.put(np.take(x, order, axis)), axis=axis))
    assert_ulp(shuffled, np.take(y, order, axis), 4)  # the sum may be another by a rounding or two


@given(x=arrays(np.float64, SHAPES, elements=st.floats(-700, 700)), shift=st.integers(-(2**20), 2**20))
def test_a_shift_of_all_logits_shifts_only_logsumexp(backend: Arrays, x: np.ndarray, shift: int) -> None:
    x = np.round(x * 1024) / 1024  # so that x + shift is exact
    y, shifted = ops.softmax(backend.put(x)), ops.softmax(backend.put(x + shift))
    assert_same_bits(backend.get(y), backend.get(shifted))
    lse, shifted_lse = ops.logsumexp(backend.put(x)), ops.logsumexp(backend.put(x + shift))
    np.testing.assert_allclose(backend.get(shifted_lse), backend.get(lse) + shift, rtol=1e-15, atol=1e-12)
