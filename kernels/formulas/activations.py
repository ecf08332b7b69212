"""The activation functions and their derivatives, each formula once; `activation_table` lists them.

A forward formula takes ``x``; a backward formula takes ``(grad, saved)`` and returns ``grad * f'(x)``, where the
table says whether ``saved`` is the input x or the output f(x). Parameters follow. Definitions and defaults are
PyTorch's (``torch.nn.functional``), the limits at infinity and the tails are exact:

- NaN is kept. Comparisons are false for NaN, so a branch that would lose it is written the other way round.
- f(-inf) of silu, mish, gelu and hardswish is 0, their limit, where the formula alone would give ``-inf * 0``.
- nothing is computed as ``1 - nearly 1`` or ``exp(x) - 1`` where that would cancel.
"""

from __future__ import annotations

import math

from numba.extending import register_jitable

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


@register_jitable
def keep_nan(x, value):
    """`value`, or NaN where x is NaN."""
    return where(x == x, value, x)


@register_jitable
def at_least(x, low):
    """x, but not below `low`; NaN stays."""
    low = const(x, low)
    return where(x < low, low, x)


@register_jitable
def clamp(x, low, high):
    """x, but not outside [low, high]; NaN stays."""
    low = const(x, low)
    high = const(x, high)
    return where(x < low, low, where(x > high, high, x))


# ---- step and linear


@register_jitable
def heaviside(x):
    """1 where x >= 0, else 0."""
    return keep_nan(x, where(x >= const(x, 0.0), const(x, 1.0), const(x, 0.0)))


@register_jitable
def identity(x):
    return x


@register_jitable
def identity_backward(grad, y):
    return grad


# ---- logistic


@register_jitable
def sigmoid(x):
    """1 / (1 + exp(-x)) as y - y e / (1 + e), e = exp(-|x|), which cannot overflow; y = 1 where x >= 0, and e below."""
    one = const(x, 1.0)
    e = exp_nonpositive(-fabs(x))
    share = e / (one + e)
    larger = where(x >= const(x, 0.0), one, e)
    return fma(-larger, share, larger)


@register_jitable
def sigmoid_backward(grad, y):
    return grad * (y * (const(y, 1.0) - y))


@register_jitable
def log_sigmoid(x):
    """log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|))."""
    zero = const(x, 0.0)
    return where(x > zero, zero, x) - log1p(exp_nonpositive(-fabs(x)))


@register_jitable
def log_sigmoid_backward(grad, x):
    return grad * sigmoid(-x)


@register_jitable
def softplus(x, beta):
    """log(1 + exp(beta x)) / beta = max(x, 0) + log1p(exp(-|beta x|)) / beta, for beta > 0."""
    zero = const(x, 0.0)
    return where(x < zero, zero, x) + log1p(exp_nonpositive(-fabs(beta * x))) / beta


@register_jitable
def softplus_backward(grad, x, beta):
    return grad * sigmoid(beta * x)


@register_jitable
def silu(x):
    """x sigmoid(x) = max(x, 0) - |x| e / (1 + e), e = exp(-|x|)."""
    size = fabs(x)
    e = exp_nonpositive(-size)
    return fma_exp_nonpositive(-size / (const(x, 1.0) + e), -size, at_least(x, 0.0))


@register_jitable
def reflected(x, factor, exponent, lost=None):
    """y = -factor exp(exponent + lost) where x < 0, and 1 - y(-x) for x >= 0; factor and exponent are those of |x|."""
    zero = const(x, 0.0)
    negative = x < zero
    addend = where(negative, zero, const(x, 1.0))
    return fma_exp_nonpositive(where(negative, -factor, factor), exponent, addend, lost)


@register_jitable
def complement_of_share(e):
    """1 / (1 + e) for e = exp(-|u|), as 1 - e / (1 + e), whose error vanishes with e."""
    one = const(e, 1.0)
    return fma(-e, one / (one + e), one)


@register_jitable
def silu_backward(grad, x):
    """s (1 + x (1 - s)), s = sigmoid(x): for x < 0 e v (1 - |x| v) with e = exp(-|x|), v = 1 / (1 + e)."""
    size = fabs(x)
    v = complement_of_share(exp_nonpositive(-size))
    return grad * reflected(x, v * fma(size, v, const(x, -1.0)), -size)


# ---- hyperbolic tangent


@register_jitable
def tanh(x):
    return tanh_primitive(x)


@register_jitable
def tanh_backward(grad, y):
    """1 - y^2, factored: both factors are exact to rounding where y nears 1."""
    one = const(y, 1.0)
    return grad * ((one - y) * (one + y))


@register_jitable
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


@register_jitable
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


# ---- rectifiers


@register_jitable
def relu(x):
    """max(x, 0)."""
    return where(x <= const(x, 0.0), const(x, 0.0), x)


@register_jitable
def relu_backward(grad, y):
    return keep_nan(y, where(y > const(y, 0.0), grad, const(y, 0.0)))


