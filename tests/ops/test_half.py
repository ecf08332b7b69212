"""16-bit floats are storage: every op reads and writes them as they are, and computes as with float32 arrays."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from numerics import MANY_ROWS, Arrays, assert_same_bits, assert_ulp, few_on_gpu, layouts, one_quick, quick

from softgrad import ops

HALVES = quick([bfloat16, np.float16], bfloat16)
ROWS, CLASSES = 507, 21  # on a GPU whole blocks and most of one; of packs of eight elements seven are left


class Case:
    """Arrays of a case, of 16-bit floats or the same numbers in float32."""

    def __init__(self, put: Callable[[Any, Any], Any], half: Any, dtype: Any) -> None:
        rng = np.random.default_rng(8)

        def given(*shape: int, scale: float = 3.0) -> Any:
            return put((rng.standard_normal(shape) * scale).astype(half), dtype)

        self.x, self.grad, self.columns = given(ROWS, CLASSES), given(ROWS, CLASSES), given(3, CLASSES, 10)
        self.w, self.bias = given(CLASSES, 5, scale=0.2), given(5)
        shares = rng.integers(1, 9, (2, ROWS, 4)).astype(np.float64)
        self.p, self.q = (put((share / share.sum(axis=1, keepdims=True)).astype(half), dtype) for share in shares)
        self.unit = put(rng.integers(0, 2, (ROWS, CLASSES)).astype(half), dtype)
        self.weight = put(rng.integers(1, 5, (ROWS, CLASSES)).astype(half), dtype)
        self.state = put(np.abs(rng.standard_normal((ROWS, CLASSES))).astype(half), dtype)
        self.labels, self.narrow_labels = (put(rng.integers(0, most, ROWS), np.int64) for most in (CLASSES, 5))
        self.dtype = dtype


def _updated(update: Callable[..., None], case: Case, *states: str, **options: Any) -> list[Any]:
    kept = {name: case.state.copy() for name in states}
    update(case.x, case.grad, **kept, **options)
    return [case.x, *kept.values()]


Call = Callable[[Case], Any]
ACTIVATIONS: dict[str, Call] = {
    "relu": lambda c: ops.relu(c.x),
    "elu": lambda c: ops.elu(c.x, alpha=0.3),
    "gelu": lambda c: ops.gelu(c.x),
    "gelu_backward": lambda c: ops.gelu_backward(c.grad, c.x),
    "sigmoid_backward": lambda c: ops.sigmoid_backward(c.grad, c.unit),
    "self_information": lambda c: ops.self_information(c.p),
}
ROWWISE: dict[str, Call] = {
    "softmax": lambda c: ops.softmax(c.x),
    "softmax at 1/2": lambda c: ops.softmax(c.x, temperature=0.5),
    "softmax of columns": lambda c: ops.softmax(c.columns, axis=1),
    "softmax of a moved axis": lambda c: ops.softmax(c.x, axis=0),
    "softmax with where": lambda c: ops.softmax(c.x, where=c.unit > 0),
    "log_softmax": lambda c: ops.log_softmax(c.x[:, :4]),
    "log_softmax of columns": lambda c: ops.log_softmax(c.columns, axis=1),
    "logsumexp": lambda c: ops.logsumexp(c.x),
    "logsumexp of columns": lambda c: ops.logsumexp(c.columns, axis=1),
    "softmax_backward": lambda c: ops.softmax_backward(c.grad, c.unit),
    "softmax_backward of narrow rows": lambda c: ops.softmax_backward(c.p, c.q),
    "log_softmax_backward of columns": lambda c: ops.log_softmax_backward(c.columns, c.columns, axis=1),
}
LOSSES: dict[str, Call] = {
    "softmax_cross_entropy": lambda c: ops.softmax_cross_entropy(c.x, c.labels, reduction="none"),
    "with gradient": lambda c: ops.softmax_cross_entropy_with_grad(c.x, c.labels),
    "of narrow rows": lambda c: ops.softmax_cross_entropy_with_grad(c.x[:, :5], c.narrow_labels),
    "with options": lambda c: ops.softmax_cross_entropy_with_grad(
        c.x, c.labels, label_smoothing=0.1, z_loss=0.01, softcap=9.0, weight=c.weight[0]
    ),
    "of probabilities": lambda c: ops.softmax_cross_entropy_with_grad(c.x[:, :4], c.p),
    "linear_cross_entropy": lambda c: ops.linear_cross_entropy_with_grad(
        c.x, c.w, c.narrow_labels, bias=c.bias, chunk_rows=4
    ),
    "sigmoid_cross_entropy": lambda c: ops.sigmoid_cross_entropy_with_grad(c.x, c.unit),
    "sigmoid_cross_entropy, weighted": lambda c: ops.sigmoid_cross_entropy_with_grad(c.x, c.unit, pos_weight=c.weight),
    "sigmoid_cross_entropy of weight 0": lambda c: ops.sigmoid_cross_entropy_with_grad(c.x, c.unit, weight=0),
    "huber_loss": lambda c: ops.huber_loss(c.x, c.grad, reduction="none"),
    "squared_error": lambda c: ops.squared_error_with_grad(c.x, c.grad, reduction="sum"),
    "entropy": lambda c: ops.entropy(c.p, validate=False),
    "kl_divergence": lambda c: ops.kl_divergence(c.p, c.q, validate=False),
}  # fmt: skip
OTHERS: dict[str, Call] = {
    "linear": lambda c: ops.linear(c.x, c.w, c.bias, activation="tanh"),
    "linear_backward": lambda c: ops.linear_backward(c.x[:, :5], c.grad[:, :5], c.x, c.w, activation="relu"),
    "one_hot": lambda c: ops.one_hot(c.labels, CLASSES, dtype=c.dtype),
    "gather_scale": lambda c: ops.gather_scale(c.x, c.labels % ROWS, scale=0.3, shift=-1.0, dtype=c.dtype),
    "sgd": lambda c: _updated(ops.sgd_update, c, "velocity", lr=0.1, momentum=0.9),
    "adam": lambda c: _updated(ops.adam_update, c, "exp_avg", "exp_avg_sq", lr=0.1, step=3),
    "adam with decay": lambda c: _updated(
        ops.adam_update, c, "exp_avg", "exp_avg_sq", lr=0.1, step=3, weight_decay=0.1
    ),
    "sample_categorical": lambda c: [
        ops.sample_categorical(x, shape=3, rng=7) for x in (c.x, c.x[:, :5], c.x.reshape(CLASSES, ROWS))
    ],
    "accuracy": lambda c: ops.accuracy(c.x, c.labels),
}
CALLS = ACTIVATIONS | ROWWISE | LOSSES | OTHERS
# These go the way of others on a GPU.
ALIKE = {
    "elu", "sigmoid_backward", "softmax at 1/2", "softmax of a moved axis", "softmax with where",
    "log_softmax of columns", "logsumexp of columns", "log_softmax_backward of columns",
    "softmax_backward of narrow rows", "of narrow rows", "sigmoid_cross_entropy, weighted", "squared_error",
    "kl_divergence",
}  # fmt: skip


def _parts(result: Any) -> list[Any]:
    """The arrays and numbers that an op has given."""
    if isinstance(result, tuple | list):
        return [part for each in result for part in _parts(each)]
    return [result]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", few_on_gpu(CALLS, *(name for name in CALLS if name not in ALIKE)))
def test_results_are_those_of_float32_rounded_once(backend: Arrays, name: str, half: Any) -> None:
    results = (_parts(CALLS[name](Case(backend.put, half, dtype))) for dtype in (half, np.float32))
    for each, wide in zip(*(map(backend.get, parts) for parts in results), strict=True):
        assert each.dtype in (half, wide.dtype)
        if backend.backend.name == "cpu" or each.dtype.kind == "i":
            with np.errstate(over="ignore"):
                assert_same_bits(each, wide.astype(each.dtype))
        else:  # a sum over more numbers at a time may be rounded another way, and matrix products are of 16 bits
            ulp, floor = (4, 1.0) if each.dtype == np.float32 or "linear" in name else (0.51, 1e-3)
            assert_ulp(each, wide.astype(np.float64), ulp, floor=floor)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_float32(backend: Arrays, name: str, half: Any) -> None:
    loss, *grads = _parts(LOSSES[name](Case(backend.put, half, half)))
    assert loss.dtype == np.float32
    assert all(grad.dtype == half for grad in grads)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["relu", "gelu_backward", "self_information", "softmax", "logsumexp", "linear"])
def test_layout_does_not_matter(backend: Arrays, name: str, half: Any) -> None:
    case = Case(backend.put, half, half)
    attribute = "p" if name == "self_information" else "x"
    for layout, view in layouts(backend.get(getattr(case, attribute)), backend.xp):
        setattr(case, attribute, backend.put(view))
        expected = backend.get(CALLS[name](case))
        setattr(case, attribute, view)
        assert_same_bits(backend.get(CALLS[name](case)), expected, layout)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("call", [
    lambda c, out: ops.gelu(c.x, out=out),
    lambda c, out: ops.gelu_backward(c.grad, c.x, out=out),
    lambda c, out: ops.softmax(c.x, out=out),
    lambda c, out: ops.softmax_backward(c.grad, c.x, out=out),
    lambda c, out: ops.softmax_cross_entropy_with_grad(c.x, c.labels, out=out)[1],
    lambda c, out: ops.squared_error_with_grad(c.x, c.grad, out=out)[1],
])  # fmt: skip
def test_out_is_written_and_may_be_the_input(backend: Arrays, call: Callable[[Case, Any], Any], half: Any) -> None:
    expected = backend.get(call(Case(backend.put, half, half), None))
    case = Case(backend.put, half, half)
    for out in (backend.put(np.zeros((ROWS, CLASSES)), half), backend.xp.zeros((CLASSES, ROWS), half).T, case.x):
        assert call(case, out) is out
        assert_same_bits(backend.get(out), expected)


EDGES = [0.0, -0.0, 1.0, -1.0, 6e-8, 3e-5, 65504.0, -65504.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["identity", "relu", "tanh", "softplus"])
def test_edges_of_the_range(backend: Arrays, name: str, half: Any) -> None:
    """Every number of 16 bits, infinite ones and NaN among them."""
    every = np.arange(1 << 16, dtype=np.uint16).view(half)
    if backend.backend.name == "gpu":
        every = np.concatenate([np.array(EDGES).astype(half), every[::97]])
    with np.errstate(all="ignore"):
        expected = backend.get(getattr(ops, name)(backend.put(every.astype(np.float32)))).astype(half)
    found = backend.get(getattr(ops, name)(backend.put(every)))
    known = ~np.isnan(expected.astype(np.float32))
    assert_same_bits(found[known], expected[known])
    assert np.isnan(found[~known].astype(np.float32)).all()


@pytest.mark.parametrize("classes", one_quick([10, 1, 16, 17, 33, 100, 129, 1000, 4099]))
def test_rows_of_any_width(backend: Arrays, classes: int) -> None:
    rng = np.random.default_rng(classes)
    rows = MANY_ROWS if classes < 100 else 3
    x = (rng.standard_normal((rows, classes)) * 4).astype(bfloat16)
    labels = backend.put(rng.integers(0, classes, rows))
    given, wide = backend.put(x), backend.put(x.astype(np.float32))
    for call in (ops.softmax, ops.log_softmax, lambda a: ops.softmax_cross_entropy_with_grad(a, labels)[1]):
        found, expected = (backend.get(call(a)) for a in (given, wide))
        assert found.dtype == bfloat16
        assert_ulp(found, expected.astype(np.float64), 0.51)


def test_a_row_of_several_blocks(backend: Arrays) -> None:
    x = (np.random.default_rng(2).standard_normal((2, 20_000)) * 4).astype(bfloat16)
    given, wide = backend.put(x), backend.put(x.astype(np.float32))
    labels = backend.put(np.array([19_999, 0]))
    for call in (ops.softmax, lambda a: ops.softmax_cross_entropy_with_grad(a, labels, label_smoothing=0.1)[1]):
        assert_ulp(backend.get(call(given)), backend.get(call(wide)).astype(np.float64), 0.51)


def test_float32_targets_beside_16_bit_logits(backend: Arrays) -> None:
    """Probabilities, and what elementwise losses compare with, are not rounded to the logits' dtype."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((MANY_ROWS, 6)).astype(bfloat16)
    targets = rng.random((MANY_ROWS, 6)).astype(np.float32)
    for op in (ops.softmax_cross_entropy_with_grad, ops.squared_error_with_grad):
        loss, grad = op(backend.put(x), backend.put(targets))
        exact_loss, exact_grad = op(backend.put(x.astype(np.float32)), backend.put(targets))
        assert_ulp(backend.get(loss), backend.get(exact_loss).astype(np.float64), 2)
        assert_ulp(backend.get(grad), backend.get(exact_grad).astype(np.float64), 0.51, floor=1e-6)


