"""The elementwise losses and their gradients beside PyTorch's, all options crossed, on generated cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from softgrad import ops

torch = pytest.importorskip("torch")
functional = torch.nn.functional

CASES = 40  # of each loss, reduction and dtype
TOLERANCE = {np.float32: 5e-6, np.float64: 2e-14}
SHAPES = [(), (1,), (6, 5), (2, 3, 4)]


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.random(shape)) if rng.random() < 0.5 else np.asarray(rng.integers(0, 2, shape), float)


def weights(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, Any]:
    """Each weight left out, or with an element for all, for each of the last axis, or for each of all."""
    given = {}
    for name in ("pos_weight", "weight"):
        sizes = [None, (), shape[-1:], shape][rng.integers(4)]
        if sizes is not None:
            given[name] = np.asarray(rng.random(sizes) * 3)
    return given


LOSSES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "sigmoid_cross_entropy": (functional.binary_cross_entropy_with_logits, probabilities, weights),
    "squared_error": (functional.mse_loss, lambda rng, shape: np.asarray(rng.standard_normal(shape)), lambda *_: {}),
    "l2_loss": (
        lambda x, t, reduction: functional.mse_loss(x, t, reduction=reduction) / 2,
        lambda rng, shape: np.asarray(rng.standard_normal(shape)),
        lambda *_: {},
    ),
    "huber_loss": (
        functional.huber_loss,
        lambda rng, shape: np.asarray(rng.standard_normal(shape)),
        lambda rng, _: {"delta": float(2.0 ** rng.integers(-3, 3))},
    ),
    "hinge_loss": (
        lambda x, t, reduction: getattr((1 - t * x).clamp(min=0), {"none": "clone"}.get(reduction, reduction))(),
        lambda rng, shape: np.asarray(rng.choice([-1.0, 1.0], shape)),
        lambda *_: {},
    ),
}


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", list(LOSSES))
def test_elementwise_loss_like_torch(name: str, reduction: str, dtype: type) -> None:
    theirs, targets_of, options_of = LOSSES[name]
    tolerance = TOLERANCE[dtype]
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        shape = SHAPES[seed % len(SHAPES)]
        x = np.asarray(rng.standard_normal(shape) * (1, 5, 30)[seed % 3], dtype)
        targets = targets_of(rng, shape).astype(dtype)
        options = options_of(rng, shape)
        loss, grad = getattr(ops, f"{name}_with_grad")(x, targets, reduction=reduction, **options)
        leaf = torch.tensor(x, requires_grad=True)
        given = {
            key: torch.tensor(value, dtype=leaf.dtype) if isinstance(value, np.ndarray) else value
            for key, value in options.items()
        }
        expected = theirs(leaf, torch.tensor(targets), reduction=reduction, **given)
        expected.sum().backward()
        case = f"case {seed}"
        assert_allclose(loss, expected.detach().numpy(), rtol=tolerance, atol=tolerance, err_msg=case)
        assert_allclose(grad, leaf.grad.numpy(), rtol=tolerance, atol=tolerance, err_msg=case)
        assert_allclose(getattr(ops, name)(x, targets, reduction=reduction, **options), loss, rtol=0, err_msg=case)
