"""The elementary functions of kernels/simd/math.py: errors in ULP, special values, and bits that place cannot change.

The arguments and the exact values are those of accuracy/sweep_ulp.py, which can also go through every float32 number.
"""

from __future__ import annotations

import fit_polynomials
import numpy as np
import pytest
import sweep_ulp
from mpmath import mp, mpf
from numba import njit
from numerics import assert_same_bits
from sweep_ulp import FUNCTIONS, compiled, implementation

from softgrad.kernels.formulas import primitives
from softgrad.kernels.simd import coefficients, normal, vector
from softgrad.kernels.simd import math as simd_math
from softgrad.kernels.simd.vector import const

DTYPES = [np.float32, np.float64]

# The largest error over all float32 numbers, rounded up; samples of float64 stay below the same bound. Compositions
# count on it: sigmoid and softplus are within 2 ULP because their exponential and logarithm are within 1.
ULP = {
    "exp": 0.8,
    "exp2": 0.8,
    "exp_nonpositive": 1.1,
    "expm1": 1.2,
    "log": 1.0,
    "log1p": 1.0,
    "log2": 1.1,
    "rsqrt": 1.5,
    "tanh": 1.6,
    "erf": 1.6,
    "erfc": 1.5,
}
assert ULP.keys() == FUNCTIONS.keys()

KERNELS = {name: compiled(implementation(name)) for name in ULP}

# One float32 number in so many. A prime, so that every combination of low bits occurs.
EVERY = 4_099
NEIGHBOURS = 300


def neighbourhoods(name: str) -> np.ndarray:
    """The float32 numbers next to the edges of a function, of 0, and of the largest numbers."""
    finite = np.array([*FUNCTIONS[name].edges, 0.0, np.finfo(np.float32).max], np.float32)
    bits = np.concatenate([finite, -finite]).view(np.int32).astype(np.int64)
    around = bits[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    return (around & 0xFFFFFFFF).astype(np.uint32).view(np.float32).ravel()


# ---- errors


@pytest.mark.parametrize("name", ULP)
def test_float32_is_exact_over_its_whole_range(name: str) -> None:
    function = FUNCTIONS[name]
    x = np.concatenate([*sweep_ulp.float32_arguments(EVERY), neighbourhoods(name)])
    x = x[function.accepts(x)]
    with np.errstate(all="ignore"):
        errors = sweep_ulp.float32_errors(KERNELS[name](x), function.reference(x.astype(np.float64)))
    worst = int(np.argmax(errors))
    assert errors[worst] <= ULP[name], f"{errors[worst]:.3f} ULP at {x[worst]!r}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ULP)
def test_float64_is_exact_over_its_whole_range(name: str) -> None:
    x = sweep_ulp.float64_arguments(FUNCTIONS[name], 3_000)
    errors = sweep_ulp.float64_errors(KERNELS[name](x), x, FUNCTIONS[name].exact)
    worst = int(np.argmax(errors))
    assert errors[worst] <= ULP[name], f"{errors[worst]:.3f} ULP at {x[worst]!r}"


def test_errors_are_measured_in_ulp() -> None:
    # 1 + 2**-23 is the float32 next to 1, and 2**-149 the smallest: each is one ULP from the value beside it.
    # Infinity follows the largest number, 2**128 - 2**104.
    largest = 2.0**128 - 2.0**104
    actual = np.array([1 + 2.0**-23, 2.0**-149, np.inf, 1.0, np.nan, 0.0, np.nan, np.inf], np.float32)
    exact = np.array([1.0, 0.0, 1e39, np.inf, np.nan, np.nan, 0.0, largest])
    np.testing.assert_array_equal(
        sweep_ulp.float32_errors(actual, exact), np.array([1.0, 1.0, 0.0, np.inf, 0.0, np.inf, np.inf, 1.0])
    )
    assert sweep_ulp.float32_errors(np.float32([0.5]), np.array([0.0]), floor=1.0) == 2.0**22
    x = np.array([1.0, 0.0, 2.0, 3.0])
    values = {1.0: mpf(1), 0.0: mpf(0), 2.0: mp.inf, 3.0: mpf(1)}
    errors = sweep_ulp.float64_errors(
        np.array([1 - 2.0**-52, 2.0**-1074, np.inf, np.nan]), x, lambda x: values[float(x)]
    )
    np.testing.assert_array_equal(errors, np.array([1.0, 1.0, 0.0, np.inf]))


# ---- special values

NAN, INF = np.nan, np.inf

SPECIAL = {
    "exp": {0.0: 1.0, INF: INF, -INF: 0.0},
    "exp2": {0.0: 1.0, 10.0: 1024.0, -1.0: 0.5, INF: INF, -INF: 0.0},
    "exp_nonpositive": {0.0: 1.0, -INF: 0.0},
    "expm1": {0.0: 0.0, INF: INF, -INF: -1.0},
    "log": {0.0: -INF, 1.0: 0.0, INF: INF, -1.0: NAN, -INF: NAN},
    "log2": {0.0: -INF, 1.0: 0.0, 8.0: 3.0, 0.25: -2.0, INF: INF, -1.0: NAN, -INF: NAN},
    "rsqrt": {0.0: INF, 4.0: 0.5, INF: 0.0, -1.0: NAN, -INF: NAN},
    "log1p": {0.0: 0.0, -1.0: -INF, INF: INF, -2.0: NAN, -INF: NAN},
    "tanh": {0.0: 0.0, INF: 1.0, -INF: -1.0},
    "erf": {0.0: 0.0, INF: 1.0, -INF: -1.0},
    "erfc": {0.0: 1.0, INF: 0.0, -INF: 2.0},
}
AT_NEGATIVE_ZERO = {
    "exp": 1.0,
    "exp2": 1.0,
    "exp_nonpositive": 1.0,
    "expm1": -0.0,
    "log": -INF,
    "log2": -INF,
    "rsqrt": -INF,
    "log1p": -0.0,
    "tanh": -0.0,
    "erf": -0.0,
    "erfc": 1.0,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ULP)
def test_special_values(name: str, dtype: type) -> None:
    x = np.array([*SPECIAL[name], NAN], dtype)
    y = KERNELS[name](x)
    expected = np.array([*SPECIAL[name].values(), NAN], dtype)
    np.testing.assert_array_equal(y, expected)  # NaN equals NaN here
    assert not np.signbit(y[expected == 0]).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ULP)
