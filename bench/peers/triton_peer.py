"""Triton: the fused softmax of its tutorial, a program a row, the whole row in its registers."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
import triton
import triton.language as tl

from softgrad.bench.peers.peer import Call, Peer, Way
from softgrad.bench.peers.torch_peer import own_tensor

# Elements a warp, as the tutorials choose them, and the most warps of a program.
ELEMENTS_A_WARP, MOST_WARPS = 256, 32


@triton.jit  # type: ignore[untyped-decorator]
def _softmax_kernel(out, x, classes, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64) * classes
    columns = tl.arange(0, block)
    inside = columns < classes
    logits = tl.load(x + row + columns, mask=inside, other=-float("inf"))
    # In float64 where the row is, else in float32.
    wide = logits if logits.dtype == tl.float64 else logits.to(tl.float32)
    exponentials = tl.exp(wide - tl.max(wide, axis=0))
    tl.store(out + row + columns, exponentials / tl.sum(exponentials, axis=0), mask=inside)


def _softmax(x: Any, axis: int, out: Any = None) -> Call:
    rows, classes = x.shape
    block = triton.next_power_of_2(classes)
    warps = min(MOST_WARPS, max(1, triton.next_power_of_2(block // ELEMENTS_A_WARP)))

    def call() -> Any:
        target = torch.empty_like(x) if out is None else out
        _softmax_kernel[(rows,)](target, x, classes, block=block, num_warps=warps)
        return target

    return call


PEER = Peer("triton", MappingProxyType({"softmax": (Way(_softmax), Way(_softmax, out=True))}), array=own_tensor)
