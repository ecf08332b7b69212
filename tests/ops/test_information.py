"""Self-information, entropy, cross-entropy, KL divergence and perplexity against exact arithmetic."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numba.core import config
from numerics import FLOATS, KERNEL_DTYPES, Arrays, assert_same_bits, assert_ulp, layouts, loss_dtype, quick, spiky

from softgrad import ops
from softgrad.kernels.formulas import information

ROWS = [row for row in vars(information).values() if isinstance(row, information.Measure)]
MEASURES = [row.name for row in ROWS]
BASED = [name for name in MEASURES if "base" in inspect.signature(getattr(ops, name)).parameters]
ONE, TWO = ([row.name for row in ROWS if row.distributions == count] for count in (1, 2))

# Classes that reach: no other class; tiles, full and not; an odd rest of a vector; many vectors.
CLASSES = [1, 2, 10, 16, 17, 1000]

# Terms and sums are kept in two parts, and rounded once at the end; a term of the divergence is rounded several times,
# and the exponential of the perplexity.
ULP = {**dict.fromkeys(["self_information", *MEASURES], 1), "perplexity": 3, "kl_divergence": 4}


def distributions(seed: int, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """Rows that sum to 1 to rounding: tiny and large probabilities, and zeros where there is room for them."""
    rng = np.random.default_rng(seed)
    x = np.exp(spiky(rng, shape) * rng.choice([0.25, 1.0, 4.0], (*shape[:-1], 1)))
    if shape[-1] > 2:
        x[rng.random(shape) < 0.1] = 0
        x[..., 0] += 1
    return (x / x.sum(axis=-1, keepdims=True)).astype(dtype)


def call(name: str, p: Any, q: Any, **options: Any) -> Any:
    return getattr(ops, name)(*((p,) if name in ONE else (p, q)), **options)


def exact(name: str, p: np.ndarray, q: np.ndarray, **options: Any) -> np.ndarray:
    """The reference in exact arithmetic, of the very numbers in p and q."""
    given = (p,) if name in ONE else (p, q)
    return getattr(reference, name)(*map(reference.exactly, given), **options)


def positive_q(seed: int, shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    """A distribution without zeros, so that nothing is infinite beside it."""
    q = distributions(seed, shape) + 1e-6
    return (q / q.sum(axis=-1, keepdims=True)).astype(dtype)


def is_slow(backend: Arrays) -> bool:
    """Is a row a matter of milliseconds, in the simulator?"""
    return backend.backend.name == "gpu" and bool(config.ENABLE_CUDASIM)


# ---- values


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", MEASURES)
def test_measure_is_exact(backend: Arrays, name: str, classes: int, dtype: type) -> None:
    rows = 5 if classes > 16 else 19  # more than a tile
    if is_slow(backend):
        rows, classes = 2, min(classes, 150)
    p, q = distributions(classes, (rows, classes), dtype), positive_q(7, (rows, classes), dtype)
    result = backend.get(call(name, backend.put(p), backend.put(q)))
    assert result.dtype == dtype
    assert_ulp(result, exact(name, p, q), ULP[name])


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_self_information_is_exact(backend: Arrays, dtype: type) -> None:
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    edges = [0, 1, info.smallest_subnormal, info.tiny, 1 - info.epsneg, 0.75, np.nextafter(dtype(0.75), dtype(0))]
    p = np.concatenate([np.array(edges, dtype), rng.random(300).astype(dtype), 2.0 ** -rng.uniform(0, 120, 300)])
    p = p.astype(dtype)
    for base in (None, 2, 10.0, 0.5):
        log_base = 1 if base is None else reference.mp.log(base)
        expected = reference.self_information(reference.exactly(p)) / log_base
        assert_ulp(backend.get(ops.self_information(backend.put(p), base=base)), expected, 1, inputs=p)


# In a float wider than float64, which is quicker than mpmath.
WIDE_TERMS = {
    "entropy": lambda p, q: -p * np.log(p),
    "perplexity": lambda p, q: -p * np.log(p),
    "cross_entropy": lambda p, q: -p * np.log(q),
    "kl_divergence": lambda p, q: p * np.log(p / q) - p + q,
}


@pytest.mark.parametrize("spread", [0.0, 1e-3, 3.0])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("name", WIDE_TERMS)
def test_262144_classes(backend: Arrays, name: str, dtype: type, spread: float) -> None:
    if is_slow(backend):
        pytest.skip("too many for the simulator")
    wide = np.longdouble
    if dtype == np.float64 and np.finfo(wide).eps > 1e-18:
        pytest.skip("no wider float to compare with")
    rng = np.random.default_rng(3)
    given = [ops.softmax(rng.normal(0, spread, 262_144)).astype(dtype) for _ in range(2)]
    p, q = (array.astype(wide) for array in given)
    total = WIDE_TERMS[name](p, q).sum()
    expected = np.exp(total) if name == "perplexity" else total
    # Near p = q the reference itself cancels: its terms are right to so much.
    lost = 8 * float(np.finfo(wide).eps if dtype == np.float64 else 1e-18) if name == "kl_divergence" else 0.0
    found = float(backend.get(call(name, *map(backend.put, given))))
    allowed = ULP[name] * np.spacing(dtype(expected)) + lost
    assert abs(wide(found) - expected) <= allowed


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_powers_of_two_give_whole_bits(backend: Arrays, dtype: type) -> None:
    info = np.finfo(dtype)
    exponents = np.arange(0, -info.minexp + info.nmant + 1)
    p = np.ldexp(np.ones(len(exponents)), -exponents).astype(dtype)
    for base, bits in ((2, 1), (4, 2), (2.0**-1, -1)):
        found = backend.get(ops.self_information(backend.put(p), base=base))
        np.testing.assert_array_equal(found, (exponents / bits).astype(dtype))
        assert not np.signbit(found[:1])
    for classes in (1, 8, 128):
        uniform = backend.put(np.full((2, classes), 1 / classes, dtype))
        bits = math.log2(classes)
        np.testing.assert_array_equal(backend.get(ops.entropy(uniform, base=2)), [bits] * 2)
        assert_ulp(backend.get(ops.perplexity(uniform)), np.array([classes] * 2), ULP["perplexity"])
        certain = backend.put(np.eye(classes, dtype=dtype)[:1])
        np.testing.assert_array_equal(backend.get(ops.cross_entropy(certain, uniform[:1], base=2)), [bits])
        np.testing.assert_array_equal(backend.get(ops.kl_divergence(certain, uniform[:1], base=2)), [bits])


@pytest.mark.parametrize("name", MEASURES)
def test_base(backend: Arrays, name: str) -> None:
    p, q = distributions(1, (2, 12)), positive_q(2, (2, 12))
    if name not in BASED:
        with pytest.raises(TypeError, match="base"):
            call(name, p, q, base=2)
        return
    for base in (2, 10, np.float32(3.0), 1.0000001, 1e300, 0.5):
        expected = exact(name, p, q) / reference.mp.log(reference.mpf(float(base)))
        assert_ulp(backend.get(call(name, backend.put(p), backend.put(q), base=base)), expected, ULP[name])


# ---- KL divergence


@pytest.mark.parametrize("step", [1e-1, 1e-3, 1e-6, 0.0])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_kl_divergence_near_equality(backend: Arrays, dtype: type, step: float) -> None:
    # p log(p / q) alone would be a difference of numbers 1 / step times as large.
    rng = np.random.default_rng(4)
    p = distributions(5, (2, 40) if is_slow(backend) else (30, 40))
    q = p * (1 + step * rng.uniform(-1, 1, p.shape))
    p, q = p.astype(dtype), (q / q.sum(axis=-1, keepdims=True)).astype(dtype)
    found = backend.get(ops.kl_divergence(backend.put(p), backend.put(q)))
    assert_ulp(found, exact("kl_divergence", p, q), ULP["kl_divergence"])
    assert (found >= 0).all()


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_kl_divergence_at_every_ratio(backend: Arrays, dtype: type) -> None:
    # One term a row, unvalidated: ratios around 1, where the series ends, and to the ends of the range.
    info = np.finfo(dtype)
    ratio = np.concatenate([np.linspace(0.5, 2, 301), 10.0 ** np.arange(-36, 36)])[:: 12 if is_slow(backend) else 1]
    q = np.concatenate([np.full(len(ratio), 0.37), [info.smallest_subnormal, info.tiny, 1, 1, 0.3, 1e-30]])
    p = np.concatenate([0.37 * ratio, [1, 1, info.smallest_subnormal, info.tiny, 1e-20, 0.9]])
    p, q = p.astype(dtype), q.astype(dtype)
    found = backend.get(ops.kl_divergence(backend.put(p[:, None]), backend.put(q[:, None]), validate=False))
    assert_ulp(found, exact("kl_divergence", p[:, None], q[:, None]), ULP["kl_divergence"], inputs=p)


PROBABILITIES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6 if config.ENABLE_CUDASIM else 20),
    elements=st.floats(0, 1, width=32) | st.sampled_from([0, 1e-45, 1]),
)


@settings(max_examples=6 if config.ENABLE_CUDASIM else 60)
@given(x=PROBABILITIES, data=st.data())
def test_no_measure_is_negative(backend: Arrays, x: np.ndarray, data: st.DataObject) -> None:
    wide = x.astype(np.float64) + 1e-30
    p = (wide / wide.sum(axis=-1, keepdims=True)).astype(np.float64)
    q = p[data.draw(st.permutations(range(len(p))))]
    for name in MEASURES:
        found = backend.get(call(name, backend.put(p), backend.put(q)))
        assert (found >= (name == "perplexity")).all(), name
    assert_same_bits(backend.get(ops.kl_divergence(backend.put(p), backend.put(p))), np.zeros(len(p), np.float64))


# ---- edges


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_zeros(backend: Arrays, dtype: type, classes: int) -> None:
    p, q = np.zeros((4, classes), dtype), np.zeros((4, classes), dtype)
    p[:, 0] = 1
    q[[0, 1], 0], q[2, 1], q[3, :2] = 1, 1, 0.5  # the same twice, another, half of each
    put_p, put_q, kind = backend.put(p), backend.put(q), loss_dtype(dtype)
    assert_same_bits(backend.get(ops.entropy(put_p)), np.zeros(4, kind))
    assert_same_bits(backend.get(ops.entropy(put_p, base=0.5)), np.zeros(4, kind))
    assert_same_bits(backend.get(ops.perplexity(put_p)), np.ones(4, kind))
    expected = np.array([0, 0, np.inf, np.log(2)]).astype(kind)
    assert_same_bits(backend.get(ops.cross_entropy(put_p, put_q)), expected)
    assert_same_bits(backend.get(ops.kl_divergence(put_p, put_q)), expected)
    assert_same_bits(backend.get(ops.kl_divergence(put_p, put_q, base=2)), np.array([0, 0, np.inf, 1], kind))


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("name", MEASURES)
def test_nan_stays_in_its_row(backend: Arrays, name: str, classes: int) -> None:
    p, q = distributions(1, (20, classes)), positive_q(2, (20, classes))
    if is_slow(backend):
        p, q = p[5:9], q[5:9]
    clean = backend.get(call(name, backend.put(p), backend.put(q)))
    for array in (p, q)[: 1 if name in ONE else 2]:
        for value in (0.25, 0.0):  # beside a p of 0, too
            dirty_p, dirty_q = p.copy(), q.copy()
            dirty_p[2, 1] = value
            (dirty_p if array is p else dirty_q)[2, 1] = np.nan
            found = backend.get(call(name, backend.put(dirty_p), backend.put(dirty_q), validate=False))
            assert np.isnan(found[2])
            assert_same_bits(np.delete(found, 2), np.delete(clean, 2))


@pytest.mark.parametrize("name", MEASURES)
def test_empty(backend: Arrays, name: str) -> None:
    none = backend.put(np.zeros((0, 3), np.float64))
    found = call(name, none, none)
    assert (found.shape, found.dtype) == ((0,), np.float64)
    classless = backend.put(np.zeros((2, 0)))
    with pytest.raises(ValueError, match="row 0 sums to 0"):
        call(name, classless, classless)
    found = backend.get(call(name, classless, classless, validate=False))
    np.testing.assert_array_equal(found, [row.of_nothing for row in ROWS if row.name == name] * 2)
    assert ops.self_information(none).shape == (0, 3)


@pytest.mark.parametrize("axis", [-1, 0, 1, -3, (0, 2), (2, 0), (-1,), (), None])
@pytest.mark.parametrize("name", MEASURES)
def test_any_axis(backend: Arrays, name: str, axis: Any) -> None:
    axes = range(3) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    p, q = (distributions(seed, (2, 2, 5)) + 0.01 for seed in (1, 2))
    if axis == ():
        p = q = np.ones((2, 2, 5))
    p, q = (array / array.sum(axis=tuple(axes), keepdims=True) for array in (p, q))
    for keepdims in (False, True):
        found = backend.get(call(name, backend.put(p), backend.put(q), axis=axis, keepdims=keepdims))
        assert_ulp(found, exact(name, p, q, axis=tuple(axes), keepdims=keepdims), ULP[name])


@pytest.mark.parametrize("name", MEASURES)
def test_a_sum_over_everything_is_a_number(name: str) -> None:
    assert type(call(name, [0.5, 0.5], [0.5, 0.5])) is np.float64


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_a_sum_over_everything_in_float32_is_one_of_it(name: str) -> None:
    assert type(call(name, np.array([1], np.float32), np.array([1], np.float32))) is np.float32


@pytest.mark.parametrize("name", MEASURES)
def test_layout_does_not_matter(backend: Arrays, name: str) -> None:
    p, q = distributions(1, (2, 6), np.float64), positive_q(2, (2, 6), np.float64)
    p[1:] = p[:1]  # as the broadcast view has it
    expected = backend.get(call(name, backend.put(p), backend.put(q)))
    for layout, view in layouts(p, backend.xp):
        assert_same_bits(backend.get(call(name, view, backend.put(q))), expected, layout)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_float16_and_integers(backend: Arrays, name: str) -> None:
    p = np.array([[0.5, 0.25, 0.25], [1, 0, 0]], np.float16)
    q = np.array([[0.125, 0.375, 0.5], [0.25, 0.5, 0.25]], np.float16)
    found = backend.get(call(name, backend.put(p), backend.put(q)))
    assert found.dtype == np.float32
    assert_ulp(found, exact(name, p, q), 4)
    certain = np.array([[0, 1], [1, 0]], np.int8)
    found = backend.get(call(name, backend.put(certain), backend.put(certain)))
    assert_same_bits(found, exact(name, certain, certain).astype(np.float64))


def test_self_information_into_its_input(backend: Arrays) -> None:
    p = np.random.default_rng(1).random((5, 7)).astype(np.float64)
    expected = backend.get(ops.self_information(backend.put(p)))
    own = backend.put(p)
    assert ops.self_information(own, out=own) is own
    assert_same_bits(backend.get(own), expected)
    out = backend.xp.zeros((7, 5), np.float64).T
    ops.self_information(backend.put(p), out=out)
    assert_same_bits(backend.get(out), expected)
    shifted = backend.put(np.concatenate([p.ravel(), [0.5]]).astype(np.float64))
    ops.self_information(shifted[:-1], out=shifted[1:])
    assert_same_bits(backend.get(shifted[1:]), expected.ravel())
    assert type(ops.self_information(0.5)) is np.float64


# ---- what is no distribution


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
def test_softmax_of_many_classes_is_a_distribution(dtype: type, spread: float) -> None:
    logits = np.random.default_rng(1).normal(0, spread, (1, 262_144))
    naive = np.exp(logits.astype(np.float32)) / np.exp(logits.astype(np.float32)).sum(dtype=np.float32)
    for p in (ops.softmax(logits.astype(dtype)), naive.astype(dtype)):
        assert 0 <= ops.entropy(p, base=2)[0] <= 18.1


REMEDY = "divide the rows by their sums, or pass validate=False"


def complaint(name: str, found: str, axis: Any = -1) -> str:
    return (
        f"{name} must hold distributions along axis {axis}: nothing below 0, with a sum of 1 to within 1e-06; "
        f"{found}; {REMEDY}"
    )


@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1.5, "row 2 sums to 2"),
        (0.5 + 2e-6, "row 2 sums to 1.000002"),
        (-0.25, "row 2 holds -0.25"),
        (np.nan, "row 2 sums to nan"),
        (np.inf, "row 2 sums to inf"),
        (-np.inf, "row 2 holds -inf"),
    ],
)
@pytest.mark.parametrize("name", ["perplexity", "kl_divergence"])
def test_what_is_no_distribution_raises(backend: Arrays, name: str, value: float, found: str, classes: int) -> None:
    good = np.zeros((3, classes))
    good[:, :2] = 0.5
    bad = good.copy()
    bad[2, 1] = value
    with pytest.raises(ValueError, match="p must") as raised:
        call(name, backend.put(bad), backend.put(good))
    assert str(raised.value) == complaint("p", found)
    call(name, backend.put(bad), backend.put(good), validate=False)
    if name in TWO:
        with pytest.raises(ValueError, match="q must") as raised:
            call(name, backend.put(good), backend.put(bad))
        assert str(raised.value) == complaint("q", found)


def test_the_row_is_named_by_its_place(backend: Arrays) -> None:
    p = np.full((2, 4, 3), 0.25)
    p[1, :, 2] = 0.5
    with pytest.raises(ValueError, match="p must") as raised:
        ops.entropy(backend.put(p), axis=1)
    assert str(raised.value) == complaint("p", "row (1, 2) sums to 2", 1)


@pytest.mark.parametrize("value", [-1e-30, 1 + 1e-15, np.nan, np.inf])
def test_self_information_of_no_probability_raises(backend: Arrays, value: float) -> None:
    p = np.full((5, 31), 0.5)
    p[3, 17] = value
    out = backend.put(np.full((5, 31), 7.0))
    with pytest.raises(ValueError, match=r"^p must lie in \[0, 1\]; found .* at \(3, 17\); or pass validate=False$"):
        ops.self_information(backend.put(p), out=out)
    assert (backend.get(out) == 7).all()
    found = backend.get(ops.self_information(backend.put(p), validate=False))
    expected = np.array(-np.log(np.abs(value))) if value > 0 else np.nan
    np.testing.assert_allclose(found[3, 17], expected, rtol=1e-12, atol=1e-15)


BAD_BASES = [
    ("2", TypeError, "base must be a number; got str"),
    (1j, TypeError, "base must be a number; got complex"),
    *(
        (base, ValueError, f"base must be a positive finite number other than 1, or None for nats; got {shown}")
        for base, shown in (
            *((base, base) for base in (0, -2.0, 1, True, math.inf, math.nan)),
            (10**400, f"{10**79}..."),
        )
    ),
]


@pytest.mark.parametrize(("base", "error", "message"), BAD_BASES, ids=[str(base)[:5] for base, *_ in BAD_BASES])
def test_bad_base_raises(backend: Arrays, base: Any, error: type[Exception], message: str) -> None:
    p = backend.put([0.5, 0.5])
    calls = [lambda name=name: call(name, p, p, base=base) for name in BASED]
    for attempt in (*calls, lambda: ops.self_information(p, base=base)):
        with pytest.raises(error) as raised:
            attempt()
        assert str(raised.value) == message


BAD_PAIRS = [
    (np.ones((2, 1)), np.ones((1, 2)), ValueError, "q must have shape (2, 1), as p has; got shape (1, 2)"),
    (np.ones(1), np.ones(1, np.float32), TypeError,
     "q must be float64, as p is; got float32; convert one with .astype()"),
    (np.ones(1), np.ones(1, complex), TypeError,
     "q must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got complex128"),
]  # fmt: skip


@pytest.mark.parametrize(("p", "q", "error", "message"), BAD_PAIRS)
@pytest.mark.parametrize("name", TWO)
def test_what_does_not_fit_raises(name: str, p: Any, q: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        call(name, p, q)
    assert str(raised.value) == message
