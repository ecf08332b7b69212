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
    erfc,
    exp,
    exp_nonpositive,
    expm1,
    fabs,
    fma,
    log1p,
    times_erfc,
    times_exp_nonpositive,
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
def sigmoid_share(below):
    """(sigmoid(-|u|), e) with below = -|u|: the first is e / (1 + e), e = exp(-|u|), which cannot overflow."""
    e = exp_nonpositive(below)
    return e / (const(below, 1.0) + e), e


@register_jitable
def times_sigmoid(factor, x):
    """factor sigmoid(x), as y - y share, with y = factor where x >= 0 and factor e below."""
    share, e = sigmoid_share(-fabs(x))
    larger = factor * where(x >= const(x, 0.0), const(x, 1.0), e)
    return fma(-larger, share, larger)


@register_jitable
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return times_sigmoid(const(x, 1.0), x)


@register_jitable
def weighted_sigmoid(x, below):
    """(x sigmoid(u), sigmoid(-|u|)) for finite x, with below = -|u| and u of x's sign.

    In the tail exp(u) is subnormal where x exp(u) is not yet, so the product is taken at once.
    """
    share, _ = sigmoid_share(below)
    larger = where(x >= const(x, 0.0), x, times_exp_nonpositive(x, below))
    return fma(-larger, share, larger), share


@register_jitable
def beyond(x, bounded, y):
    """y; but x where it is 0, of either sign, or above its bound, as such functions do."""
    return where((x > bounded) | (x == const(x, 0.0)), x, y)


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
    return times_sigmoid(grad, -x)


@register_jitable
def softplus(x, beta):
    """log(1 + exp(beta x)) / beta = max(x, 0) + log1p(exp(-|beta x|)) / beta, for beta > 0."""
    zero = const(x, 0.0)
    return where(x < zero, zero, x) + log1p(exp_nonpositive(-fabs(beta * x))) / beta


@register_jitable
def softplus_backward(grad, x, beta):
    return times_sigmoid(grad, beta * x)


@register_jitable
def silu(x):
    """x sigmoid(x)."""
    bounded = clamp(x, -1e4, 1e4)  # the result is 0 long before, in float64 too; -inf * 0 would be NaN
    y, _ = weighted_sigmoid(bounded, -fabs(bounded))
    return beyond(x, bounded, y)


@register_jitable
def silu_backward(grad, x):
    """s (1 + x (1 - s)), s = sigmoid(x).

    With share = sigmoid(-|x|) it is t = share (1 - |x| (1 - share)) for x < 0, and 1 - t for x >= 0. In the tail share
    is subnormal where t is not yet.
    """
    x = clamp(x, -1e4, 1e4)
    one, size = const(x, 1.0), fabs(x)
    share, _ = sigmoid_share(-size)
    minus = fma(-size, share, size - one)
    tail = times_exp_nonpositive(-minus, -size)
    return grad * where(x < const(x, 0.0), fma(-tail, share, tail), fma(share, minus, one))


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
    """x tanh(softplus(x)), as outer - outer difference / denominator; in the tail outer is x exp(x), taken at once."""
    bounded = clamp(x, -1e4, 1e4)
    one, two = const(x, 1.0), const(x, 2.0)
    below = -fabs(bounded)
    w = exp_nonpositive(below)
    square = w * w
    positive = x >= const(x, 0.0)
    difference = where(positive, two * square, square + w)
    denominator = difference + where(positive, fma(two, w, one), w + two)
    outer = where(positive, bounded, times_exp_nonpositive(bounded, below))
    return beyond(x, bounded, fma(-outer, difference / denominator, outer))


@register_jitable
def mish_backward(grad, x):
    """t + x (1 - t^2) sigmoid(x) with t = tanh(softplus(x)), as a quotient of polynomials in w = exp(-|x|).

    For x < 0 it is w m / d^2, m = (w + 2) d + 4 x (1 + w), d = 2 + 2 w + w^2; for x >= 0 it is 1 + 2 w^2 m / d^2,
    m = 2 x (1 + w) - d, d = 1 + 2 w + 2 w^2. Each is evaluated in w from its constant term, which is exact or nearly.
    """
    x = clamp(x, -1e4, 1e4)
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
    return grad * where(negative, times_exp_nonpositive(share, below), fma(two * w * w, share, one))


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

SQRT_HALF = math.sqrt(0.5)

# sqrt(1 / (2 pi)) = high (1 + low), the first a float32.
DENSITY_HIGH = 0.3989422917366028
DENSITY_LOW = -2.8413057076302904e-08


