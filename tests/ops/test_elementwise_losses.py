"""The elementwise losses and their gradients against exact arithmetic, in both tails, in any memory."""

from __future__ import annotations

import doctest
import math
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
from elementwise_reference import ELEMENTWISE_LOSSES as REFERENCES
from elementwise_reference import each_of
from numerics import (
    FLOATS_LIKE_FLOAT32,
    KERNEL_DTYPES,
    MANY_ELEMENTS,
    Arrays,
    again,
    assert_same_bits,
    assert_ulp,
    central_difference,
    few_on_gpu,
    layouts,
    loss_dtype,
    one_quick,
)

from softgrad import ops
from softgrad.kernels.cpu.launch import BLOCK_ELEMENTS
from softgrad.kernels.formulas.elementwise_losses import PROBABILITIES, SIGNS
from softgrad.kernels.formulas.registry import ELEMENTWISE_LOSSES
from softgrad.ops.elementwise_losses import FUNCTIONS

NAMES = list(ELEMENTWISE_LOSSES)
REDUCTIONS = ["mean", "sum", "none"]
INF, NAN = math.inf, math.nan


# exp, log1p and two products; differences and their squares are nearer. The mean's 1 / N and its product add another 1.
ULP = 4


def case(name: str, shape: Any, dtype: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions, some of them far out, and targets such as the loss takes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, shape)
    x = np.where(rng.random(shape) < 0.1, x * 20, x)
    condition = ELEMENTWISE_LOSSES[name].targets
    if condition is SIGNS:
        targets = rng.choice([-1.0, 1.0], shape)
    elif condition is PROBABILITIES:
        targets = np.where(rng.random(shape) < 0.6, rng.integers(0, 2, shape), rng.random(shape))
    else:
        targets = np.where(rng.random(shape) < 0.1, x, rng.normal(0, 2, shape))
    return x.astype(dtype), targets.astype(dtype)


def both(name: str, *arguments: Any, **options: Any) -> tuple[Any, Any]:
    """The loss with its gradient, after the loss alone has been found to be the same."""
    loss, grad = getattr(ops, f"{name}_with_grad")(*arguments, **options)
    options.pop("out", None)
    alone = getattr(ops, name)(*arguments, **options)
    assert_same_bits(*(value.get() if hasattr(value, "get") else value for value in (alone, loss)))
    return loss, grad


def exact(name: str, x: np.ndarray, t: np.ndarray, *operands: Any) -> tuple[np.ndarray, np.ndarray]:
    """The loss and slope of each element."""
    operands = operands or ELEMENTWISE_LOSSES[name].defaults
    computed = np.float64 if x.dtype == np.float64 else np.float32
    arguments = (x, t, *(np.asarray(operand, computed) for operand in operands))
    return (
        each_of(REFERENCES[name].loss, *arguments),
        each_of(REFERENCES[name].slope, *arguments),
    )


def terms(name: str, x: np.ndarray, t: np.ndarray, *operands: Any) -> Any:
    """The size of what a slope is the difference of: where it cancels, an error is measured against that."""
    cancelling = REFERENCES[name].cancelling
    return cancelling(x.astype(np.float64), t, *(operands or ELEMENTWISE_LOSSES[name].defaults)) if cancelling else 0.0


def check(backend: Arrays, name: str, x: np.ndarray, t: np.ndarray, ulp: float = ULP) -> None:
    """Each element's loss and gradient."""
    loss, grad = both(name, backend.put(x), backend.put(t), reduction="none")
    assert loss.dtype == loss_dtype(x.dtype)
    assert grad.dtype == x.dtype
    exact_loss, exact_grad = exact(name, x, t)
    assert_ulp(backend.get(loss), exact_loss, ULP if loss.dtype != grad.dtype else ulp, inputs=x)
    assert_ulp(backend.get(grad), exact_grad, ulp, floor=terms(name, x, t), inputs=x)


