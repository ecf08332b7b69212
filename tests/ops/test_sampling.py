"""Draws from logits: the right frequencies, independence, the limits, and the generator under them."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import reference
from numba import njit
from numerics import FLOATS, KERNEL_DTYPES, Arrays, assert_same_bits, assert_ulp, layouts, quick
from scipy import stats

from softgrad import ops
from softgrad.kernels.formulas import random

DRAWS = 1_000_000

# Of a right generator one seed in ten thousand is below it; the seeds are fixed.
LEAST = 1e-4


def draw(backend: Arrays, logits: Any, **options: Any) -> np.ndarray:
    return backend.get(ops.sample_categorical(backend.put(logits), **options))


# ---- the generator


# From Random123's kat_vectors: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_words(counter: str, key: str, expected: str, compiled: bool) -> None:
    philox = njit(random.philox) if compiled else random.philox
    words = [np.uint64(int(word, 16)) for word in (*counter.split(), *key.split())]
    assert " ".join(f"{int(word):08x}" for word in philox(*words)) == expected


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_noise_is_exact_for_small_words(dtype: type) -> None:
    # Those that win; 0 is the smallest, with noise of 22.9.
    words = [0, 1, 2, 1000, 2**20 + 1, 2**23 - 1]
    found = [random.gumbel(random.uniform(dtype(0), np.uint64(word))) for word in words]
    assert {type(value) for value in found} == {dtype}
    exact = [-mpmath.log(-mpmath.log1p(-(mpmath.mpf(word) + 0.5) / 2**32)) for word in words]
    assert_ulp(np.array(found), np.array(exact, object), 2)
    highest = random.gumbel(random.uniform(dtype(0), np.uint64(2**32 - 1)))
    assert -math.log(33 * math.log(2)) <= highest <= -math.log(24 * math.log(2)) + 1e-6


@pytest.mark.parametrize("classes", [10, 17, 150])
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_a_draw_is_the_largest_of_logits_and_noise(backend: Arrays, dtype: type, classes: int) -> None:
    logits = np.random.default_rng(1).normal(0, 2, (3, classes)).astype(dtype)
    key = np.uint64(np.random.SeedSequence(5).generate_state(1, np.uint64)[0])
    expected = []
    for n in range(2 * 3):
        scores = logits[n % 3] / dtype(0.5)
        for j in range(classes):
            if classes <= random.BLOCK:
                word = random.words_of(j, n // 4, key)[n % 4]
            else:
                counter = j // random.CHUNK * random.BLOCK + j % random.BLOCK
                word = random.words_of(counter, n, key)[j % random.CHUNK // random.BLOCK]
            scores[j] += random.gumbel(random.uniform(dtype(0), word))
        expected.append(np.argmax(scores))
    found = draw(backend, logits, temperature=0.5, shape=2, rng=5)
    np.testing.assert_array_equal(found, np.reshape(expected, (2, 3)))


# ---- frequencies; on the CPU, of which the draws of a GPU are those, as the test above says


def p_value(found: np.ndarray, probabilities: Any) -> float:
    probabilities = np.asarray(probabilities, np.float64)
    assert found.size > 5 / probabilities.min(), "too few draws to judge"
    counts = np.bincount(found.ravel(), minlength=len(probabilities))
    return float(stats.chisquare(counts, probabilities / probabilities.sum() * found.size).pvalue)


WEIGHTS = {
    "even": [1, 1, 1, 1, 1],
    "spread": [0.6, 0.3, 0.09, 0.009, 0.0009, 0.0001],
    "one of two": [0.999, 0.001],
    "many": np.arange(1, 71),
}


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("name", WEIGHTS)
def test_classes_come_as_often_as_they_should(name: str, dtype: type) -> None:
    weights = np.asarray(WEIGHTS[name], np.float64)
    logits = np.log(weights).astype(dtype) + dtype(300)  # exact to 2e-5 in float32: below what the draws could show
    assert p_value(ops.sample_categorical(logits, shape=DRAWS, rng=11), weights) > LEAST


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
def test_tiny_probabilities_together(dtype: type) -> None:
    # A hundred classes of 1e-6 each are drawn a hundred times in a million, and as often in either half.
    logits = np.full(101, math.log(1e-6), dtype)
    logits[0] = 0
    found = ops.sample_categorical(logits, shape=DRAWS, rng=12)
    group = np.where(found == 0, 0, np.where(found <= 50, 1, 2))
    assert p_value(group, [1, 50e-6, 50e-6]) > LEAST


@pytest.mark.parametrize("temperature", [0.5, 3])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = np.array([0.0, 1.0, -1.0, 0.5])
    found = ops.sample_categorical(logits, temperature=temperature, shape=DRAWS // 5, rng=13)
    assert p_value(found, reference.softmax(logits, temperature=temperature)) > LEAST


def test_rows_and_draws_are_independent() -> None:
    logits = np.log([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    found = ops.sample_categorical(logits, shape=DRAWS // 5, rng=14)
    pairs = {
        "rows": (found[:, 0], found[:, 1]),
        "draws": (found[:-1, 0], found[1:, 0]),
        "a row and the next draw of the other": (found[:-1, 1], found[1:, 0]),
    }
    for name, (first, second) in pairs.items():
        table = np.zeros((3, 3))
        np.add.at(table, (first, second), 1)
        assert stats.chi2_contingency(table).pvalue > LEAST, name


def test_classes_are_independent_of_seeds() -> None:
    found = np.array([ops.sample_categorical(np.zeros(8), rng=seed) for seed in range(4000)])
    assert p_value(found, np.ones(8)) > LEAST


# ---- limits


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_temperature_zero_draws_from_the_largest(backend: Arrays, dtype: type) -> None:
    logits = np.array([[1, 5, 5, -np.inf], [7, 3, 2, 1], [-np.inf, -4, -5, -4]], dtype)
    found = draw(backend, logits, temperature=0, shape=12, rng=15)
    assert [set(column) for column in found.T.tolist()] == [{1, 2}, {0}, {1, 3}]


def test_temperature_zero_draws_uniformly_from_equals() -> None:
    found = ops.sample_categorical([3.0, 1.0, 3.0, 3.0], temperature=0, shape=DRAWS // 5, rng=16)
    assert not (found == 1).any()
    assert p_value(np.searchsorted([0, 2, 3], found), [1, 1, 1]) > LEAST


def test_temperature_infinity_is_uniform_above_minus_infinity() -> None:
    logits = [1.0, 500.0, -np.inf, -900.0]
    found = ops.sample_categorical(logits, temperature=math.inf, shape=DRAWS // 5, rng=17)
    assert not (found == 2).any()
    assert p_value(np.searchsorted([0, 1, 3], found), [1, 1, 1]) > LEAST


@pytest.mark.parametrize("temperature", [0, 1e-45, 1, 1e30, math.inf])
@pytest.mark.parametrize("classes", [5, 70])
def test_minus_infinity_is_never_drawn(backend: Arrays, classes: int, temperature: float) -> None:
    logits = np.full((2, classes), -np.inf, np.float64)
    logits[0, [1, 3]], logits[1, classes - 1] = 3e38, -3e38
    found = draw(backend, logits, temperature=temperature, shape=6, rng=18)
    assert set(found[:, 0].tolist()) <= {1, 3}
    assert set(found[:, 1].tolist()) == {classes - 1}


# ---- shapes and layouts


@pytest.mark.parametrize(
    ("of_logits", "shape", "expected"),
    [
        ((4,), None, ()),
        ((2, 3, 4), None, (2, 3)),
        ((4,), 3, (3,)),
        ((3, 4), (2, 2), (2, 2, 3)),
        ((3, 4), (), (3,)),
        ((3, 4), np.int64(2), (2, 3)),
        ((3, 4), 0, (0, 3)),
        ((0, 4), None, (0,)),
        ((0, 4), 5, (5, 0)),
    ],
)
def test_shape_of_the_result(backend: Arrays, of_logits: Any, shape: Any, expected: Any) -> None:
    found = ops.sample_categorical(backend.put(np.zeros(of_logits)), shape=shape, rng=1)
    assert (found.shape, found.dtype) == (expected, np.int64)
    if expected == ():
        assert backend.backend.name == "gpu" or type(found) is np.int64


def test_layout_does_not_matter(backend: Arrays) -> None:
    logits = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float64)
    logits[1:] = logits[:1]  # as the broadcast view has it
    expected = draw(backend, logits, rng=2, shape=2)
    for name, view in layouts(logits, backend.xp):
        assert_same_bits(backend.get(ops.sample_categorical(view, rng=2, shape=2)), expected, name)


@pytest.mark.slow
def test_float16_and_integers(backend: Arrays) -> None:
    logits = np.array([[1, 2, 0, 3], [0, 0, 5, 4]])
    for given, computed in ((np.float16, np.float32), (np.int8, np.float64)):
        expected = draw(backend, logits.astype(computed), shape=9, rng=3)
        assert_same_bits(draw(backend, logits.astype(given), shape=9, rng=3), expected)


# ---- where the noise comes from


def test_a_seed_gives_the_same_draws(backend: Arrays) -> None:
    logits = np.zeros((2, 50))
    draws = {seed: draw(backend, logits, rng=seed, shape=4) for seed in (0, 1, 2**32, 2**100)}
    for seed, expected in draws.items():
        assert_same_bits(draw(backend, logits, rng=seed, shape=4), expected)
    assert len({found.tobytes() for found in draws.values()}) == len(draws)
    assert_same_bits(draw(backend, logits, rng=np.uint8(1), shape=4), draws[1])


def test_a_generator_advances(backend: Arrays) -> None:
    logits = np.zeros((2, 50))
    rng, same = np.random.default_rng(7), np.random.default_rng(7)
    first, second = draw(backend, logits, rng=rng), draw(backend, logits, rng=rng)
    assert not np.array_equal(first, second)
    assert_same_bits(draw(backend, logits, rng=same), first)
    assert_same_bits(draw(backend, logits, rng=same), second)
    assert rng.bit_generator.state == same.bit_generator.state


def test_without_a_seed_draws_differ(backend: Arrays) -> None:
    logits = np.zeros((2, 60))
    assert not np.array_equal(draw(backend, logits, shape=3), draw(backend, logits, shape=3))


# ---- errors

BAD_ROWS = [[np.nan, 0, 0], [0, np.inf, 0], [-np.inf] * 3, [np.nan, np.inf, -np.inf], [-np.inf, np.nan, -np.inf]]


@pytest.mark.parametrize("row", BAD_ROWS)
@pytest.mark.parametrize("wide", [False, True])
def test_a_row_that_is_no_distribution_raises(backend: Arrays, row: list[float], wide: bool) -> None:
    logits = np.zeros((2, 2, 3), np.float32)
    logits[1, 0] = row
    if wide:
        logits = np.concatenate([logits, np.full((2, 2, 17), -np.inf, np.float32)], axis=-1)
    with pytest.raises(ValueError, match="logits") as raised:
        draw(backend, logits, shape=3, rng=1)
    assert str(raised.value) == (
        "logits must be below +inf, with one above -inf, and no NaN in a row; row (1, 0) is not so; "
        "mask classes with -inf, or pass validate=False"
    )
    found = draw(backend, logits, shape=3, rng=1, validate=False)
    assert (found[:, 1, 0] == -1).all()
    found[:, 1, 0] = 0
    assert ((found >= 0) & (found < 3)).all()


BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (1.0, {}, ValueError, "logits must have shape (..., C) with at least one class; got shape ()"),
    (np.zeros((2, 0)), {}, ValueError, "logits must have shape (..., C) with at least one class; got shape (2, 0)"),
    ([1j], {}, TypeError,
     "logits must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got complex128"),
    ([0.0], {"temperature": -1}, ValueError, "temperature must be 0 or above; got -1"),
    ([0.0], {"temperature": "hot"}, TypeError, "temperature must be a number; got str"),
    ([0.0], {"shape": 1.5}, TypeError, "shape must be None, an integer or a tuple of integers; got float"),
    ([0.0], {"shape": (2, "x")}, TypeError, "shape must be None, an integer or a tuple of integers; got str"),
    ([0.0], {"shape": (2, -1)}, ValueError, "shape must have no negative sizes; got (2, -1)"),
    ([0.0], {"rng": 1.0}, TypeError, "rng must be a numpy.random.Generator, an integer seed or None; got float"),
    ([0.0], {"rng": True}, TypeError, "rng must be a numpy.random.Generator, an integer seed or None; got bool"),
    ([0.0], {"rng": np.random}, TypeError, "rng must be a numpy.random.Generator, an integer seed or None; got module"),
    ([0.0], {"rng": -1}, ValueError, "rng must be a seed not below 0; got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("logits", "options", "error", "message"), BAD)
def test_bad_arguments_raise(logits: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        ops.sample_categorical(logits, **options)
    assert str(raised.value) == message


def test_a_wrong_call_leaves_the_generator_alone() -> None:
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    for options in ({"temperature": -1}, {"shape": -1}):
        with pytest.raises(ValueError, match="must"):
            ops.sample_categorical([0.0], rng=rng, **options)
    assert rng.bit_generator.state == before
