"""Softmax cross-entropy with every option beside PyTorch's, in float64: losses, and gradients by autograd."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from softgrad import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

SHAPES = [(6, 5), (1, 1), (30, 17), (4, 3, 2), (2, 20, 3, 2), (5,)]
REDUCTIONS = ["mean", "sum", "none"]


def peers(
    logits: np.ndarray,
    targets: Any,
    reduction: str,
    weight: Any = None,
    softcap: Any = None,
    z_loss: float = 0.0,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the gradient of its sum, by PyTorch; z-loss is added to a sum, or to each row."""
    x = torch.from_numpy(logits).requires_grad_()
    z = x if softcap is None else softcap * torch.tanh(x / softcap)
    given = None if weight is None else torch.from_numpy(weight)
    loss = F.cross_entropy(z, torch.as_tensor(targets), weight=given, reduction=reduction, **options)
    if z_loss:
        lse = torch.logsumexp(z, dim=min(1, z.ndim - 1))
        extra = z_loss * lse**2
        loss = loss + (extra if reduction == "none" else extra.sum() if reduction == "sum" else extra.mean())
    loss.sum().backward()
    return loss.detach().numpy(), x.grad.numpy()


def check(logits: np.ndarray, targets: Any, **options: Any) -> None:
    loss, grad = ops.softmax_cross_entropy_with_grad(logits, targets, **options)
    expected_loss, expected_grad = peers(logits, targets, **options)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_labels(shape: tuple[int, ...], reduction: str) -> None:
    rng = np.random.default_rng(0)
    axis = min(1, len(shape) - 1)
    logits = rng.normal(0, 3, shape)
    labels = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    weights = None, rng.random(shape[axis]) + 0.1
    first = int(labels.reshape(-1)[0])
    for weight, smoothing, ignored in product(weights, (0.0, 0.1, 1.0), (-100, 0 if first else shape[axis] - 1)):
        if (labels != ignored).any():  # PyTorch's mean of no rows is NaN
            check(logits, labels, weight=weight, label_smoothing=smoothing, ignore_index=ignored, reduction=reduction)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_probabilities(shape: tuple[int, ...], reduction: str) -> None:
    rng = np.random.default_rng(1)
    axis = min(1, len(shape) - 1)
    logits, targets = rng.normal(0, 3, shape), rng.random(shape)
    for weight, smoothing in product((None, rng.random(shape[axis])), (0.0, 0.1, 1.0)):
        check(logits, targets, weight=weight, label_smoothing=smoothing, reduction=reduction)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_softcap_and_z_loss(shape: tuple[int, ...], reduction: str) -> None:
    rng = np.random.default_rng(2)
    logits, targets = rng.normal(0, 3, shape), rng.random(shape)
    for softcap, z_loss, smoothing in product((None, 5.0), (0.0, 0.01), (0.0, 0.1)):
        check(logits, targets, softcap=softcap, z_loss=z_loss, label_smoothing=smoothing, reduction=reduction)
