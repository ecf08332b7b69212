"""Vectors to and from memory: whole, or some of their lanes only; through the cache, or past it.

The last elements of an array, fewer than the lanes, are loaded and stored under a mask and go through the same
instructions as the rest: the result for an element does not depend on where it lies.

A result is written from the start of the cache line in which it begins, the lanes before it masked, so that no store
straddles two lines: relu in the second-level cache gains 5 %. A result too large for the cache is streamed. An ordinary
store first reads the line that it is about to change; a streaming store writes a whole line to memory without that,
which takes relu of 40 MB from 32 to 49 GB/s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.simd.vector import (
    INT32,
    LANES,
    call_llvm,
    llvm_constant,
    llvm_suffix,
    llvm_type,
    splat,
    vector_of,
)

# A cache line, and the widest register there is. A streaming store must not straddle two.
LINE_BYTES = 64


def pointer_to(context, builder, array_type, array, index, vector):
    """The address of a vector of lanes from `index` on."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), llvm_type(vector).as_pointer())


def first_lanes(builder, count, lanes):
    """The mask of the first `count` lanes."""
    limit = splat(builder, builder.trunc(count, INT32), lanes)
    return builder.icmp_signed("<", ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes))), limit)


def _lanes_between(builder, low, high, lanes):
    """The mask of the lanes from the `low`th up to the `high`th."""
    return builder.and_(first_lanes(builder, high, lanes), builder.not_(first_lanes(builder, low, lanes)))


def masked_load(builder, pointer, mask, fill):
    """The lanes of the mask, the others as in `fill`."""
    name = f"llvm.masked.load.{llvm_suffix(fill.type)}.p0"
    return call_llvm(builder, name, fill.type, (pointer, _alignment(fill), mask, fill))


def masked_store(builder, pointer, mask, x):
    """Write the lanes of the mask."""
    name = f"llvm.masked.store.{llvm_suffix(x.type)}.p0"
    call_llvm(builder, name, ir.VoidType(), (x, pointer, _alignment(x), mask))


def _alignment(x):
    return ir.Constant(INT32, 4 if isinstance(x.type.element, ir.FloatType) else 8)


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
        pointer = pointer_to(context, builder, signature.args[0], *arguments, vector)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@intrinsic
def store(typing_context, array, index, x):
    """Write all lanes to the array, from `index` on."""

    def codegen(context, builder, signature, arguments):
        pointer = pointer_to(context, builder, signature.args[0], arguments[0], arguments[1], x)
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, x), codegen


