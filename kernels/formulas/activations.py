"""The activation functions and their derivatives, each formula once, with the words that describe it.

`registry.activation` makes the rows of `ACTIVATIONS` of them, in this order. Definitions and defaults are PyTorch's
(``torch.nn.functional``), the limits at infinity and the tails are exact:

- NaN is kept. Comparisons are false for NaN, so a branch that would lose it is written the other way round.
- f(-inf) of silu, mish, gelu and hardswish is 0, their limit, where the formula alone would give ``-inf * 0``.
- nothing is computed as ``1 - nearly 1`` or ``exp(x) - 1`` where that would cancel.
"""

from __future__ import annotations

import math

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.pieces import at_least, clamp, complement_of_share, keep_nan, reflected
from softgrad.kernels.formulas.primitives import (
    const,
    copysign,
    exp,
    exp_nonpositive,
    expm1,
    fabs,
    fma,
    fma_exp_nonpositive,
    log1p,
    normal_slope_ratio,
    normal_tail_ratio,
    where,
)
from softgrad.kernels.formulas.primitives import tanh as tanh_primitive
from softgrad.kernels.formulas.registry import activation, backward_of

# ---- step and linear


@activation(formula="1 if x >= 0 else 0", derivative="0 wherever it exists")
def heaviside(x):
    return keep_nan(x, where(x >= const(x, 0.0), const(x, 1.0), const(x, 0.0)))


@activation(formula="x")
def identity(x):
    return x


@backward_of(identity, derivative="1")
def identity_backward(grad, y):
    return grad


# ---- sigmoids


@activation(formula="1 / (1 + exp(-x))")
def sigmoid(x):
    """1 / (1 + exp(-x)) as y - y e / (1 + e), e = exp(-|x|), which cannot overflow; y = 1 where x >= 0, and e below."""
    one = const(x, 1.0)
    e = exp_nonpositive(-fabs(x))
    share = e / (one + e)
    larger = where(x >= const(x, 0.0), one, e)
    return fma(-larger, share, larger)


@backward_of(sigmoid, derivative="y (1 - y)")
def sigmoid_backward(grad, y):
    return grad * (y * (const(y, 1.0) - y))


@activation(formula="tanh(x)")
def tanh(x):
    return tanh_primitive(x)


@backward_of(tanh, derivative="1 - y^2")
def tanh_backward(grad, y):
    """1 - y^2, factored: both factors are exact to rounding where y nears 1."""
    one = const(y, 1.0)
    return grad * ((one - y) * (one + y))


# ---- rectifiers


@activation(formula="max(x, 0)")
def relu(x):
    return where(x <= const(x, 0.0), const(x, 0.0), x)


@backward_of(relu, derivative="1 if y > 0 else 0")
def relu_backward(grad, y):
    return keep_nan(y, where(y > const(y, 0.0), grad, const(y, 0.0)))


@activation(formula="x if x > 0 else negative_slope x")
def leaky_relu(x, negative_slope=0.01):
    return where(x > const(x, 0.0), x, const(x, negative_slope) * x)


@backward_of(leaky_relu, derivative="1 if x > 0 else negative_slope")
def leaky_relu_backward(grad, x, negative_slope):
    return keep_nan(x, where(x > const(x, 0.0), grad, const(x, negative_slope) * grad))


@activation(formula="x if x > 0 else alpha (exp(x) - 1)")
def elu(x, alpha=1.0):
    return where(x > const(x, 0.0), x, const(x, alpha) * expm1(x))


@backward_of(elu, derivative="1 if x > 0 else alpha exp(x)")
def elu_backward(grad, x, alpha):
    return keep_nan(x, where(x > const(x, 0.0), grad, grad * (const(x, alpha) * exp(x))))


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@activation(formula="1.0507 (x if x > 0 else 1.6733 (exp(x) - 1))")
def selu(x):
    """Klambauer et al. 2017, arXiv:1706.02515."""
    scale = const(x, SELU_SCALE)
    return where(x > const(x, 0.0), scale * x, const(x, SELU_SCALE * SELU_ALPHA) * expm1(x))


