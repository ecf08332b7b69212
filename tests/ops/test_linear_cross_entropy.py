"""Cross-entropy of a linear layer in chunks: what the logits computed whole give, and never in memory together."""

from __future__ import annotations

import tracemalloc
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import reference
from numerics import FLOATS, Arrays, assert_same_bits, few_on_gpu, loss_dtype, quarters, quick

from softgrad import ops

N, D, C = 7, 5, 12
CHUNKS = [1, 3, N, N + 10, None]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"ignore_index": 2, "reduction": "sum"},
    {"weight": True, "label_smoothing": 0.1, "ignore_index": -100},
    {"z_loss": 0.05, "softcap": 3.0, "reduction": "none"},
]


def arguments(dtype: Any = np.float64, rows: int = N) -> tuple[np.ndarray, ...]:
    """x, w, bias and labels of which the logits are exact, and probabilities."""
    rng = np.random.default_rng(0)
    x, w, bias = quarters(rng, rows, D, dtype=dtype), quarters(rng, D, C, dtype=dtype), quarters(rng, C, dtype=dtype)
    return x, w, bias, rng.integers(0, C, rows), (rng.integers(0, 5, (rows, C)) / 8).astype(dtype)


def given(backend: Arrays, options: dict[str, Any], probabilities: bool = False) -> dict[str, Any]:
    options = {name: value for name, value in options.items() if not (probabilities and name == "ignore_index")}
    return options | ({"weight": backend.put(np.arange(C) / 4)} if "weight" in options else {})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("probabilities", few_on_gpu([False, True], False))
