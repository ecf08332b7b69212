"""The formulas of the information measures: terms that are never negative, summed in two parts.

    self-information    -log p
    entropy             sum_j -p_j log p_j                           0 log 0 = 0
    cross-entropy       sum_j -p_j log q_j                           0 log q = 0, even of q = 0
    KL divergence       sum_j p_j log(p_j / q_j) - p_j + q_j
    perplexity          exp(entropy)

Where p and q both sum to 1, -p_j + q_j adds nothing to the divergence, but makes every term non-negative, of the second
order where p_j is near q_j. So nothing cancels between terms. A term is `value` and what rounding took from it, `lost`,
and so are a sum and the factor 1 / log(base): together they are rounded once, and powers of two give whole bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import atanh_tail, const, exp, fabs, fma, log_parts, where
from softgrad.kernels.formulas.sums import larger, together, two_sum

# The series of atanh serves for |p - q| up to this times p + q; then p / q lies in [2/3, 3/2].
NEAR = 0.2

# What keeps a quotient by a subnormal number finite: 2**64, and its logarithm. Not computed in the functions, as the
# compiler for the GPU does not fold calls of math.
LIFT, LOG_LIFT = 2.0**64, 64 * math.log(2.0)
LOWER = 1 / LIFT


# ---- terms, as (value, lost)


@jitable
def cross_entropy_term(p, q):
    """-p log q, 0 where p is 0 and q is no NaN."""
    log_q, lost = log_parts(q)
    log_q = where(p == const(p, 0.0), q, log_q)
    value = -(p * log_q)
    return value, -fma(p, log_q, value) - p * lost


@jitable
def entropy_term(p, _):
    """-p log p."""
    return cross_entropy_term(p, p)


@jitable
def divergence_term(p, q):
    """p log(p / q) - p + q.

    With d = p - q and s = d / (p + q), log(p / q) = 2 atanh(s); near p = q the term is d s (1 + s (1 + s) tail / 2).
    Elsewhere log(p / q) is taken of the rounded quotient, and what rounding took from that is put back.
    """
    zero, one, half = const(p, 0.0), const(p, 1.0), const(p, 0.5)
    d, both = p - q, p + q
    s = d / both
    near = d * s * fma(s * (one + s), half * atanh_tail(s * s), one)
    lifted = q < p * const(p, LOWER)
    divisor = where(lifted, q * const(p, LIFT), q)
    quotient = p / divisor
    log_quotient, lost = log_parts(quotient)
    log_quotient = where(lifted, log_quotient + const(p, LOG_LIFT), log_quotient)
    lost = lost + fma(-quotient, divisor, p) / p
    far = fma(p, log_quotient, -d) + p * lost
    term = where(fabs(d) <= const(p, NEAR) * both, near, far)
    term = where((q == zero) & (p > zero), const(p, math.inf), term)
    return where(p == zero, q, term), zero


# ---- sums


@jitable
def add_term(total, carry, term):
    """Add a term to a sum in two parts; `two_sum`, of two parts."""
    value, lost = term
    total, carry = two_sum(total, carry, value)
    return total, carry + lost


@jitable
def add_mass(mass, carry, below, x):
    """What tells whether a row is a distribution: its sum in two parts, and how far it goes below 0."""
    mass, carry = two_sum(mass, carry, x)
    return mass, carry, larger(below, -x)


@jitable
def check_of(mass, carry, below):
    """What a row is checked by: its sum, or if it goes below 0 its lowest number."""
    return where(below > const(below, 0.0), -below, together(mass, carry))


@jitable
def scaled(total, carry, factor, factor_lost):
    """(total + carry) (factor + factor_lost), rounded once."""
    product = total * factor
    lost = fma(total, factor, -product) + (total * factor_lost + carry * factor)
    return where(fabs(total) < const(total, math.inf), product + lost, product)


@jitable
def exponential(total, carry, factor, factor_lost):
    """exp(total + carry), whatever the factor."""
    rounded = total + carry
    e = exp(rounded)
    return fma(e, carry - (rounded - total), e)


@jitable
def self_information(p, factor, factor_lost):
    """-log p (factor + factor_lost)."""
    log_p, lost = log_parts(p)
    return scaled(-log_p, -lost, factor, factor_lost)


# ---- the measures


@dataclass(frozen=True, eq=False)  # rows are themselves: compared and hashed by identity
class Measure:
    """A measure of the rows of one or two distributions; kernels and operations follow from it.

    Attributes
    ----------
    name
        Of the operation.
    distributions
        How many it takes: p, or p and q.
    term
        ``term(p, q) -> (value, lost)``; of one distribution q is p.
    finish
        The result is ``finish(total, carry, factor, factor_lost)``, of the sum of the terms and 1 / log(base).
    of_nothing
        The result of a row of no classes.
    """

    name: str
    distributions: int
    term: Callable[..., Any]
    finish: Callable[..., Any]
    of_nothing: float


ENTROPY = Measure("entropy", 1, entropy_term, scaled, 0.0)
CROSS_ENTROPY = Measure("cross_entropy", 2, cross_entropy_term, scaled, 0.0)
KL_DIVERGENCE = Measure("kl_divergence", 2, divergence_term, scaled, 0.0)
PERPLEXITY = Measure("perplexity", 1, entropy_term, exponential, 1.0)
