"""What the elementwise losses are given: targets and weights, always checked; shapes, dtypes, options and `out`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numerics import Arrays, assert_same_bits

from softgrad import ops
from softgrad.kernels.formulas.registry import ELEMENTWISE_LOSSES

INF, NAN = np.inf, np.nan

BAD_VALUES: list[tuple[str, Any, dict[str, Any], str]] = [
    ("sigmoid_cross_entropy", [[0, 1, 0.5], [1, 1.5, -2]], {},
     "targets must lie in [0, 1]; found 1.5 at index (1, 1)"),
    ("sigmoid_cross_entropy", [[0, NAN, 0.5], [1, 1, 0]], {},
     "targets must lie in [0, 1]; found nan at index (0, 1)"),
    ("sigmoid_cross_entropy", np.array([[0, 1, 1], [0, 1, 2]]), {},
     "targets must lie in [0, 1]; found 2 at index (1, 2)"),
    ("hinge_loss", [[1, -1, 1], [0, 1, 1]], {}, "targets must be -1 or 1; found 0 at index (1, 0)"),
    ("sigmoid_cross_entropy", np.zeros((2, 3)), {"weight": [1, 2, -0.5]},
     "weight must be finite and not below 0; found -0.5 at index 2"),
    ("sigmoid_cross_entropy", np.zeros((2, 3)), {"pos_weight": [[1.0], [INF]]},
     "pos_weight must be finite and not below 0; found inf at index (1, 0)"),
]  # fmt: skip


def arguments(backend: Arrays, targets: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The targets and options as arrays of the backend, but for numbers."""
    arrays = {name: backend.put(value) if isinstance(value, list) else value for name, value in options.items()}
    return backend.put(targets), arrays


@pytest.mark.parametrize(("name", "targets", "options", "message"), BAD_VALUES)
def test_bad_value_is_named_before_anything_is_written(
    backend: Arrays, name: str, targets: Any, options: dict[str, Any], message: str
) -> None:
    x = backend.put(np.full((2, 3), 7.0))
    targets, options = arguments(backend, targets, options)
    with pytest.raises(ValueError, match="found") as raised:
        getattr(ops, f"{name}_with_grad")(x, targets, out=x, **options)
    assert str(raised.value) == message
    assert (backend.get(x) == 7).all()
    with pytest.raises(ValueError, match="found"):
        getattr(ops, name)(x, targets, **options)
    loss, grad = getattr(ops, f"{name}_with_grad")(x, targets, validate=False, **options)
    assert backend.get(loss).shape == ()
    assert backend.get(grad).shape == (2, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 17, 1000])
