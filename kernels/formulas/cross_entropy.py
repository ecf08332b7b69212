"""The formulas of the losses.

Softmax cross-entropy of one row with logits x, label k, m = max_j x_j, e_j = exp(x_j - m), s = sum_j e_j = 1 + rest:

    loss        = -log softmax(x)_k = log(s) + (m - x_k)
    d loss/dx_j = e_j / s - [j = k]

Both terms of the loss are non-negative, so nothing cancels. The gradient at the label is taken as
((e_k - 1) - rest) / s: where the label holds nearly all the mass e_k is 1, and -rest / s remains, to full accuracy.

With targets t (1 at a label, 0 elsewhere), class weights w, label smoothing eps, a cap on the logits, and z-loss:

    z_j  = cap tanh(x_j / cap), or x_j         m, e_j and s are those of z
    c_j  = w_j ((1 - eps) t_j + eps / C)       S = sum_j c_j
    lse  = m + log(s)
    loss        = sum_j c_j (lse - z_j) + z_loss lse^2 = S log(s) + sum_j c_j (m - z_j) + z_loss lse^2
    d loss/dx_j = ((S e_j - c_j) - c_j rest + 2 z_loss lse e_j) / s (1 - (z_j / cap)^2)

Where one class has all of S and nearly all the mass, the same -rest remains. The slope of the cap is taken as
4 q / (1 + q)^2 with q = exp(-2 |x_j| / cap), which nothing cancels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, fabs, fma, tanh, where
from softgrad.kernels.formulas.softmax import log_sum


class CrossEntropyOptions(NamedTuple):
    """What a loss may be asked for beside its logits and targets; by default nothing.

    Attributes
    ----------
    weight
        w, an array with a number for each class.
    ignore_index
        The label of rows that have loss 0 and gradient 0.
    label_smoothing, z_loss, softcap
        eps, the factor of lse^2, and the cap.
    """

    weight: Any = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    z_loss: float = 0.0
    softcap: float | None = None


DEFAULTS = CrossEntropyOptions()


@jitable
def cross_entropy(below, rest):
    """log(s) + (m - x_k), with `below` the distance m - x_k."""
    return log_sum(rest) + below


@jitable
def cross_entropy_label_gradient(label_exp, rest):
    """(e_k - 1) - rest: s times the gradient at the label."""
    return (label_exp - const(rest, 1.0)) - rest


@jitable
def soft_cap(x, cap):
    """cap tanh(x / cap)."""
    return cap * tanh(x / cap)


@jitable
def soft_cap_slope(x, cap):
    """1 - tanh(x / cap)^2."""
    one, size = const(x, 1.0), fabs(x)
    u = size / cap
    lost = fma(-u, cap, size) / cap  # what rounding took from the quotient; NaN where that is infinite
    lost = where(lost == lost, lost, const(x, 0.0))
    q = exp_nonpositive(const(x, -2.0) * u, const(x, -2.0) * lost)
    return const(x, 4.0) * q / ((one + q) * (one + q))


@jitable
def coefficient(target, weight, kept, spread):
    """c_j, with kept = 1 - eps and spread = eps / C."""
    return weight * (kept * target + spread)


@jitable
def coefficient_term(c, below):
    """c_j (m - z_j), with `below` the distance m - z_j; 0 where c_j is 0, though z_j be -inf."""
    zero = const(below, 0.0)
    return where(c == zero, zero, c * below)


@jitable
def weighted_cross_entropy(c_sum, terms, largest, rest, z_loss):
    """S log(s) + sum_j c_j (m - z_j) + z_loss lse^2, with `terms` that sum."""
    log_s = log_sum(rest)
    lse = largest + log_s
    return (c_sum * log_s + terms) + z_loss * lse * lse


@jitable
def z_loss_slope(largest, rest, z_loss):
    """2 z_loss lse."""
    return const(rest, 2.0) * z_loss * (largest + log_sum(rest))


@jitable
def weighted_cross_entropy_gradient(e, c, c_sum, rest, pull):
    """(S e_j - c_j) - c_j rest + pull e_j: s times the gradient by z_j.

    `pull` is 2 z_loss lse, and what S has beyond `c_sum` where it is kept in two parts.
    """
    return ((c_sum * e - c) - c * rest) + pull * e