@backward_of(selu, derivative="1.0507 (1 if x > 0 else 1.6733 exp(x))")
def selu_backward(grad, x):
    scale = const(x, SELU_SCALE)
    slope = where(x > const(x, 0.0), scale, const(x, SELU_SCALE * SELU_ALPHA) * exp(x))
    return grad * keep_nan(x, slope)


@activation(
    formula="x if x > 0 else alpha (exp(x / alpha) - 1)",
    check=lambda alpha: None if alpha != 0 else f"alpha must not be 0; got {alpha:g}",
)
def celu(x, alpha=1.0):
    alpha = const(x, alpha)
    return where(x > const(x, 0.0), x, alpha * expm1(x / alpha))


@backward_of(celu, derivative="1 if x > 0 else exp(x / alpha)")
def celu_backward(grad, x, alpha):
    return keep_nan(x, where(x > const(x, 0.0), grad, grad * exp(x / const(x, alpha))))


# ---- Gaussian error linear unit; Hendrycks and Gimpel 2016, arXiv:1606.08415


@jitable
def normal_exponent(x):
    """-x^2 / 2, and what rounding took from it, which in the tail is a relative error of exp(-x^2 / 2)."""
    minus_half = const(x, -0.5) * x
    exponent = minus_half * x
    return exponent, fma(minus_half, x, -exponent)


@activation(formula="x Phi(x), Phi the standard normal distribution function")
def gelu(x):
    """x Phi(x) = max(x, 0) - |x| Phi(-|x|), Phi the standard normal distribution function."""
    size = fabs(x)
    exponent, lost = normal_exponent(size)
    ratio, ratio_lost = normal_tail_ratio(size)
    y = fma_exp_nonpositive(-size * ratio, exponent, at_least(x, 0.0), lost + ratio_lost)
    return copysign(y, x)  # -0 would come out as 0


@backward_of(gelu, derivative="Phi(x) + x phi(x), phi the standard normal density")
def gelu_backward(grad, x):
    """Phi(x) + x phi(x)."""
    size = fabs(x)
    exponent, lost = normal_exponent(size)
    return grad * reflected(x, -normal_slope_ratio(size), exponent, lost)


# 2 sqrt(2 / pi): 0.5 (1 + tanh(u)) = sigmoid(2 u), which keeps the tail that 1 + tanh loses.
GELU_TANH_SCALE = 2.0 * math.sqrt(2.0 / math.pi)
GELU_TANH_CUBIC = 0.044715


# The same scale in two parts, the first a float32, and the cubic's factor as a quotient of whole numbers.
GELU_TANH_SCALE_HIGH = 1.5957691669464111
GELU_TANH_SCALE_LOW = -4.534068042105272e-08
GELU_TANH_CUBIC_QUOTIENT = (8943.0, 200000.0)


@jitable
def gelu_tanh_argument(x):
    """u = 2 sqrt(2 / pi) (x + 0.044715 x^3), as a product with 1 + 0.044715 x^2, and what rounding took from it.

    In the tail the exponential multiplies a relative error of u by |u|, so every rounding on the way to u is kept.
    """
    one, cubic = const(x, 1.0), const(x, GELU_TANH_CUBIC)
    numerator, divisor = const(x, GELU_TANH_CUBIC_QUOTIENT[0]), const(x, GELU_TANH_CUBIC_QUOTIENT[1])
    cubic_lost = fma(-cubic, divisor, numerator) / divisor
    square = x * x
    square_lost = fma(x, x, -square)
    factor = fma(cubic, square, one)
    factor_lost = fma(cubic_lost, square, fma(cubic, square_lost, fma(cubic, square, one - factor)))
    high, low = const(x, GELU_TANH_SCALE_HIGH), const(x, GELU_TANH_SCALE_LOW)
    linear = high * x
    linear_lost = fma(low, x, fma(high, x, -linear))
    u = linear * factor
    return u, fma(linear_lost, factor, fma(linear, factor_lost, fma(linear, factor, -u)))


