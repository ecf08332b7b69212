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

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from softgrad.kernels.cpu.accesses import first_lanes, load_some, load_whole, pointer_to, store_some, store_whole
from softgrad.kernels.formulas.jit import jitable, overload
from softgrad.kernels.simd.half import HALVES, rounded, widened
from softgrad.kernels.simd.vector import INT32, LANES, call_llvm, llvm_constant, llvm_type, number_of, vector_of

# A cache line, and the widest register there is. A streaming store must not straddle two.
LINE_BYTES = 64


class Borrowed(types.Array):
    """The Numba type of an array whose owner is known to stay: as any other, but nobody counts who refers to it.

    Arrays taken out of a tuple are counted, in every step of a loop, by atomic operations. Those take longer than a
    formula, and end what stores past the cache have collected: a loss of three arrays ran at a tenth of its speed.
    """

    def __init__(self, dtype: types.Type, ndim: int, layout: str) -> None:
        super().__init__(dtype, ndim, layout)
        self.name = f"Borrowed({dtype}, {ndim}d, {layout})"


@register_model(Borrowed)
class _BorrowedModel(models.StructModel):
    def __init__(self, manager, array):
        sizes = types.UniTuple(types.intp, array.ndim)
        members = [("meminfo", types.voidptr), ("parent", types.voidptr), ("nitems", types.intp)]
        members += [
            ("itemsize", types.intp),
            ("data", types.CPointer(array.dtype)),
            ("shape", sizes),
            ("strides", sizes),
        ]
        super().__init__(manager, array, members)


@intrinsic
def borrowed(typing_context, arrays):
    """A tuple of arrays as a tuple of borrowed ones."""
    kinds = types.Tuple([Borrowed(array.dtype, array.ndim, array.layout) for array in arrays])

    def codegen(context, builder, signature, arguments):
        found = []
        for place, (array, kind) in enumerate(zip(arrays, kinds, strict=True)):
            owned = context.make_array(array)(context, builder, builder.extract_value(arguments[0], place))
            made = context.make_array(kind)(context, builder)
            for field in ("nitems", "itemsize", "data", "shape", "strides"):
                setattr(made, field, getattr(owned, field))
            found.append(made._getvalue())
        return context.make_tuple(builder, kinds, found)

    return kinds(arrays), codegen


@intrinsic
def lanes_of(typing_context, array):
    """The number of lanes that an array is read in."""
    lanes = LANES[number_of(array)]
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
        return load_whole(builder, array.dtype, pointer)

    return vector(array, types.intp), codegen


