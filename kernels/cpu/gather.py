"""Gather rows and scale them: how a batch of uint8 pixels becomes a float matrix, in one pass."""

from __future__ import annotations

from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.formulas.primitives import const, fma


def _gather_rows(start, stop, x, indices, scale, shift, out):
    scale, shift = out.dtype.type(scale), out.dtype.type(shift)
    last = x.shape[0] - 1
    for r in range(start, stop):
        source, target = x[max(0, min(indices[r], last))], out[r]
        for j in range(target.size):
            target[j] = fma(const(scale, source[j]), scale, shift)


_gather = over_range(_gather_rows)


def gather_scale(x, indices, scale, shift, out):
    _gather(out.shape[0], out.nbytes, x, indices, scale, shift, out)