@intrinsic
def prefetch(typing_context, array, index):
    """Have an element fetched into the second-level cache; the index may lie outside the array."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        to_read, second_level, data_cache = (ir.Constant(INT32, value) for value in (0, 2, 1))
        call_llvm(builder, "llvm.prefetch.p0", ir.VoidType(), (address, to_read, second_level, data_cache))
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def load_first(typing_context, array, index, count, fill):
    """The first `count` lanes from `index` on, the others as in the vector `fill`; nothing beyond is read."""

    def codegen(context, builder, signature, arguments):
        array, index, count, fill = arguments
        pointer = pointer_to(context, builder, signature.args[0], array, index, signature.return_type)
        return masked_load(builder, pointer, first_lanes(builder, count, signature.return_type.lanes), fill)

    return vector_of(array)(array, types.intp, types.intp, vector_of(array)), codegen


@intrinsic
def store_first(typing_context, array, index, count, x):
    """Write the first `count` lanes to the array, from `index` on; nothing beyond is touched."""

    def codegen(context, builder, signature, arguments):
        array, index, count, x = arguments
        pointer = pointer_to(context, builder, signature.args[0], array, index, signature.args[-1])
        masked_store(builder, pointer, first_lanes(builder, count, signature.args[-1].lanes), x)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, x), codegen


@intrinsic
def _load_between(typing_context, array, index, low, high, fill):
    """The lanes from the `low`th up to the `high`th, the others as in `fill`."""

    def codegen(context, builder, signature, arguments):
        array, index, low, high, fill = arguments
        pointer = pointer_to(context, builder, signature.args[0], array, index, signature.return_type)
        return masked_load(builder, pointer, _lanes_between(builder, low, high, signature.return_type.lanes), fill)

    return vector_of(array)(array, types.intp, types.intp, types.intp, vector_of(array)), codegen


@intrinsic
def _store_between(typing_context, array, index, low, high, x):
    """Write the lanes from the `low`th up to the `high`th."""

    def codegen(context, builder, signature, arguments):
        array, index, low, high, x = arguments
        pointer = pointer_to(context, builder, signature.args[0], array, index, signature.args[-1])
        masked_store(builder, pointer, _lanes_between(builder, low, high, signature.args[-1].lanes), x)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, x), codegen


@intrinsic
def _stream(typing_context, array, index, x):
    """Write all lanes past the cache; the address must be that of a cache line."""

    def codegen(context, builder, signature, arguments):
        pointer = pointer_to(context, builder, signature.args[0], arguments[0], arguments[1], x)
        instruction = builder.store(arguments[2], pointer, align=LINE_BYTES)
        instruction.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(INT32, 1)]))
        return context.get_dummy_value()

    return types.void(array, types.intp, x), codegen


@intrinsic
def line_begin(typing_context, array, index):
    """The index, at or before `index`, at which its cache line starts; it may lie before the array."""

    def codegen(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        address = builder.ptrtoint(builder.gep(data, [arguments[1]]), arguments[1].type)
        beyond = builder.and_(address, ir.Constant(address.type, LINE_BYTES - 1))
        elements = builder.udiv(beyond, ir.Constant(address.type, array.dtype.bitwidth // 8))
        return builder.sub(arguments[1], elements)

    return types.intp(array, types.intp), codegen


@intrinsic
def end_stream(typing_context):
    """Let other threads see what was streamed."""

    def codegen(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@jitable
def load_until(array, index, stop, fill):
    """The lanes from `index` on; those at `stop` and beyond are not read, but taken from the vector `fill`."""
    if index + lanes_of(array) <= stop:
        return load(array, index)
    return load_first(array, index, stop - index, fill)


@jitable
def store_until(array, index, stop, x):
    """Write the lanes to the array from `index` on; nothing at `stop` or beyond is touched."""
    if index + lanes_of(array) <= stop:
        store(array, index, x)
    else:
        store_first(array, index, stop - index, x)


@jitable
def _is_whole(array, index, start, stop):
    return start <= index and index + lanes_of(array) <= stop


@jitable
def _lanes_within(array, index, start, stop):
    return max(start - index, 0), min(stop - index, lanes_of(array))


@jitable
def load_within(array, index, start, stop, fill):
    """The lanes from `index` on; those before `start`, at `stop` and beyond are not read, but taken from `fill`."""
    if _is_whole(array, index, start, stop):
        return load(array, index)
    low, high = _lanes_within(array, index, start, stop)
    return _load_between(array, index, low, high, fill)


@jitable
def _store_part(array, index, start, stop, x):
    low, high = _lanes_within(array, index, start, stop)
    _store_between(array, index, low, high, x)


@jitable
def through_cache(array, index, start, stop, x):
    """Write lanes from `index` on, but nothing before `start`, at `stop` or beyond.

    For a loop ``for i in range(line_begin(out, start), stop, lanes): put(out, i, start, stop, y)``, which loads by
    `load_within`, since its first vector may begin before `start`.
    """
    if _is_whole(array, index, start, stop):
        store(array, index, x)
    else:
        _store_part(array, index, start, stop, x)


@jitable
def past_cache(array, index, start, stop, x):
    """The same, streamed: for a large result, which would only drive other things out of the cache."""
    if _is_whole(array, index, start, stop):
        _stream(array, index, x)
    else:
        _store_part(array, index, start, stop, x)


# One of the two, for a loop that is built with either.
Put = Callable[..., Any]
