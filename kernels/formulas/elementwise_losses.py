"""The formulas of the losses that compare two arrays element by element; `elementwise_loss_table` lists them.

Each is a pair of the prediction x, its target t, and the loss's weights and parameters: the loss, and its derivative
with respect to x. NaN is kept. Differences are not squared before they are halved, nor taken where they would overflow
and the loss would not.
"""

from __future__ import annotations

import math

from numba.extending import register_jitable

from softgrad.kernels.formulas.activations import at_least, clamp, complement_of_share, keep_nan
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, fabs, fma, log1p, where

# ---- what targets and weights may be


@register_jitable
def is_probability(t):
    return (t >= const(t, 0.0)) & (t <= const(t, 1.0))


@register_jitable
def is_sign(t):
    return (t == const(t, 1.0)) | (t == const(t, -1.0))


@register_jitable
def is_weight(w):
    return (w >= const(w, 0.0)) & (w < const(w, math.inf))


# ---- binary cross-entropy


@register_jitable
def weighted(weight, value):
    """weight * value, and 0 where the weight is 0, even if the value is infinite."""
    zero = const(value, 0.0)
    return where(weight == zero, zero, weight * value)


@register_jitable
def sigmoid_cross_entropy(x, t, pos_weight, weight):
    """w [p t softplus(-x) + (1 - t) softplus(x)], softplus(x) = max(x, 0) + log1p(exp(-|x|)): no term is negative."""
    tail = log1p(exp_nonpositive(-fabs(x)))
    positive = weighted(pos_weight * t, at_least(-x, 0.0) + tail)
    negative = weighted(const(x, 1.0) - t, at_least(x, 0.0) + tail)
    return keep_nan(x, weighted(weight, positive + negative))


@register_jitable
def sigmoid_cross_entropy_gradient(x, t, pos_weight, weight):
    """w [(1 - t) sigmoid(x) - p t sigmoid(-x)], where sigmoid(|x|) = v = 1 / (1 + e) and sigmoid(-|x|) = e v.

    With e = exp(-|x|); where t is 0 or 1 one of the two terms is 0, and nothing cancels.
    """
    e = exp_nonpositive(-fabs(x))
    positive, negative = pos_weight * t, const(x, 1.0) - t
    above = x >= const(x, 0.0)
    terms = fma(where(above, -positive, negative), e, where(above, negative, -positive))
    return weight * (complement_of_share(e) * terms)


# ---- differences


@register_jitable
def squared_error(x, t):
    """(x - t)^2."""
    d = x - t
    return d * d


@register_jitable
def squared_error_gradient(x, t):
    d = x - t
    return d + d


@register_jitable
def l2_loss(x, t):
    """(x - t)^2 / 2."""
    d = x - t
    return const(x, 0.5) * d * d


@register_jitable
def l2_loss_gradient(x, t):
    return x - t


@register_jitable
def huber_loss(x, t, delta):
    """d^2 / 2 where |d| <= delta, d = x - t, else delta (|d| - delta / 2); Huber 1964.

    The second is taken of d / 2, which cannot overflow.
    """
    half, quarter = const(x, 0.5), const(x, 0.25)
    d = x - t
    linear = (delta + delta) * (fabs(half * x - half * t) - quarter * delta)
    return where(fabs(d) <= delta, half * d * d, linear)


@register_jitable
def huber_loss_gradient(x, t, delta):
    return clamp(x - t, -delta, delta)


# ---- hinge


@register_jitable
def hinge_loss(x, t):
    """max(0, 1 - t x)."""
    return at_least(fma(-t, x, const(x, 1.0)), 0.0)


@register_jitable
def hinge_loss_gradient(x, t):
    """-t where 1 - t x > 0, else 0, also at the kink."""
    zero = const(x, 0.0)
    return keep_nan(x, where(fma(-t, x, const(x, 1.0)) > zero, -t, zero))
