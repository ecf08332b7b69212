"""Gather rows and scale them: how a batch of uint8 pixels becomes a float matrix, in one pass."""

from __future__ import annotations

from functools import cache

from softgrad.kernels.cpu.launch import Kernel, over_range
from softgrad.kernels.cpu.memory import number_at, set_number
from softgrad.kernels.formulas.primitives import const, fma
from softgrad.kernels.simd.half import number_dtype


@cache
def _kernel(halves: bool) -> Kernel:
    """The kernel for an x of numbers of any kind, or for one of the bits of 16-bit floats."""

    def loop(start, stop, x, indices, scale, shift, out):
        last = x.shape[0] - 1
        for r in range(start, stop):
            source, target = x[max(0, min(indices[r], last))], out[r]
            for j in range(target.size):
                value = number_at(source, j) if halves else source[j]
                set_number(target, j, fma(const(scale, value), scale, shift))

    return over_range(loop)


def gather_scale(x, indices, scale, shift, out, *, halves):
    number = number_dtype(out.dtype).type
    _kernel(halves)(out.shape[0], out.nbytes, x, indices, number(scale), number(shift), out)


def gather_batch(x, labels, indices, begin, scale, shift, out, labels_out):
    chosen = indices[begin : begin + len(out)]
    gather_scale(x, chosen, scale, shift, out, halves=False)
    # Mode "clip" writes straight to `out`, where NumPy's default would go through a buffer.
    labels.take(chosen, out=labels_out, mode="clip")
