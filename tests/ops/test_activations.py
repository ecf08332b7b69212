"""Activations: every row of the table, forward and backward, against exact arithmetic and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
import sweep_ops
from elementwise_reference import ACTIVATIONS, ONE_OF_EACH_KIND, each, quickly
from numba.core import config
from numerics import (
    FLOATS_LIKE_FLOAT32,
    KERNEL_DTYPES,
    MANY_ELEMENTS,
    Arrays,
    again,
    assert_same_bits,
    assert_ulp,
    central_difference,
    few_on_gpu,
    one_quick,
    quick,
    ulp_size,
)

from softgrad import ops

NAMES = list(ops.ACTIVATIONS)
DIFFERENTIABLE = [name for name, row in ops.ACTIVATIONS.items() if row.backward]


def samples(dtype: type) -> np.ndarray:
    """Finite numbers of both signs: all magnitudes, the kinks, the middle, and the tails to where they vanish."""
    info = np.finfo(dtype)
    smallest = float(info.smallest_subnormal)
    magnitudes = np.concatenate(
        [
            [0.0, smallest, 3 * smallest, info.tiny, info.max],
            2.0 ** np.linspace(np.log2(smallest), info.maxexp - 0.01, 40),
            np.arange(1.0, 8.0),
            np.linspace(0.01, 10.0, 50),
            np.linspace(10.0, -1.05 * np.log(smallest), 70),
        ]
    )
    return np.concatenate([magnitudes, -magnitudes]).astype(dtype)


def defaults(name: str) -> tuple[float, ...]:
    return tuple(ops.ACTIVATIONS[name].parameters.values())


def forward(name: str) -> Callable[..., np.ndarray]:
    return getattr(ops, name)


def backward(name: str) -> Callable[..., np.ndarray]:
    return getattr(ops, f"{name}_backward")


def grads_like(x: np.ndarray) -> np.ndarray:
    """Gradients of both signs in [0.5, 1), so that they do not scale an error in ULP up."""
    rng = np.random.default_rng(7)
    return (rng.uniform(0.5, 1.0, x.shape) * rng.choice([-1.0, 1.0], x.shape)).astype(x.dtype)


def exact_backward(name: str, grad: np.ndarray, saved: np.ndarray, *parameters: float) -> tuple[np.ndarray, np.ndarray]:
    """grad f'(saved), and what its error is measured against where terms of the slope cancel."""
    scale = reference.exactly(grad)
    exact = each(ACTIVATIONS[name].slope, saved, *parameters) * scale
    first = ACTIVATIONS[name].first_term
    return exact, each(first, saved) * scale if first else np.zeros(saved.shape)


def test_every_activation_has_its_reference() -> None:
    assert ACTIVATIONS.keys() == ops.ACTIVATIONS.keys(), "each has a row in tests/support/elementwise_reference.py"


# ---- values


@pytest.fixture
def exact_backend(backend: Arrays, dtype: type) -> Arrays:
    """The backend, if its formulas are compiled or computed in more than their dtype."""
    if config.ENABLE_CUDASIM and backend.backend.name == "gpu" and dtype is np.float64:
        pytest.skip("the primitives' plain Python loses the tails of float64; a GPU has the CPU's functions")
    return backend


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", NAMES)
def test_forward_is_exact_over_the_whole_range(exact_backend: Arrays, name: str, dtype: type) -> None:
    backend = exact_backend
    x = samples(dtype)
    y = many_times(backend, forward(name), x)
    assert y.dtype == dtype
    assert_ulp(y, each(ACTIVATIONS[name].forward, x, *defaults(name)), ACTIVATIONS[name].ulp, inputs=x)


