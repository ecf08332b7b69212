"""Elementary functions over a number or a `Vector` of them, float32 and float64: one algorithm each, no branches.

Only constants depend on the dtype: coefficients of polynomials, and a few numbers, which are polynomials of degree 0.

tools/sweep_ulp.py measures the errors, over every float32 number and over samples of float64: exp and the logarithms
are within 1.01 ULP of the exact value, the others within 1.6, with subnormal arguments and results included. NaN is
kept, because no comparison with it holds: `where` then gives the argument.
"""

from __future__ import annotations

import math

from numba.extending import register_jitable

from softgrad.kernels.cpu.exponents import exponent_of, power_halves_of_low_bits, power_of_low_bits, split_exponent
from softgrad.kernels.cpu.simd import const, copysign, fabs, fma, polynomial, where

# ---- constants; where there are two, they are for float32 and float64

# Computed here, not in the functions: the compiler for the GPU does not fold calls of math.
LOG2_E, LOG_2 = math.log2(math.e), math.log(2.0)

# Where tanh, and erf and erfc, leave the polynomial around 0. Below 1/2 tanh would lose two ULP by 1 - (1 - tanh).
TANH_SPLIT = 0.55
ERF_SPLIT = 0.75

# From here on erf is 1.
ERF_HIGHEST = (4.0, 6.0)

# From here on erfc is 0, and so is the product of any factor below 2**32 with it.
ERFC_HIGHEST = (11.4, 32.5)

# The middle of erfc's polynomial. Rounding the coefficients costs little there, since the first is nearly a float.
ERFC_CENTRE = (2.5625, 3.25)

# From here on the normal distribution's tail is 0, and the middle of its polynomial, chosen as erfc's.
NORMAL_TAIL_HIGHEST = (14.5, 39.0)
NORMAL_TAIL_CENTRE = (2.3125, 3.5)