@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_like_the_logits_computed_whole(
    backend: Arrays, chunk_rows: int | None, probabilities: bool, options: dict[str, Any]
) -> None:
    x, w, bias, labels, soft = arguments(rows=510 if chunk_rows is None else N)  # on a GPU several blocks
    options = given(backend, options, probabilities)
    targets = backend.put(soft if probabilities else labels)
    logits = x @ w + bias
    whole, g = ops.softmax_cross_entropy_with_grad(backend.put(logits), targets, **options)
    g = backend.get(g).astype(np.float64)
    loss, (dx, dw, dbias) = ops.linear_cross_entropy_with_grad(
        backend.put(x), backend.put(w), targets, bias=backend.put(bias), chunk_rows=chunk_rows, **options
    )
    alone = ops.linear_cross_entropy(
        backend.put(x), backend.put(w), targets, bias=backend.put(bias), chunk_rows=chunk_rows, **options
    )
    assert_same_bits(backend.get(alone), backend.get(loss))
    np.testing.assert_allclose(backend.get(loss), backend.get(whole), rtol=2e-7)
    assert dx.dtype == dw.dtype == dbias.dtype == np.float64
    for found, exact in ((dx, g @ w.T), (dw, x.T @ g), (dbias, g.sum(axis=0))):
        np.testing.assert_allclose(backend.get(found), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("chunk_rows", [2, None])
@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
def test_gradients_are_exact(backend: Arrays, dtype: type, chunk_rows: int | None) -> None:
    x, w, _, labels, _ = arguments(dtype)
    exact = reference.weighted_cross_entropy(x.astype(np.float64) @ w, reference.one_hot(labels, C))
    g = exact.grad / N
    loss, (dx, dw, dbias) = ops.linear_cross_entropy_with_grad(
        backend.put(x), backend.put(w), backend.put(labels), chunk_rows=chunk_rows
    )
    assert dbias is None
    eps = np.finfo(dtype).eps
    assert loss.dtype == loss_dtype(dtype)
    assert dx.dtype == dw.dtype == dtype
    np.testing.assert_allclose(backend.get(loss), exact.losses.mean(), rtol=2 * eps)
    np.testing.assert_allclose(backend.get(dx), g @ w.T.astype(np.float64), rtol=8 * eps, atol=8 * eps)
    np.testing.assert_allclose(backend.get(dw), x.T.astype(np.float64) @ g, rtol=8 * eps, atol=8 * eps)


def test_columns_of_dw_in_blocks(backend: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w, _, labels, _ = map(backend.put, arguments())
    _, (_, expected, _) = ops.linear_cross_entropy_with_grad(x, w, labels, chunk_rows=2)
    for columns in (1, 5, C):
        monkeypatch.setattr(import_module("softgrad.ops.linear_cross_entropy"), "BLOCK_BYTES", 8 * D * columns)
        _, (_, dw, _) = ops.linear_cross_entropy_with_grad(x, w, labels, chunk_rows=2)
        np.testing.assert_allclose(backend.get(dw), backend.get(expected), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_zero_rows(backend: Arrays, reduction: str) -> None:
    x, labels = backend.put(np.zeros((0, D))), backend.put(np.zeros(0, np.int64))
    loss, (dx, dw, dbias) = ops.linear_cross_entropy_with_grad(
        x, backend.put(np.ones((D, C))), labels, bias=backend.put(np.ones(C)), reduction=reduction
    )
    assert (backend.get(loss) == 0).all()
    assert dx.shape == (0, D)
    assert_same_bits(backend.get(dw), np.zeros((D, C)))
    assert_same_bits(backend.get(dbias), np.zeros(C))


def test_arguments_of_any_strides_are_left_alone(backend: Arrays) -> None:
    x, w, bias, labels, _ = map(backend.put, arguments())
    before = [backend.get(array).copy() for array in (x, w, bias, labels)]
    expected = ops.linear_cross_entropy_with_grad(x, w, labels, bias=bias, chunk_rows=3)
    strided = backend.xp.asfortranarray(x)[::-1], backend.xp.asfortranarray(w), labels[::-1]
    found = ops.linear_cross_entropy_with_grad(*strided, bias=bias, chunk_rows=3)
    np.testing.assert_allclose(backend.get(found[0]), backend.get(expected[0]), rtol=1e-6)
    np.testing.assert_allclose(backend.get(found[1][0])[::-1], backend.get(expected[1][0]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(backend.get(found[1][1]), backend.get(expected[1][1]), rtol=1e-5, atol=1e-7)
    for array, kept in zip((x, w, bias, labels), before, strict=True):
        assert_same_bits(backend.get(array), kept)


def test_the_logits_are_never_in_memory_together() -> None:  # NumPy tells tracemalloc of its memory
    rows, inputs, classes = 1024, 16, 2048
    rng = np.random.default_rng(0)
    x, w = rng.random((rows, inputs), np.float32), rng.random((inputs, classes), np.float32)
    labels = rng.integers(0, classes, rows)
    call = lambda: ops.linear_cross_entropy_with_grad(x, w, labels, chunk_rows=32)  # noqa: E731
    call()  # whatever is compiled or loaded once
    tracemalloc.start()
    try:
        results = call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    beyond = peak - sum(grad.nbytes for grad in results[1][:2])
    assert beyond < 0.05 * rows * classes * 4, f"{beyond} bytes beside the results"


BAD_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": np.zeros((N, D + 1))}, ValueError,
     f"x must have shape (N, {D}) to fit w of shape (5, 12); got shape (7, 6)"),
    ({"x": np.zeros(D)}, ValueError, f"x must have shape (N, {D}) to fit w of shape (5, 12); got shape (5,)"),
    ({"x": np.zeros((N, D), np.float32)}, TypeError,
     "w must be float32, as x is; got float64; convert one with .astype()"),
    ({"w": np.zeros(D)}, ValueError, "w must have shape (inputs, outputs); got shape (5,)"),
    ({"w": np.zeros((D, 0))}, ValueError, "w must have at least one column, a class; got shape (5, 0)"),
    ({"bias": np.zeros(D)}, ValueError, "bias must have shape (12,), to fit w of shape (5, 12); got shape (5,)"),
    ({"targets": np.zeros(3, np.int64)}, ValueError,
     "targets must have shape (7,), one label for each row; got shape (3,)"),
    ({"targets": np.full(N, C)}, ValueError, "labels must lie in [0, 12); found 12 at row 0"),
    ({"chunk_rows": 0}, ValueError, "chunk_rows must be at least 1; got 0"),
    ({"chunk_rows": 1.5}, TypeError, "chunk_rows must be an integer or None; got float"),
    ({"reduction": "max"}, ValueError, "reduction must be one of mean, sum, none; got 'max'"),
    ({"label_smoothing": 2}, ValueError, "label_smoothing must lie in [0, 1]; got 2"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments_raise(backend: Arrays, wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    right = {"x": np.zeros((N, D)), "w": np.zeros((D, C)), "targets": np.zeros(N, np.int64)}
    named = {
        name: backend.put(value) if isinstance(value, np.ndarray) else value for name, value in (right | wrong).items()
    }
    arrays = [named.pop(name) for name in right]
    for function in (ops.linear_cross_entropy, ops.linear_cross_entropy_with_grad):
        with pytest.raises(error) as raised:
            function(*arrays, **named)
        assert str(raised.value) == message
