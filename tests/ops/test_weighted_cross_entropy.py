"""Softmax cross-entropy with its options, for labels and for probabilities: exact values, and the edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import reference
from numerics import (
    FLOATS,
    KERNEL_DTYPES,
    MANY_ROWS,
    Arrays,
    again,
    assert_same_bits,
    assert_ulp,
    central_difference,
    few_on_gpu,
    labelled_logits,
    layouts,
    loss_dtype,
    one_quick,
    quick,
    ulp_of_many,
)

from softgrad import ops

INF, NAN = math.inf, math.nan
KINDS = ["labels", "probabilities"]
IGNORED = -100

# Every pair of options once, with each reduction.
OPTIONS: list[dict[str, Any]] = [
    {"label_smoothing": 0.1, "reduction": "none"},
    {"weight": True, "reduction": "mean"},
    {"weight": True, "label_smoothing": 0.1, "z_loss": 0.05, "reduction": "sum"},
    {"softcap": 2.0, "reduction": "mean"},
    {"softcap": 2.0, "label_smoothing": 0.1, "weight": True, "reduction": "none"},
    {"softcap": 2.0, "z_loss": 0.05, "reduction": "sum"},
    {"z_loss": 0.05, "label_smoothing": 0.1, "reduction": "mean"},
    {"label_smoothing": 1.0, "weight": True, "reduction": "mean"},
]

# A class alone; a part of a vector, several; rows that begin at a multiple of sixteen bytes or not.
SIZES = [
    pytest.param(1, np.float64, marks=pytest.mark.alike),
    (35, np.float64),
    pytest.param(10, np.float32, marks=pytest.mark.slow),
]

# exp, the sums, division, the coefficient with its three roundings of options, the factor of the mean.
ULP = 8
# A cap is rounded before it is exponentiated: tanh, quotient and product lose 3 ULP of numbers as large as the cap.
CAPPED_ULP = 6


def case(kind: str, rows: int, classes: int, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Logits, targets as they are given, the same as a matrix, weights with a zero among them."""
    rng = np.random.default_rng(rows * 31 + classes)
    logits, labels = labelled_logits(rows, classes, dtype)
    weight = (rng.integers(0, 9, classes) / 4).astype(dtype)
    if kind == "labels":
        return logits, labels, reference.one_hot(labels, classes), weight
    targets = (rng.integers(0, 5, (rows, classes)) / 8).astype(dtype)
    return logits, targets, targets.astype(np.float64), weight


def check(
    backend: Arrays,
    logits: np.ndarray,
    given: np.ndarray,
    matrix: np.ndarray,
    weight: np.ndarray,
    options: dict[str, Any],
    ulp: float = ULP,
) -> None:
    """Loss and gradient, together and the loss alone, against exact arithmetic. Labels `IGNORED` are passed over.

    Narrow rows many times over, too.
    """
    options = dict(options)
    reduction, weighted = options.pop("reduction"), options.pop("weight", False)
    exact = reference.weighted_cross_entropy(
        reference.exactly(logits), matrix, weight=weight.astype(np.float64) if weighted else None, **options
    )
    counted = np.ones(len(logits), bool)
    divisor = np.float64(len(logits))
    if given.ndim == 1:
        counted = given != IGNORED
        divisor = (weight.astype(np.float64)[given * counted] if weighted else np.ones(len(given)))[counted].sum()
        options["ignore_index"] = IGNORED
    factor = (1 / divisor if divisor else 0) if reduction == "mean" else 1
    losses, sizes = (np.where(counted, values, 0) for values in (exact.losses, exact.loss_sizes))
    grad, grad_sizes = (np.where(counted[:, None], values, 0) * factor for values in (exact.grad, exact.grad_sizes))
    if reduction != "none":
        losses, sizes = np.array(losses.sum() * factor), np.array(sizes.sum() * factor)
    ulp = ulp + CAPPED_ULP * (options.get("softcap") or 0)

    if weighted:
        options["weight"] = backend.put(weight)
    options["reduction"] = reduction
    loss, found = both(backend, logits, given, **options)
    assert loss.dtype == loss_dtype(logits.dtype)
    assert found.dtype == logits.dtype
    assert_ulp(loss, losses, max(ulp, ULP) if loss.dtype != found.dtype else ulp, floor=sizes)
    assert_ulp(found, grad, ulp, floor=grad_sizes)
    if logits.shape[1] < 100:
        check_many(backend, logits, given, grad_sizes, both, **options)