def many_times(backend: Arrays, f: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """The result for the arrays, after it has been found to be the same for their elements over and over."""
    found = backend.get(f(*(backend.put(again(array, MANY_ELEMENTS)) for array in arrays)))
    result = found[: len(arrays[0])]
    assert_same_bits(found, again(result, MANY_ELEMENTS))
    return result


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_backward_is_exact_over_the_whole_range(exact_backend: Arrays, name: str, dtype: type) -> None:
    backend = exact_backend
    x = samples(dtype)
    saved = x if ops.ACTIVATIONS[name].saved == "input" else backend.get(forward(name)(backend.put(x)))
    grad = grads_like(x)
    result = many_times(backend, backward(name), grad, saved)
    assert result.dtype == dtype
    exact, floor = exact_backward(name, grad, saved, *defaults(name))
    assert_ulp(result, exact, ACTIVATIONS[name].slope_ulp, floor=floor, inputs=saved)


# One float32 number in so many. A prime, so that every combination of low bits occurs.
EVERY = 40_009


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in sweep_ops.NAMES if name not in sweep_ops.ROWS])
def test_float32_is_exact_at_a_sample_of_all_its_numbers(name: str) -> None:
    with np.errstate(all="ignore"):
        for x, errors in sweep_ops.activation_errors(name, "float32", EVERY, 0):
            error = errors(sweep_ops.contenders(name)["softgrad"](x))
            worst = np.argmax(error)
            assert error[worst] <= sweep_ops.bound(name), f"{error[worst]:.3f} ULP at {x[worst]!r}"


def assert_judges_float32(found: np.ndarray, x: np.ndarray, exact: object, floor: object = 0) -> None:
    """Assert that float64 results are right to a tiny part of a float32 ULP."""
    exact, floor = np.float64(exact), np.float64(floor)
    error = np.abs(found - exact) / ulp_size(np.maximum(abs(exact), floor), np.float32)
    assert error.max() < 1e-5, x[np.argmax(error)]


@pytest.mark.parametrize("name", NAMES)
def test_forward_float64_formulas_are_right(name: str) -> None:
    x, forward = samples(np.float32), ACTIVATIONS[name].forward
    assert_judges_float32(quickly(forward, x, *defaults(name)), x, each(forward, x, *defaults(name)))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_backward_float64_formulas_are_right(name: str) -> None:
    saved = np.clip(samples(np.float32), *np.float32(sweep_ops.OUTPUTS.get(name, (-np.inf, np.inf))))
    exact, floor = exact_backward(name, np.ones_like(saved), saved, *defaults(name))
    assert_judges_float32(quickly(ACTIVATIONS[name].slope, saved, *defaults(name)), saved, exact, floor)


# Computed in float32 and rounded once: half an ULP, and what float32's own few hundred ULP in a tail add to it.
FLOAT16_ULP = 0.55


@pytest.mark.parametrize("name", few_on_gpu(NAMES, *ONE_OF_EACH_KIND))
def test_float16_is_rounded_once(backend: Arrays, name: str) -> None:
    x = np.concatenate([np.linspace(-20, 20, 161), [-0.0, 6e-8, -6e-8, 65504, -65504]]).astype(np.float16)
    y = many_times(backend, forward(name), x)
    assert y.dtype == np.float16
    assert_ulp(y, each(ACTIVATIONS[name].forward, x, *defaults(name)), FLOAT16_ULP, inputs=x)
    if name in DIFFERENTIABLE:
        saved = x if ops.ACTIVATIONS[name].saved == "input" else y
        grad = grads_like(x)
        exact, floor = exact_backward(name, grad, saved, *defaults(name))
        result = many_times(backend, backward(name), grad, saved)
        assert_ulp(result, exact, FLOAT16_ULP, floor=floor, inputs=saved)


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.bool_])
@pytest.mark.parametrize("name", quick(NAMES, *ONE_OF_EACH_KIND))
def test_integers_are_computed_in_float64(backend: Arrays, name: str, dtype: type) -> None:
    x = np.arange(0 if dtype != np.int8 else -5, 6).astype(dtype)
    assert_same_bits(backend.get(forward(name)(backend.put(x))), backend.get(forward(name)(backend.put(x, np.float64))))


