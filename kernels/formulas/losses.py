"""The formulas of the losses.

Softmax cross-entropy of one row with logits x, label k, m = max_j x_j, e_j = exp(x_j - m), s = sum_j e_j:

    loss       = -log softmax(x)_k = log(s) + (m - x_k)
    d loss/dx_j = e_j / s - [j = k]

Both terms of the loss are non-negative, so nothing cancels. The gradient at the label is (e_k - s) / s, with s
in two parts (see `logsumexp.two_sum`): the relative accuracy survives where the label's probability nears 1.
"""

from __future__ import annotations

from numba.extending import register_jitable

from softgrad.kernels.formulas.logsumexp import log_of_sum


@register_jitable
def cross_entropy(label_logit, largest, total, carry):
    """log(s) + (m - x_k), with s = total + carry."""
    return log_of_sum(total, carry) + (largest - label_logit)


@register_jitable
def cross_entropy_label_gradient(label_exp, total, carry):
    """(e_k - s) / s, with s = total + carry."""
    return ((label_exp - total) - carry) / (total + carry)
