"""Vectors to and from memory: whole, or their first lanes only.

The last elements of an array, fewer than the lanes, are loaded and stored under a mask and go through the same
instructions as the rest: the result for an element does not depend on where it lies.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from softgrad.kernels.cpu.simd import INT32, LANES, call_llvm, llvm_constant, llvm_suffix, llvm_type, splat, vector_of


def _pointer(context, builder, array_type, array, index, kind):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index], inbounds=True), kind.as_pointer())


def _first_lanes(builder, count, lanes):
    """The mask of the first `count` lanes."""
    limit = splat(builder, builder.trunc(count, INT32), lanes)
    return builder.icmp_signed("<", ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes))), limit)


@intrinsic
def lanes_of(typing_context, array):
    """The number of lanes that an array is read in."""
    lanes = LANES[array.dtype]
    return types.intp(array), lambda context, builder, signature, arguments: ir.Constant(ir.IntType(64), lanes)


@intrinsic
def zeros(typing_context, array):
    """A vector of zeros of an array's dtype."""
    vector = vector_of(array)
    return vector(array), lambda context, builder, signature, arguments: llvm_constant(llvm_type(vector), 0.0)


@intrinsic
def load(typing_context, array, index):
    """The lanes from `index` on of a contiguous array of one axis; they must exist."""
    vector = vector_of(array)

    def codegen(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments, llvm_type(vector))
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@intrinsic
def store(typing_context, array, index, x):
    """Write all lanes to the array, from `index` on."""

    def codegen(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], llvm_type(x))
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, x), codegen


@intrinsic
def load_first(typing_context, array, index, count, fill):
    """The first `count` lanes from `index` on, the others as in the vector `fill`; nothing beyond is read."""
    vector = vector_of(array)

    def codegen(context, builder, signature, arguments):
        kind = llvm_type(vector)
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], kind)
        mask = _first_lanes(builder, arguments[2], vector.lanes)
        alignment = ir.Constant(INT32, array.dtype.bitwidth // 8)
        return call_llvm(
            builder, f"llvm.masked.load.{llvm_suffix(kind)}.p0", kind, (pointer, alignment, mask, arguments[3])
        )

    return vector(array, types.intp, types.intp, vector), codegen


@intrinsic
def store_first(typing_context, array, index, count, x):
    """Write the first `count` lanes to the array, from `index` on; nothing beyond is touched."""

    def codegen(context, builder, signature, arguments):
        kind = llvm_type(x)
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], kind)
        mask = _first_lanes(builder, arguments[2], x.lanes)
        alignment = ir.Constant(INT32, array.dtype.bitwidth // 8)
        call_llvm(
            builder,
            f"llvm.masked.store.{llvm_suffix(kind)}.p0",
            ir.VoidType(),
            (arguments[3], pointer, alignment, mask),
        )
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, x), codegen


@register_jitable
def load_until(array, index, stop, fill):
    """The lanes from `index` on; those at `stop` and beyond are not read, but taken from the vector `fill`."""
    if index + lanes_of(array) <= stop:
        return load(array, index)
    return load_first(array, index, stop - index, fill)


@register_jitable
def store_until(array, index, stop, x):
    """Write the lanes to the array from `index` on; nothing at `stop` or beyond is touched."""
    if index + lanes_of(array) <= stop:
        store(array, index, x)
    else:
        store_first(array, index, stop - index, x)
