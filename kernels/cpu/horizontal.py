"""Reductions of a vector to a number: halves are combined with halves, so the order, and with it the bits, is fixed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.sums import larger
from softgrad.kernels.simd.vector import INT32, llvm_type


def _rotation(width: int) -> Any:
    """An intrinsic that moves every lane `width` places down, around the end."""

    def rotate(typing_context, x):
        def codegen(context, builder, signature, arguments):
            order = [(lane + width) % x.lanes for lane in range(x.lanes)]
            undefined = ir.Constant(llvm_type(x), ir.Undefined)
            return builder.shuffle_vector(arguments[0], undefined, ir.Constant(ir.VectorType(INT32, x.lanes), order))

        return x(x), codegen

    rotate.__name__ = rotate.__qualname__ = f"rotate_{width}"
    return intrinsic(rotate)


_rotate_8, _rotate_4, _rotate_2, _rotate_1 = (_rotation(width) for width in (8, 4, 2, 1))


@intrinsic
def first_lane(typing_context, x):
    """The number in lane 0."""
    return x.dtype(x), lambda context, builder, signature, arguments: builder.extract_element(
        arguments[0], ir.Constant(INT32, 0)
    )


@jitable
def horizontal_sum(x):
    """The sum of all sixteen lanes."""
    x = x + _rotate_8(x)
    x = x + _rotate_4(x)
    x = x + _rotate_2(x)
    return first_lane(x + _rotate_1(x))


@jitable
def horizontal_max(x):
    """The largest of all sixteen lanes, NaN passed over unless it is in lane 0."""
    x = larger(x, _rotate_8(x))
    x = larger(x, _rotate_4(x))
    x = larger(x, _rotate_2(x))
    return first_lane(larger(x, _rotate_1(x)))


@jitable
def horizontal_combine(combine, x, y):
    """Combine all sixteen lanes of a value in two parts: ``combine(x, y, other_x, other_y) -> (x, y)``."""
    x, y = combine(x, y, _rotate_8(x), _rotate_8(y))
    x, y = combine(x, y, _rotate_4(x), _rotate_4(y))
    x, y = combine(x, y, _rotate_2(x), _rotate_2(y))
    x, y = combine(x, y, _rotate_1(x), _rotate_1(y))
    return first_lane(x), first_lane(y)