# The parameter, and what an inexact product or quotient with it adds: exp(x / alpha) multiplies the rounding
# error of x / alpha by |x / alpha|, at most 60 here.
PARAMETERS = [
    ("leaky_relu", {"negative_slope": 0.3}, 4),
    ("leaky_relu", {"negative_slope": -2.0}, 4),
    ("elu", {"alpha": 0.7}, 4),
    ("celu", {"alpha": 2.0}, 4),
    ("celu", {"alpha": 0.7}, 4 + 60),
    ("softplus", {"beta": 4.0}, 4),
    ("softplus", {"beta": 0.7}, 4 + 60),
    ("hardtanh", {"min_value": -0.3, "max_value": 2.5}, 0.5),
]


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize(("name", "parameters", "ulp"), PARAMETERS)
def test_parameters_take_effect(
    backend: Arrays, name: str, parameters: dict[str, float], ulp: float, dtype: type
) -> None:
    x = np.linspace(-40, 40, 121).astype(dtype)
    values = tuple(parameters.values())
    y = backend.get(forward(name)(backend.put(x), **parameters))
    assert_ulp(y, each(ACTIVATIONS[name].forward, x, *values), ulp, inputs=x)
    saved = x if ops.ACTIVATIONS[name].saved == "input" else y
    grad = grads_like(x)
    result = backend.get(backward(name)(backend.put(grad), backend.put(saved), **parameters))
    exact, _ = exact_backward(name, grad, saved, *values)
    assert_ulp(result, exact, ulp, inputs=saved)


# ---- the slope is that of the function


@pytest.mark.parametrize("name", quick(DIFFERENTIABLE, *ONE_OF_EACH_KIND))
def test_backward_is_the_slope_of_forward(backend: Arrays, name: str) -> None:
    x = np.linspace(-8, 8, 41)
    for kink in ACTIVATIONS[name].kinks:
        x = x[np.abs(x - kink) > 1e-3]
    grad = np.linspace(-2, 2, x.size) + 0.1
    saved = x if ops.ACTIVATIONS[name].saved == "input" else backend.get(forward(name)(backend.put(x)))
    result = backend.get(backward(name)(backend.put(grad), backend.put(saved)))
    numeric = central_difference(lambda v: float(grad @ backend.get(forward(name)(backend.put(v)))), x)
    np.testing.assert_allclose(result, numeric, rtol=1e-6, atol=1e-8)


# ---- limits and NaN


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", NAMES)
def test_limits_at_infinity(backend: Arrays, name: str, dtype: type) -> None:
    x = backend.put([-np.inf, np.inf], dtype)
    y = forward(name)(x)
    assert_ulp(backend.get(y), np.array(ACTIVATIONS[name].forward_limits(*defaults(name))), 0.51)
    if name in DIFFERENTIABLE:
        saved = ops.ACTIVATIONS[name].saved
        slope = backward(name)(backend.put([1, 1], dtype), x if saved == "input" else y)
        assert_ulp(backend.get(slope), np.array(ACTIVATIONS[name].slope_limits(saved, *defaults(name))), 0.51)


@pytest.mark.parametrize("dtype", FLOATS_LIKE_FLOAT32)
@pytest.mark.parametrize("name", NAMES)
def test_nan_is_kept_and_stays_where_it_is(backend: Arrays, name: str, dtype: type) -> None:
    x = backend.put([1.0, np.nan, 2.0], dtype)
    np.testing.assert_array_equal(np.isnan(backend.get(forward(name)(x))), [False, True, False])
    if name in DIFFERENTIABLE and name != "identity":  # whose slope is 1 whatever its input
        grad = backend.put([1.0, 1.0, np.nan], dtype)
        saved = backend.put([0.5, np.nan, 0.5], dtype)
        np.testing.assert_array_equal(np.isnan(backend.get(backward(name)(grad, saved))), [False, True, True])


def passes_zero(name: str) -> bool:
    """Is f(0) 0, and f negative beside it? Then the sign of f(-0.0) says from which side 0 was reached."""
    below, at = quickly(ACTIVATIONS[name].forward, np.float32([-1e-9, 0]), *defaults(name))
    return below < 0 and at == 0


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", [name for name in NAMES if passes_zero(name)])
def test_both_zeros_are_kept(backend: Arrays, name: str, dtype: type) -> None:
    y = backend.get(forward(name)(backend.put([0.0, -0.0], dtype)))
    np.testing.assert_array_equal(y, [0, 0])
    np.testing.assert_array_equal(np.signbit(y), [False, True])
