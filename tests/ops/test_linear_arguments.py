"""What linear layers are given: any layout, `out` and gradients over the arguments, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from layers import layer, product
from numerics import Arrays, assert_same_bits, quarters

from softgrad import ops

# ---- memory


def strided(backend: Arrays, array: np.ndarray) -> Any:
    """The same values two apart in every axis, the last one backwards."""
    memory = backend.xp.zeros(tuple(2 * size for size in array.shape), array.dtype)
    view = memory[tuple(slice(None, None, 2) for _ in array.shape)][..., ::-1]
    view[...] = backend.put(array)
    return view


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_layout_does_not_matter(backend: Arrays, dtype: type) -> None:
    x, w, b = layer(dtype=dtype)
    z = product(x, w, b)
    grad = quarters(np.random.default_rng(5), 9, 7, dtype=dtype)
    plain = ops.linear_backward(*map(backend.put, (grad, z, x, w)), activation="relu")
    for arrange in (lambda array: strided(backend, array), lambda array: backend.xp.asfortranarray(backend.put(array))):
        out, kept = arrange(np.zeros_like(z)), arrange(np.zeros_like(z))
        result = ops.linear(*map(arrange, (x, w, b)), activation="relu", preactivation=kept, out=out)
        assert result is out
        assert_same_bits(backend.get(out), np.maximum(z, 0))
        assert_same_bits(backend.get(kept), z)

        outs = tuple(arrange(np.zeros_like(array)) for array in (x, w, b))
        gradients = ops.linear_backward(*map(arrange, (grad, z, x, w)), activation="relu", out=outs)
        for found, target, expected in zip(gradients, outs, plain, strict=True):
            assert found is target
            assert_same_bits(backend.get(found), backend.get(expected))


def test_out_may_overlap_the_arguments(backend: Arrays) -> None:
    x, w, b = layer((6, 6), 6)
    z = product(x, w, b)
    for place in (0, 1):
        arguments = [backend.put(array) for array in (x, w, b)]
        ops.linear(*arguments, out=arguments[place])
        assert_same_bits(backend.get(arguments[place]), z)


GRAD, SAVED, INPUT, WEIGHTS = range(4)
PLACES = [(INPUT, WEIGHTS), (WEIGHTS, INPUT), (GRAD, SAVED), (SAVED, GRAD), (None, WEIGHTS), (WEIGHTS, None)]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("dx_place", "dw_place"), PLACES)
def test_gradients_may_be_written_over_the_arguments(
    backend: Arrays, dx_place: int | None, dw_place: int | None, overwrite: bool
) -> None:
    x, w, b = layer((6, 6), 6)  # of one shape, so that each gradient fits each argument
    z, grad = product(x, w, b), quarters(np.random.default_rng(6), 6, 6)
    expected = ops.linear_backward(*map(backend.put, (grad, z, x, w)), activation="relu")
    given = [backend.put(array) for array in (grad, z, x, w)]
    out = tuple(None if place is None else given[place] for place in (dx_place, dw_place, None))
    gradients = ops.linear_backward(*given, activation="relu", out=out, overwrite_grad=overwrite)
    for found, gradient in zip(gradients, expected, strict=True):
        assert_same_bits(backend.get(found), backend.get(gradient))


@pytest.mark.parametrize("overwrite", [False, True])
def test_grad_is_overwritten_only_on_request(backend: Arrays, overwrite: bool) -> None:
    x, w, b = layer()
    z = product(x, w, b)
    values = quarters(np.random.default_rng(7), 9, 7)
    dz = np.where(z > 0, values, 0).astype(np.float32)
    grad = backend.put(values)
    gradients = ops.linear_backward(
        grad, backend.put(z), backend.put(x), backend.put(w), activation="relu", overwrite_grad=overwrite
    )
    expected = reference.linear_backward(*(array.astype(np.float64) for array in (dz, x, w)))
    for found, gradient in zip(gradients, expected, strict=True):
        assert_same_bits(backend.get(found), gradient.astype(np.float32))
    assert_same_bits(backend.get(grad), dz if overwrite else values)


def test_read_only_grad_is_never_overwritten() -> None:  # only NumPy arrays can be read-only
    x, w, _ = layer()
    values = quarters(np.random.default_rng(8), 9, 7)
    grad = values.copy()
    grad.flags.writeable = False
    ops.linear_backward(grad, np.zeros_like(grad), x, w, activation="relu", overwrite_grad=True)
    assert_same_bits(grad, values)


def test_some_gradients_only(backend: Arrays) -> None:
    x, w, _ = layer()
    grad = backend.put(quarters(np.random.default_rng(9), 9, 7))
    arguments = (grad, None, backend.put(x), backend.put(w))
    dx, dw, db = ops.linear_backward(*arguments)
    no_dx, same_dw, same_db = ops.linear_backward(*arguments, input_grad=False)
    assert no_dx is None
    assert_same_bits(backend.get(same_dw), backend.get(dw))
    assert_same_bits(backend.get(same_db), backend.get(db))
    out_w = backend.xp.zeros(w.shape, w.dtype)
    mixed = ops.linear_backward(*arguments, out=(None, out_w, None))
    assert mixed[1] is out_w
    assert_same_bits(backend.get(mixed[0]), backend.get(dx))
    assert_same_bits(backend.get(mixed[1]), backend.get(dw))


# ---- errors

X, W, B = np.zeros((9, 5)), np.zeros((5, 7)), np.zeros(7)
G = np.zeros((9, 7))
NAMES = f"{', '.join(ops.ACTIVATIONS)}, or a formula made by ops.elementwise"

FORWARD_ERRORS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((X, B), {}, ValueError, "w must have shape (inputs, outputs); got shape (7,)"),
    ((X, W.T), {}, ValueError, "x must have shape (..., 7) to fit w of shape (7, 5); got shape (9, 5)"),
    ((X[0, 0], W), {}, ValueError, "x must have shape (..., 5) to fit w of shape (5, 7); got shape ()"),
    ((X, W, B[:3]), {}, ValueError, "b must have shape (7,), to fit w of shape (5, 7); got shape (3,)"),
    ((X, W, G), {}, ValueError, "b must have shape (7,), to fit w of shape (5, 7); got shape (9, 7)"),
    ((X, W.astype(np.float32)), {}, TypeError,
     "w must be float64, as x is; got float32; convert one with .astype()"),
    ((X, W, B.astype(np.float32)), {}, TypeError,
     "b must be float64, as x is; got float32; convert one with .astype()"),
    ((X, W), {"activation": "rulu"}, ValueError, f"activation must be one of {NAMES}; got 'rulu'"),
    ((X, W), {"activation": 3}, ValueError, f"activation must be one of {NAMES}; got 3"),
    ((X, W), {"alpha": 3}, TypeError, "identity has no parameter 'alpha'; it takes no parameters"),
    ((X, W), {"out": np.zeros((9, 6))}, ValueError,
     "out must have shape (9, 7), as the result has; got shape (9, 6)"),
    ((X, W), {"out": np.zeros((9, 7), np.float32)}, TypeError,
     "out must be float64, as the result is; got float32"),
    ((X, W), {"preactivation": np.zeros((9, 6))}, ValueError,
     "preactivation must have shape (9, 7), as the result has; got shape (9, 6)"),
    ((X, W), {"preactivation": [1.0]}, TypeError,
     "preactivation must be a numpy.ndarray to write to; got list"),
    ((X, W), {"preactivation": G, "out": G}, ValueError,
     "preactivation and out must not share memory; pass two arrays"),
]  # fmt: skip

BACKWARD_ERRORS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((G[:, :3], None, X, W), {}, ValueError,
     "grad must have shape (9, 7), the shape of linear(x, w); got shape (9, 3)"),
    ((G, G[:3], X, W), {"activation": "relu"}, ValueError,
     "saved must have shape (9, 7), as grad has; got shape (3, 7)"),
    ((G, None, X, W), {"activation": "relu"}, ValueError,
     "saved must be the output of relu, which its backward needs; got None"),
    ((G, None, X, W), {"activation": "silu"}, ValueError,
     "saved must be the input of silu, which its backward needs; got None"),
    ((G, G, X, W), {"activation": "heaviside"}, ValueError,
     "heaviside has no backward: its derivative is 0 wherever it exists, so nothing can be learned through it"),
    ((G, None, X, W.T), {}, ValueError, "x must have shape (..., 7) to fit w of shape (7, 5); got shape (9, 5)"),
    ((G, None, X.astype(np.float16), W), {}, TypeError,
     "x must be float64, as grad is; got float16; convert one with .astype()"),
    ((G, None, X, W), {"out": (None, np.zeros((7, 5)), None)}, ValueError,
     "out[1] must have shape (5, 7), as the result has; got shape (7, 5)"),
    ((G, None, X, W), {"out": (np.zeros((9, 5), np.float32), None, None)}, TypeError,
     "out[0] must be float64, as the result is; got float32"),
    ((G, None, X, W), {"out": (None, None, np.zeros(5))}, ValueError,
     "out[2] must have shape (7,), as the result has; got shape (5,)"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "options", "error", "message"), FORWARD_ERRORS)
def test_bad_arguments_of_forward_raise(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        ops.linear(*arguments, **options)
    assert str(raised.value) == message


@pytest.mark.parametrize(("arguments", "options", "error", "message"), BACKWARD_ERRORS)
def test_bad_arguments_of_backward_raise_and_leave_grad_alone(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = arguments[0].copy()
    with pytest.raises(error) as raised:
        ops.linear_backward(*arguments, overwrite_grad=True, **options)
    assert str(raised.value) == message
    assert_same_bits(arguments[0], before)
