"""The losses that compare two arrays element by element, each formula once, with the words that describe it.

`registry.elementwise_loss` makes the rows of `ELEMENTWISE_LOSSES` of them, in this order. NaN is kept. Differences are
not squared before they are halved, nor taken where they would overflow and the loss would not.
"""

from __future__ import annotations

from softgrad.kernels.formulas.conditions import is_probability, is_sign, is_weight
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.pieces import at_least, clamp, complement_of_share, keep_nan
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, fabs, fma, log1p, where
from softgrad.kernels.formulas.registry import Condition, elementwise_loss, gradient_of

# ---- what targets and weights may be

PROBABILITIES = Condition(is_probability, "lie in [0, 1]")
SIGNS = Condition(is_sign, "be -1 or 1")
WEIGHTS = Condition(is_weight, "be finite and not below 0")

# ---- binary cross-entropy


@jitable
def weighted(weight, value):
    """weight * value, and 0 where the weight is 0, even if the value is infinite."""
    zero = const(value, 0.0)
    return where(weight == zero, zero, weight * value)


@elementwise_loss(
    formula="weight (pos_weight t softplus(-x) + (1 - t) softplus(x))",
    source="``torch.nn.functional.binary_cross_entropy_with_logits``",
    predictions="logits",
    targets=PROBABILITIES,
)
def sigmoid_cross_entropy(x, t, pos_weight, weight):
    """w [p t softplus(-x) + (1 - t) softplus(x)], softplus(x) = max(x, 0) + log1p(exp(-|x|)): no term is negative."""
    pos_weight, weight = const(x, pos_weight), const(x, weight)
    tail = log1p(exp_nonpositive(-fabs(x)))
    positive = weighted(pos_weight * t, at_least(-x, 0.0) + tail)
    negative = weighted(const(x, 1.0) - t, at_least(x, 0.0) + tail)
    return keep_nan(x, weighted(weight, positive + negative))


@gradient_of(sigmoid_cross_entropy, derivative="weight ((1 - t) sigmoid(x) - pos_weight t sigmoid(-x))")
def sigmoid_cross_entropy_gradient(x, t, pos_weight, weight):
    """w [(1 - t) sigmoid(x) - p t sigmoid(-x)], where sigmoid(|x|) = v = 1 / (1 + e) and sigmoid(-|x|) = e v.

    With e = exp(-|x|); where t is 0 or 1 one of the two terms is 0, and nothing cancels.
    """
    e = exp_nonpositive(-fabs(x))
    positive, negative = const(x, pos_weight) * t, const(x, 1.0) - t
    above = x >= const(x, 0.0)
    terms = fma(where(above, -positive, negative), e, where(above, negative, -positive))
    return const(x, weight) * (complement_of_share(e) * terms)


# ---- differences


@elementwise_loss(formula="(x - t)^2", source="``torch.nn.functional.mse_loss``")
def squared_error(x, t):
    d = x - t
    return d * d


@gradient_of(squared_error, derivative="2 (x - t)")
def squared_error_gradient(x, t):
    d = x - t
    return d + d


@elementwise_loss(formula="(x - t)^2 / 2", source="``optax.losses.l2_loss``")
def l2_loss(x, t):
    d = x - t
    return const(x, 0.5) * d * d


@gradient_of(l2_loss, derivative="x - t")
def l2_loss_gradient(x, t):
    return x - t


# ---- hinge


@elementwise_loss(formula="max(0, 1 - t x)", source="``optax.losses.hinge_loss``", predictions="scores", targets=SIGNS)
def hinge_loss(x, t):
    return at_least(fma(-t, x, const(x, 1.0)), 0.0)


@gradient_of(hinge_loss, derivative="-t if t x < 1 else 0, at the kink too")
def hinge_loss_gradient(x, t):
    zero = const(x, 0.0)
    return keep_nan(x, where(fma(-t, x, const(x, 1.0)) > zero, -t, zero))


# ---- Huber


@elementwise_loss(
    formula="d^2 / 2 if |d| <= delta else delta (|d| - delta / 2), d = x - t",
    source="``torch.nn.functional.huber_loss``",
    check=lambda delta: None if delta > 0 else f"delta must be above 0; got {delta:g}",
)
def huber_loss(x, t, delta=1.0):
    """Huber 1964; the second is taken of d / 2, which cannot overflow."""
    half, quarter, delta = const(x, 0.5), const(x, 0.25), const(x, delta)
    d = x - t
    linear = (delta + delta) * (fabs(half * x - half * t) - quarter * delta)
    return where(fabs(d) <= delta, half * d * d, linear)


@gradient_of(huber_loss, derivative="min(max(x - t, -delta), delta)")
def huber_loss_gradient(x, t, delta):
    return clamp(x - t, -delta, delta)
