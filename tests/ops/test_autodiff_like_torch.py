"""Automatic differentiation beside PyTorch's, on the same computations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from softgrad.ops import autodiff

torch = pytest.importorskip("torch")
functional = torch.nn.functional

CASES = 20
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}

Pair = tuple[Callable[..., Any], Callable[..., Any]]

# Of x and y with shapes that broadcast. Operators are the same for both.
OF_TWO: dict[str, Pair] = {
    "arithmetic": (lambda x, y: (x * y - x / y + 2) * (-x - 1) / 3,) * 2,
    "power": (lambda x, y: x**y + x**3 + 2**y + x**0,) * 2,
    "products": (lambda x, y: (x @ y.T) @ y + x.T.T[..., :1],) * 2,
    "vectors": (lambda x, y: x @ y[0] + x[0] @ y[1] + x[-1] @ y.T,) * 2,
    "exp, log, sqrt": (
        lambda x, y: autodiff.exp(-x) * autodiff.log(y) + autodiff.sqrt(x),
        lambda x, y: torch.exp(-x) * torch.log(y) + torch.sqrt(x),
    ),
    "maximum": (autodiff.maximum, torch.maximum),
    "where": (
        lambda x, y: autodiff.where(x > y, x * x, y),
        lambda x, y: torch.where(x > y, x * x, y),
    ),
    "reductions": (
        lambda x, y: x.sum(axis=0) * y.mean(axis=1, keepdims=True) + x.max(axis=-1, keepdims=True) * y.max(),
        lambda x, y: x.sum(dim=0) * y.mean(dim=1, keepdim=True) + x.amax(dim=-1, keepdim=True) * y.amax(),
    ),
    "concatenate": (
        lambda x, y: autodiff.concatenate([x, y * x, y], axis=1) ** 2,
        lambda x, y: torch.cat([x, y * x, y], dim=1) ** 2,
    ),
    "shapes": (
        lambda x, y: autodiff.transpose(x.reshape(2, 2, 5), axes=(2, 0, 1)) * y.reshape(5, -1)[:, None, :2],
        lambda x, y: x.reshape(2, 2, 5).permute(2, 0, 1) * y.reshape(5, -1)[:, None, :2],
    ),
    "indices": (lambda x, y: x[[0, 3, 0, 0], [1, 1, 1, 4]] * y[[2, 2, 1]][:, :4] + x[1:, ::2].sum(),) * 2,
    "softmax family": (
        lambda x, y: (
            autodiff.softmax(x, temperature=0.5) * autodiff.log_softmax(y, axis=0)
            + autodiff.logsumexp(x * y, keepdims=True)
        ),
        lambda x, y: x.div(0.5).softmax(-1) * y.log_softmax(0) + (x * y).logsumexp(-1, keepdim=True),
    ),
    "linear": (
        lambda x, y: autodiff.gelu(autodiff.linear(x, y.T, y[:, 0], activation="silu")),
        lambda x, y: functional.gelu(functional.silu(functional.linear(x, y, y[:, 0]))),
    ),
}


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("name", list(OF_TWO))
def test_gradients_like_torch(name: str, dtype: type) -> None:
    ours, theirs = OF_TWO[name]
    tolerance = TOLERANCE[dtype]
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        x, y = (rng.uniform(0.5, 2.0, (4, 5)).astype(dtype) for _ in range(2))
        ties = rng.random(x.shape) < 0.2
        x[ties] = y[ties]
        leaves = [torch.tensor(array, requires_grad=True) for array in (x, y)]
        expected = (theirs(*leaves) ** 2).mean()
        expected.backward()

        value, grads = autodiff.value_and_grad(lambda x, y: (ours(x, y) ** 2).mean(), argnums=(0, 1))(x, y)
        assert value.dtype == dtype
        assert_allclose(value, expected.item(), rtol=tolerance, err_msg=f"case {seed}")
        for grad, leaf in zip(grads, leaves, strict=True):
            limit = tolerance * float(leaf.grad.abs().max())
            assert_allclose(grad, leaf.grad.numpy(), rtol=tolerance, atol=limit, err_msg=f"case {seed}")


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_network_like_torch(dtype: type) -> None:
    rng = np.random.default_rng(0)
    sizes = (6, 9, 7, 4)
    layers = [
        (rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype))
        for shape in itertools.pairwise(sizes)
    ]
    x, labels = rng.normal(size=(11, 6)).astype(dtype), rng.integers(0, 4, 11)

    def network(layers: Any, x: Any) -> Any:
        for w, b in layers[:-1]:
            x = autodiff.linear(x, w, b, activation="gelu")
        decay = sum((w * w).sum() for w, _ in layers)
        return autodiff.softmax_cross_entropy(autodiff.linear(x, *layers[-1]), labels) + 0.01 * decay

    value, (grads, dx) = autodiff.value_and_grad(network, argnums=(0, 1))(layers, x)

    leaves = [[torch.tensor(array, requires_grad=True) for array in layer] for layer in layers]
    leaf = torch.tensor(x, requires_grad=True)
    hidden = leaf
    for w, b in leaves[:-1]:
        hidden = functional.gelu(hidden @ w + b)
    loss = functional.cross_entropy(hidden @ leaves[-1][0] + leaves[-1][1], torch.from_numpy(labels))
    (loss + 0.01 * sum((w * w).sum() for w, _ in leaves)).backward()
    tolerance = TOLERANCE[dtype]
    assert_allclose(value, loss.item() + 0.01 * sum(float((w * w).sum()) for w, _ in layers), rtol=tolerance)
    for ours, theirs in zip(
        [dx, *itertools.chain.from_iterable(grads)], [leaf, *itertools.chain.from_iterable(leaves)], strict=True
    ):
        assert_allclose(ours, theirs.grad.numpy(), rtol=tolerance, atol=tolerance)
