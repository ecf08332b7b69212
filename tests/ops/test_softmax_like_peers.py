"""The softmax family beside SciPy's and PyTorch's, on generated cases: shapes, axes, dtypes, strides, edges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from softgrad import ops

CASES = 250
NAMES = ("softmax", "log_softmax", "logsumexp")

# They sum in another order and compute in the array's own dtype: some ULP for each power of ten between logits.
TOLERANCE = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 1e-14}


@dataclass(frozen=True)
class Case:
    seed: int
    x: np.ndarray
    axis: Any


def cases(count: int = CASES) -> Iterator[Case]:
    """One to four axes, every kind of `axis`, with edges in a third of them."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(1, (40, 12, 8, 5)[: rng.integers(1, 5)]))
        x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 3)).astype((np.float32, np.float64)[seed % 2])
        if seed % 3 == 0:
            x.flat[rng.integers(x.size)] = (np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45)[seed // 3 % 6]
        x = (x, x.T, x[::-1], x[..., ::2])[seed % 4]
        axes = [None, int(rng.integers(-x.ndim, x.ndim)), tuple(range(int(rng.integers(1, x.ndim + 1))))]
        yield Case(seed, x, axes[seed % 3])


@pytest.mark.parametrize("name", NAMES)
def test_like_scipy(name: str) -> None:
    special = pytest.importorskip("scipy.special")
    for case in cases():
        if name == "log_softmax" and np.isposinf(case.x).any():
            continue  # SciPy then gives -inf beside NaN, where PyTorch, JAX and its own softmax have a row of NaN
        with np.errstate(all="ignore"):
            expected = getattr(special, name)(case.x, axis=case.axis)
        found = getattr(ops, name)(case.x, axis=case.axis)
        assert np.asarray(found).dtype == case.x.dtype
        tolerance = TOLERANCE[case.x.dtype]
        assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=f"case {case.seed}")


@pytest.mark.parametrize("name", NAMES)
def test_like_torch_with_gradients(name: str) -> None:
    torch = pytest.importorskip("torch")
    compared = 0
    for seed, case in enumerate(cases()):
        if not isinstance(case.axis, int) or not np.isfinite(case.x).all() or np.abs(case.x).max() > 1e30:
            continue  # PyTorch knows one axis; at an edge its gradients are NaN in other places
        x = torch.from_numpy(case.x.copy()).requires_grad_()
        y = getattr(torch, name)(x, case.axis)
        found = getattr(ops, name)(case.x, axis=case.axis)
        tolerance = TOLERANCE[case.x.dtype]
        assert_allclose(found, y.detach().numpy(), rtol=tolerance, atol=tolerance, err_msg=f"case {case.seed}")
        if name != "logsumexp":
            grad = np.random.default_rng(seed).standard_normal(case.x.shape).astype(case.x.dtype)
            (expected,) = torch.autograd.grad(y, x, torch.from_numpy(grad))
            slope = getattr(ops, f"{name}_backward")(grad, found, axis=case.axis)
            limit = 10 * tolerance
            assert_allclose(slope, expected.numpy(), rtol=limit, atol=limit, err_msg=f"case {case.seed}")
        compared += 1
    assert compared > CASES // 5


@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0, 1e6, math.inf])
def test_a_temperature_is_a_division(temperature: float) -> None:
    special = pytest.importorskip("scipy.special")
    for case in cases(60):
        if np.isfinite(case.x).all() and np.abs(case.x).max() < 1e30:
            found = ops.softmax(case.x, axis=case.axis, temperature=temperature)
            expected = special.softmax(case.x.astype(np.float64) / temperature, axis=case.axis)
            tolerance = 10 * TOLERANCE[case.x.dtype]
            assert_allclose(found, expected, rtol=1e-4 if case.x.dtype == np.float32 else 1e-10, atol=tolerance)
