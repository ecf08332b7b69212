"""The backwards of softmax and log_softmax: exact, and the slopes of the forwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from numerics import FLOATS, MANY_ROWS, Arrays, again, assert_same_bits, assert_ulp, central_difference, quick, spiky

from softgrad import ops

NORMALISED = ["softmax", "log_softmax"]
BACKWARDS = ["softmax_backward", "log_softmax_backward"]

# As in the forward test: no other class, fewer than a vector holds, an odd rest of one, many vectors.
CLASSES = [1, 2, 10, 17, 1000]

ULP = 4
AXES = [-1, 0, 1, 2, -3, (0, 2), (2, 0), (0, 1, 2), (-1,), (), None]


def op(name: str) -> Callable[..., Any]:
    return getattr(ops, name)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", BACKWARDS)
def test_backward_over_any_axis(backend: Arrays, name: str, axis: Any) -> None:
    rng = np.random.default_rng(7)
    grad, x = rng.normal(size=(3, 4, 5)), spiky(rng, (3, 4, 5))
    forward = name.removesuffix("_backward")
    y = op(forward)(backend.put(x), axis=axis)
    result = backend.get(op(name)(backend.put(grad), y, axis=axis))
    expected = getattr(reference, name)(grad, backend.get(y), axis=axis)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)
    if axis == -1:
        check_many(backend, forward, *(array.reshape(12, 5) for array in (grad, x, result)))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("axis", [-1, 0, None])
@pytest.mark.parametrize("name", NORMALISED)
def test_backward_is_the_slope_of_forward(backend: Arrays, name: str, axis: int | None, temperature: float) -> None:
    rng = np.random.default_rng(9)
    x, grad = rng.normal(0, 2, (3, 5)), rng.normal(size=(3, 5))

    def f(values: np.ndarray) -> float:
        return float((backend.get(op(name)(backend.put(values), axis=axis, temperature=temperature)) * grad).sum())

    y = op(name)(backend.put(x), axis=axis, temperature=temperature)
    result = op(f"{name}_backward")(backend.put(grad), y, axis=axis, temperature=temperature)
    result = backend.get(result)
    np.testing.assert_allclose(result, central_difference(f, x), rtol=1e-7, atol=1e-9)
    rows = (array.T if axis == 0 else array.reshape(-1, 15 if axis is None else 5) for array in (grad, x, result))
    check_many(backend, name, *rows, temperature=temperature)


def check_many(
    backend: Arrays, name: str, grad: np.ndarray, x: np.ndarray, expected: np.ndarray, **options: float
) -> None:
    """Forward and backward of the same rows over and over give what they have given of each once."""
    y = op(name)(backend.put(again(x, MANY_ROWS)), **options)
    result = op(f"{name}_backward")(backend.put(again(grad, MANY_ROWS)), y, **options)
    assert_same_bits(backend.get(result), again(expected, MANY_ROWS))


def backward_case(backend: Arrays, name: str, shape: tuple[int, int], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """A gradient and an output to send back through."""
    rng = np.random.default_rng(shape[1])
    y = op(name.removesuffix("_backward"))(backend.put(spiky(rng, shape, dtype)))
    return rng.normal(size=shape).astype(dtype), backend.get(y)


def backward_floor(name: str, grad: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What cancels in a backward: grad_j and a sum over the row, whose terms were rounded themselves."""
    if name == "softmax_backward":
        return y * (abs(grad) + (abs(grad) * y).sum(axis=-1, keepdims=True))
    return abs(grad) + reference.exp(y) * abs(grad.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", BACKWARDS)
def test_backward_is_exact(backend: Arrays, name: str, classes: int, dtype: type) -> None:
    grad, y = backward_case(backend, name, (5, classes), dtype)
    result = backend.get(op(name)(backend.put(grad), backend.put(y)))
    assert result.dtype == dtype
    if classes < 100:
        rows = (backend.put(again(array, MANY_ROWS)) for array in (grad, y))
        assert_same_bits(backend.get(op(name)(*rows)), again(result, MANY_ROWS))
    grad, y = reference.exactly(grad), reference.exactly(y)
    assert_ulp(result, getattr(reference, name)(grad, y), ULP, floor=backward_floor(name, grad, y))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(700, 64), (2, 40_000), (3, 11_003)])  # as in the forward test
@pytest.mark.parametrize("name", BACKWARDS)
def test_backward_of_rows_above_the_parallel_threshold(backend: Arrays, name: str, shape: tuple[int, int]) -> None:
    grad, y = backward_case(backend, name, shape, np.float32)
    result = backend.get(op(name)(backend.put(grad), backend.put(y)))
    for row in (0, shape[0] // 2, shape[0] - 1):
        assert_same_bits(result[row], backend.get(op(name)(backend.put(grad[row]), backend.put(y[row]))))
    grad, y = grad.astype(np.float64), y.astype(np.float64)
    assert_ulp(result, getattr(reference, name)(grad, y), ULP, floor=backward_floor(name, grad, y))


@pytest.mark.parametrize("temperature", [0.0, math.inf])
@pytest.mark.parametrize("name", BACKWARDS)
def test_gradient_is_zero_at_the_limits_of_the_temperature(backend: Arrays, name: str, temperature: float) -> None:
    grad = backend.put([[1.0, -2.0, 3.0]])
    y = op(name.removesuffix("_backward"))(backend.put([[1.0, 5.0, 5.0]]), temperature=temperature)
    np.testing.assert_array_equal(backend.get(op(name)(grad, y, temperature=temperature)), [[0, 0, 0]])


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", BACKWARDS)
def test_gradient_is_zero_at_a_temperature_that_the_dtype_rounds_to_zero(backend: Arrays, name: str, axis: int) -> None:
    logits = backend.put(np.array([[1.0, 5.0], [5.0, 5.0]]), np.float32)
    y = op(name.removesuffix("_backward"))(logits, axis=axis, temperature=1e-60)
    gradient = op(name)(backend.put(np.array([[1.0, -2.0], [3.0, 4.0]]), np.float32), y, axis=axis, temperature=1e-60)
    np.testing.assert_array_equal(backend.get(gradient), np.zeros((2, 2)))
