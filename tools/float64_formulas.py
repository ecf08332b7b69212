"""The activations and their slopes in float64, accurate in the tails of float32: what float32 results are held against.

Their own error is less than a hundred-thousandth of a float32 ULP; tests/test_activations.py holds them to mpmath.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import scipy.special as sp

# The tests are no package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import reference

Array = np.ndarray
OneArray = Callable[[Array], Array]


def _gelu_tanh_argument(x: Array) -> Array:
    return 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


def _gelu_tanh_slope(x: Array) -> Array:
    x = np.clip(x, -100, 100)
    u, growth = _gelu_tanh_argument(x), 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return sp.expit(u) * (1 + x * growth * sp.expit(-u))


def _gelu_slope(x: Array) -> Array:
    x = np.clip(x, -100, 100)
    return sp.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _silu_slope(x: Array) -> Array:
    x = np.clip(x, -1e4, 1e4)
    return sp.expit(x) * (1 + x * sp.expit(-x))


def _mish_parts(x: Array) -> tuple[Array, Array]:
    """exp(x) and n = (1 + exp(x))^2 - 1, by which tanh(softplus(x)) = n / (n + 2)."""
    e = np.exp(np.minimum(x, 40))
    return e, e * (e + 2)


def _mish_share(x: Array) -> Array:
    _, n = _mish_parts(x)
    return n / (n + 2)


def _mish_slope(x: Array) -> Array:
    x = np.clip(x, -1e4, 1e4)
    e, n = _mish_parts(x)
    return (n + x * (4 * (n + 1) / (n + 2)) * (e / (1 + e))) / (n + 2)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _weighted(x: Array, weight: Array) -> Array:
    return np.maximum(x, -1e4) * weight  # -inf * 0 would be NaN


SELU_SCALE, SELU_ALPHA = float(reference.SELU_SCALE), float(reference.SELU_ALPHA)
SLOPE_0 = float(np.float32(0.01))  # leaky_relu's default in the dtype that is computed in

FORWARD: Mapping[str, OneArray] = {
    "heaviside": lambda x: np.heaviside(x, 1.0),
    "identity": lambda x: x,
    "sigmoid": sp.expit,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, SLOPE_0 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: _weighted(x, sp.ndtr(x)),
    "gelu_tanh": lambda x: _weighted(x, sp.expit(_gelu_tanh_argument(x))),
    "silu": lambda x: _weighted(x, sp.expit(x)),
    "mish": lambda x: _weighted(x, _mish_share(x)),
    "softplus": _softplus,
    "softsign": lambda x: np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x))),
    "log_sigmoid": lambda x: -_softplus(-x),
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: _weighted(x, np.clip(x + 3, 0, 6) / 6),
}


def _nan_of(x: Array, slope: Array | float) -> Array:
    return np.where(np.isnan(x), np.nan, slope)


SLOPE: Mapping[str, OneArray] = {
    "identity": np.ones_like,
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: (1 - y) * (1 + y),
    "relu": lambda y: _nan_of(y, y > 0),
    "leaky_relu": lambda x: _nan_of(x, np.where(x > 0, 1, SLOPE_0)),
    "elu": lambda x: np.where(x > 0, 1, np.exp(x)),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(x)),
    "celu": lambda x: np.where(x > 0, 1, np.exp(x)),
    "gelu": _gelu_slope,
    "gelu_tanh": _gelu_tanh_slope,
    "silu": _silu_slope,
    "mish": _mish_slope,
    "softplus": sp.expit,
    "softsign": lambda x: 1 / (1 + np.abs(x)) ** 2,
    "log_sigmoid": lambda x: sp.expit(-x),
    "hardtanh": lambda y: _nan_of(y, np.abs(y) < 1),
    "relu6": lambda y: _nan_of(y, (y > 0) & (y < 6)),
    "hardsigmoid": lambda x: _nan_of(x, (np.abs(x) < 3) / 6),
    "hardswish": lambda x: _nan_of(x, np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5))),
}

# As in tests/reference.py: the first term of the slopes that cross zero.
FIRST_TERM: Mapping[str, OneArray] = {
    "gelu": sp.ndtr,
    "gelu_tanh": lambda x: sp.expit(_gelu_tanh_argument(x)),
    "silu": sp.expit,
    "mish": _mish_share,
    "hardswish": lambda x: np.where(np.abs(x) < 3, 0.5, 0.0),
}
assert FIRST_TERM.keys() == reference.FIRST_TERM.keys()

# The values of the functions whose backward takes the output.
OUTPUTS = {"sigmoid": (0, 1), "tanh": (-1, 1), "relu": (0, np.inf), "hardtanh": (-1, 1), "relu6": (0, 6)}