def test_negative_zero(name: str, dtype: type) -> None:
    y = KERNELS[name](np.array([-0.0], dtype))
    assert_same_bits(y, np.array([AT_NEGATIVE_ZERO[name]], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh"])
def test_subnormal_arguments_are_their_own_value(name: str, dtype: type) -> None:
    smallest = np.finfo(dtype).smallest_subnormal
    x = smallest * np.array([1, 2, 3, 5, 1023, -1, -2, -3, -5, -1023], dtype)
    assert_same_bits(KERNELS[name](x), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_largest_finite_arguments(dtype: type) -> None:
    x = np.array([np.finfo(dtype).max, -np.finfo(dtype).max], dtype)
    limits = {"exp": [INF, 0], "exp2": [INF, 0], "expm1": [INF, -1], "tanh": [1, -1], "erf": [1, -1], "erfc": [0, 2]}
    for name, expected in limits.items():
        assert_same_bits(KERNELS[name](x), np.array(expected, dtype), name)


# ---- products that are normal where one factor is not


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_exp_nonpositive_is_normal_where_exp_is_not(dtype: type) -> None:
    run = compiled(njit(lambda x: simd_math.fma_exp_nonpositive(x, x, const(x, 0.0))))
    tiny = np.log(float(np.finfo(dtype).tiny))
    x = np.linspace(1.1 * tiny, 0.0, 2_000).astype(dtype)
    errors = _errors(run(x), x, lambda value: value * mp.exp(value))
    assert errors.max() <= 1.5, x[errors.argmax()]  # half for the product
    assert_same_bits(run(np.array([-1e6, -np.inf], dtype)), np.array([0.0, 0.0], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_exp_nonpositive_takes_what_rounding_lost(dtype: type) -> None:
    run = compiled(njit(lambda x: simd_math.fma_exp_nonpositive(x, x, x, x * const(x, 2.0**-30))))
    x = np.linspace(-80.0, 0.0, 2_000).astype(dtype)
    errors = _errors(run(x), x, lambda value: value + value * mp.exp(value * (1 + mpf(2) ** -30)))
    assert errors.max() <= 1.5, x[errors.argmax()]
    assert_same_bits(run(np.array([-np.inf], dtype)), np.array([-np.inf], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_times_erfc_is_rounded_once(dtype: type) -> None:
    run = compiled(njit(lambda x: normal.times_erfc(const(x, 1000.0), x)))
    x = np.linspace(-6.0, 10.3 if dtype is np.float32 else 26.8, 2_000).astype(dtype)
    errors = _errors(run(x), x, lambda value: 1000 * mp.erfc(value))
    assert errors.max() <= ULP["erfc"] + 0.5, x[errors.argmax()]  # half for the product
    assert_same_bits(run(np.array([50.0, -50.0], dtype)), np.array([0.0, 2000.0], dtype))


def _errors(actual: np.ndarray, x: np.ndarray, exact: object) -> np.ndarray:
    if x.dtype == np.float64:
        return sweep_ulp.float64_errors(actual, x, exact)
    return sweep_ulp.float32_errors(actual, np.array([float(exact(mpf(float(value)))) for value in x]))


# ---- the square root, the processor's own


@pytest.mark.parametrize("dtype", DTYPES)
def test_sqrt_is_rounded_correctly(dtype: type) -> None:
    x = np.abs(mixed("sqrt", dtype, 1_000))
    x = x[np.isfinite(x)]
    # A float64 root that is rounded again to float32 is still the nearest: it has more than twice the bits.
    nearest = np.array([float(mp.sqrt(mpf(float(value)))) for value in x])
    assert_same_bits(compiled(vector.sqrt)(x), nearest.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sqrt_of_special_values(dtype: type) -> None:
    x = np.array([0.0, -0.0, np.inf, np.nan, 4.0, -1.0, -np.inf], dtype)
    expected = np.array([0.0, -0.0, np.inf, np.nan, 2.0, np.nan, np.nan], dtype)
    found = compiled(vector.sqrt)(x)
    np.testing.assert_array_equal(found, expected)
    assert np.signbit(found[1])
    assert not np.signbit(found[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_sqrt_of_a_number_is_that_of_a_lane(dtype: type) -> None:
    root = njit(lambda x: primitives.sqrt(x))
    for value in mixed("sqrt", dtype, 40)[3:]:
        with np.errstate(invalid="ignore"):
            plain = primitives.sqrt(value)
        assert type(plain) is dtype
        np.testing.assert_array_equal(dtype(root(value)), plain)


# ---- the place of an element does not matter


def mixed(name: str, dtype: type, size: int) -> np.ndarray:
    """Arguments of every kind: numbers of all magnitudes, in the domain or not, subnormal, infinite, NaN."""
    rng = np.random.default_rng(9)
    kind = np.uint32 if dtype is np.float32 else np.uint64
    x = rng.integers(0, np.iinfo(kind).max, size, kind).view(dtype)
    x[::2] = rng.normal(0, 3, x[::2].size)
    x[:4] = [INF, -INF, NAN, -0.0]
    return -np.abs(x) if name == "exp_nonpositive" else x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ULP)
def test_number_and_vector_give_the_same_bits(name: str, dtype: type) -> None:
    function = implementation(name)

    @njit(error_model="numpy")
    def one(x):
        return function(x)

    x = mixed(name, dtype, 500)
    y = KERNELS[name](x)
    numbers = np.array([one(value) for value in x], dtype)
    assert_same_bits(numbers[~np.isnan(y)], y[~np.isnan(y)], name)
    np.testing.assert_array_equal(np.isnan(numbers), np.isnan(y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ULP)
def test_masked_lanes_give_the_same_bits(name: str, dtype: type) -> None:
    x = mixed(name, dtype, 64)
    whole = KERNELS[name](x)
    for size in range(1, 36):
        for start in (0, 5, 21):
            part = KERNELS[name](x[start : start + size])
            assert_same_bits(part, whole[start : start + size], f"{name}, {size} from {start}")


# ---- the coefficients


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_coefficients_are_those_of_the_fit(dtype: type) -> None:
    for fit in fit_polynomials.fits(dtype):
        values, error = fit_polynomials.coefficients(fit)
        assert tuple(dtype(values)) == tuple(dtype(getattr(coefficients, fit.tuple_name))), fit.tuple_name
        assert error < np.finfo(dtype).epsneg / 2, fit.tuple_name  # a quarter of an ULP of what is just above 1
