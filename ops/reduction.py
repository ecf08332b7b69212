"""What becomes of the losses: their mean, their sum, or each of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from softgrad.kernels.formulas.sums import quotient
from softgrad.ops.arguments import convert
from softgrad.ops.backend import Backend

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction: str) -> None:
    """Raise ValueError unless there is such a reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}; got {reduction!r}")


def losses_buffer(backend: Backend, shape: tuple[int, ...], dtype: Any, reduction: str) -> Any:
    """Where a kernel leaves each loss, None unless they are asked for."""
    return backend.xp.empty(shape, dtype) if reduction == "none" else None


def over(total: Any, divisor: Any) -> Any:
    """total / divisor, and 0 where there is nothing to divide by; either may be a number or stay on the GPU."""
    if hasattr(divisor, "get"):
        nothing = divisor == 0
        return (1 - nothing) * (total / (divisor + nothing))
    return quotient(total, divisor)


def reduced(loss: Any, losses: Any, dtype: Any, reduction: str) -> Any:
    """The result in that dtype: the loss, or with "none" each of them."""
    if reduction == "none":
        losses = losses if losses.dtype == dtype else convert(losses, dtype)
        return losses if losses.ndim else losses[()]
    if not isinstance(loss, float):  # it stays on the GPU
        return loss if loss.dtype == dtype else loss.astype(dtype)
    fits = abs(loss) < 1e38  # in float32 even; what overflows that becomes infinity without a warning
    return dtype.type(loss) if fits else convert(np.float64(loss), dtype)
