"""What becomes of the losses: their mean, their sum, or each of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from softgrad.ops.arguments import convert

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction: str) -> None:
    """Raise ValueError unless there is such a reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}; got {reduction!r}")


def reduced(total: Any, losses: Any, dtype: Any, reduction: str, count: int) -> Any:
    """The result in that dtype, from the sum of so many losses in float64, or with "none" from each of them."""
    if reduction == "none":
        return losses if losses.dtype == dtype else convert(losses, dtype)
    loss = total / max(count, 1) if reduction == "mean" else total
    if not isinstance(loss, float):  # it stays on the card
        return loss.astype(dtype)
    fits = abs(loss) < 6e4  # in float16 even; what overflows a dtype becomes infinity without a warning
    return dtype.type(loss) if fits else convert(np.float64(loss), dtype)
