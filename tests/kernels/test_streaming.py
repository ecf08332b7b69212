"""Results that are streamed past the cache: the same bits as stored ones, wherever they begin, nothing beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numerics import KERNEL_DTYPES, one_quick, quick

from softgrad import ops
from softgrad.kernels.cpu import elementwise, launch, threads

SENTINEL = 7.0

Op = Callable[..., np.ndarray]

ELEMENTWISE: dict[str, Op] = {
    "relu": lambda x, out: ops.relu(x, out=out),
    "leaky_relu": lambda x, out: ops.leaky_relu(x, out=out),
    "sigmoid_backward": lambda x, out: ops.sigmoid_backward(x, ops.sigmoid(x), out=out),
}
ROWS: dict[str, Op] = {
    "softmax": lambda x, out: ops.softmax(x, out=out),
    "softmax at a temperature": lambda x, out: ops.softmax(x, temperature=0.7, out=out),
    "log_softmax": lambda x, out: ops.log_softmax(x, out=out),
    "softmax_backward": lambda x, out: ops.softmax_backward(x, ops.softmax(x), out=out),
    "log_softmax_backward": lambda x, out: ops.log_softmax_backward(x, ops.log_softmax(x), out=out),
    "cross-entropy": lambda x, out: ops.softmax_cross_entropy_with_grad(x, np.arange(len(x)), out=out)[1],
    "cross-entropy with options": lambda x, out: ops.softmax_cross_entropy_with_grad(
        x, np.arange(len(x)), label_smoothing=0.1, softcap=2.0, ignore_index=1, out=out
    )[1],
    "cross-entropy of probabilities": lambda x, out: ops.softmax_cross_entropy_with_grad(x, abs(x), out=out)[1],
}


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Switch: stream every result, however small, or none."""
    monkeypatch.setattr(threads, "PARALLEL_BYTES", 0)

    def switch(on: bool) -> None:
        for module in (launch, elementwise):
            monkeypatch.setattr(module, "STREAM_BYTES", 0 if on else 1 << 60)

    return switch


def check(stream: Callable[[bool], None], op: Op, x: np.ndarray, offset: int) -> None:
    """Stream op(x) into the middle of an array, `offset` elements from its start."""
    stream(False)
    expected = op(x, np.empty_like(x))
    around = np.full(offset + x.size + 40, SENTINEL, x.dtype)
    out = around[offset : offset + x.size].reshape(x.shape)
    stream(True)
    assert op(x, out) is out
    np.testing.assert_array_equal(out, expected, strict=True)
    assert (around[:offset] == SENTINEL).all()
    assert (around[offset + x.size :] == SENTINEL).all()


@pytest.mark.parametrize("dtype", one_quick(KERNEL_DTYPES))
@pytest.mark.parametrize("name", one_quick(list(ELEMENTWISE)))
def test_elementwise(stream: Callable[[bool], None], name: str, dtype: type) -> None:
    x = np.random.default_rng(0).normal(0, 3, 1003).astype(dtype)
    for size in (1, 15, 16, 17, 33, 1003):
        for offset in range(17):
            check(stream, ELEMENTWISE[name], x[:size], offset)


def test_several_results_are_never_streamed(stream: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch) -> None:
    @ops.elementwise
    def sum_and_product(x, y):
        return x + y, x * y

    x, y = np.random.default_rng(0).normal(0, 3, (2, 1003)).astype(np.float32)
    stream(True)
    monkeypatch.setattr(elementwise, "past_cache", None)
    outs = np.empty((2, 1100), np.float32)[:, 3:1006]
    for out, expected in zip(sum_and_product(x, y, out=tuple(outs)), (x + y, x * y), strict=True):
        np.testing.assert_array_equal(out, expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", quick(KERNEL_DTYPES, np.float64))
@pytest.mark.parametrize("name", one_quick(list(ROWS)))
def test_rows(stream: Callable[[bool], None], name: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    for classes in (10, 17, 32, 515):
        x = rng.normal(0, 3, (5, classes)).astype(dtype)
        for offset in range(0, 17, 3):
            check(stream, ROWS[name], x, offset)


@pytest.mark.slow
def test_in_place(stream: Callable[[bool], None]) -> None:
    x = np.random.default_rng(0).normal(0, 3, (7, 515))
    stream(False)
    expected = ops.softmax(x)
    stream(True)
    assert ops.softmax(x, out=x) is x
    np.testing.assert_array_equal(x, expected)


@pytest.mark.slow
def test_large_results_are_streamed_without_being_asked() -> None:
    x = np.random.default_rng(0).normal(0, 3, launch.STREAM_BYTES // 4 + 5).astype(np.float32)
    np.testing.assert_array_equal(ops.relu(x), np.maximum(x, 0))
    matrix = x.reshape(1, -1).repeat(2, axis=0)
    np.testing.assert_array_equal(ops.softmax(matrix), ops.softmax(matrix[:1].copy()).repeat(2, axis=0))
