"""Elementary functions over a number or a `Vector` of them, float32 and float64: one algorithm each, no branches.

Only constants depend on the dtype: the polynomials' `coefficients`, and a few numbers, polynomials of degree 0.
`normal` has the error functions, built over what is here.

tests/accuracy/sweep_ulp.py measures the errors, over every float32 number and over samples of float64: exp and the
logarithms are within 1.02 ULP of the exact value, the others within 1.6, with subnormal arguments and results included.
NaN is kept, because no comparison with it holds: `where` then gives the argument.
"""

from __future__ import annotations

import math

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.simd.bits import exponent_of, power_halves_of_low_bits, power_of_low_bits, split_exponent
from softgrad.kernels.simd.coefficients import (
    EXP_FLOAT32,
    EXP_FLOAT64,
    LOG_FLOAT32,
    LOG_FLOAT64,
    TANH_FLOAT32,
    TANH_FLOAT64,
    TANH_SPLIT,
)
from softgrad.kernels.simd.vector import const, copysign, fabs, fma, polynomial, sqrt, where

# ---- constants; where there are two, they are for float32 and float64

# Computed here, not in the functions: the compiler for the GPU does not fold calls of math.
LOG2_E, LOG_2 = math.log2(math.e), math.log(2.0)

_exp_tail = polynomial("exp_tail", EXP_FLOAT32, EXP_FLOAT64)
_log_tail = polynomial("log_tail", LOG_FLOAT32, LOG_FLOAT64)
_tanh_tail = polynomial("tanh_tail", TANH_FLOAT32, TANH_FLOAT64)


def constant(name, float32, float64):
    """A function that gives the constant for the dtype of its argument."""
    return polynomial(name, (float32,), (float64,))


# What rounding takes from log2(e) in each dtype.
_log2_e_rest = constant("log2_e_rest", 1.925962991126617e-08, 2.0355273740931033e-17)

# log(2) in two parts. The first has so few bits that its product with an exponent is exact.
_log2_high = constant("log2_high", 0.693145751953125, 0.693147180369123816490)
_log2_low = constant("log2_low", 1.428606765330187e-06, 1.90821492927058770002e-10)

# Beside 1.5 * 2**23 (float64: 2**52) a number is rounded to a whole one, which is left in the lowest bits. Once the
# exponent's bias is added there too, these bits need only be moved to make a power of two.
_SHIFT_FLOAT32, _SHIFT_FLOAT64 = 1.5 * 2.0**23, 1.5 * 2.0**52
shift = constant("shift", _SHIFT_FLOAT32 + 127, _SHIFT_FLOAT64 + 1023)
_shift_halved = constant("shift_halved", _SHIFT_FLOAT32 + 126, _SHIFT_FLOAT64 + 1022)
_shift_in_two = constant("shift_in_two", _SHIFT_FLOAT32 + 2 * 127, _SHIFT_FLOAT64 + 2 * 1023)

# A result that may be subnormal is made larger by a power of two, and `lower` rounds it once, at the end.
shift_raised = constant("shift_raised", _SHIFT_FLOAT32 + 127 + 64, _SHIFT_FLOAT64 + 1023 + 512)
lower = constant("lower", 2.0**-64, 2.0**-512)

# Beyond these exp is 0, so far that its product with any factor below 2**32 is, and infinity; expm1 is -1, tanh 1.
_exp2_lowest = constant("exp2_lowest", -160.0, -1080.0)
_exp2_highest = constant("exp2_highest", 129.0, 1025.0)
_exp_lowest = constant("exp_lowest", -130.0, -1060.0)
_exp_highest = constant("exp_highest", 89.0, 710.0)
_expm1_lowest = constant("expm1_lowest", -18.0, -38.0)
_tanh_highest = constant("tanh_highest", 10.0, 20.0)

# What makes a subnormal number normal, and its exponent.
_smallest_normal = constant("smallest_normal", 2.0**-126, 2.0**-1022)
_raise = constant("raise", 2.0**24, 2.0**53)
_raise_exponent = constant("raise_exponent", 24.0, 53.0)


@jitable
def _at_least(x, low):
    return where(x < low, low, x)


@jitable
def at_most(x, high):
    return where(x > high, high, x)


# ---- exponentials


