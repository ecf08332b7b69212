"""What activations and elementwise losses are held to: a row for each, its textbook formulas.

A formula is written once and serves twice. Of mpmath numbers it is exact: `each` gives them so many digits that
``1 + exp(x)`` or ``1 - y`` loses nothing that matters. Of float64 arrays it is quick, and right to a hundred-thousandth
of a float32 ULP, which is enough to judge millions of float32 results; tests/ops/test_activations.py holds the one to
the other. So formulas are made of the functions below, which know both kinds of argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import scipy.special
from mpmath import mp, mpf

Formula = Callable[..., Any]

# The smallest float64 lies 324 digits below 1 and the smallest float32 45: beside 1, both keep 30 digits here.
DIGITS = {np.dtype(np.float16): 60, np.dtype(np.float32): 80, np.dtype(np.float64): 360}

# Stands for infinity in exact arithmetic.
HUGE = mpf(10) ** 400


# ---- what formulas are made of


def of_both(exact: Formula, quick: Formula) -> Formula:
    """A function of an mpmath number, or of an array."""
    return lambda x, *others: (exact if isinstance(x, mpf) else quick)(x, *others)


exp = of_both(mp.exp, np.exp)
exp_minus_1 = of_both(lambda x: mp.exp(x) - 1, np.expm1)
tanh = of_both(mp.tanh, np.tanh)
sigmoid = of_both(lambda x: 1 / (1 + mp.exp(-x)), scipy.special.expit)
softplus = of_both(lambda x: mp.log(1 + mp.exp(x)), lambda x: np.logaddexp(0, x))
normal_cdf = of_both(lambda x: (1 + mp.erf(x / mp.sqrt(2))) / 2, scipy.special.ndtr)
clip = of_both(lambda x, low, high: min(max(x, low), high), np.clip)


def where(condition: Any, value: Any, other: Any) -> Any:
    return (
        np.where(condition, value, other) if isinstance(condition, np.ndarray) else mpf(value if condition else other)
    )


def number(value: mpf, like: Any) -> Any:
    """A constant for a formula of `like`."""
    return value if isinstance(like, mpf) else float(value)


# ---- activations


@dataclass(frozen=True)
class Activation:
    """An activation's formulas, and how near to them results are to come.

    Attributes
    ----------
    forward, slope
        ``forward(x, *parameters)``; ``slope(x, *parameters)``, or of the output where the package's row says that the
        output is saved. A slope that does not depend on x is a plain number.
    first_term
        A slope that crosses zero is the sum of two terms that cancel there. This is the first: an error is measured
        against it where it is the larger, since no arithmetic of the argument's precision can do better.
    kinks
        Where a central difference is no measure of the slope: it jumps, or is continuous and has a kink itself (elu,
        celu, softsign), which costs the difference its order.
    ulp, slope_ulp
        The goals: 2 ULP for elementary functions, 4 for compositions of them.
    limits
        What forward goes to at -inf and inf, if its constants, rounded to float64, make it other than the formula says.
    """

    forward: Formula
    slope: Formula | None = None
    first_term: Formula | None = None
    kinks: tuple[float, ...] = ()
    ulp: float = 4.0
    slope_ulp: float = 4.0
    limits: tuple[float, float] | None = None

    def forward_limits(self, *parameters: float) -> tuple[float, float]:
        """What forward goes to at -inf and inf."""
        return self.limits or limits(self.forward, *parameters)

    def slope_limits(self, saved: str, *parameters: float) -> tuple[float, float]:
        """The slope there, of the input or of the output."""
        assert self.slope is not None
        ends = (-np.inf, np.inf) if saved == "input" else self.forward_limits(*parameters)
        return limits(self.slope, *parameters, ends=ends)


def _selu_scale(x: Any) -> Any:
    return number(mpf("1.0507009873554804934193349852946"), x)


def _selu_scaled_alpha(x: Any) -> Any:
    return _selu_scale(x) * number(mpf("1.6732632423543772848170429916717"), x)


def _normal_density(x: Any) -> Any:
    return exp(-x * x / 2) / number(mp.sqrt(2 * mp.pi), x)


# In float64 as a sigmoid, which keeps its digits where it is small.
half_1_plus_tanh = of_both(lambda u: (1 + mp.tanh(u)) / 2, lambda u: scipy.special.expit(2 * u))


def _gelu_tanh_cdf(x: Any) -> Any:
    return half_1_plus_tanh(number(mp.sqrt(2 / mp.pi), x) * (x + number(mpf("0.044715"), x) * x**3))


def _gelu_tanh_slope(x: Any) -> Any:
    cdf, other = _gelu_tanh_cdf(x), _gelu_tanh_cdf(-x)
    return cdf + x * cdf * other * 2 * number(mp.sqrt(2 / mp.pi), x) * (1 + 3 * number(mpf("0.044715"), x) * x**2)


def _mish_share(x: Any) -> Any:
    return tanh(softplus(x))


# Activations that go all ways there are: one saves its output, one its input, one has a parameter.
ONE_OF_EACH_KIND = ("relu", "silu", "elu")

ACTIVATIONS: Mapping[str, Activation] = {
    "heaviside": Activation(lambda x: where(x >= 0, 1, 0)),
    "identity": Activation(lambda x: x, lambda y: 1),
    "sigmoid": Activation(sigmoid, lambda y: y * (1 - y), ulp=2),
    "tanh": Activation(tanh, lambda y: 1 - y * y, ulp=2),
    "relu": Activation(lambda x: where(x > 0, x, 0), lambda y: where(y > 0, 1, 0), kinks=(0,)),
    "leaky_relu": Activation(
        lambda x, negative_slope: where(x > 0, x, negative_slope * x),
        lambda x, negative_slope: where(x > 0, 1, negative_slope),
        kinks=(0,),
    ),
    "elu": Activation(
        lambda x, alpha: where(x > 0, x, alpha * exp_minus_1(x)),
        lambda x, alpha: where(x > 0, 1, alpha * exp(x)),
        kinks=(0,),
    ),
    "selu": Activation(
        lambda x: where(x > 0, _selu_scale(x) * x, _selu_scaled_alpha(x) * exp_minus_1(x)),
        lambda x: where(x > 0, _selu_scale(x), _selu_scaled_alpha(x) * exp(x)),
        kinks=(0,),
        limits=(-1.7580993408473766, np.inf),
    ),
    "celu": Activation(
        lambda x, alpha: where(x > 0, x, alpha * exp_minus_1(x / alpha)),
        lambda x, alpha: where(x > 0, 1, exp(x / alpha)),
        kinks=(0,),
    ),
    "gelu": Activation(
        lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * _normal_density(x), first_term=normal_cdf
    ),
    "gelu_tanh": Activation(lambda x: x * _gelu_tanh_cdf(x), _gelu_tanh_slope, first_term=_gelu_tanh_cdf),
    "silu": Activation(
        lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x)), first_term=sigmoid
    ),
    "mish": Activation(
        lambda x: x * _mish_share(x),
        lambda x: _mish_share(x) + x * (1 - _mish_share(x) ** 2) * sigmoid(x),
        first_term=_mish_share,
    ),
    "softplus": Activation(
        lambda x, beta: softplus(beta * x) / beta, lambda x, beta: sigmoid(beta * x), ulp=2, slope_ulp=2
    ),
    "softsign": Activation(lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2, kinks=(0,)),
    "log_sigmoid": Activation(lambda x: -softplus(-x), lambda x: sigmoid(-x), ulp=2, slope_ulp=2),
    "hardtanh": Activation(
        clip, lambda y, min_value, max_value: where((min_value < y) & (y < max_value), 1, 0), kinks=(-1, 1)
    ),
    "relu6": Activation(lambda x: clip(x, 0, 6), lambda y: where((y > 0) & (y < 6), 1, 0), kinks=(0, 6)),
    "hardsigmoid": Activation(
        lambda x: clip(x + 3, 0, 6) / 6, lambda x: where(abs(x) < 3, 1, 0) / 6, kinks=(-3, 3)
    ),
    "hardswish": Activation(
        lambda x: x * clip(x + 3, 0, 6) / 6,
        lambda x: where(x <= -3, 0, where(x >= 3, 1, x / 3 + 0.5)),
        first_term=lambda x: where(abs(x) < 3, 0.5, 0),
        kinks=(-3, 3),
    ),
}  # fmt: skip


# ---- elementwise losses


@dataclass(frozen=True)
class ElementwiseLoss:
    """A loss's formulas, ``(x, target, *weights, *parameters)``.

    Attributes
    ----------
    loss, slope
        The loss of an element, and its derivative by x.
    cancelling
        Where the slope is a difference, the size of its terms: its error is measured against that.
    """

    loss: Formula
    slope: Formula
    cancelling: Formula | None = None


ELEMENTWISE_LOSSES: Mapping[str, ElementwiseLoss] = {
    "sigmoid_cross_entropy": ElementwiseLoss(
        lambda x, t, p, w: w * (p * t * softplus(-x) + (1 - t) * softplus(x)),
        lambda x, t, p, w: w * ((1 - t) * sigmoid(x) - p * t * sigmoid(-x)),
        lambda x, t, p, w: w * where((t > 0) & (t < 1), np.maximum((1 - t) * sigmoid(x), p * t * sigmoid(-x)), 0),
    ),
    "squared_error": ElementwiseLoss(lambda x, t: (x - t) ** 2, lambda x, t: 2 * (x - t)),
    "l2_loss": ElementwiseLoss(lambda x, t: (x - t) ** 2 / 2, lambda x, t: x - t),
    "hinge_loss": ElementwiseLoss(lambda x, t: max(0, 1 - t * x), lambda x, t: where(t * x < 1, -t, 0)),
    "huber_loss": ElementwiseLoss(
        lambda x, t, delta: where(abs(x - t) <= delta, (x - t) ** 2 / 2, delta * (abs(x - t) - delta / 2)),
        lambda x, t, delta: clip(x - t, -delta, delta),
    ),
}


# ---- formulas over arrays


def each(formula: Formula, x: np.ndarray, *parameters: float) -> np.ndarray:
    """The formula of each finite element, exactly, with the parameters as numbers of the dtype computed in."""
    computed_in = np.float64 if x.dtype == np.float64 else np.float32
    return each_of(formula, x, *(computed_in(parameter) for parameter in parameters))


def each_of(formula: Formula, x: np.ndarray, *others: Any) -> np.ndarray:
    """The formula of the elements of arrays of one shape, exactly; numbers among them stand for arrays."""
    elements = zip(*map(np.ravel, np.broadcast_arrays(x, *others)), strict=True)
    with mpmath.workdps(DIGITS[x.dtype]):
        flat = [mpf(formula(*(mpf(float(value)) for value in values))) for values in elements]
    return np.array([*flat, None], object)[:-1].reshape(x.shape)  # the None keeps NumPy from guessing a dtype


def limits(formula: Formula, *parameters: float, ends: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float]:
    """What the formula goes to at both ends."""
    with mpmath.workdps(60):
        near = (mpf(end) if np.isfinite(end) else HUGE * np.sign(end) for end in ends)
        low, high = (float(formula(x, *map(mpf, parameters))) for x in near)
    return low, high


def quickly(formula: Formula, x: np.ndarray, *parameters: float) -> np.ndarray:
    """The formula of float32 numbers in float64, infinities and NaN included."""
    wide, given = x.astype(np.float64), [float(np.float32(parameter)) for parameter in parameters]
    with np.errstate(all="ignore"):
        y = formula(wide, *given)
    if np.ndim(y) == 0:
        return np.full(x.shape, float(y))
    low, high = limits(formula, *given)
    return np.select([np.isnan(wide), wide == -np.inf, wide == np.inf], [np.nan, low, high], y)