def test_every_loss_has_its_reference() -> None:
    assert REFERENCES.keys() == ELEMENTWISE_LOSSES.keys(), "each has a row in tests/support/elementwise_reference.py"


# ---- values


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_exact(backend: Arrays, name: str, dtype: type) -> None:
    check(backend, name, *case(name, (11, 19), dtype))


@pytest.mark.parametrize("name", few_on_gpu(NAMES, "sigmoid_cross_entropy", "huber_loss"))
def test_float16_is_rounded_once(backend: Arrays, name: str) -> None:
    check(backend, name, *case(name, 327, np.float16), 0.51)  # packs of eight, and the largest part of one


TAILS = {np.float32: [1e-45, 1e-38, 1e-4, 1, 17, 88, 103, 104, 1e4, 3e38],
         np.float64: [5e-324, 1e-300, 1e-9, 1, 37, 708, 744, 746, 1e4, 1.7e308]}  # fmt: skip


@pytest.mark.parametrize("dtype", few_on_gpu(TAILS, np.float32))
@pytest.mark.parametrize("name", NAMES)
def test_tails_are_exact(backend: Arrays, name: str, dtype: type) -> None:
    condition = ELEMENTWISE_LOSSES[name].targets
    targets = {SIGNS: [-1, 1], PROBABILITIES: [0, 1, 0.25]}.get(condition, [0, 1])
    sizes = np.array(TAILS[dtype], dtype)
    x = np.concatenate([sizes, -sizes, [0]]).astype(dtype)
    x, t = (array.ravel() for array in np.meshgrid(x, np.array(targets, dtype)))
    check(backend, name, x, t)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 65, 1000, BLOCK_ELEMENTS, BLOCK_ELEMENTS + 1, 3 * BLOCK_ELEMENTS + 5])
@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "hinge_loss"])
def test_sums_are_those_of_the_losses(backend: Arrays, name: str, size: int) -> None:
    # In float32 the sum of thousands would be off by many ULP.
    x, t = (backend.put(array) for array in case(name, size, np.float32))
    losses, slopes = (backend.get(result) for result in both(name, x, t, reduction="none"))
    exact_sum = np.array(math.fsum(losses.tolist()))
    for reduction, divisor in (("sum", 1), ("mean", size)):
        loss, grad = both(name, x, t, reduction=reduction)
        assert_ulp(backend.get(loss), exact_sum / divisor, 0.501)
        assert_ulp(backend.get(grad), slopes.astype(np.float64) / divisor, 0 if divisor == 1 else 1.5)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.bool_])
def test_integer_predictions_are_computed_in_float64(backend: Arrays, dtype: type) -> None:
    x = np.random.default_rng(0).integers(0, 2, (6, 4)).astype(dtype)
    t = backend.put(np.zeros((6, 4)))
    result = both("squared_error", backend.put(x), t)
    expected = both("squared_error", backend.put(x, np.float64), t)
    for i in range(2):
        assert_same_bits(backend.get(result[i]), backend.get(expected[i]))


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint64, np.float16, np.float64])
@pytest.mark.parametrize("logits_dtype", FLOATS_LIKE_FLOAT32)
def test_targets_of_every_dtype(backend: Arrays, logits_dtype: type, dtype: type) -> None:
    x, t = np.array([-1, 0.5, 30, 2], logits_dtype), np.array([0, 1, 1, 0])
    result = both("sigmoid_cross_entropy", backend.put(x), backend.put(t, dtype))
    expected = both("sigmoid_cross_entropy", backend.put(x), backend.put(t, logits_dtype))
    for i in range(2):
        assert_same_bits(backend.get(result[i]), backend.get(expected[i]))


