"""The formulas of the losses.

Softmax cross-entropy of one row with logits x, label k, m = max_j x_j, e_j = exp(x_j - m), s = sum_j e_j = 1 + rest:

    loss        = -log softmax(x)_k = log(s) + (m - x_k)
    d loss/dx_j = e_j / s - [j = k]

Both terms of the loss are non-negative, so nothing cancels. The gradient at the label is taken as
((e_k - 1) - rest) / s: where the label holds nearly all the mass e_k is 1, and -rest / s remains, to full accuracy.
"""

from __future__ import annotations

from numba.extending import register_jitable

from softgrad.kernels.formulas.logsumexp import log_sum
from softgrad.kernels.formulas.primitives import const


@register_jitable
def cross_entropy(below, rest):
    """log(s) + (m - x_k), with `below` the distance m - x_k."""
    return log_sum(rest) + below


@register_jitable
def cross_entropy_label_gradient(label_exp, rest):
    """(e_k - 1) - rest: s times the gradient at the label."""
    return (label_exp - const(rest, 1.0)) - rest
