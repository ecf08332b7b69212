"""Tiles: sixteen narrow rows of a matrix turned on their side, so that a lane is a row and a vector one class of all.

A row of ten classes would leave six lanes idle, and its maximum and sum would be taken across lanes, which costs as
much as its exponentials. In a tile everything is lanewise; to turn one there and back takes 3 ns a row of float32.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from softgrad.kernels.cpu.memory import LINE_BYTES, first_lanes, masked_load, masked_store, pointer_to
from softgrad.kernels.simd.vector import INT32, LANES, Vector, llvm_constant, llvm_type, splat

# Rows in a tile, and the classes it has room for.
TILE = max(LANES.values())


def _blocks(builder, array, classes):
    """Square blocks of a tile that fit the registers, as (vector of one side, first row, first class)."""
    side = LINE_BYTES * 8 // array.dtype.bitwidth
    vector = Vector(array.dtype, side)
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


def _row_pointer(context, builder, array_type, array, vector, place, r, first_class):
    """The address of row r of a tile from `first_class` on, the tile at place = (first, classes, rows) in the array.

    A row that is not there stands for the last that is: it is read, and written, more than once.
    """
    first, classes, rows = place
    row = ir.Constant(rows.type, r)
    last = builder.sub(rows, ir.Constant(rows.type, 1))
    row = builder.select(builder.icmp_signed("<", row, rows), row, last)
    index = builder.add(builder.add(first, builder.mul(row, classes)), ir.Constant(first.type, first_class))
    return pointer_to(context, builder, array_type, array, index, vector)


def _column_pointer(context, builder, tile_type, tile, vector, j, first_row):
    index = ir.Constant(ir.IntType(64), j * TILE + first_row)
    return pointer_to(context, builder, tile_type, tile, index, vector)


def _mask(builder, classes, first_class, vector):
    return first_lanes(builder, builder.sub(classes, ir.Constant(classes.type, first_class)), vector.lanes)


@intrinsic
def load_tile(typing_context, x, first, classes, rows, tile):
    """tile[j, r] = number j of row r, in x from `first` on, where rows of `classes` numbers follow each other.

    There are 1 to 16 `rows`; the lanes beyond repeat the last. Of the tile's 16 rows of 16 lanes more than the first
    `classes` may be written.
    """

    def codegen(context, builder, signature, arguments):
        array, first, classes, rows, tile = arguments
        array_type, tile_type = signature.args[0], signature.args[4]
        for vector, first_row, first_class in _blocks(builder, x, classes):
            mask = _mask(builder, classes, first_class, vector)
            fill = ir.Constant(context.get_value_type(vector), [0.0] * vector.lanes)
            block = []
            for r in range(first_row, first_row + vector.lanes):
                place = first, classes, rows
                pointer = _row_pointer(context, builder, array_type, array, vector, place, r, first_class)
                block.append(masked_load(builder, pointer, mask, fill))
            for j, column in enumerate(_transposed(builder, block)):
                pointer = _column_pointer(context, builder, tile_type, tile, vector, first_class + j, first_row)
                builder.store(column, pointer, align=x.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, tile), codegen


@intrinsic
def store_tile(typing_context, tile, out, first, classes, rows):
    """Write the `rows` rows of a tile, of `classes` numbers each, to `out` from `first` on."""

    def codegen(context, builder, signature, arguments):
        tile, array, first, classes, rows = arguments
        tile_type, array_type = signature.args[0], signature.args[1]
        for vector, first_row, first_class in _blocks(builder, out, classes):
            mask = _mask(builder, classes, first_class, vector)
            block = []
            for j in range(first_class, first_class + vector.lanes):
                pointer = _column_pointer(context, builder, tile_type, tile, vector, j, first_row)
                block.append(builder.load(pointer, align=out.dtype.bitwidth // 8))
            for r, row in enumerate(_transposed(builder, block)):
                place = first, classes, rows
                pointer = _row_pointer(context, builder, array_type, array, vector, place, first_row + r, first_class)
                masked_store(builder, pointer, mask, row)
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
        found = masked_load(builder, pointer, first_lanes(builder, rows, TILE), fill)
        known = builder.icmp_unsigned("<", found, splat(builder, classes, TILE))  # a negative one is a huge one
        numbers = builder.sitofp(builder.trunc(found, ir.VectorType(INT32, TILE)), llvm_type(like))
        return builder.select(known, numbers, llvm_constant(llvm_type(like), math.nan))

    return like(labels, types.intp, types.intp, types.intp, like), codegen