@intrinsic
def store(typing_context, array, index, x):
    """Write all lanes to the array, from `index` on."""

    def codegen(context, builder, signature, arguments):
        pointer = pointer_to(context, builder, signature.args[0], arguments[0], arguments[1], x)
        store_whole(builder, array.dtype, pointer, arguments[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, x), codegen


@intrinsic
def number_at(typing_context, array, index):
    """The number at that place of a contiguous array, of any axes."""
    number = number_of(array)

    def codegen(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        return widened(builder, array.dtype, builder.load(builder.gep(data, [arguments[1]])))

    return number(array, types.intp), codegen


@intrinsic
def set_number(typing_context, array, index, number):
    """Write a number of the type that the array is computed in."""
    if number != number_of(array):
        return None

    def codegen(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        builder.store(rounded(builder, array.dtype, arguments[2]), builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, types.intp, number), codegen


def empty_numbers(shape, like):
    """An array for numbers on their way: of the type that the array `like` is computed in."""


@overload(empty_numbers)
def _compiled_empty_numbers(shape, like):
    if like.dtype in HALVES:
        return lambda shape, like: np.empty(shape, np.float32)
    return lambda shape, like: np.empty(shape, like.dtype)


def holds_numbers(array):
    """Are an array's elements what is computed with? Not if they are 16-bit floats."""


@overload(holds_numbers)
def _compiled_holds_numbers(array):
    return (lambda array: False) if array.dtype in HALVES else (lambda array: True)


def numbers_in(array, beside):
    """A flat array for numbers on their way: the array itself if it holds such, else `beside`."""


@overload(numbers_in)
def _compiled_numbers_in(array, beside):
    return (lambda array, beside: beside) if array.dtype in HALVES else (lambda array, beside: array.reshape(-1))


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
    """The first `count` lanes from `index` on, the others as in the vector `fill`; nothing beyond the array is read."""

    def codegen(context, builder, signature, arguments):
        given, index, count, fill = arguments
        pointer = pointer_to(context, builder, array, given, index, signature.return_type)
        zero = ir.Constant(count.type, 0)
        if array.dtype not in HALVES:
            return load_some(builder, array.dtype, pointer, zero, count, fill)
        # What lies behind may be read, and dropped, unless the array ends there.
        lanes = signature.return_type.lanes
        size = context.make_array(array)(context, builder, given).nitems
        behind = builder.icmp_signed("<=", builder.add(index, ir.Constant(index.type, lanes)), size)
        found = []
        with builder.if_else(behind) as (whole, part):
            with whole:
                mask = first_lanes(builder, count, lanes)
                of_whole = builder.select(mask, load_whole(builder, array.dtype, pointer), fill)
                found.append((of_whole, builder.block))
            with part:
                found.append((load_some(builder, array.dtype, pointer, zero, count, fill), builder.block))
        either = builder.phi(fill.type)
        for value, block in found:
            either.add_incoming(value, block)
        return either

    return vector_of(array)(array, types.intp, types.intp, vector_of(array)), codegen


@intrinsic
def store_first(typing_context, array, index, count, x):
    """Write the first `count` lanes to the array, from `index` on; nothing beyond is touched."""

    def codegen(context, builder, signature, arguments):
        array, index, count, x = arguments
        pointer = pointer_to(context, builder, signature.args[0], array, index, signature.args[-1])
        store_some(builder, signature.args[0].dtype, pointer, ir.Constant(count.type, 0), count, x)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, x), codegen


@intrinsic
def _load_between(typing_context, array, index, low, high, fill):
    """The lanes from the `low`th up to the `high`th, the others as in `fill`."""

    def codegen(context, builder, signature, arguments):
        array, index, low, high, fill = arguments
        pointer = pointer_to(context, builder, signature.args[0], array, index, signature.return_type)
        return load_some(builder, signature.args[0].dtype, pointer, low, high, fill)

    return vector_of(array)(array, types.intp, types.intp, types.intp, vector_of(array)), codegen


@intrinsic
def _store_between(typing_context, array, index, low, high, x):
    """Write the lanes from the `low`th up to the `high`th."""

    def codegen(context, builder, signature, arguments):
        array, index, low, high, x = arguments
        pointer = pointer_to(context, builder, signature.args[0], array, index, signature.args[-1])
        store_some(builder, signature.args[0].dtype, pointer, low, high, x)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, x), codegen


@intrinsic
def _stream(typing_context, array, index, x):
    """Write all lanes past the cache; the address must be that of a cache line, or of a half that a vector fills."""

    def codegen(context, builder, signature, arguments):
        pointer = pointer_to(context, builder, signature.args[0], arguments[0], arguments[1], x)
        stored = rounded(builder, array.dtype, arguments[2])
        vector_bytes = x.lanes * array.dtype.bitwidth // 8
        instruction = builder.store(stored, pointer, align=min(LINE_BYTES, vector_bytes))
        instruction.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(INT32, 1)]))
        return context.get_dummy_value()

    return types.void(array, types.intp, x), codegen


@intrinsic
def line_begin(typing_context, array, index):
    """The index, at or before `index`, at which its cache line starts, or its half that a vector fills.

    It may lie before the array.
    """

    def codegen(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        address = builder.ptrtoint(builder.gep(data, [arguments[1]]), arguments[1].type)
        vector_bytes = LANES[number_of(array)] * array.dtype.bitwidth // 8  # of 16-bit floats half a line
        beyond = builder.and_(address, ir.Constant(address.type, min(LINE_BYTES, vector_bytes) - 1))
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