@activation(formula="0.5 x (1 + tanh(u)), u = sqrt(2 / pi) (x + 0.044715 x^3)")
def gelu_tanh(x):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = x sigmoid(u), as `silu`."""
    size = fabs(x)
    u, u_lost = gelu_tanh_argument(size)
    e = exp_nonpositive(-u, -u_lost)
    return fma_exp_nonpositive(-size / (const(x, 1.0) + e), -u, at_least(x, 0.0), -u_lost)


@backward_of(gelu_tanh, derivative="0.5 (1 + tanh(u)) + 0.5 x (1 - tanh(u)^2) du/dx")
def gelu_tanh_backward(grad, x):
    """As `silu_backward`, with e = exp(-u), u that of |x|, and |x| u' in the place of |x|."""
    one, size = const(x, 1.0), fabs(x)
    u, u_lost = gelu_tanh_argument(size)
    e = exp_nonpositive(-u, -u_lost)
    v = complement_of_share(e)
    cubic = fma(const(x, 2.0 * GELU_TANH_SCALE * GELU_TANH_CUBIC) * size, size * size, u_lost)
    # |x| u' v - 1, with |x| u' = u + cubic and v = 1 - e v: u - 1 is exact where the sum is small.
    minus = (u - one) + fma(-(u + cubic), e * v, cubic)
    return grad * reflected(x, v * minus, -u, -u_lost)


# ---- x times a sigmoid


@activation(formula="x s, s = sigmoid(x)")
def silu(x):
    """x sigmoid(x) = max(x, 0) - |x| e / (1 + e), e = exp(-|x|)."""
    size = fabs(x)
    e = exp_nonpositive(-size)
    return fma_exp_nonpositive(-size / (const(x, 1.0) + e), -size, at_least(x, 0.0))


@backward_of(silu, derivative="s (1 + x (1 - s))")
def silu_backward(grad, x):
    """s (1 + x (1 - s)), s = sigmoid(x): for x < 0 e v (1 - |x| v) with e = exp(-|x|), v = 1 / (1 + e)."""
    size = fabs(x)
    v = complement_of_share(exp_nonpositive(-size))
    return grad * reflected(x, v * fma(size, v, const(x, -1.0)), -size)


@activation(formula="x t, t = tanh(softplus(x))")
def mish(x):
    """x tanh(softplus(x)) as max(x, 0) - |x| w n / d, w = exp(-|x|).

    n is w + 2 for x < 0, where d is 2 + 2 w + w^2, and 2 w for x >= 0, where d is 1 + 2 w + 2 w^2.
    """
    one, two, zero = const(x, 1.0), const(x, 2.0), const(x, 0.0)
    size = fabs(x)
    w = exp_nonpositive(-size)
    negative = x < zero
    n = where(negative, w + two, w + w)
    d = fma(w, n, where(negative, two, w + w + one))
    return fma_exp_nonpositive(-size * n / d, -size, at_least(x, 0.0))


@backward_of(mish, derivative="t + x (1 - t^2) sigmoid(x)")
def mish_backward(grad, x):
    """t + x (1 - t^2) sigmoid(x) with t = tanh(softplus(x)), as a quotient of polynomials in w = exp(-|x|).

    For x < 0 it is w m / d^2, m = (w + 2) d + 4 x (1 + w), d = 2 + 2 w + w^2; for x >= 0 it is 1 + 2 w^2 m / d^2,
    m = 2 x (1 + w) - d, d = 1 + 2 w + 2 w^2. Each is evaluated in w from its constant term, which is exact or nearly.
    """
    one, two, four, eight = const(x, 1.0), const(x, 2.0), const(x, 4.0), const(x, 8.0)
    below = -fabs(x)
    w = exp_nonpositive(below)
    negative = x < const(x, 0.0)
    linear = where(negative, four, two) * x
    m = fma(w, where(negative, w + four, -two), linear + where(negative, const(x, 6.0), -two))
    m = fma(w, m, linear + where(negative, four, -one))
    square = fma(w, where(negative, one, four), where(negative, four, eight))
    square = fma(w, fma(w, square, eight), where(negative, eight, four))
    share = m / fma(w, square, where(negative, four, one))
    factor = where(negative, share, two * w * share)
    return grad * fma_exp_nonpositive(factor, below, where(negative, const(x, 0.0), one))