@pytest.mark.parametrize("name", NAMES)
def test_formula_runs_as_plain_python_and_agrees_with_the_kernel(backend: Arrays, name: str) -> None:
    row = ELEMENTWISE_LOSSES[name]
    x, t = case(name, 40, np.float32)
    operands = [np.float32(value) for value in row.defaults]
    results = both(name, backend.put(x), backend.put(t), reduction="none")
    for formula, result in zip((row.forward, row.gradient), results, strict=True):
        plain = [formula(*pair, *operands) for pair in zip(x, t, strict=True)]
        assert {type(value) for value in plain} == {np.float32}
        # NumPy's float32 functions and ours are not the same to the last bit.
        floor = terms(name, x, t) if formula is row.gradient else 0.0
        assert_ulp(backend.get(result), np.array(plain, np.float64), 4, floor=floor, inputs=x)


# ---- weights and parameters

WEIGHTS = [
    pytest.param(2.5, None, marks=pytest.mark.alike),
    (0, 0.5),
    (3, 0),
    (np.array([0.5, 2.0, 0.0]), 0.0),
    pytest.param(None, 0.3, marks=pytest.mark.alike),
    (np.array([0.5, 2.0, 0.0]), None),
    pytest.param(None, np.array([[1.0], [0.0], [3.0], [0.25], [2.0]]), marks=pytest.mark.alike),
    (3, np.arange(15.0).reshape(5, 3)),
    (np.float32(0.1), np.array(2.0)),
    pytest.param(np.arange(15).reshape(5, 3) % 4, np.array([True, False, True]), marks=pytest.mark.alike),
]


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize(("pos_weight", "weight"), WEIGHTS)
def test_weights_are_numbers_or_arrays(backend: Arrays, pos_weight: Any, weight: Any, dtype: type) -> None:
    x, t = case("sigmoid_cross_entropy", (5, 3), dtype)
    operands = [1.0 if operand is None else operand for operand in (pos_weight, weight)]
    exact_loss, exact_grad = exact("sigmoid_cross_entropy", x, t, *operands)
    options = {
        name: backend.put(value) if isinstance(value, np.ndarray) else value
        for name, value in (("pos_weight", pos_weight), ("weight", weight))
    }
    loss, grad = both("sigmoid_cross_entropy", backend.put(x), backend.put(t), reduction="none", **options)
    assert_ulp(backend.get(loss), exact_loss, ULP + 1, inputs=x)
    floor = terms("sigmoid_cross_entropy", x, t, *(np.asarray(operand, np.float64) for operand in operands))
    assert_ulp(backend.get(grad), exact_grad, ULP + 1, floor=floor, inputs=x)
    mean, _ = both("sigmoid_cross_entropy", backend.put(x), backend.put(t), **options)
    assert_ulp(backend.get(mean), np.array(math.fsum(backend.get(loss).ravel().tolist()) / 15), 4)


@pytest.mark.parametrize("dtype", FLOATS_LIKE_FLOAT32)
def test_a_weight_of_0_leaves_nothing(backend: Arrays, dtype: type) -> None:
    """Not even of an infinite loss."""
    x, t = (backend.put(again(np.array(values, dtype), 55)) for values in ([1, INF, -2, -INF, 0], [1, 0, 1, 1]))
    for reduction in REDUCTIONS:
        assert_nothing_with_weight_0(backend, x, t, reduction=reduction)


def assert_nothing_with_weight_0(backend: Arrays, x: Any, t: Any, **options: Any) -> None:
    for result in both("sigmoid_cross_entropy", x, t, weight=0, **options):
        assert (backend.get(result) == 0).all()


@pytest.mark.slow
def test_large_weights_of_arrays(backend: Arrays) -> None:
    # Above the parallel threshold: numbers and arrays give the same bits.
    x, t = (backend.put(array) for array in case("sigmoid_cross_entropy", 40_003, np.float32))
    expected = both("sigmoid_cross_entropy", x, t, pos_weight=2.0, weight=0.5)
    found = both(
        "sigmoid_cross_entropy", x, t, pos_weight=backend.put([2.0]), weight=backend.xp.full(40_003, 0.5, np.float32)
    )
    for i in range(2):
        assert_same_bits(backend.get(found[i]), backend.get(expected[i]))