@register_jitable
def leaky_relu(x, negative_slope):
    """x where x > 0, else negative_slope x."""
    return where(x > const(x, 0.0), x, negative_slope * x)


@register_jitable
def leaky_relu_backward(grad, x, negative_slope):
    return keep_nan(x, where(x > const(x, 0.0), grad, negative_slope * grad))


@register_jitable
def elu(x, alpha):
    """x where x > 0, else alpha (exp(x) - 1)."""
    return where(x > const(x, 0.0), x, alpha * expm1(x))


@register_jitable
def elu_backward(grad, x, alpha):
    return keep_nan(x, where(x > const(x, 0.0), grad, grad * (alpha * exp(x))))


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@register_jitable
def selu(x):
    """scale (x where x > 0, else alpha (exp(x) - 1)); Klambauer et al. 2017, arXiv:1706.02515."""
    scale = const(x, SELU_SCALE)
    return where(x > const(x, 0.0), scale * x, const(x, SELU_SCALE * SELU_ALPHA) * expm1(x))


@register_jitable
def selu_backward(grad, x):
    scale = const(x, SELU_SCALE)
    slope = where(x > const(x, 0.0), scale, const(x, SELU_SCALE * SELU_ALPHA) * exp(x))
    return grad * keep_nan(x, slope)


@register_jitable
def celu(x, alpha):
    """x where x > 0, else alpha (exp(x / alpha) - 1)."""
    return where(x > const(x, 0.0), x, alpha * expm1(x / alpha))


@register_jitable
def celu_backward(grad, x, alpha):
    return keep_nan(x, where(x > const(x, 0.0), grad, grad * exp(x / alpha)))


# ---- Gaussian error linear unit; Hendrycks and Gimpel 2016, arXiv:1606.08415


@register_jitable
def normal_exponent(x):
    """-x^2 / 2, and what rounding took from it, which in the tail is a relative error of exp(-x^2 / 2)."""
    minus_half = const(x, -0.5) * x
    exponent = minus_half * x
    return exponent, fma(minus_half, x, -exponent)


@register_jitable
def gelu(x):
    """x Phi(x) = max(x, 0) - |x| Phi(-|x|), Phi the standard normal distribution function."""
    size = fabs(x)
    exponent, lost = normal_exponent(size)
    ratio, ratio_lost = normal_tail_ratio(size)
    y = fma_exp_nonpositive(-size * ratio, exponent, at_least(x, 0.0), lost + ratio_lost)
    return copysign(y, x)  # -0 would come out as 0


@register_jitable
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


@register_jitable
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


@register_jitable
def gelu_tanh(x):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = x sigmoid(u), as `silu`."""
    size = fabs(x)
    u, u_lost = gelu_tanh_argument(size)
    e = exp_nonpositive(-u, -u_lost)
    return fma_exp_nonpositive(-size / (const(x, 1.0) + e), -u, at_least(x, 0.0), -u_lost)


@register_jitable
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


# ---- rational and piecewise linear


@register_jitable
def softsign(x):
    """x / (1 + |x|)."""
    x = clamp(x, -1e30, 1e30)  # 1 + 1e30 is 1e30 in either dtype: the quotient is +-1, also at infinity
    return x / (const(x, 1.0) + fabs(x))


@register_jitable
def softsign_backward(grad, x):
    scale = const(x, 1.0) + fabs(x)
    return grad / scale / scale  # the square would overflow


@register_jitable
def hardtanh(x, min_value, max_value):
    """x, but not outside [min_value, max_value]."""
    return clamp(x, min_value, max_value)


@register_jitable
def hardtanh_backward(grad, y, min_value, max_value):
    outside = (y <= min_value) | (y >= max_value)
    return keep_nan(y, where(outside, const(y, 0.0), grad))


@register_jitable
def relu6(x):
    """min(max(x, 0), 6)."""
    return clamp(x, 0.0, 6.0)


@register_jitable
def relu6_backward(grad, y):
    return hardtanh_backward(grad, y, const(y, 0.0), const(y, 6.0))


@register_jitable
def hardsigmoid(x):
    """relu6(x + 3) / 6."""
    return relu6(x + const(x, 3.0)) / const(x, 6.0)


@register_jitable
def hardsigmoid_backward(grad, x):
    outside = (x <= const(x, -3.0)) | (x >= const(x, 3.0))
    return keep_nan(x, where(outside, const(x, 0.0), grad / const(x, 6.0)))


@register_jitable
def hardswish(x):
    """x relu6(x + 3) / 6."""
    x = at_least(x, -3.0)
    return x * hardsigmoid(x)


@register_jitable
def hardswish_backward(grad, x):
    middle = grad * fma(x, const(x, 1.0 / 3.0), const(x, 0.5))
    below = where(x <= const(x, -3.0), const(x, 0.0), middle)
    return where(x >= const(x, 3.0), grad, below)