# Fitted by tools/fit_polynomials.py: the function, the interval, and the largest relative error in what is computed
# with the polynomial.
# fmt: off
# (exp(x) - 1 - x) / x^2 on [-0.34661, 0.34661], error 2^-25.8
EXP_FLOAT32 = (
    0.49999997, 0.16666543, 0.041667204, 0.0083665075, 0.0013882162,
)
# (exp(x) - 1 - x) / x^2 on [-0.34661, 0.34661], error 2^-59.8
EXP_FLOAT64 = (
    0.5, 0.16666666666666677, 0.04166666666666651, 0.008333333333321698, 0.0013888888888961798,
    0.00019841269885949585, 2.48015871737403e-05, 2.7557244389665235e-06, 2.7557401589151745e-07,
    2.5108973759088e-08, 2.0875658273403135e-09,
)
# 2 (atanh(s) / s - 1) / s^2 in s^2 on [0.0, 0.04], error 2^-28.2
LOG_FLOAT32 = (
    0.6666695, 0.399579, 0.30359167,
)
# 2 (atanh(s) / s - 1) / s^2 in s^2 on [0.0, 0.04], error 2^-61.1
LOG_FLOAT64 = (
    0.666666666666666, 0.400000000000557, 0.2857142855606029, 0.2222222427063474, 0.18181667399563262,
    0.1539106291062767, 0.13174412356693455, 0.13837605101865785,
)
# (tanh(x) / x - 1) / x^2 in x^2 on [0.0, 0.3025], error 2^-27.7
TANH_FLOAT32 = (
    -0.33333316, 0.13332586, -0.053852297, 0.02107164, -0.0062742066,
)
# (tanh(x) / x - 1) / x^2 in x^2 on [0.0, 0.3025], error 2^-55.0
TANH_FLOAT64 = (
    -0.33333333333332316, 0.13333333333168668, -0.053968253876067275, 0.021869485974710872, -0.008863194505042407,
    0.0035917197190429885, -0.0014532169167417986, 0.0005791376146908248, -0.00021030353792080294,
    5.102235319928154e-05,
)
# erf(x) / x - 1 in x^2 on [0.0, 0.5625], error 2^-27.1
ERF_FLOAT32 = (
    0.12837917, -0.3761262, 0.11283377, -0.026834622, 0.005114343, -0.00067495066,
)
# erf(x) / x - 1 in x^2 on [0.0, 0.5625], error 2^-56.1
ERF_FLOAT64 = (
    0.1283791670955126, -0.37612638903183715, 0.1128379167095248, -0.026866170644402405, 0.00522397761512166,
    -0.0008548326169059573, 0.0001205528877624798, -1.49241766188883e-05, 1.6430388014174503e-06,
    -1.5937598858734267e-07, 1.1463755304186013e-08,
)
# log(erfc(x)) on [0.75, 4.0], error 2^-27.9
LOG_ERFC_FLOAT32 = (
    0.0001220844, -1.1292464, -0.6339218, -0.10761205, 0.024664797, -0.003990005, 0.00039541698, -1.7579381e-05,
)
# log(erfc(x)) on [0.75, 6.0], error 2^-54.7
LOG_ERFC_FLOAT64 = (
    1.1359854573211164e-08, -1.1283793267500832, -0.6366187172584881, -0.10277696465140992, 0.019141098641641936,
    0.0001818053632782877, -0.0016502763914728158, 0.000529028815230076, 3.956223662052568e-05,
    -0.00012138872277475691, 6.992583345170544e-05, -2.6307399128960677e-05, 7.422590862837763e-06,
    -1.629584598857951e-06, 2.7949151542285437e-07, -3.689492105971633e-08, 3.6265682516920274e-09,
    -2.499213676381344e-10, 1.0740686499799735e-11, -2.1313846530703032e-13, -2.5734117882771137e-16,
)
# (1.5 x + 0.75) exp(x^2) erfc(x) in (x - 2.5625) / (x + 2.5625) on [-0.54717, 0.63295], error 2^-26.2
ERFC_FLOAT32 = (
    0.9474846, -0.09353377, -0.068784416, 0.116112396, -0.07992125, 0.02837073, -0.0012569154, -0.0029451083,
    0.0007148909,
)
# (1.5 x + 0.75) exp(x^2) erfc(x) in (x - 3.25) / (x + 3.25) on [-0.625, 0.81818], error 2^-56.5
ERFC_FLOAT64 = (
    0.9356363349008731, -0.10395850020627838, -0.02059258589316615, 0.085130620227163, -0.08923416817042,
    0.060111739745139524, -0.027720437452696697, 0.0076114852472850625, -0.00014065915363900254,
    -0.0008063430157170166, 0.00022878593922486201, 5.6279742832616674e-05, -4.062499816169204e-05,
    -3.2822136658366615e-06, 6.4544914369490204e-06, 2.2172070029052878e-07, -1.0659541000076093e-06,
    -3.9876287964550756e-08, 1.7343274832876316e-07, 5.9147706061670045e-09, -1.911385544350796e-08,
)
# (x + 2.3125) exp(x^2 / 2) Phi(-x) in (x - 2.3125) / (x + 2.3125) on [-1.0, 0.72491], error 2^-26.7
NORMAL_TAIL_FLOAT32 = (
    0.6955553, -0.39888772, 0.09314551, 0.024000142, -0.012505364, -0.0048262267, 0.0013981785, 0.0012881535,
    7.849095e-05, -0.00023210031, -7.991163e-05,
)
# (x + 3.5) exp(x^2 / 2) Phi(-x) in (x - 3.5) / (x + 3.5) on [-1.0, 0.83529], error 2^-55.9
NORMAL_TAIL_FLOAT64 = (
    0.7444160754359381, -0.565561816053779, 0.3154249698879522, -0.11605092871407942, 0.017407832602063328,
    0.006476218919910751, -0.0031891010485767526, -0.0004450129506783703, 0.00047665710361825505,
    6.703323738529769e-05, -7.558466242451234e-05, -1.8788928593166255e-05, 1.1506609859126244e-05,
    5.652027807165286e-06, -1.1648955371559014e-06, -1.4794439575456231e-06, -1.4355118767535777e-07,
    2.9483995386190086e-07, 1.2443269324996962e-07, -3.053264780733752e-08, -3.680427915761155e-08,
    -3.640349238522016e-09, 5.140216060143384e-09, 1.441073526246931e-09, -4.828902360090751e-11,
)
# fmt: on