@jitable
def _reduce(x, rounding):
    """x = n log(2) + r, n whole and |r| <= log(2) / 2, as (shifted, n, first, r).

    n is in the lowest bits of `shifted`, by which `power_of_low_bits` makes the power. `first` is exact: r is it minus
    ``n log2_low``, rounded.
    """
    shifted = fma(x, const(x, LOG2_E), rounding)
    n = shifted - rounding
    first = fma(-n, _log2_high(x), x)
    return shifted, n, first, fma(-n, _log2_low(x), first)


@jitable
def exp_parts(x, rounding):
    """exp(x) = (high + low) 2**n as (shifted, high, low), exact to a tenth of an ULP; |low| < 0.07."""
    one = const(x, 1.0)
    shifted, n, first, r = _reduce(x, rounding)
    high = one + first
    lost = first - (high - one)
    return shifted, high, fma(r * r, _exp_tail(r), fma(-n, _log2_low(x), lost))


@jitable
def exp_rounded(x, rounding):
    """exp(x) = p 2**n as (shifted, p), to 1 ULP."""
    shifted, _, _, r = _reduce(x, rounding)
    return shifted, const(x, 1.0) + fma(r * r, _exp_tail(r), r)


@jitable
def exp(x):
    """e to the power x."""
    x = at_most(_at_least(x, _exp_lowest(x)), _exp_highest(x))
    shifted, high, low = exp_parts(x, _shift_in_two(x))
    first, second = power_halves_of_low_bits(shifted)
    return (high + low) * first * second


@jitable
def exp2(x):
    """2 to the power x: n + f is x, exactly, and f log(2) is taken in two parts."""
    x = at_most(_at_least(x, _exp2_lowest(x)), _exp2_highest(x))
    one = const(x, 1.0)
    shifted = x + _shift_in_two(x)
    f = x - (shifted - _shift_in_two(x))
    r = f * const(x, LOG_2)
    high = one + r
    lost = r - (high - one) + fma(f, _log2_low(x), fma(f, _log2_high(x), -r))
    first, second = power_halves_of_low_bits(shifted)
    return (high + fma(r * r, _exp_tail(r), lost)) * first * second


@jitable
def _raised_exp(x, lost):
    """exp(x + lost) = (s + s m) `lower` for x <= 0, as (vanishes, s, m): s a power of two, m = exp(r) - 1.

    `lost` is None, or so small that it moves nothing but r. s + s m in one `fma` is rounded once, to 1 ULP. What is 0
    anyway, -inf above all, is not computed: products that underflow take twice the time of all the rest.
    """
    vanishes = x < _exp_lowest(x)
    shifted, n, first, r = _reduce(where(vanishes, const(x, 0.0), x), shift_raised(x))
    if lost is not None:
        r = first + fma(-n, _log2_low(x), lost)
    return vanishes, power_of_low_bits(shifted), fma(r * r, _exp_tail(r), r)


@jitable
def exp_nonpositive(x, lost=None):
    """e to the power x, or x + lost, for x <= 0."""
    vanishes, s, m = _raised_exp(x, lost)
    return where(vanishes, const(x, 0.0), fma(s, m, s) * lower(x))


@jitable
def fma_exp_nonpositive(factor, x, addend, lost=None):
    """factor exp(x) + addend, or factor exp(x + lost) + addend, for x <= 0 and |factor| < 2**32 unless exp(x) is 0.

    Where only the addend is 0, the product is normal where it can be, though exp(x) may be subnormal. Both share
    their work with `exp_nonpositive` where that is called, too.
    """
    vanishes, s, m = _raised_exp(x, lost)
    scaled = factor * s
    return where(vanishes, addend, fma(fma(scaled, m, scaled), lower(x), addend))


@jitable
def expm1(x):
    """exp(x) - 1 without cancellation near 0: 2 (s exp(r) - 1/2) with s = 2**(n - 1), which cannot overflow."""
    half = const(x, 0.5)
    bounded = at_most(_at_least(x, _expm1_lowest(x)), _exp_highest(x))
    shifted, n, first, r = _reduce(bounded, _shift_halved(x))
    s = power_of_low_bits(shifted)
    whole, part = s - half, s * first
    high = whole + part
    lost = part - (high - whole)
    tail = fma(r * r, _exp_tail(r), -n * _log2_low(x))
    y = high + fma(s, tail, lost)
    # s x would lose the last bit of a subnormal x, and the sum the sign of -0.
    return where(fabs(x) < const(x, 2.0**-60), x, y + y)