def test_parameters_in_float32_learn_from_16_bit_gradients(backend: Arrays) -> None:
    rng = np.random.default_rng(6)
    start, grad = rng.standard_normal(50).astype(np.float32), rng.standard_normal(50).astype(bfloat16)
    found, expected = backend.put(start), backend.put(start)
    ops.sgd_update(found, backend.put(grad), lr=1e-3)
    ops.sgd_update(expected, backend.put(grad.astype(np.float32)), lr=1e-3)
    assert_same_bits(backend.get(found), backend.get(expected))
    with pytest.raises(TypeError, match=r"^grad must be bfloat16, as param is; got float32; convert"):
        ops.sgd_update(backend.put(grad), expected, lr=1e-3)


# ---- no copy in float32

SIZE = 1 << 21


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["relu", "softmax", "wide softmax", "softmax_backward", "cross_entropy", "huber_loss",
                                  "linear", "linear_backward", "adam"])  # fmt: skip
def test_memory_is_that_of_the_results(name: str, half: Any) -> None:
    """What an op allocates beside its result is a small part of an array's size, as tracemalloc counts NumPy's."""
    rng = np.random.default_rng(1)
    narrow, wide = (rng.standard_normal(SIZE).astype(half).reshape(-1, classes) for classes in (16, SIZE // 64))
    labels, square = rng.integers(0, 16, len(narrow)), rng.standard_normal((64, 64)).astype(half)
    matrix, results = narrow.reshape(-1, 64), [np.empty_like(narrow), np.empty_like(wide)]
    states = [np.zeros_like(narrow), np.zeros_like(narrow)]
    calls: dict[str, Callable[[], Any]] = {
        "relu": lambda: ops.relu(narrow, out=results[0]),
        "softmax": lambda: ops.softmax(narrow, out=results[0]),
        "wide softmax": lambda: ops.softmax(wide, out=results[1]),
        "softmax_backward": lambda: ops.softmax_backward(narrow, narrow, out=results[0]),
        "cross_entropy": lambda: ops.softmax_cross_entropy_with_grad(narrow, labels, out=results[0]),
        "huber_loss": lambda: ops.huber_loss_with_grad(narrow, narrow, out=results[0]),
        "linear": lambda: ops.linear(matrix, square, out=results[0].reshape(-1, 64)),
        "linear_backward": lambda: ops.linear_backward(
            matrix, None, matrix, square, out=(results[0].reshape(-1, 64), None, None)
        ),
        "adam": lambda: ops.adam_update(narrow, narrow.copy(), lr=0.1, step=1, exp_avg=states[0], exp_avg_sq=states[1]),
    }
    call = calls[name]
    call()  # kernels are compiled, and buffers that stay are there
    tracemalloc.start()
    try:
        call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    of_products = narrow.nbytes  # some chunks in float32, where a copy of the whole would take twice this
    allowed = {"linear": of_products, "linear_backward": of_products, "adam": narrow.nbytes + (1 << 20)}
    assert peak < allowed.get(name, 1 << 20), f"{peak:,} bytes beside arrays of {narrow.nbytes:,}"