_exp_tail = polynomial("exp_tail", EXP_FLOAT32, EXP_FLOAT64)
_log_tail = polynomial("log_tail", LOG_FLOAT32, LOG_FLOAT64)
_tanh_tail = polynomial("tanh_tail", TANH_FLOAT32, TANH_FLOAT64)
_erf_tail = polynomial("erf_tail", ERF_FLOAT32, ERF_FLOAT64)
_log_erfc = polynomial("log_erfc", LOG_ERFC_FLOAT32, LOG_ERFC_FLOAT64)
_normal_tail_factor = polynomial("normal_tail_factor", NORMAL_TAIL_FLOAT32, NORMAL_TAIL_FLOAT64)
_erfc_factor = polynomial("erfc_factor", ERFC_FLOAT32, ERFC_FLOAT64)


def _constant(name, float32, float64):
    """A function that gives the constant for the dtype of its argument."""
    return polynomial(name, (float32,), (float64,))


# log(2) in two parts. The first has so few bits that its product with an exponent is exact.
_log2_high = _constant("log2_high", 0.693145751953125, 0.693147180369123816490)
_log2_low = _constant("log2_low", 1.428606765330187e-06, 1.90821492927058770002e-10)

# Beside 1.5 * 2**23 (float64: 2**52) a number is rounded to a whole one, which is left in the lowest bits. Once the
# exponent's bias is added there too, these bits need only be moved to make a power of two.
_SHIFT_FLOAT32, _SHIFT_FLOAT64 = 1.5 * 2.0**23, 1.5 * 2.0**52
_shift = _constant("shift", _SHIFT_FLOAT32 + 127, _SHIFT_FLOAT64 + 1023)
_shift_halved = _constant("shift_halved", _SHIFT_FLOAT32 + 126, _SHIFT_FLOAT64 + 1022)
_shift_in_two = _constant("shift_in_two", _SHIFT_FLOAT32 + 2 * 127, _SHIFT_FLOAT64 + 2 * 1023)

# A result that may be subnormal is made larger by a power of two, and `_lower` rounds it once, at the end.
_shift_raised = _constant("shift_raised", _SHIFT_FLOAT32 + 127 + 64, _SHIFT_FLOAT64 + 1023 + 512)
_lower = _constant("lower", 2.0**-64, 2.0**-512)

# Beyond these exp is 0, so far that its product with any factor below 2**32 is, and infinity; expm1 is -1, tanh 1.
_exp_lowest = _constant("exp_lowest", -130.0, -1060.0)
_exp_highest = _constant("exp_highest", 89.0, 710.0)
_expm1_lowest = _constant("expm1_lowest", -18.0, -38.0)
_tanh_highest = _constant("tanh_highest", 10.0, 20.0)
_erf_highest = _constant("erf_highest", *ERF_HIGHEST)
_erfc_highest = _constant("erfc_highest", *ERFC_HIGHEST)
_normal_tail_centre = _constant("normal_tail_centre", *NORMAL_TAIL_CENTRE)

# 1 / sqrt(2 pi) in two parts.
_density_high = _constant("density_high", 0.3989422917366028, 0.3989422804014327)
_density_low = _constant("density_low", -1.133517010526318e-08, -2.49232720227773e-17)

_erfc_centre = _constant("erfc_centre", *ERFC_CENTRE)

# What makes a subnormal number normal, and its exponent.
_smallest_normal = _constant("smallest_normal", 2.0**-126, 2.0**-1022)
_raise = _constant("raise", 2.0**24, 2.0**53)
_raise_exponent = _constant("raise_exponent", 24.0, 53.0)


@register_jitable
def _at_least(x, low):
    return where(x < low, low, x)


@register_jitable
def _at_most(x, high):
    return where(x > high, high, x)


# ---- exponentials


@register_jitable
def _reduce(x, shift):
    """x = n log(2) + r, n whole and |r| <= log(2) / 2, as (shifted, n, first, r).

    n is in the lowest bits of `shifted`, by which `power_of_low_bits` makes the power. `first` is exact: r is it minus
    ``n log2_low``, rounded.
    """
    shifted = fma(x, const(x, LOG2_E), shift)
    n = shifted - shift
    first = fma(-n, _log2_high(x), x)
    return shifted, n, first, fma(-n, _log2_low(x), first)