@pytest.mark.parametrize("delta", [1e-30, 0.3, 2, 1e30])
@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
def test_huber_delta(backend: Arrays, dtype: type, delta: float) -> None:
    x, t = case("huber_loss", 60, dtype)
    loss, grad = both("huber_loss", backend.put(x), backend.put(t), delta=delta, reduction="none")
    exact_loss, exact_grad = exact("huber_loss", x, t, delta)
    assert_ulp(backend.get(loss), exact_loss, ULP)
    assert_ulp(backend.get(grad), exact_grad, ULP)


def test_huber_of_differences_beyond_the_range(backend: Arrays) -> None:
    x, t = np.array([3e38, -3e38, 3e38], np.float32), np.array([-3e38, 3e38, 2e38], np.float32)
    loss, grad = both("huber_loss", backend.put(x), backend.put(t), delta=0.25, reduction="none")
    exact_loss, exact_grad = exact("huber_loss", x, t, 0.25)
    assert_ulp(backend.get(loss), exact_loss, 2)
    assert_ulp(backend.get(grad), exact_grad, 0)
    mean, _ = both("huber_loss", backend.put(x), backend.put(t))  # the sum is beyond float32, the mean is not
    assert_ulp(backend.get(mean), np.array(INF), 0)
    mean, _ = both("huber_loss", backend.put(x), backend.put(t), delta=0.5)
    assert_ulp(backend.get(mean), np.array((6e38 + 6e38 + 1e38) * 0.5 / 3), 2)


