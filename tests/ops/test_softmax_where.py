"""The softmax family over a part of each row, chosen by `where`: as if the rest were not there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
from numerics import FLOATS, MANY_ROWS, Arrays, again, assert_same_bits, assert_ulp, central_difference, quick, spiky

from softgrad import ops

HIDDEN = {"softmax": 0.0, "log_softmax": -math.inf, "logsumexp": -math.inf}
ULP = 4  # as without `where`
SPREAD_ULP = 6  # x - m rounds by half an ULP, of which the exponential makes |x - m| halves: here up to 5


def op(name: str) -> Callable[..., Any]:
    return getattr(ops, name)


def mask_of(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Some of each row; of the first row nothing, of the second one element."""
    mask = np.random.default_rng(seed).random(shape) < 0.6
    mask[0], mask[1], mask[1:, 0] = False, False, True
    return mask


@pytest.mark.parametrize("dtype", quick(FLOATS, np.float64))
@pytest.mark.parametrize("classes", [1, 10, 37])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_a_row_is_what_its_visible_part_is_alone(backend: Arrays, name: str, classes: int, dtype: type) -> None:
    x = spiky(np.random.default_rng(classes), (6, classes), np.float32).astype(dtype)
    mask = mask_of(x.shape)
    x[~mask] = np.where(np.arange((~mask).sum()) % 2, np.nan, np.inf)  # nobody may look there
    found = backend.get(op(name)(backend.put(x), where=backend.put(mask)))
    assert found.dtype == dtype
    assert (found[0] == HIDDEN[name]).all()  # nothing was to be seen
    for row in range(1, len(x)):
        alone = getattr(reference, name)(reference.exactly(x[row, mask[row]]))
        if name == "logsumexp":
            assert_ulp(found[row], alone, ULP)
        else:
            assert_ulp(found[row, mask[row]], alone, ULP)
            assert (found[row, ~mask[row]] == HIDDEN[name]).all()


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), None])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_every_axis_and_a_broadcast_mask(backend: Arrays, name: str, axis: Any) -> None:
    x = np.random.default_rng(1).standard_normal((3, 4, 16))
    mask = np.random.default_rng(2).random((3, 1, 16)) < 0.6
    found = backend.get(op(name)(backend.put(x), axis=axis, where=backend.put(mask)))
    expected = getattr(reference, name)(reference.exactly(np.where(mask, x, -np.inf)), axis=axis)
    something = np.broadcast_to(mask, x.shape)
    if name == "logsumexp":
        something = something.any(axis=axis)
    assert_ulp(found, np.where(something, expected, HIDDEN[name]), SPREAD_ULP)
    if axis == -1:
        rows, masks = (again(array, MANY_ROWS // 4) for array in (x, mask))
        many = op(name)(backend.put(rows), axis=axis, where=backend.put(masks))
        assert_same_bits(backend.get(many), again(backend.get(found), MANY_ROWS // 4))


@pytest.mark.parametrize("temperature", [0.0, 0.5, math.inf])
def test_every_temperature(backend: Arrays, temperature: float) -> None:
    x, mask = np.array([[3.0, 9.0, 3.0, 1.0]]), np.array([True, False, True, True])
    found = backend.get(ops.softmax(backend.put(x), temperature=temperature, where=backend.put(mask)))
    alone = backend.get(ops.softmax(backend.put(x[:, mask]), temperature=temperature))
    assert_ulp(found[:, mask], alone, ULP)
    assert found[0, 1] == 0


def test_nan_stays_in_its_row_and_in_what_is_seen(backend: Arrays) -> None:
    x, mask = np.array([[np.nan, 1.0, 2.0], [1.0, 1.0, 2.0]]), np.array([True, True, False])
    found = backend.get(ops.softmax(backend.put(x), where=backend.put(mask)))
    np.testing.assert_array_equal(found, [[np.nan, np.nan, 0], [0.5, 0.5, 0]])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_out_may_be_the_input(backend: Arrays, name: str) -> None:
    x, mask = np.random.default_rng(3).standard_normal((5, 7)), mask_of((5, 7))
    there = backend.put(x)
    assert op(name)(there, where=backend.put(mask), out=there) is there
    assert_same_bits(backend.get(there), backend.get(op(name)(backend.put(x), where=backend.put(mask))))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_gradient(backend: Arrays, name: str) -> None:
    rng = np.random.default_rng(4)
    x, weights, mask = rng.standard_normal((4, 6)), rng.standard_normal((4, 6)), mask_of((4, 6))
    seen = backend.put(mask)

    def loss(x: np.ndarray) -> float:
        y = backend.get(op(name)(backend.put(x), where=seen))
        return float((weights[mask] * y[mask]).sum())

    y = op(name)(backend.put(x), where=seen)
    weights[~mask] = np.nan  # nobody may look there
    found = backend.get(op(f"{name}_backward")(backend.put(weights), y, where=seen))
    np.testing.assert_allclose(found, central_difference(loss, x), rtol=1e-7, atol=1e-8)
    assert (found[~mask] == 0).all()


def test_a_mask_that_is_none_is_refused(backend: Arrays) -> None:
    x = backend.put(np.zeros((2, 3)))
    out = backend.put(np.full((2, 3), 7.0))
    for call in (ops.softmax, ops.log_softmax, ops.logsumexp):
        with pytest.raises(TypeError, match=r"^where must be an array of booleans; got int64; compare"):
            call(x, where=backend.put([0, 1, 1]), out=out)
        with pytest.raises(ValueError, match=r"^where must broadcast to shape \(2, 3\), x's; got shape \(2,\)$"):
            call(x, where=backend.put([True, False]), out=out)
    assert (backend.get(out) == 7).all()
