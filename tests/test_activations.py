"""Activations: every row of the table, forward and backward, against exact arithmetic and finite differences."""

from __future__ import annotations

from collections.abc import Callable

import float64_formulas
import numpy as np
import pytest
import reference
import sweep_ops
from numba.core import config
from numerics import FLOATS, Arrays, assert_same_bits, assert_ulp, central_difference, ulp_size

from softgrad import ops

NAMES = list(ops.ACTIVATIONS)
DIFFERENTIABLE = [name for name, row in ops.ACTIVATIONS.items() if row.backward]
KERNEL_DTYPES = [np.float32, np.float64]

# The goal is 2 ULP for the elementary functions and 4 for compositions of them, slopes included.
ELEMENTARY = {"sigmoid", "tanh", "softplus", "log_sigmoid"}
COMPOSITION_ULP = 4


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
    exact = reference.each(reference.SLOPE[name], saved, *parameters) * scale
    first = reference.FIRST_TERM.get(name)
    return exact, reference.each(first, saved) * scale if first else np.zeros(saved.shape)


# ---- values


@pytest.fixture
def exact_backend(backend: Arrays, dtype: type) -> Arrays:
    """The backend, if its formulas are compiled or computed in more than their dtype."""
    if config.ENABLE_CUDASIM and backend.backend.name == "gpu" and dtype is np.float64:
        pytest.skip("the primitives' plain Python loses the tails of float64; a card has the CPU's functions")
    return backend


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_forward_is_exact_over_the_whole_range(exact_backend: Arrays, name: str, dtype: type) -> None:
    backend = exact_backend
    x = samples(dtype)
    y = backend.get(forward(name)(backend.put(x)))
    assert y.dtype == dtype
    exact = reference.each(reference.FORWARD[name], x, *defaults(name))
    assert_ulp(y, exact, 2 if name in ELEMENTARY else COMPOSITION_ULP, inputs=x)


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_backward_is_exact_over_the_whole_range(exact_backend: Arrays, name: str, dtype: type) -> None:
    backend = exact_backend
    x = samples(dtype)
    saved = x if ops.ACTIVATIONS[name].saved == "input" else backend.get(forward(name)(backend.put(x)))
    grad = grads_like(x)
    result = backend.get(backward(name)(backend.put(grad), backend.put(saved)))
    assert result.dtype == dtype
    exact, floor = exact_backward(name, grad, saved, *defaults(name))
    assert_ulp(result, exact, COMPOSITION_ULP, floor=floor, inputs=saved)


# One float32 number in so many. A prime, so that every combination of low bits occurs.
EVERY = 40_009


@pytest.mark.parametrize("name", [name for name in sweep_ops.NAMES if name not in sweep_ops.ROWS])
def test_float32_is_exact_at_a_sample_of_all_its_numbers(name: str) -> None:
    with np.errstate(all="ignore"):
        for x, errors in sweep_ops.activation_errors(name, "float32", EVERY, 0):
            error = errors(sweep_ops.contenders(name)["softgrad"](x))
            worst = np.argmax(error)
            assert error[worst] <= sweep_ops.bound(name), f"{error[worst]:.3f} ULP at {x[worst]!r}"


def assert_judges_float32(formula: Callable[[np.ndarray], np.ndarray], x: np.ndarray, exact: object, floor: object = 0):
    """Assert that a formula in float64 is right to a tiny part of a float32 ULP."""
    exact, floor = np.float64(exact), np.float64(floor)
    with np.errstate(all="ignore"):
        error = np.abs(formula(x.astype(np.float64)) - exact) / ulp_size(np.maximum(abs(exact), floor), np.float32)
    assert error.max() < 1e-5, x[np.argmax(error)]


@pytest.mark.parametrize("name", NAMES)
def test_forward_float64_formulas_are_right(name: str) -> None:
    x = samples(np.float32)
    assert_judges_float32(
        float64_formulas.FORWARD[name], x, reference.each(reference.FORWARD[name], x, *defaults(name))
    )


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_backward_float64_formulas_are_right(name: str) -> None:
    saved = np.clip(samples(np.float32), *np.float32(float64_formulas.OUTPUTS.get(name, (-np.inf, np.inf))))
    exact, floor = exact_backward(name, np.ones_like(saved), saved, *defaults(name))
    assert_judges_float32(float64_formulas.SLOPE[name], saved, exact, floor)


# Computed in float32 and rounded once: half an ULP, and what float32's own few hundred ULP in a tail add to it.
FLOAT16_ULP = 0.55


