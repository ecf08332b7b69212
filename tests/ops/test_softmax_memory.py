"""Where the softmax family reads and writes: any layout, `out` of every kind, and what is refused as `out`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numerics import FLOATS, Arrays, assert_same_bits, layouts, one_quick, quick, spiky

from softgrad import ops

FORWARDS = ["softmax", "log_softmax", "logsumexp"]
NORMALISED = ["softmax", "log_softmax"]
BACKWARDS = ["softmax_backward", "log_softmax_backward"]


def op(name: str) -> Callable[..., Any]:
    return getattr(ops, name)


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("name", FORWARDS)
def test_layout_does_not_matter(backend: Arrays, name: str, axis: int, dtype: type) -> None:
    x = spiky(np.random.default_rng(10), (6, 8), dtype)
    for layout, view in layouts(x, backend.xp):
        expected = op(name)(backend.put(view, dtype), axis=axis)
        assert_same_bits(backend.get(op(name)(view, axis=axis)), backend.get(expected), layout)
        if name != "logsumexp":
            backward = op(f"{name}_backward")
            expected = backend.get(backward(backend.put(view, dtype), backend.put(view, dtype), axis=axis))
            assert_same_bits(backend.get(backward(view, view, axis=axis)), expected, layout)


@pytest.mark.parametrize("shape", one_quick([(5, 7), (300, 130)]))  # below and above the parallel threshold
@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("name", NORMALISED)
def test_out_may_be_the_input(backend: Arrays, name: str, axis: int, shape: tuple[int, int]) -> None:
    values = spiky(np.random.default_rng(11), shape)
    expected = backend.get(op(name)(backend.put(values), axis=axis))
    x = backend.put(values)
    assert op(name)(x, axis=axis, out=x) is x
    assert_same_bits(backend.get(x), expected)

    grads = np.random.default_rng(12).normal(size=shape)
    expected_grad = backend.get(op(f"{name}_backward")(backend.put(grads), backend.put(expected), axis=axis))
    for which in (0, 1):
        arguments = (backend.put(grads), backend.put(expected))
        op(f"{name}_backward")(*arguments, axis=axis, out=arguments[which])
        assert_same_bits(backend.get(arguments[which]), expected_grad)


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("name", NORMALISED)
def test_out_may_overlap_the_input(backend: Arrays, name: str, axis: int) -> None:
    values = spiky(np.random.default_rng(13), (8, 8))
    expected = backend.get(op(name)(backend.put(values), axis=axis))

    buffer = backend.xp.zeros((9, 8))
    buffer[:-1] = backend.put(values)
    assert_same_bits(backend.get(op(name)(buffer[:-1], axis=axis, out=buffer[1:])), expected, "one row behind")

    square = backend.put(values)
    assert_same_bits(backend.get(op(name)(square, axis=axis, out=square.T)), expected, "its own transpose")

    flipped = backend.put(values)
    assert_same_bits(backend.get(op(name)(flipped, axis=axis, out=flipped[::-1])), expected, "itself, upside down")


@pytest.mark.parametrize("dtype", one_quick([np.float64, np.float32, np.float16]))
@pytest.mark.parametrize("name", FORWARDS)
def test_out_may_be_strided(backend: Arrays, name: str, dtype: type) -> None:
    x = spiky(np.random.default_rng(14), (5, 6), dtype)
    expected = backend.get(op(name)(backend.put(x)))
    memory = backend.xp.full(tuple(2 * size + 1 for size in expected.shape), 7, dtype)
    out = memory[tuple(slice(1, None, 2) for _ in expected.shape)]
    assert op(name)(backend.put(x), out=out) is out
    assert_same_bits(backend.get(out), expected)
    assert (backend.get(memory)[::2] == 7).all(), "written outside out"


BAD_OUTS = [
    (lambda xp: xp.full((2, 4), 7.0), ValueError, r"out must have shape (2, 3), as the result has; got shape (2, 4)"),
    (lambda xp: xp.full((3, 2), 7.0), ValueError, r"out must have shape (2, 3), as the result has; got shape (3, 2)"),
    (lambda xp: xp.full((2, 3), 7, np.float32), TypeError, "out must be float64, as the result is; got float32"),
    (lambda xp: xp.full((2, 3), 7, np.int64), TypeError, "out must be float64, as the result is; got int64"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_OUTS)
@pytest.mark.parametrize("name", NORMALISED + BACKWARDS)
def test_bad_out_raises_and_is_left_alone(
    backend: Arrays, name: str, make: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    x, out = backend.put(np.zeros((2, 3))), make(backend.xp)
    with pytest.raises(error) as raised:
        op(name)(*((x, x) if name in BACKWARDS else (x,)), out=out)
    assert str(raised.value) == message
    assert (backend.get(out) == 7).all()


@pytest.mark.parametrize("name", FORWARDS)
def test_out_that_cannot_be_written_raises(name: str) -> None:  # only NumPy arrays can be read-only
    x = np.zeros((2, 3))
    with pytest.raises(TypeError, match=r"^out must be a numpy\.ndarray to write to; got list$"):
        op(name)(x, out=[[7.0] * 3] * 2)
    out = np.full((2,) if name == "logsumexp" else (2, 3), 7.0)
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"^out is read-only; pass an array that can be written to$"):
        op(name)(x, out=out)
    assert (out == 7).all()


def test_logsumexp_of_everything_is_a_number(backend: Arrays) -> None:
    x = backend.put(np.zeros((2, 3)))
    assert ops.logsumexp(x, axis=None).shape == ()
    assert float(ops.logsumexp(x, axis=None)) == pytest.approx(math.log(6))
    out = backend.xp.zeros(())
    assert ops.logsumexp(x, axis=None, out=out) is out
    assert float(out) == pytest.approx(math.log(6))