def test_a_bad_target_is_found_wherever_it_is(backend: Arrays, size: int, dtype: type) -> None:
    x = backend.xp.zeros(size, dtype)
    for place in {0, size // 3, size - 1}:
        targets = np.ones(size, dtype)
        targets[place] = 2
        targets[place + 1 :] = 3
        with pytest.raises(ValueError, match=rf"^targets must be -1 or 1; found 2.0 at index {place}$"):
            ops.hinge_loss(x, backend.put(targets))


def test_a_single_bad_target(backend: Arrays) -> None:
    with pytest.raises(ValueError, match=r"^targets must be -1 or 1; found 3.0$"):
        ops.hinge_loss(backend.put(1.0), backend.put(3.0))


BAD_ARGUMENTS: list[tuple[str, Any, dict[str, Any], type[Exception], str]] = [
    ("squared_error", np.zeros(3), {}, ValueError,
     "targets must have shape (2, 3), as the predictions have; got shape (3,)"),
    ("hinge_loss", np.zeros((3, 2)), {}, ValueError,
     "targets must have shape (2, 3), as the scores have; got shape (3, 2)"),
    ("sigmoid_cross_entropy", np.zeros((2, 3), complex), {}, TypeError,
     "targets must be an array of real numbers (float16, bfloat16, float32, float64 or integers); got complex128"),
    ("sigmoid_cross_entropy", np.zeros((2, 3)), {"weight": [1.0, 2.0]}, ValueError,
     "weight must be a number, or broadcast to the logits' shape (2, 3); got shape (2,)"),
    ("sigmoid_cross_entropy", np.zeros((2, 3)), {"pos_weight": [[[1.0]]]}, ValueError,
     "pos_weight must be a number, or broadcast to the logits' shape (2, 3); got shape (1, 1, 1)"),
    ("sigmoid_cross_entropy", np.zeros((2, 3)), {"weight": -1}, ValueError,
     "weight must be a finite float64 number not below 0; got -1"),
    ("sigmoid_cross_entropy", np.zeros((2, 3)), {"pos_weight": NAN}, ValueError,
     "pos_weight must be a finite float64 number not below 0; got nan"),
    ("sigmoid_cross_entropy", np.zeros((2, 3)), {"delta": 1.0}, TypeError,
     "sigmoid_cross_entropy has no parameter 'delta'; it takes no parameters"),
    ("squared_error", np.zeros((2, 3)), {"weight": 1.0}, TypeError,
     "squared_error has no parameter 'weight'; it takes no parameters"),
    ("huber_loss", np.zeros((2, 3)), {"delta": 0}, ValueError, "huber_loss: delta must be above 0; got 0"),
    ("huber_loss", np.zeros((2, 3)), {"delta": INF}, ValueError,
     "delta must be a finite float64 number; got inf"),
    ("huber_loss", np.zeros((2, 3)), {"delta": "1"}, TypeError, "delta must be a number; got str"),
    ("l2_loss", np.zeros((2, 3)), {"reduction": "max"}, ValueError,
     "reduction must be one of mean, sum, none; got 'max'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "targets", "options", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments_raise(
    backend: Arrays, name: str, targets: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    x = backend.put(np.zeros((2, 3)))
    targets, options = arguments(backend, targets, options)
    for function in (getattr(ops, name), getattr(ops, f"{name}_with_grad")):
        with pytest.raises(error) as raised:
            function(x, targets, **options)
        assert str(raised.value) == message


def test_a_weight_that_float32_cannot_hold_raises(backend: Arrays) -> None:
    x = backend.put([0.0], np.float32)
    with pytest.raises(ValueError, match=r"^weight must be a finite float32 number not below 0; got 1e\+39$"):
        ops.sigmoid_cross_entropy(x, x, weight=1e39)
    with pytest.raises(ValueError, match=r"^weight must be finite and not below 0; found 1e\+39 at index 0$"):
        ops.sigmoid_cross_entropy(x, x, weight=backend.put([1e39]))


BAD_OUTS = [
    ((2, 4), np.float64, ValueError, "out must have shape (2, 3), as the result has; got shape (2, 4)"),
    ((2, 3), np.float32, TypeError, "out must be float64, as the result is; got float32"),
]


@pytest.mark.parametrize(("shape", "dtype", "error", "message"), BAD_OUTS)
@pytest.mark.parametrize("name", ELEMENTWISE_LOSSES)
def test_bad_out_raises_and_is_left_alone(
    backend: Arrays, name: str, shape: tuple[int, int], dtype: type, error: type[Exception], message: str
) -> None:
    out = backend.xp.full(shape, 7, dtype)
    ones = backend.put(np.ones((2, 3)))
    with pytest.raises(error) as raised:
        getattr(ops, f"{name}_with_grad")(ones, ones, out=out)
    assert str(raised.value) == message
    assert (backend.get(out) == 7).all()


@pytest.mark.parametrize("name", ELEMENTWISE_LOSSES)
def test_arguments_are_left_alone_and_lists_are_arrays(name: str) -> None:
    x, targets = np.array([[0.5, -1.0], [2.0, 0.25]]), np.array([[1, 1], [1, 1]])
    before = x.copy(), targets.copy()
    loss, grad = getattr(ops, f"{name}_with_grad")(x, targets)
    assert_same_bits(x, before[0])
    assert_same_bits(targets, before[1])
    listed = getattr(ops, f"{name}_with_grad")(x.tolist(), targets.tolist())
    assert_same_bits(listed[0], loss)
    assert_same_bits(listed[1], grad)
