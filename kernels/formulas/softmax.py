"""The formulas of the softmax family: a row is shifted by its largest logit, so nothing can overflow.

With m = max_j x_j, temperature T, z_j = (x_j - m) / T, e_j = exp(z_j) and s = sum_j e_j:

    softmax      y_j = e_j / s
    log_softmax  y_j = z_j - log(s)
    logsumexp    m + log(s)                          (T = 1)

A largest logit contributes exactly 1, so s = 1 + rest, where `rest` sums the exponentials of all the others. The
sums are kept in that form: log(s) = log1p(rest) stays exact where one class holds nearly all the mass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, log1p, where


@jitable
def shifted_logit(x, largest, temperature):
    """(x - largest) / temperature, with the exact limits.

    At temperature 0 it is 0 for the largest and -inf below: the arg-max, ties sharing. At temperature infinity it is
    0 for every finite logit: uniform; a logit of -inf keeps probability 0. Halves are subtracted: the difference of
    two finite logits can overflow where its quotient by the temperature does not.
    """
    half = const(x, 0.5)
    shifted = half * x - half * largest
    settled = (shifted == const(x, 0.0)) | (shifted == const(x, -math.inf))
    return where(settled, shifted, shifted / (half * temperature))


@jitable
def plain_shift(x, largest, temperature):
    """`shifted_logit` at temperature 1."""
    return x - largest


@jitable
def infinite_shift(x, largest, temperature):
    """x - largest, and 0 where both are the same infinity: logsumexp of +inf is +inf, of -inf alone -inf."""
    return where(x == largest, const(x, 0.0), x - largest)


@jitable
def share_of(rest):
    """1 / s, s = 1 + rest."""
    one = const(rest, 1.0)
    return one / (one + rest)


@jitable
def log_sum(rest):
    """log(s), s = 1 + rest."""
    return log1p(rest)


@jitable
def softmax_of(e, share):
    """e / s, with 1 / s given."""
    return e * share


@jitable
def log_softmax_of(z, log_s):
    """z - log(s)."""
    return z - log_s


@jitable
def softmax_term(grad, y):
    """What `softmax_gradient` needs the sum of."""
    return grad * y


@jitable
def softmax_gradient(grad, y, dot, temperature):
    """d/dx_j of sum_i grad_i softmax(x / T)_i = y_j (grad_j - sum_i grad_i y_i) / T, with dot the sum."""
    return y * (grad - dot) / temperature


@jitable
def log_softmax_term(grad, log_y):
    """What `log_softmax_gradient` needs the sum of."""
    return grad


@jitable
def log_softmax_gradient(grad, log_y, grad_sum, temperature):
    """d/dx_j of sum_i grad_i log_softmax(x / T)_i = (grad_j - softmax_j sum_i grad_i) / T, softmax = exp(log_y)."""
    return (grad - exp_nonpositive(log_y) * grad_sum) / temperature


# ---- the members of the family that give a number for each logit


@dataclass(frozen=True, eq=False)  # rows are themselves: compared and hashed by identity
class Normalised:
    """How the logits of a row are normalised, and the way back; kernels and operations follow from it.

    Attributes
    ----------
    name
        Of the operation.
    keeps
        What is made of a logit before the row's sum is known: its exponential "e", or the shifted logit "z".
    of_rest, normalise
        The result is ``normalise(kept, of_rest(rest))``.
    hidden
        The result of a logit of -inf, which has no part in the row.
    term, gradient
        The gradient is ``gradient(grad, y, sum of term(grad, y), temperature)``.
    """

    name: str
    keeps: Literal["e", "z"]
    of_rest: Callable[..., Any]
    normalise: Callable[..., Any]
    hidden: float
    term: Callable[..., Any]
    gradient: Callable[..., Any]


SOFTMAX = Normalised("softmax", "e", share_of, softmax_of, 0.0, softmax_term, softmax_gradient)
LOG_SOFTMAX = Normalised("log_softmax", "z", log_sum, log_softmax_of, -math.inf, log_softmax_term, log_softmax_gradient)