# ---- the gradient is that of the loss

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("huber_loss", {"delta": 0.7}),
    ("sigmoid_cross_entropy", {"pos_weight": 3.0, "weight": np.arange(15.0).reshape(3, 5)}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_gradient_is_the_slope_of_the_loss(backend: Arrays, name: str, options: dict[str, Any]) -> None:
    x, t = case(name, (3, 5), np.float64, seed=3)
    delta = options.get("delta", 1.0)
    assert (np.abs(np.abs(x - t) - delta) > 1e-3).all(), "an element lies at a kink"
    targets = backend.put(t)
    options = {key: backend.put(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}

    def f(values: np.ndarray) -> float:
        return float(backend.get(getattr(ops, name)(backend.put(values), targets, **options)))

    _, grad = both(name, backend.put(x), targets, **options)
    np.testing.assert_allclose(backend.get(grad), central_difference(f, x), rtol=1e-6, atol=1e-8)
    if name == "sigmoid_cross_entropy" and not options:
        assert_nothing_with_weight_0(backend, backend.put(x), targets)


def test_hinge_has_no_slope_at_its_kink(backend: Arrays) -> None:
    x, t = [1.0, -1.0, 1 - 2.0**-53, 1 + 2.0**-52], [1, -1, 1, 1]
    loss, grad = both("hinge_loss", backend.put(x), backend.put(t), reduction="none")
    np.testing.assert_array_equal(backend.get(loss), [0, 0, 2.0**-53, 0])
    np.testing.assert_array_equal(backend.get(grad), [0, 0, -1, 0])


# ---- edges


@pytest.mark.parametrize("dtype", FLOATS_LIKE_FLOAT32)
def test_infinite_logits(backend: Arrays, dtype: type) -> None:
    x, t = backend.put([INF, -INF, INF, -INF], dtype), backend.put([1, 0, 0, 1], dtype)
    loss, grad = both("sigmoid_cross_entropy", x, t, reduction="none")
    np.testing.assert_array_equal(backend.get(loss), [0, 0, INF, INF])
    np.testing.assert_array_equal(backend.get(grad), [0, 0, 1, -1])
    loss, grad = both("sigmoid_cross_entropy", x, t, weight=backend.put([1, 1, 0, 0], dtype), reduction="none")
    np.testing.assert_array_equal(backend.get(loss), [0, 0, 0, 0])
    np.testing.assert_array_equal(backend.get(grad), [0, 0, 0, 0])
    loss, _ = both("sigmoid_cross_entropy", x, t)
    assert backend.get(loss) == INF


@pytest.mark.parametrize("dtype", FLOATS_LIKE_FLOAT32)
def test_infinite_predictions(backend: Arrays, dtype: type) -> None:
    x, t = backend.put([INF, -INF, 1, INF], dtype), backend.put([0, 0, -INF, INF], dtype)
    expected = {
        "squared_error": ([INF, INF, INF, NAN], [INF, -INF, INF, NAN]),
        "l2_loss": ([INF, INF, INF, NAN], [INF, -INF, INF, NAN]),
        "huber_loss": ([INF, INF, INF, NAN], [1, -1, 1, NAN]),
    }
    for name, (losses, slopes) in expected.items():
        loss, grad = both(name, x, t, reduction="none")
        np.testing.assert_array_equal(backend.get(loss), losses)
        np.testing.assert_array_equal(backend.get(grad), slopes)
    loss, grad = both("hinge_loss", x[:2], backend.put([1, 1], dtype), reduction="none")
    np.testing.assert_array_equal(backend.get(loss), [0, INF])
    np.testing.assert_array_equal(backend.get(grad), [0, -1])


@pytest.mark.parametrize("place", [0, 32])
@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_where_it_is(backend: Arrays, name: str, place: int) -> None:
    x, t = case(name, 33, np.float32)
    clean = [backend.get(result) for result in both(name, backend.put(x), backend.put(t), reduction="none")]
    x[place] = NAN
    for before, result in zip(clean, both(name, backend.put(x), backend.put(t), reduction="none"), strict=True):
        found = backend.get(result)
        assert np.isnan(found[place])
        assert_same_bits(np.delete(found, place), np.delete(before, place))
    assert np.isnan(backend.get(getattr(ops, name)(backend.put(x), backend.put(t))))


@pytest.mark.parametrize("dtype", FLOATS_LIKE_FLOAT32)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_has_loss_0(backend: Arrays, name: str, shape: tuple[int, ...], dtype: type) -> None:
    x = backend.xp.zeros(shape, dtype)
    kind = loss_dtype(dtype)
    for reduction, expected in (("mean", kind(0)), ("sum", kind(0)), ("none", np.zeros(shape, kind))):
        loss, grad = both(name, x, x, reduction=reduction)
        assert_same_bits(backend.get(loss), expected)
        assert_same_bits(backend.get(grad), np.zeros(shape, dtype))


@pytest.mark.parametrize("name", NAMES)
def test_a_single_number_is_an_array_too(backend: Arrays, name: str) -> None:
    for reduction in REDUCTIONS:
        x, t = backend.put(0.25, np.float32), backend.put(1.0, np.float32)
        loss, grad = both(name, x, t, reduction=reduction)
        expected_loss, expected_grad = both(name, x.reshape(1), t.reshape(1), reduction="sum")
        assert loss.shape == grad.shape == ()
        assert float(backend.get(loss)) == float(backend.get(expected_loss))
        assert float(backend.get(grad)) == float(backend.get(expected_grad)[0])


# ---- the same bits


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = numba.get_num_threads()
    yield
    numba.set_num_threads(before)


@pytest.mark.usefixtures("restored_threads", "small_arrays_shared")
@pytest.mark.parametrize("name", one_quick(NAMES))
def test_results_do_not_depend_on_the_number_of_threads(name: str) -> None:
    x, t = case(name, 11 * BLOCK_ELEMENTS + 77, np.float32)
    found = []
    for count in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(count)
        found.append(both(name, x, t))
    for loss, grad in found:
        assert_same_bits(loss, found[0][0])
        assert_same_bits(grad, found[0][1])


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "huber_loss"])
def test_results_do_not_depend_on_where_arrays_begin(backend: Arrays, name: str, dtype: type) -> None:
    size = MANY_ELEMENTS
    x, t = case(name, size, dtype)
    expected = both(name, backend.put(x), backend.put(t))
    room = [backend.xp.zeros(size + 27, dtype) for _ in range(3)]
    for offset in (1, 6):
        shifted = [array[i + offset : i + offset + size] for i, array in enumerate(room)]
        shifted[0][...], shifted[1][...] = backend.put(x), backend.put(t)
        loss, grad = both(name, *shifted[:2], out=shifted[2])
        assert_same_bits(backend.get(loss), backend.get(expected[0]))
        assert_same_bits(backend.get(grad), backend.get(expected[1]))
        if name == "sigmoid_cross_entropy":
            assert_nothing_with_weight_0(backend, *shifted[:2], out=shifted[2])
        around = backend.get(room[2])
        assert not around[: offset + 2].any()
        assert not around[offset + size + 2 :].any()
        room[2][...] = 0