@pytest.mark.parametrize("name", NAMES)
def test_float16_is_rounded_once(backend: Arrays, name: str) -> None:
    x = np.concatenate([np.linspace(-20, 20, 161), [-0.0, 6e-8, -6e-8, 65504, -65504]]).astype(np.float16)
    y = backend.get(forward(name)(backend.put(x)))
    assert y.dtype == np.float16
    assert_ulp(y, reference.each(reference.FORWARD[name], x, *defaults(name)), FLOAT16_ULP, inputs=x)
    if name in DIFFERENTIABLE:
        saved = x if ops.ACTIVATIONS[name].saved == "input" else y
        grad = grads_like(x)
        exact, floor = exact_backward(name, grad, saved, *defaults(name))
        result = backend.get(backward(name)(backend.put(grad), backend.put(saved)))
        assert_ulp(result, exact, FLOAT16_ULP, floor=floor, inputs=saved)


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.bool_])
@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize(("name", "parameters", "ulp"), PARAMETERS)
def test_parameters_take_effect(
    backend: Arrays, name: str, parameters: dict[str, float], ulp: float, dtype: type
) -> None:
    x = np.linspace(-40, 40, 121).astype(dtype)
    values = tuple(parameters.values())
    y = backend.get(forward(name)(backend.put(x), **parameters))
    assert_ulp(y, reference.each(reference.FORWARD[name], x, *values), ulp, inputs=x)
    saved = x if ops.ACTIVATIONS[name].saved == "input" else y
    grad = grads_like(x)
    result = backend.get(backward(name)(backend.put(grad), backend.put(saved), **parameters))
    exact, _ = exact_backward(name, grad, saved, *values)
    assert_ulp(result, exact, ulp, inputs=saved)


# ---- the slope is that of the function

# Where a central difference is no measure: the slope jumps, or is continuous and has a kink itself (elu, celu,
# softsign), which costs the difference its order.
KINKS = {
    "elu": [0.0],
    "celu": [0.0],
    "softsign": [0.0],
    "relu": [0.0],
    "leaky_relu": [0.0],
    "selu": [0.0],
    "hardtanh": [-1.0, 1.0],
    "relu6": [0.0, 6.0],
    "hardsigmoid": [-3.0, 3.0],
    "hardswish": [-3.0, 3.0],
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_backward_is_the_slope_of_forward(backend: Arrays, name: str) -> None:
    x = np.linspace(-8, 8, 41)
    for kink in KINKS.get(name, []):
        x = x[np.abs(x - kink) > 1e-3]
    grad = np.linspace(-2, 2, x.size) + 0.1
    saved = x if ops.ACTIVATIONS[name].saved == "input" else backend.get(forward(name)(backend.put(x)))
    result = backend.get(backward(name)(backend.put(grad), backend.put(saved)))
    numeric = central_difference(lambda v: float(grad @ backend.get(forward(name)(backend.put(v)))), x)
    np.testing.assert_allclose(result, numeric, rtol=1e-6, atol=1e-8)


# ---- limits and NaN

LIMITS = {
    "heaviside": (0, 1),
    "identity": (-np.inf, np.inf),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1, np.inf),
    "selu": (-1.7580993408473766, np.inf),
    "celu": (-1, np.inf),
    "gelu": (0, np.inf),
    "gelu_tanh": (0, np.inf),
    "silu": (0, np.inf),
    "mish": (0, np.inf),
    "softplus": (0, np.inf),
    "softsign": (-1, 1),
    "log_sigmoid": (-np.inf, 0),
    "hardtanh": (-1, 1),
    "relu6": (0, 6),
    "hardsigmoid": (0, 1),
    "hardswish": (0, np.inf),
}

SLOPE_LIMITS = {
    "identity": (1, 1),
    "leaky_relu": (0.01, 1),
    "selu": (0, 1.0507009873554805),
    "log_sigmoid": (1, 0),
    **dict.fromkeys(["sigmoid", "tanh", "softsign", "hardtanh", "relu6", "hardsigmoid"], (0, 0)),
    **dict.fromkeys(["relu", "elu", "celu", "gelu", "gelu_tanh", "silu", "mish", "softplus", "hardswish"], (0, 1)),
}


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_limits_at_infinity(backend: Arrays, name: str, dtype: type) -> None:
    x = backend.put([-np.inf, np.inf], dtype)
    y = forward(name)(x)
    assert_ulp(backend.get(y), np.array(LIMITS[name], np.float64), 0.51)
    if name in DIFFERENTIABLE:
        slope = backward(name)(backend.put([1, 1], dtype), x if ops.ACTIVATIONS[name].saved == "input" else y)
        assert_ulp(backend.get(slope), np.array(SLOPE_LIMITS[name], np.float64), 0.51)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_nan_is_kept_and_stays_where_it_is(backend: Arrays, name: str, dtype: type) -> None:
    x = backend.put([1.0, np.nan, 2.0], dtype)
    np.testing.assert_array_equal(np.isnan(backend.get(forward(name)(x))), [False, True, False])
    if name in DIFFERENTIABLE and name != "identity":  # whose slope is 1 whatever its input
        grad = backend.put([1.0, 1.0, np.nan], dtype)
        saved = backend.put([0.5, np.nan, 0.5], dtype)
        np.testing.assert_array_equal(np.isnan(backend.get(backward(name)(grad, saved))), [False, True, True])


# f(-0.0) where f is odd near 0, or multiplies by x: the sign says from which side 0 was reached.
KEEPS_SIGN_OF_ZERO = [
    "identity", "tanh", "leaky_relu", "elu", "selu", "celu", "gelu", "gelu_tanh", "silu", "mish", "softsign",
    "hardtanh", "hardswish",
]  # fmt: skip


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize("name", KEEPS_SIGN_OF_ZERO)
def test_both_zeros_are_kept(backend: Arrays, name: str, dtype: type) -> None:
    y = backend.get(forward(name)(backend.put([0.0, -0.0], dtype)))
    np.testing.assert_array_equal(y, [0, 0])
    np.testing.assert_array_equal(np.signbit(y), [False, True])