@register_jitable
def normal_argument(x):
    """z = -x sqrt(1/2) for the normal distribution function erfc(z) / 2, and what puts back z's rounding.

    In the tail erfc multiplies a relative error of its argument by 2 z^2. With d the rounding error of z,
    erfc(z + d) = erfc(z) (1 - 2 z d) there to first order; returned is -2 z d, 0 where there is no tail.
    """
    root = const(x, SQRT_HALF)
    # What float32 (or float64) rounding takes from sqrt(1/2): 1/2 = root^2 + residue, and
    # sqrt(1/2) - root = residue / (2 root).
    residue = fma(-root, root, const(x, 0.5))
    z = -x * root
    lost = fma(-x, root, -z) - x * (residue * root)
    tail = where(z > const(x, 0.5), z, const(x, 0.0))
    return z, const(x, -2.0) * tail * lost


@register_jitable
def gelu(x):
    """x Phi(x), Phi the standard normal distribution function."""
    bounded = clamp(x, -100.0, 100.0)  # Phi is 0 and 1 in float64 from -39 and 9 on
    z, correction = normal_argument(bounded)
    y = times_erfc(const(x, 0.5) * bounded, z)
    return beyond(x, bounded, fma(y, correction, y))


@register_jitable
def gelu_backward(grad, x):
    """Phi(x) + x phi(x)."""
    x = clamp(x, -100.0, 100.0)
    z, correction = normal_argument(x)
    p = const(x, 0.5) * erfc(z)
    # What rounding takes from x^2 / 2 becomes a relative error of the density. It is put back in the end, with that of
    # the constant and of its product with x: near the root, where the terms cancel, each rounding would count twice.
    minus_half, high = const(x, -0.5), const(x, DENSITY_HIGH)
    square, outer = x * x, high * x
    lost = fma(minus_half, fma(x, x, -square), const(x, DENSITY_LOW))
    outer_lost = fma(outer, lost, fma(high, x, -outer))
    exponent = minus_half * square
    density = times_exp_nonpositive(outer, exponent)
    return grad * ((p + density) + fma(outer_lost, exp_nonpositive(exponent), p * correction))


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

    In the tail the sigmoid multiplies a relative error of u by |u|, so every rounding on the way to u is kept, to be
    put back to first order: sigmoid(u + d) = sigmoid(u) (1 + d sigmoid(-u)).
    """
    one, cubic = const(x, 1.0), const(x, GELU_TANH_CUBIC)
    numerator, divisor = const(x, GELU_TANH_CUBIC_QUOTIENT[0]), const(x, GELU_TANH_CUBIC_QUOTIENT[1])
    cubic_lost = fma(-cubic, divisor, numerator) / divisor
    square = x * x
    square_lost = fma(x, x, -square)
    factor = fma(cubic, square, one)
    factor_lost = fma(cubic_lost, square, fma(cubic, square_lost, fma(cubic, square, one - factor)))
    high, low = const(x, GELU_TANH_SCALE_HIGH), const(x, GELU_TANH_SCALE_LOW)
    linear = fma(high, x, low * x)
    linear_lost = fma(low, x, fma(high, x, -linear))
    u = linear * factor
    return u, fma(linear_lost, factor, fma(linear, factor_lost, fma(linear, factor, -u)))


@register_jitable
def gelu_tanh(x):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = x sigmoid(u)."""
    bounded = clamp(x, -100.0, 100.0)
    u, u_lost = gelu_tanh_argument(bounded)
    y, share = weighted_sigmoid(bounded, -fabs(u))
    slope = where(x >= const(x, 0.0), share, const(x, 1.0) - share)
    return beyond(x, bounded, fma(y, u_lost * slope, y))


@register_jitable
def gelu_tanh_backward(grad, x):
    """As `silu_backward`, with share = sigmoid(-|u|) and |x| u' in the place of |x|."""
    x = clamp(x, -100.0, 100.0)
    one, size = const(x, 1.0), fabs(x)
    u, u_lost = gelu_tanh_argument(size)
    share, _ = sigmoid_share(-u)
    correction = -u_lost * (one - share)
    share = fma(share, correction, share)
    cubic = fma(const(x, 2.0 * GELU_TANH_SCALE * GELU_TANH_CUBIC) * size, size * size, u_lost)
    # |x| u' (1 - share) - 1, with |x| u' = u + cubic: u - 1 is exact where the sum is small.
    minus = (u - one) + fma(-(u + cubic), share, cubic)
    tail = times_exp_nonpositive(-minus, -u)
    return grad * where(x < const(x, 0.0), fma(tail, correction - share, tail), fma(share, minus, one))


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