# ---- memory


@pytest.mark.parametrize("dtype", FLOATS_LIKE_FLOAT32)
@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "huber_loss"])
def test_layout_does_not_matter(backend: Arrays, name: str, dtype: type) -> None:
    x, t = case(name, (6, 8), dtype)
    for (layout, view), (_, targets) in zip(layouts(x, backend.xp), layouts(t, backend.xp), strict=True):
        result = both(name, view, targets)
        expected = both(name, backend.put(view, dtype), backend.put(targets, dtype))
        for i in range(2):
            assert_same_bits(backend.get(result[i]), backend.get(expected[i]), layout)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", one_quick([(5, 11), (600, 70)]))  # below and above the parallel threshold
@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "huber_loss"])
def test_out_may_be_an_argument_overlap_it_or_be_strided(
    backend: Arrays, name: str, shape: tuple[int, int], dtype: type
) -> None:
    with_grad = getattr(ops, f"{name}_with_grad")
    x, t = case(name, shape, dtype)
    expected = [backend.get(result) for result in with_grad(backend.put(x), backend.put(t))]

    buffer = backend.xp.zeros((shape[0] + 1, shape[1]), dtype)
    buffer[:-1] = backend.put(x)
    overlapping = backend.xp.zeros((shape[0] + 1, shape[1]), dtype)
    overlapping[1:] = backend.put(t)
    strided = backend.xp.zeros(shape[::-1], dtype).T
    a, b = backend.put(x), backend.put(t)
    for arguments, out in (
        ((backend.put(x), backend.put(t)), strided),
        ((buffer[:-1], backend.put(t)), buffer[1:]),
        ((backend.put(x), overlapping[1:]), overlapping[:-1]),
        ((a, backend.put(t)), a),
        ((backend.put(x), b), b),
    ):
        loss, grad = with_grad(*arguments, out=out)
        assert grad is out
        assert_same_bits(backend.get(loss), expected[0])
        assert_same_bits(backend.get(grad), expected[1])
    if name == "sigmoid_cross_entropy":
        for rows in (a, buffer[1:]):
            loss, grad = with_grad(rows, backend.put(t), weight=0, out=rows)
            assert backend.get(loss) == 0
            assert not backend.get(grad).any()


def test_out_may_be_a_weight(backend: Arrays) -> None:
    x, t = (backend.put(array) for array in case("sigmoid_cross_entropy", (4, 5), np.float64))
    w = np.arange(20.0).reshape(4, 5)
    expected = [backend.get(result) for result in both("sigmoid_cross_entropy", x, t, weight=backend.put(w))]
    weight = backend.put(w)
    loss, grad = ops.sigmoid_cross_entropy_with_grad(x, t, weight=weight, out=weight)
    assert grad is weight
    assert_same_bits(backend.get(loss), expected[0])
    assert_same_bits(backend.get(grad), expected[1])


# ---- what is said of them


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_of_generated_docstrings_are_right(name: str) -> None:
    (examples,) = doctest.DocTestFinder().find(FUNCTIONS[name], name, module=False, globs={})
    results = doctest.DocTestRunner().run(examples)
    assert results.attempted >= 2
    assert results.failed == 0