# ---- smooth and rational


@activation(
    formula="log(1 + exp(beta x)) / beta",
    check=lambda beta: None if beta > 0 else f"beta must be above 0; got {beta:g}",
)
def softplus(x, beta=1.0):
    """log(1 + exp(beta x)) / beta = max(x, 0) + log1p(exp(-|beta x|)) / beta, for beta > 0."""
    zero, beta = const(x, 0.0), const(x, beta)
    return where(x < zero, zero, x) + log1p(exp_nonpositive(-fabs(beta * x))) / beta


@backward_of(softplus, derivative="sigmoid(beta x)")
def softplus_backward(grad, x, beta):
    return grad * sigmoid(const(x, beta) * x)


@activation(formula="x / (1 + |x|)")
def softsign(x):
    x = clamp(x, -1e30, 1e30)  # 1 + 1e30 is 1e30 in either dtype: the quotient is +-1, also at infinity
    return x / (const(x, 1.0) + fabs(x))


@backward_of(softsign, derivative="1 / (1 + |x|)^2")
def softsign_backward(grad, x):
    scale = const(x, 1.0) + fabs(x)
    return grad / scale / scale  # the square would overflow


@activation(formula="log(sigmoid(x))")
def log_sigmoid(x):
    """log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|))."""
    zero = const(x, 0.0)
    return where(x > zero, zero, x) - log1p(exp_nonpositive(-fabs(x)))


@backward_of(log_sigmoid, derivative="sigmoid(-x)")
def log_sigmoid_backward(grad, x):
    return grad * sigmoid(-x)


# ---- piecewise linear


def _ordered(min_value: float, max_value: float) -> str | None:
    ordered = min_value <= max_value
    return None if ordered else f"min_value must not be above max_value; got {min_value:g} and {max_value:g}"


@activation(formula="min(max(x, min_value), max_value)", check=_ordered)
def hardtanh(x, min_value=-1.0, max_value=1.0):
    return clamp(x, min_value, max_value)


@backward_of(hardtanh, derivative="1 if min_value < y < max_value else 0")
def hardtanh_backward(grad, y, min_value, max_value):
    outside = (y <= min_value) | (y >= max_value)
    return keep_nan(y, where(outside, const(y, 0.0), grad))


@activation(formula="min(max(x, 0), 6)")
def relu6(x):
    return clamp(x, 0.0, 6.0)


@backward_of(relu6, derivative="1 if 0 < y < 6 else 0")
def relu6_backward(grad, y):
    return hardtanh_backward(grad, y, const(y, 0.0), const(y, 6.0))


@activation(formula="min(max(x + 3, 0), 6) / 6")
def hardsigmoid(x):
    return relu6(x + const(x, 3.0)) / const(x, 6.0)


@backward_of(hardsigmoid, derivative="1/6 if -3 < x < 3 else 0")
def hardsigmoid_backward(grad, x):
    outside = (x <= const(x, -3.0)) | (x >= const(x, 3.0))
    return keep_nan(x, where(outside, const(x, 0.0), grad / const(x, 6.0)))


@activation(formula="x min(max(x + 3, 0), 6) / 6")
def hardswish(x):
    x = at_least(x, -3.0)
    return x * hardsigmoid(x)


@backward_of(hardswish, derivative="0 if x <= -3, 1 if x >= 3, else x / 3 + 1/2")
def hardswish_backward(grad, x):
    middle = grad * fma(x, const(x, 1.0 / 3.0), const(x, 0.5))
    below = where(x <= const(x, -3.0), const(x, 0.0), middle)
    return where(x >= const(x, 3.0), grad, below)
