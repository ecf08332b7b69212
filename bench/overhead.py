"""What a public function adds to its kernel: checks, dispatch, and the memory of the result."""

from __future__ import annotations

from functools import partial

import numpy as np

from softgrad import ops
from softgrad.bench.cases import OPERATIONS
from softgrad.bench.contest import time_in_turn
from softgrad.bench.device import PROCESSORS, Device
from softgrad.bench.peers.peer import Contender
from softgrad.bench.results import Overhead
from softgrad.kernels.formulas.softmax import SOFTMAX

SHAPE = (128, 10)


def softmax_overhead(threads: int, budget: float, device: Device = PROCESSORS) -> Overhead:
    """`ops.softmax` of a small matrix, allocating and with `out=`, beside the kernel it calls.

    By the host's clock: on a GPU these are the costs of a launch, which nobody waits for.
    """
    (x,) = OPERATIONS["softmax"].case(SHAPE, "float32", device).arguments
    out = np.empty_like(x)
    calls = (
        partial(device.backend.kernels.normalised(SOFTMAX), x, 1.0, out),
        partial(ops.softmax, x),
        partial(ops.softmax, x, out=out),
    )
    for call in calls:  # what is compiled is compiled here
        call()
    contenders = [Contender("softgrad", "", False, call) for call in calls]
    return Overhead(threads, *time_in_turn(contenders, budget, settle=False))