@register_jitable
def _exp_parts(x, shift):
    """exp(x) = (high + low) 2**n as (shifted, high, low), exact to a tenth of an ULP; |low| < 0.07."""
    one = const(x, 1.0)
    shifted, n, first, r = _reduce(x, shift)
    high = one + first
    lost = first - (high - one)
    return shifted, high, fma(r * r, _exp_tail(r), fma(-n, _log2_low(x), lost))


@register_jitable
def _exp_rounded(x, shift):
    """exp(x) = p 2**n as (shifted, p), to 1 ULP."""
    shifted, _, _, r = _reduce(x, shift)
    return shifted, const(x, 1.0) + fma(r * r, _exp_tail(r), r)


@register_jitable
def exp(x):
    """e to the power x."""
    x = _at_most(_at_least(x, _exp_lowest(x)), _exp_highest(x))
    shifted, high, low = _exp_parts(x, _shift_in_two(x))
    first, second = power_halves_of_low_bits(shifted)
    return (high + low) * first * second


@register_jitable
def _raised_exp(x, lost):
    """exp(x + lost) = (s + s m) `_lower` for x <= 0, as (vanishes, s, m): s a power of two, m = exp(r) - 1.

    `lost` is None, or so small that it moves nothing but r. s + s m in one `fma` is rounded once, to 1 ULP. What is 0
    anyway, -inf above all, is not computed: products that underflow take twice the time of all the rest.
    """
    vanishes = x < _exp_lowest(x)
    shifted, n, first, r = _reduce(where(vanishes, const(x, 0.0), x), _shift_raised(x))
    if lost is not None:
        r = first + fma(-n, _log2_low(x), lost)
    return vanishes, power_of_low_bits(shifted), fma(r * r, _exp_tail(r), r)


@register_jitable
def exp_nonpositive(x, lost=None):
    """e to the power x, or x + lost, for x <= 0."""
    vanishes, s, m = _raised_exp(x, lost)
    return where(vanishes, const(x, 0.0), fma(s, m, s) * _lower(x))


@register_jitable
def fma_exp_nonpositive(factor, x, addend, lost=None):
    """factor exp(x) + addend, or factor exp(x + lost) + addend, for x <= 0 and |factor| < 2**32 unless exp(x) is 0.

    Where only the addend is 0, the product is normal where it can be, though exp(x) may be subnormal. Both share
    their work with `exp_nonpositive` where that is called, too.
    """
    vanishes, s, m = _raised_exp(x, lost)
    scaled = factor * s
    return where(vanishes, addend, fma(fma(scaled, m, scaled), _lower(x), addend))


@register_jitable
def expm1(x):
    """exp(x) - 1 without cancellation near 0: 2 (s exp(r) - 1/2) with s = 2**(n - 1), which cannot overflow."""
    half = const(x, 0.5)
    bounded = _at_most(_at_least(x, _expm1_lowest(x)), _exp_highest(x))
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


@register_jitable
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


@register_jitable
def _log_at_edges(y, x, sum_):
    """y = log(sum_) but where that is -inf or NaN, and where it is x: infinity and NaN."""
    zero = const(x, 0.0)
    y = where(sum_ == zero, const(x, -math.inf), y)
    y = where(sum_ < zero, const(x, math.nan), y)
    return where(x < const(x, math.inf), y, x)


@register_jitable
def _log_unrounded(x):
    """log(x) as (high, low), for x > 0."""
    subnormal = x < _smallest_normal(x)
    mantissa, e = split_exponent(where(subnormal, x * _raise(x), x))
    e = where(subnormal, e - _raise_exponent(x), e)
    return _log_of_parts(mantissa - const(x, 1.0), e)


@register_jitable
def log(x):
    """The natural logarithm."""
    high, low = _log_unrounded(x)
    return _log_at_edges(high + low, x, x)


