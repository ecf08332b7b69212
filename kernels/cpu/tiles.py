"""Tiles: sixteen narrow rows of a matrix turned on their side, so that a lane is a row and a vector one class of all.

A row of ten classes would leave six lanes idle, and its maximum and sum would be taken across lanes, which costs as
much as its exponentials. In a tile everything is lanewise; to turn one there and back takes 3 ns a row of float32.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from softgrad.kernels.cpu.accesses import load_some, load_whole, pointer_to, store_some, store_whole
from softgrad.kernels.cpu.memory import LINE_BYTES
from softgrad.kernels.simd.half import HALVES, in_memory
from softgrad.kernels.simd.vector import INT32, LANES, Vector, llvm_constant, llvm_type, number_of, splat

# Rows in a tile, and the classes it has room for.
TILE = max(LANES.values())


def _blocks(builder, array, classes):
    """Square blocks of a tile that fit the registers, as (vector of one side, first row, first class)."""
    side = LINE_BYTES * 8 // number_of(array).bitwidth
    vector = Vector(number_of(array), side)
    for first_class in range(0, TILE, side):
        with builder.if_then(builder.icmp_signed(">", classes, ir.Constant(classes.type, first_class))):
            for first_row in range(0, TILE, side):
                yield vector, first_row, first_class


def _transposed(builder, vectors):
    """The vectors with lane and number exchanged: pairs swap quarters, of which the size doubles."""
    vectors = list(vectors)
    width = 1
    while width < len(vectors):
        for i in range(len(vectors)):
            if not i & width:
                a, b = vectors[i], vectors[i + width]
                vectors[i] = _merge(builder, a, b, width, 0)
                vectors[i + width] = _merge(builder, a, b, width, width)
        width *= 2
    return vectors


def _merge(builder, a, b, width, shift):
    """Blocks of `width` lanes in turn from a and from b: the first of every two, or with `shift` the second."""
    lanes = a.type.count
    order = [lane + shift if not lane & width else lanes + lane - width + shift for lane in range(lanes)]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, lanes), order))


def _row_pointer(builder, data, kind, place, r, first_class):
    """The address, of lanes of that kind, of row r of a tile from `first_class` on.

    The tile is at place = (first, classes, rows) in the memory from `data` on. A row that is not there stands for the
    last that is: it is read, and written, more than once.
    """
    first, classes, rows = place
    row = ir.Constant(rows.type, r)
    last = builder.sub(rows, ir.Constant(rows.type, 1))
    row = builder.select(builder.icmp_signed("<", row, rows), row, last)
    index = builder.add(builder.add(first, builder.mul(row, classes)), ir.Constant(first.type, first_class))
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _beside(builder, data, classes, rows):
    """Room for the rows of a tile of 16-bit floats, and a vector more; and a function that copies them.

    There no lane has to be masked, which is slow in 16 bits: what lies behind a row is the next one.
    """
    room = cgutils.alloca_once(builder, ir.ArrayType(data.type.pointee, TILE * TILE + TILE))
    beside = builder.bitcast(room, data.type)

    def copy(source, target):
        cgutils.raw_memcpy(builder, target, source, builder.mul(classes, rows), data.type.pointee.width // 8)

    return beside, copy


def _column_pointer(context, builder, tile_type, tile, vector, j, first_row):
    index = ir.Constant(ir.IntType(64), j * TILE + first_row)
    return pointer_to(context, builder, tile_type, tile, index, vector)


@intrinsic
def load_tile(typing_context, x, first, classes, rows, tile):
    """tile[j, r] = number j of row r, in x from `first` on, where rows of `classes` numbers follow each other.

    There are 1 to 16 `rows`; the lanes beyond repeat the last. Of the tile's 16 rows of 16 lanes more than the first
    `classes` may be written.
    """

    def codegen(context, builder, signature, arguments):
        array, first, classes, rows, tile = arguments
        tile_type, halves, zero = signature.args[4], x.dtype in HALVES, ir.Constant(classes.type, 0)
        data, place = context.make_array(signature.args[0])(context, builder, array).data, (first, classes, rows)
        if halves:
            beside, copy = _beside(builder, data, classes, rows)
            copy(builder.gep(data, [first]), beside)
            data, place = beside, (zero, classes, rows)
        for vector, first_row, first_class in _blocks(builder, x, classes):
            kind = in_memory(x.dtype, llvm_type(vector))
            there = builder.sub(classes, ir.Constant(classes.type, first_class))
            fill = llvm_constant(llvm_type(vector), 0.0)
            block = []
            for r in range(first_row, first_row + vector.lanes):
                pointer = _row_pointer(builder, data, kind, place, r, first_class)
                block.append(
                    load_whole(builder, x.dtype, pointer)
                    if halves
                    else load_some(builder, x.dtype, pointer, zero, there, fill)
                )
            for j, column in enumerate(_transposed(builder, block)):
                pointer = _column_pointer(context, builder, tile_type, tile, vector, first_class + j, first_row)
                store_whole(builder, tile_type.dtype, pointer, column)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, tile), codegen


@intrinsic
def store_tile(typing_context, tile, out, first, classes, rows):
    """Write the `rows` rows of a tile, of `classes` numbers each, to `out` from `first` on."""

    def codegen(context, builder, signature, arguments):
        tile, array, first, classes, rows = arguments
        tile_type, halves, zero = signature.args[0], out.dtype in HALVES, ir.Constant(classes.type, 0)
        data, place = context.make_array(signature.args[1])(context, builder, array).data, (first, classes, rows)
        if halves:
            target = builder.gep(data, [first])
            data, copy = _beside(builder, data, classes, rows)
            place = zero, classes, rows
        for vector, first_row, first_class in _blocks(builder, out, classes):
            kind = in_memory(out.dtype, llvm_type(vector))
            there = builder.sub(classes, ir.Constant(classes.type, first_class))
            block = []
            for j in range(first_class, first_class + vector.lanes):
                pointer = _column_pointer(context, builder, tile_type, tile, vector, j, first_row)
                block.append(load_whole(builder, tile_type.dtype, pointer))
            for r, row in enumerate(_transposed(builder, block)):
                pointer = _row_pointer(builder, data, kind, place, first_row + r, first_class)
                if halves:
                    store_whole(builder, out.dtype, pointer, row)
                else:
                    store_some(builder, out.dtype, pointer, zero, there, row)
        if halves:
            copy(data, target)
        return context.get_dummy_value()

    return types.void(tile, out, types.intp, types.intp, types.intp), codegen


@intrinsic
def load_labels(typing_context, labels, start, rows, classes, like):
    """The labels of a tile's rows as numbers like those of the vector `like`, NaN where they are none of the classes.

    The lanes beyond the rows repeat the last.
    """
    if labels.dtype != types.int64:
        return None

    def codegen(context, builder, signature, arguments):
        array, start, rows, classes, _ = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        last = builder.load(builder.gep(data, [builder.add(start, builder.sub(rows, ir.Constant(rows.type, 1)))]))
        fill = splat(builder, last, TILE)
        pointer = builder.bitcast(builder.gep(data, [start]), fill.type.as_pointer())
        found = load_some(builder, signature.args[0].dtype, pointer, ir.Constant(rows.type, 0), rows, fill)
        known = builder.icmp_unsigned("<", found, splat(builder, classes, TILE))  # a negative one is a huge one
        numbers = builder.sitofp(builder.trunc(found, ir.VectorType(INT32, TILE)), llvm_type(like))
        return builder.select(known, numbers, llvm_constant(llvm_type(like), math.nan))

    return like(labels, types.intp, types.intp, types.intp, like), codegen