# ---- logarithms


@jitable
def _log_of_parts(f, e):
    """log((1 + f) 2**e) for f in [-1/4, 1/2]: with s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - s (f - tail).

    As (high, low), whose sum is exact to a fifth of an ULP; |low| < |high| / 2.
    """
    s = f / (const(f, 2.0) + f)
    square = s * s
    whole = e * _log2_high(f)
    high = whole + f
    lost = f - (high - whole)
    return high, fma(-s, fma(-square, _log_tail(square), f), fma(e, _log2_low(f), lost))


@jitable
def _log_at_edges(y, x, sum_):
    """y = log(sum_) but where that is -inf or NaN, and where it is x: infinity and NaN."""
    zero = const(x, 0.0)
    y = where(sum_ == zero, const(x, -math.inf), y)
    y = where(sum_ < zero, const(x, math.nan), y)
    return where(x < const(x, math.inf), y, x)


@jitable
def _parts_of(x):
    """(f, e) with x = (1 + f) 2**e, as `_log_of_parts` takes them, for x > 0."""
    subnormal = x < _smallest_normal(x)
    mantissa, e = split_exponent(where(subnormal, x * _raise(x), x))
    return mantissa - const(x, 1.0), where(subnormal, e - _raise_exponent(x), e)


@jitable
def _log_unrounded(x):
    """log(x) as (high, low), for x > 0."""
    f, e = _parts_of(x)
    return _log_of_parts(f, e)


@jitable
def log(x):
    """The natural logarithm."""
    high, low = _log_unrounded(x)
    return _log_at_edges(high + low, x, x)


@jitable
def log2(x):
    """The logarithm to base 2: e + log(1 + f) / log(2) of x = (1 + f) 2**e, whose terms are exact where x is 2**e."""
    log2_e = const(x, LOG2_E)
    f, e = _parts_of(x)
    high, low = _log_of_parts(f, const(x, 0.0))
    natural = high + low
    lost = low - (natural - high)
    part = natural * log2_e
    part_lost = fma(natural, _log2_e_rest(x), fma(lost, log2_e, fma(natural, log2_e, -part)))
    y = e + part
    return _log_at_edges(y + (part - (y - e) + part_lost), x, x)


@jitable
def log_parts(x):
    """The natural logarithm, as `log` gives it, and what rounding took from it, 0 where it is not finite."""
    high, low = _log_unrounded(x)
    y = high + low
    finite = (x > const(x, 0.0)) & (x < const(x, math.inf))
    return _log_at_edges(y, x, x), where(finite, low - (y - high), const(x, 0.0))


@jitable
def atanh_tail(square):
    """2 (atanh(s) / s - 1) / s^2 of s^2 <= 0.04."""
    return _log_tail(square)


@jitable
def log1p(x):
    """log(1 + x) without cancellation near 0: 1 + f = 2**-e (1 + x) gives f = 2**-e x + (2**-e - 1), rounded once."""
    one, quarter = const(x, 1.0), const(x, 0.25)
    sum_ = one + x
    e, power = exponent_of(sum_)
    high, low = _log_of_parts(fma(x * power, quarter, fma(power, quarter, -one)), e)
    return _log_at_edges(copysign(high + low, x), x, sum_)


# ---- roots


@jitable
def rsqrt(x):
    """1 / sqrt(x)."""
    return const(x, 1.0) / sqrt(x)


# ---- the hyperbolic tangent


@jitable
def tanh(x):
    """The hyperbolic tangent: around 0 a polynomial, beyond 1 - 2 / (exp(2 |x|) + 1)."""
    one, two = const(x, 1.0), const(x, 2.0)
    square = x * x
    near = fma(x * square, _tanh_tail(square), x)
    size = at_most(fabs(x), _tanh_highest(x))
    # As `_reduce` of 2 |x|, with log(2) in one part: 2**n is so small, or makes the quotient so small, that it serves.
    double = size + size
    shifted = fma(double, const(x, LOG2_E), shift(x))
    r = fma(shift(x) - shifted, const(x, LOG_2), double)
    s = power_of_low_bits(shifted)
    far = one - two / fma(s, fma(r * r, _exp_tail(r), r), s + one)
    return copysign(where(fabs(x) < const(x, TANH_SPLIT), near, far), x)