@register_jitable
def log_parts(x):
    """The natural logarithm, as `log` gives it, and what rounding took from it, 0 where it is not finite."""
    high, low = _log_unrounded(x)
    y = high + low
    finite = (x > const(x, 0.0)) & (x < const(x, math.inf))
    return _log_at_edges(y, x, x), where(finite, low - (y - high), const(x, 0.0))


@register_jitable
def atanh_tail(square):
    """2 (atanh(s) / s - 1) / s^2 of s^2 <= 0.04."""
    return _log_tail(square)


@register_jitable
def log1p(x):
    """log(1 + x) without cancellation near 0: 1 + f = 2**-e (1 + x) gives f = 2**-e x + (2**-e - 1), rounded once."""
    one, quarter = const(x, 1.0), const(x, 0.25)
    sum_ = one + x
    e, power = exponent_of(sum_)
    high, low = _log_of_parts(fma(x * power, quarter, fma(power, quarter, -one)), e)
    return _log_at_edges(copysign(high + low, x), x, sum_)


# ---- the hyperbolic tangent


@register_jitable
def tanh(x):
    """The hyperbolic tangent: around 0 a polynomial, beyond 1 - 2 / (exp(2 |x|) + 1)."""
    one, two = const(x, 1.0), const(x, 2.0)
    square = x * x
    near = fma(x * square, _tanh_tail(square), x)
    size = _at_most(fabs(x), _tanh_highest(x))
    # As `_reduce` of 2 |x|, with log(2) in one part: 2**n is so small, or makes the quotient so small, that it serves.
    double = size + size
    shifted = fma(double, const(x, LOG2_E), _shift(x))
    r = fma(_shift(x) - shifted, const(x, LOG_2), double)
    s = power_of_low_bits(shifted)
    far = one - two / fma(s, fma(r * r, _exp_tail(r), r), s + one)
    return copysign(where(fabs(x) < const(x, TANH_SPLIT), near, far), x)


# ---- the error functions


@register_jitable
def erf(x):
    """The error function: around 0 a polynomial, beyond 1 - exp(log(erfc(|x|)))."""
    near = fma(x, _erf_tail(x * x), x)
    shifted, p = _exp_rounded(_log_erfc(_at_most(fabs(x), _erf_highest(x))), _shift(x))
    far = fma(-p, power_of_low_bits(shifted), const(x, 1.0))
    return where(fabs(x) < const(x, ERF_SPLIT), near, copysign(far, x))


@register_jitable
def _raised_erfc(x):
    """erfc(x), still to be multiplied by `_lower`: exp(-x^2) p / d for x >= 0.75.

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
    shifted, high, low = _exp_parts(-square, _shift_raised(x))
    low = fma(high + low, -fma(x, x, -square), low)
    y = fma(quotient, high, fma(quotient, low, quotient_lost * high))
    return y * power_of_low_bits(shifted)


@register_jitable
def times_erfc(factor, x):
    """factor erfc(x), for |factor| < 2**32: normal where it can be, though erfc(x) may be subnormal."""
    half = const(x, 0.5)
    bounded = _at_most(fabs(x), _erfc_highest(x))
    # 1 - x - x tail, from a half, where both differences are small and so are their rounding errors.
    near = factor * (half + fma(-x, _erf_tail(bounded * bounded), half - x))
    tail = factor * _raised_erfc(bounded) * _lower(x)
    far = where(x < const(x, 0.0), factor + factor - tail, tail)
    return where(fabs(x) < const(x, ERF_SPLIT), near, far)


@register_jitable
def erfc(x):
    """The complementary error function, 1 - erf(x) without cancellation in the tail."""
    return times_erfc(const(x, 1.0), x)


# ---- the normal distribution


@register_jitable
def normal_tail_ratio(x):
    """Phi(-x) / exp(-x^2 / 2) for x >= 0, Phi the standard normal distribution: (ratio, lost), for ratio (1 + lost).

    With a = 1 / (x + centre), ratio is a times a polynomial in (x - centre) a; `lost` is the relative error of a.
    """
    one, centre = const(x, 1.0), _normal_tail_centre(x)
    a = one / (x + centre)
    return _normal_tail_factor((x - centre) * a) * a, fma(-a, x, fma(-a, centre, one))


@register_jitable
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