def with_grad(backend: Arrays, logits: np.ndarray, given: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    loss, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put(given), **options)
    return backend.get(loss), backend.get(grad)


def both(backend: Arrays, logits: np.ndarray, given: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The loss with its gradient, after the loss alone has been found to be the same."""
    loss, grad = with_grad(backend, logits, given, **options)
    alone = ops.softmax_cross_entropy(backend.put(logits), backend.put(given), **options)
    assert_same_bits(backend.get(alone), loss)
    return loss, grad


def check_many(
    backend: Arrays, logits: np.ndarray, given: np.ndarray, grad_sizes: Any = 0.0, call: Any = with_grad, **options: Any
) -> None:
    """The same rows over and over have the losses and gradients that they have once; of a mean each has a share."""
    times = MANY_ROWS // len(logits)
    count = times * len(logits)
    loss, grad = call(backend, logits, given, **options)
    losses, grads = call(backend, again(logits, count), again(given, count), **options)
    if options.get("reduction") == "none":
        assert_same_bits(losses, again(loss, count))
        assert_same_bits(grads, again(grad, count))
        return
    share = 1 if options.get("reduction") == "sum" else times
    assert_ulp(losses, loss * np.float64(times / share), ulp_of_many(backend))
    floor = again(np.broadcast_to(grad_sizes, grad.shape).astype(np.float64), count) / share
    assert_ulp(grads, again(grad, count).astype(np.float64) / share, 4, floor=floor)


# ---- values


@pytest.mark.parametrize("options", few_on_gpu(OPTIONS, *OPTIONS[2:5]), ids=str)  # some alone, and all together
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("classes", "dtype"), SIZES)
def test_loss_and_gradient(backend: Arrays, classes: int, dtype: type, kind: str, options: dict[str, Any]) -> None:
    logits, given, matrix, weight = case(kind, 19, classes, dtype)  # on a GPU a block of 16 rows, and a part of one
    if kind == "labels":
        given[1] = IGNORED
    elif "label_smoothing" not in options:  # beside a probability of 0 a class that cannot be
        logits[2, -1], given[2, -1], matrix[2, -1] = -INF if classes > 1 else 0, 0, 0
    check(backend, logits, given, matrix, weight, options)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, [0.5, 1, 2]])
@pytest.mark.parametrize("dtype", quick(FLOATS, np.float32))
def test_a_loss_of_what_counts_is_of_the_logits_dtype(
    backend: Arrays, dtype: type, weight: list[float] | None, reduction: str
) -> None:
    logits, labels = labelled_logits(3, 3, dtype)
    labels[1] = IGNORED
    options = {"ignore_index": IGNORED} | ({} if weight is None else {"weight": backend.put(np.array(weight, dtype))})
    loss, _ = both(backend, logits, labels, reduction=reduction, **options)
    assert loss.dtype == loss_dtype(dtype)
    check_many(backend, logits, labels, call=both, reduction=reduction, **options)


@pytest.mark.parametrize("kind", KINDS)
# On a GPU of few threads a row in shared memory, and several blocks a row, at multiples of sixteen bytes and not.
@pytest.mark.parametrize("classes", few_on_gpu([257, 264, 401, 404], 257))
def test_wide_rows(backend: Arrays, classes: int, kind: str) -> None:
    logits, given, matrix, weight = case(kind, 2, classes, np.float64)
    check(backend, logits, given, matrix, weight, {**OPTIONS[4], "z_loss": 0.05})


@pytest.mark.parametrize("kind", KINDS)
# Blocks of many rows, shared among threads.
@pytest.mark.parametrize("shape", few_on_gpu([(700, 64), (9, 40_000), (4158, 10)], (4158, 10)))
def test_a_row_has_the_bits_that_it_has_alone(backend: Arrays, shape: tuple[int, int], kind: str) -> None:
    logits, given, _, weight = case(kind, *shape, np.float64)
    options = {"weight": backend.put(weight), "label_smoothing": 0.1, "z_loss": 0.05, "softcap": 3.0}
    x, targets = backend.put(logits), backend.put(given)
    losses, grad = ops.softmax_cross_entropy_with_grad(x, targets, reduction="none", **options)
    for row in (0, shape[0] // 2, shape[0] - 1):
        one = slice(row, row + 1)
        loss, row_grad = ops.softmax_cross_entropy_with_grad(x[one], targets[one], reduction="none", **options)
        assert_same_bits(backend.get(losses)[one], backend.get(loss))
        assert_same_bits(backend.get(grad)[one], backend.get(row_grad))


@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("gap", [20.0, 60.0, 100.0])
def test_relative_accuracy_survives_saturation(backend: Arrays, gap: float, dtype: type) -> None:
    # At the label, which has nearly all the mass, the gradient is a small difference; it is not computed as one.
    logits = np.array([[gap, 0, 1]], dtype)
    exact = reference.weighted_cross_entropy(reference.exactly(logits), np.eye(3)[:1] * 0.75)
    for targets, weight in (([0], [0.75, 1, 1]), (np.eye(3, dtype=dtype)[:1], [0.75, 1, 1])):
        loss, grad = ops.softmax_cross_entropy_with_grad(
            backend.put(logits), backend.put(targets), weight=backend.put(weight), reduction="none"
        )
        assert_ulp(backend.get(loss), exact.losses, 4)
        assert_ulp(backend.get(grad), exact.grad, 4)


@pytest.mark.slow
@pytest.mark.parametrize("x", [0.0, 1e-3, 1.0, 10.0, 60.0, 3e38, INF, -INF])
def test_the_slope_of_the_cap_is_exact_in_its_tail(backend: Arrays, x: float) -> None:
    cap = 1.7
    logits = np.array([[x, 0.0]], np.float32)
    _, grad = ops.softmax_cross_entropy_with_grad(
        backend.put(logits), backend.put(np.array([[0.0, 1.0]], np.float32)), softcap=cap
    )
    wide = float(np.float32(x)) / float(np.float32(cap))
    slope = 1 / math.cosh(min(abs(wide), 300.0)) ** 2
    p = 1 / (1 + math.exp(-float(np.float32(cap)) * math.tanh(wide)))
    assert_ulp(backend.get(grad)[0, 0], np.array(p * slope), 8 + CAPPED_ULP * cap)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_slope_of_the_loss(kind: str, options: dict[str, Any]) -> None:
    # Of NumPy arrays alone: the exact gradient, which this one has within ULP, is every backend's.
    _, targets, _, weight = case(kind, 3, 5, np.float64)
    logits = np.random.default_rng(3).normal(0, 2, (3, 5))
    options = options | ({"weight": weight + 0.25} if "weight" in options else {})

    def f(values: np.ndarray) -> float:
        return float(ops.softmax_cross_entropy(values, targets, **options).sum())

    _, grad = ops.softmax_cross_entropy_with_grad(logits, targets, **options)
    np.testing.assert_allclose(grad, central_difference(f, logits), rtol=1e-7, atol=1e-8)


@pytest.mark.slow
def test_float16_is_rounded_once(backend: Arrays) -> None:
    for kind in KINDS:
        logits, given, matrix, weight = case(kind, 4, 10, np.float16)
        for options in (OPTIONS[1], OPTIONS[2]):
            check(backend, logits, given, matrix, weight, options, 0.51)


def test_labels_are_probabilities_of_one(backend: Arrays) -> None:
    logits, labels = labelled_logits(6, 20, np.float64)
    targets = reference.one_hot(labels, 20).astype(np.float64)
    options = {"weight": backend.put(np.arange(20) / 8), "label_smoothing": 0.1, "reduction": "sum"}
    logits, labels, targets = (again(array, MANY_ROWS) for array in (logits, labels, targets))
    of_labels = ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put(labels), **options)
    of_targets = ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put(targets), **options)
    for found, expected in zip(map(backend.get, of_labels), map(backend.get, of_targets), strict=True):
        if backend.backend.name == "cpu":
            assert_same_bits(found, expected)
        else:  # to the rounding of the coefficients' sum, which the GPU's kernel has in closed form for labels
            assert_ulp(found, expected, 4, floor=2.0**-10)


def test_a_dtype_is_not_given_the_numbers_of_another(backend: Arrays) -> None:
    # These are the same in float32 and float64, but their sum is not.
    logits, labels, smoothing = np.zeros((MANY_ROWS, 16)), np.full(MANY_ROWS, 3), 2.0**-24
    for dtype in (np.float32, np.float64):
        loss = ops.softmax_cross_entropy(backend.put(logits, dtype), backend.put(labels), label_smoothing=smoothing)
        assert_ulp(backend.get(loss), np.array(math.log(16)), 1 if dtype == np.float32 else ulp_of_many(backend))


def test_options_at_their_defaults_are_none(backend: Arrays) -> None:
    logits, labels = labelled_logits(6, 20, np.float32)
    x, targets = backend.put(logits), backend.put(labels)
    plain = ops.softmax_cross_entropy_with_grad(x, targets)
    same = ops.softmax_cross_entropy_with_grad(x, targets, label_smoothing=0, z_loss=np.float32(0), softcap=None)
    assert_same_bits(backend.get(plain[0]), backend.get(same[0]))
    assert_same_bits(backend.get(plain[1]), backend.get(same[1]))


# ---- rows that do not count


@pytest.mark.parametrize("ignored", [IGNORED, 1, 2**63 - 1, -(2**63)])  # outside the classes, and inside
@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.5]])
def test_ignored_rows_count_for_nothing_whatever_is_in_them(backend: Arrays, ignored: int, weight: Any) -> None:
    logits = np.array([[1.0, 2, 3], [NAN, INF, 1], [3, 1, 1], [-INF, -INF, -INF]])
    labels = np.array([0, ignored, 2, ignored])
    others = [0, 2]
    options = {} if weight is None else {"weight": backend.put(weight)}
    for reduction in ("mean", "sum", "none"):
        loss, grad = ops.softmax_cross_entropy_with_grad(
            backend.put(logits), backend.put(labels), ignore_index=ignored, reduction=reduction, **options
        )
        expected = ops.softmax_cross_entropy_with_grad(
            backend.put(logits[others]),
            backend.put(labels[others]),
            reduction=reduction,
            label_smoothing=0.0,
            **options,
        )
        assert_ulp(backend.get(grad)[others], backend.get(expected[1]), 2)
        assert_same_bits(backend.get(grad)[[1, 3]], np.zeros((2, 3)))
        loss = backend.get(loss)
        if reduction == "none":
            assert_same_bits(loss[[1, 3]], np.zeros(2))
            loss = loss[others]
        assert_ulp(loss, backend.get(expected[0]), 2)
        check_many(backend, logits, labels, ignore_index=ignored, reduction=reduction, **options)


@pytest.mark.parametrize("options", [{}, {"weight": [0.0, 1.0, 1.0]}, {"label_smoothing": 0.1, "z_loss": 1.0}])
def test_with_no_row_left_loss_and_gradient_are_zero(backend: Arrays, options: dict[str, Any]) -> None:
    x, labels = backend.put([[1.0, 2, 3], [3.0, 2, 1]]), backend.put([-1, -1])
    given = {name: backend.put(value) if name == "weight" else value for name, value in options.items()}
    loss, grad = ops.softmax_cross_entropy_with_grad(x, labels, ignore_index=-1, **given)
    assert_same_bits(backend.get(loss), np.array(0.0))
    assert_same_bits(backend.get(grad), np.zeros((2, 3)))
    if "weight" in options:  # rows, but of no weight
        loss, grad = ops.softmax_cross_entropy_with_grad(x, backend.put([0, 0]), **given)
        assert backend.get(loss) == 0
        assert (backend.get(grad) == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2), (2, 3, 0)])
def test_zero_rows(backend: Arrays, shape: tuple[int, ...], reduction: str) -> None:
    x, labels = backend.put(np.zeros(shape)), backend.put(np.zeros((shape[0], *shape[2:]), np.int64))
    for targets in (labels, x):
        loss, grad = ops.softmax_cross_entropy_with_grad(x, targets, label_smoothing=0.1, reduction=reduction)
        assert grad.shape == shape
        assert (backend.get(loss) == 0).all()
        assert loss.shape == (labels.shape if reduction == "none" else ())


@pytest.mark.parametrize("bad", [3, -1, 2**62, -(2**63)])
def test_without_the_check_a_bad_label_makes_only_its_row_nan(backend: Arrays, bad: int) -> None:
    x = backend.put(again(np.arange(12.0).reshape(4, 3), MANY_ROWS))
    labels = backend.put(again(np.array([0, bad, -100, 2]), MANY_ROWS))
    losses, grad = ops.softmax_cross_entropy_with_grad(
        x, labels, label_smoothing=0.1, weight=backend.put([1.0, 2, 3]), ignore_index=-100, reduction="none",
        validate=False,
    )  # fmt: skip
    is_bad = again(np.array([False, True, False, False]), MANY_ROWS)
    np.testing.assert_array_equal(np.isnan(backend.get(losses)), is_bad)
    np.testing.assert_array_equal(np.isnan(backend.get(grad)), is_bad[:, None] | np.zeros(3, bool))
    mean = ops.softmax_cross_entropy(x, labels, weight=backend.put([1.0, 2, 3]), ignore_index=-100, validate=False)
    assert np.isnan(backend.get(mean))


# ---- edges


@pytest.mark.parametrize(("classes", "place"), [(3, 0), pytest.param(20, -1, marks=pytest.mark.alike), (257, 0)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [NAN, INF])
def test_nan_and_infinity_make_their_row_nan(
    backend: Arrays, value: float, kind: str, place: int, classes: int
) -> None:
    logits, given, _, _ = case(kind, 3, classes, np.float64)
    x, targets = backend.put(logits), backend.put(given)
    options = {"z_loss": 0.05, "label_smoothing": 0.1, "reduction": "none"}
    if classes < 100:
        check_many(backend, logits, given, **options)
    clean_losses, clean = map(backend.get, ops.softmax_cross_entropy_with_grad(x, targets, **options))
    logits[1, place] = value
    losses, grad = map(backend.get, ops.softmax_cross_entropy_with_grad(backend.put(logits), targets, **options))
    assert np.isnan(losses[1])
    assert np.isnan(grad[1]).all()
    assert_same_bits(losses[[0, 2]], clean_losses[[0, 2]])
    assert_same_bits(grad[[0, 2]], clean[[0, 2]])


def test_capped_infinities_are_finite(backend: Arrays) -> None:
    x = backend.put(np.array([[INF, 0.0, -INF]]))
    loss, grad = ops.softmax_cross_entropy_with_grad(x, backend.put([2]), softcap=2.0)
    near, _ = ops.softmax_cross_entropy_with_grad(backend.put([[1e300, 0.0, -1e300]]), backend.put([2]), softcap=2.0)
    assert_same_bits(backend.get(loss), backend.get(near))
    assert backend.get(grad)[0, [0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize("classes", few_on_gpu([3, 20, 257], 257))
def test_minus_infinity(backend: Arrays, classes: int) -> None:
    # Where a class that cannot be has no coefficient it contributes 0; where it has one the loss is infinite and the
    # gradient finite.
    logits = np.zeros((3, classes), np.float64)
    logits[:, 0] = logits[2, :] = -INF
    targets = np.zeros((3, classes), np.float64)
    targets[0, 1] = targets[1, 0] = targets[2, 1] = 1
    weight = np.ones(classes)
    weight[0] = 0
    for given in (targets, targets.argmax(axis=1)):
        losses, grad = map(
            backend.get,
            ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put(given), z_loss=0.01, reduction="none"),
        )
        assert np.isfinite(losses[0])
        assert losses[1] == INF
        assert np.isfinite(grad[:2]).all()
        assert grad[0, 0] == 0
        assert grad[1, 0] == -1
        assert np.isnan(losses[2])
        assert np.isnan(grad[2]).all()
        losses = backend.get(
            ops.softmax_cross_entropy(
                backend.put(logits[:2]), backend.put(given[:2]), weight=backend.put(weight), reduction="none"
            )
        )
        assert losses[1] == 0
        smooth = ops.softmax_cross_entropy(backend.put(logits[:1]), backend.put(given[:1]), label_smoothing=0.1)
        assert backend.get(smooth) == INF


@pytest.mark.slow
@pytest.mark.parametrize("value", [3e38, -3e38, 1e-42])
def test_huge_and_subnormal_logits(backend: Arrays, value: float) -> None:
    logits = np.array([[value, value, value]], np.float32)
    loss, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put([1]), label_smoothing=0.25)
    assert_ulp(backend.get(loss), np.array(math.log(3)), 4)
    assert_ulp(backend.get(grad), np.array([[0.25, -0.5, 0.25]]), 4)


# ---- memory and axes


@pytest.mark.parametrize("kind", one_quick(KINDS))
def test_layout_does_not_matter(backend: Arrays, kind: str) -> None:
    logits, given, _, weight = case(kind, MANY_ROWS, 8, np.float64)
    targets, apart = backend.put(given), backend.xp.zeros(16, np.float64)
    apart[::2] = backend.put(weight)
    for layout, view in layouts(logits, backend.xp):
        loss, grad = ops.softmax_cross_entropy_with_grad(view, targets, weight=apart[::2], z_loss=0.1)
        expected = ops.softmax_cross_entropy_with_grad(
            backend.put(view, np.float64), targets, weight=backend.put(weight), z_loss=0.1
        )
        assert_same_bits(backend.get(loss), backend.get(expected[0]), layout)
        assert_same_bits(backend.get(grad), backend.get(expected[1]), layout)
    if kind == "probabilities":
        for layout, view in layouts(given, backend.xp):
            _, grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), view)
            _, expected_grad = ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put(view, np.float64))
            assert_same_bits(backend.get(grad), backend.get(expected_grad), layout)


@pytest.mark.parametrize(("classes", "softcap"), [(7, None), (7, 2.0), (257, 2.0)])
def test_out_may_be_the_logits_the_targets_or_overlap_them(
    backend: Arrays, classes: int, softcap: float | None
) -> None:
    logits, given, _, _ = case("probabilities", 3 if classes > 100 else MANY_ROWS, classes, np.float64)
    options = {"softcap": softcap, "label_smoothing": 0.1}
    _, expected = ops.softmax_cross_entropy_with_grad(backend.put(logits), backend.put(given), **options)
    expected = backend.get(expected)

    x = backend.put(logits)
    _, grad = ops.softmax_cross_entropy_with_grad(x, backend.put(given), out=x, **options)
    assert grad is x
    assert_same_bits(backend.get(x), expected)

    targets = backend.put(given)
    ops.softmax_cross_entropy_with_grad(backend.put(logits), targets, out=targets, **options)
    assert_same_bits(backend.get(targets), expected)

    buffer = backend.xp.zeros((len(logits) + 1, classes), np.float64)
    buffer[:-1] = backend.put(given)
    ops.softmax_cross_entropy_with_grad(backend.put(logits), buffer[:-1], out=buffer[1:], **options)
    assert_same_bits(backend.get(buffer)[1:], expected)

    weight = backend.xp.ones((1, classes), np.float64)
    _, expected_row = ops.softmax_cross_entropy_with_grad(
        backend.put(logits[:1]), backend.put([1]), weight=backend.put(np.ones(classes))
    )
    ops.softmax_cross_entropy_with_grad(backend.put(logits[:1]), backend.put([1]), weight=weight[0], out=weight)
    assert_same_bits(backend.get(weight), backend.get(expected_row))


@pytest.mark.parametrize("shape", few_on_gpu([(2, 4, 3), (1, 4, 2, 2), (20, 3, 8), (3, 1, 2), (5,)], (20, 3, 8), (5,)))
@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_the_second_axis(backend: Arrays, kind: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    axis = min(1, len(shape) - 1)
    others = shape[:axis] + shape[axis + 1 :]
    logits = rng.normal(0, 2, shape)
    given: Any = rng.integers(0, shape[axis], others) if kind == "labels" else rng.random(shape)
    rows = np.moveaxis(logits, axis, -1).reshape(-1, shape[axis])
    row_targets = given.reshape(-1) if kind == "labels" else np.moveaxis(given, axis, -1).reshape(rows.shape)
    for reduction, options in (("mean", {"label_smoothing": 0.1}), ("none", {})):
        loss, grad = ops.softmax_cross_entropy_with_grad(
            backend.put(logits), backend.put(given), reduction=reduction, **options
        )
        row_loss, row_grad = ops.softmax_cross_entropy_with_grad(
            backend.put(rows), backend.put(row_targets), reduction=reduction, **options
        )
        expected = np.moveaxis(backend.get(row_grad).reshape(*others, shape[axis]), -1, axis)
        assert_same_bits(backend.get(grad), expected)
        assert_same_bits(backend.get(loss), backend.get(row_loss).reshape(others if reduction == "none" else ()))
        check_many(backend, rows, row_targets, 0.1, reduction=reduction, **options)


def test_weights_whose_sum_overflows_give_no_warning() -> None:
    weight = np.full(2, np.finfo(np.float64).max)
    _, grad = ops.softmax_cross_entropy_with_grad([[0.0, 1e-300], [0.0, 1e-300]], [0, 1], weight=weight)
    assert (grad == 0).all()


def test_probabilities_beyond_the_logits_dtype_are_refused_without_a_warning() -> None:
    with pytest.raises(ValueError, match=r"^targets must be finite and not below 0, since they are probabilities$"):
        ops.softmax_cross_entropy(np.zeros((1, 2), np.float32), np.array([[1e300, 0.0]]))
