"""What kernels for the GPU cost, counted by executing them, held to bounds: instruction slots and bytes an element.

The bounds are what was reached (bench/results/gpu-counts.md) and a tenth more. One that is not kept any more is a
reason to look, and to write down what is bought with it.
"""

from __future__ import annotations

import os

import gpu_counts
import pytest

if os.environ.get("SOFTGRAD_PTX") != "sm_90":  # of another architecture they are a little others
    pytest.skip("counts are of PTX that is executed for sm_90: make test-gpu-executed", allow_module_level=True)

pytestmark = pytest.mark.gpu

# Instruction slots an element in float32, by classes.
SLOTS = {
    "softmax": {10: 46, 64: 43, 100: 53, 1000: 48, 4096: 48, 16_384: 48, 131_072: 75},
    "log_softmax": {10: 46, 64: 43, 100: 53, 1000: 48, 4096: 48, 16_384: 48, 131_072: 75},
    "softmax_backward": {10: 28, 64: 21, 4096: 30, 131_072: 30},
    "softmax_cross_entropy_with_grad": {10: 63, 64: 52, 1000: 60, 4096: 60, 131_072: 80},
    "softmax_cross_entropy_with_grad label_smoothing": {10: 80, 64: 73, 1000: 84, 4096: 84, 131_072: 100},
    "softmax_cross_entropy_with_grad weight": {10: 67, 64: 60, 1000: 63, 4096: 63, 131_072: 80},
}

# Where a row has its place in registers each number is moved once: read and written, and of backwards read twice.
MOVED = {"softmax": 8, "log_softmax": 8, "softmax_backward": 12, "softmax_cross_entropy_with_grad": 8}
IN_REGISTERS = 16_384


@pytest.mark.parametrize(("name", "classes"), [(name, width) for name, widths in SLOTS.items() for width in widths])
def test_rows_take_few_instructions(name: str, classes: int) -> None:
    assert cost_of(name, classes).slots <= SLOTS[name][classes]


@pytest.mark.parametrize(("name", "classes"), [(name, width) for name in MOVED for width in SLOTS[name]])
def test_rows_are_moved_once_and_by_whole_sectors(name: str, classes: int) -> None:
    one = cost_of(name, classes)
    assert one.sector_bytes <= 1.05 * one.bytes
    if classes <= IN_REGISTERS:
        a_row_s = 64 / classes  # its label, its loss, and the loss read again by the sum
        assert MOVED[name] <= one.sector_bytes <= 1.05 * MOVED[name] + a_row_s


def cost_of(name: str, classes: int) -> gpu_counts.Cost:
    return gpu_counts.cost(name, (max(gpu_counts.ELEMENTS // classes, 2), classes), "float32")
