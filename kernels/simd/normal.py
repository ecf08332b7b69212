"""The error functions and the tail of the normal distribution, in the manner of `math`."""

from __future__ import annotations

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.simd.bits import power_of_low_bits
from softgrad.kernels.simd.coefficients import (
    ERF_FLOAT32,
    ERF_FLOAT64,
    ERF_HIGHEST,
    ERF_SPLIT,
    ERFC_CENTRE,
    ERFC_FLOAT32,
    ERFC_FLOAT64,
    ERFC_HIGHEST,
    LOG_ERFC_FLOAT32,
    LOG_ERFC_FLOAT64,
    NORMAL_TAIL_CENTRE,
    NORMAL_TAIL_FLOAT32,
    NORMAL_TAIL_FLOAT64,
)
from softgrad.kernels.simd.math import at_most, constant, exp_parts, exp_rounded, lower, shift, shift_raised
from softgrad.kernels.simd.vector import const, copysign, fabs, fma, polynomial, where

_erf_tail = polynomial("erf_tail", ERF_FLOAT32, ERF_FLOAT64)
_log_erfc = polynomial("log_erfc", LOG_ERFC_FLOAT32, LOG_ERFC_FLOAT64)
_normal_tail_factor = polynomial("normal_tail_factor", NORMAL_TAIL_FLOAT32, NORMAL_TAIL_FLOAT64)
_erfc_factor = polynomial("erfc_factor", ERFC_FLOAT32, ERFC_FLOAT64)

_erf_highest = constant("erf_highest", *ERF_HIGHEST)
_erfc_highest = constant("erfc_highest", *ERFC_HIGHEST)
_normal_tail_centre = constant("normal_tail_centre", *NORMAL_TAIL_CENTRE)
_erfc_centre = constant("erfc_centre", *ERFC_CENTRE)

# 1 / sqrt(2 pi) in two parts.
_density_high = constant("density_high", 0.3989422917366028, 0.3989422804014327)
_density_low = constant("density_low", -1.133517010526318e-08, -2.49232720227773e-17)


@jitable
def erf(x):
    """The error function: around 0 a polynomial, beyond 1 - exp(log(erfc(|x|)))."""
    near = fma(x, _erf_tail(x * x), x)
    shifted, p = exp_rounded(_log_erfc(at_most(fabs(x), _erf_highest(x))), shift(x))
    far = fma(-p, power_of_low_bits(shifted), const(x, 1.0))
    return where(fabs(x) < const(x, ERF_SPLIT), near, copysign(far, x))


@jitable
def _raised_erfc(x):
    """erfc(x), still to be multiplied by `lower`: exp(-x^2) p / d for x >= 0.75.

    d is 1.5 x + 0.75, p a polynomial in t = (x - a) / (x + a). One division serves both quotients. What rounding takes
    from d, from the quotient and from x^2 is put back.
    """
    centre, offset = _erfc_centre(x), const(x, 0.75)
    d, e = fma(x, const(x, 1.5), offset), x + centre
    inverse = const(x, 1.0) / (d * e)
    d_inverse = inverse * e
    p = _erfc_factor((x - centre) * (inverse * d))
    quotient = p * d_inverse
    d_lost = fma(x, const(x, 1.5), offset - d)
    quotient_lost = d_inverse * fma(-quotient, d_lost, fma(-quotient, d, p))
    square = x * x
    shifted, high, low = exp_parts(-square, shift_raised(x))
    low = fma(high + low, -fma(x, x, -square), low)
    y = fma(quotient, high, fma(quotient, low, quotient_lost * high))
    return y * power_of_low_bits(shifted)


@jitable
def times_erfc(factor, x):
    """factor erfc(x), for |factor| < 2**32: normal where it can be, though erfc(x) may be subnormal."""
    half = const(x, 0.5)
    bounded = at_most(fabs(x), _erfc_highest(x))
    # 1 - x - x tail, from a half, where both differences are small and so are their rounding errors.
    near = factor * (half + fma(-x, _erf_tail(bounded * bounded), half - x))
    tail = factor * _raised_erfc(bounded) * lower(x)
    far = where(x < const(x, 0.0), factor + factor - tail, tail)
    return where(fabs(x) < const(x, ERF_SPLIT), near, far)


@jitable
def erfc(x):
    """The complementary error function, 1 - erf(x) without cancellation in the tail."""
    return times_erfc(const(x, 1.0), x)


# ---- the normal distribution


@jitable
def normal_tail_ratio(x):
    """Phi(-x) / exp(-x^2 / 2) for x >= 0, Phi the standard normal distribution: (ratio, lost), for ratio (1 + lost).

    With a = 1 / (x + centre), ratio is a times a polynomial in (x - centre) a; `lost` is the relative error of a.
    """
    one, centre = const(x, 1.0), _normal_tail_centre(x)
    a = one / (x + centre)
    return _normal_tail_factor((x - centre) * a) * a, fma(-a, x, fma(-a, centre, one))


@jitable
def normal_slope_ratio(x):
    """(Phi(-x) - x phi(x)) / exp(-x^2 / 2) for x >= 0; its error is small beside the first term's quotient.

    As `normal_tail_ratio`, but the terms cancel, so what rounding takes from each of them is put back.
    """
    one, centre = const(x, 1.0), _normal_tail_centre(x)
    a = one / (x + centre)
    t = (x - centre) * a
    factor = _normal_tail_factor(fma(fma(-t, x, x) - fma(t, centre, centre), a, t))
    high = _density_high(x)
    second = high * x
    lost = fma(_density_low(x), x, fma(high, x, -second))
    return fma(factor, a, -second) + fma(factor * a, fma(-a, x, fma(-a, centre, one)), -lost)
