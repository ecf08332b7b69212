"""The information measures beside SciPy's elementwise terms, on generated distributions and axes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_allclose

from softgrad import ops

special = pytest.importorskip("scipy.special")
stats = pytest.importorskip("scipy.stats")

CASES = 200
TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-14}


def cases() -> Iterator[tuple[np.ndarray, np.ndarray, int, float | None]]:
    """Distributions p and q along an axis, with exact zeros in half of them, and a base."""
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(1, 12, rng.integers(1, 4)))
        axis = int(rng.integers(-len(shape), len(shape)))
        p, q = rng.random((2, *shape)) ** (1, 8)[seed % 2] + 1e-9
        if seed % 2:
            p[rng.random(shape) < 0.3] = 0
            p += p.sum(axis=axis, keepdims=True) == 0
        dtype = (np.float32, np.float64)[seed % 2]
        p, q = ((a / a.sum(axis=axis, keepdims=True)).astype(dtype) for a in (p, q))
        yield p, q, axis, (None, 2.0, 10.0, 0.5)[seed % 4]


def test_like_scipy() -> None:
    for seed, (p, q, axis, base) in enumerate(cases()):
        scale = 1 / np.log(base or np.e)
        wide_p, wide_q = p.astype(np.float64), q.astype(np.float64)
        expected = {
            "entropy": (ops.entropy(p, axis=axis, base=base), special.entr(wide_p).sum(axis) * scale),
            "kl": (ops.kl_divergence(p, q, axis=axis, base=base), special.kl_div(wide_p, wide_q).sum(axis) * scale),
            "cross": (
                ops.cross_entropy(p, q, axis=axis, base=base),
                (special.entr(wide_p) + special.rel_entr(wide_p, wide_q)).sum(axis) * scale,
            ),
            "perplexity": (ops.perplexity(p, axis=axis), np.exp(stats.entropy(wide_p, axis=axis))),
        }
        tolerance = TOLERANCE[p.dtype]
        for name, (found, theirs) in expected.items():
            assert np.asarray(found).dtype == p.dtype
            # stats.entropy normalises, which changes the last digits of float32's rounded rows.
            limit = 10 * tolerance if name == "perplexity" else tolerance
            assert_allclose(found, theirs, rtol=limit, atol=limit, err_msg=f"{name}, case {seed}")
