"""Memory of the GPU, sixteen bytes at a time: two float64, four float32 or eight 16-bit floats in one access.

A pack is a tuple of neighbouring elements. Its place must be a multiple of sixteen bytes, which the host sees to
(`lanes_for`); where it is not, kernels are built for packs of one element. In an array of wider or narrower elements
beside the first a pack of as many takes more accesses, or a smaller one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from numba import cuda, float32, float64, int64

from softgrad.kernels.cuda.launch import SIMULATED, device
from softgrad.kernels.formulas.jit import jitable

PACK_BYTES = 16

# Of the character of the dtype computed in, the type of a thread's own numbers.
NUMBER = {"f": float32, "d": float64}


def are_aligned(*arrays: Any) -> bool:
    """Do all arrays begin at a multiple of sixteen bytes?"""
    places = 0
    for array in arrays:
        places |= array.data.ptr
    return not places % PACK_BYTES


def lanes_for(*arrays: Any) -> int:
    """How many elements a pack has: as many as sixteen bytes hold if all arrays begin at a multiple of those."""
    return PACK_BYTES // arrays[0].dtype.itemsize if are_aligned(*arrays) else 1


if SIMULATED:

    def shared_room_of(number: str, places: int = 0) -> Callable[[], Any]:
        number_type = NUMBER[number]
        return device(lambda: cuda.shared.array(places, number_type))

    def _load_of(lanes: int) -> Callable[..., Any]:
        return lambda pointer, index: tuple(pointer[index + k] for k in range(lanes))

    def _store_of(lanes: int) -> Callable[..., Any]:
        def store(pointer, index, pack):
            for k in range(lanes):
                pointer[index + k] = pack[k]

        return store

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    from softgrad.kernels.cuda.half import INT32, HalfPointer, packed, unpacked

    @intrinsic
    def _pointer_to(typing_context, array):
        def codegen(context, builder, signature, arguments):
            return context.make_array(array)(context, builder, arguments[0]).data

        return types.CPointer(array.dtype)(array), codegen

    def shared_room_of(number: str, places: int = 0) -> Callable[[], Any]:
        """Build ``room()``: memory that a block shares, of so many numbers, or of as many as it is launched with.

        It begins at a multiple of sixteen bytes, and no place below 0 is counted from its end, as Numba's are. One that
        is built has one place in a kernel.
        """
        number_type, pack_bytes = NUMBER[number], PACK_BYTES

        def room():
            return _pointer_to(cuda.shared.array(places, number_type, alignment=pack_bytes))

        return device(room)

    def _accesses(builder: Any, pointer: Any, kind: Any, lanes: int, address: Any, index: Any) -> Iterator[Any]:
        """The places of a pack, each of sixteen bytes or, of a smaller pack, as many as it has; and their units.

        A unit is an element, or a word of two 16-bit floats.
        """
        unit = INT32 if isinstance(pointer, HalfPointer) else kind
        bits = 16 if isinstance(pointer, HalfPointer) else pointer.dtype.bitwidth
        unit_bytes = 4 if unit is INT32 else bits // 8
        count = min(lanes * bits // 8, PACK_BYTES) // unit_bytes
        first = builder.bitcast(builder.gep(address, [index]), unit.as_pointer())
        for begin in range(0, lanes * bits // 8 // unit_bytes, count):
            place = builder.gep(first, [ir.Constant(INT32, begin)])
            yield builder.bitcast(place, ir.VectorType(unit, count).as_pointer()), count * unit_bytes

    def _load_of(lanes: int) -> Callable[..., Any]:
        @intrinsic
        def load(typing_context, pointer, index):
            def codegen(context, builder, signature, arguments):
                items = []
                kind = context.get_value_type(pointer.dtype)
                for place, size in _accesses(builder, pointer, kind, lanes, *arguments):
                    vector = builder.load(place, align=size)
                    units = [builder.extract_element(vector, ir.Constant(INT32, k)) for k in range(vector.type.count)]
                    if isinstance(pointer, HalfPointer):
                        units = [number for word in units for number in unpacked(builder, pointer.char, word)]
                    items += units
                return context.make_tuple(builder, signature.return_type, items)

            return types.UniTuple(pointer.dtype, lanes)(pointer, types.int64), codegen

        return load

    def _store_of(lanes: int) -> Callable[..., Any]:
        @intrinsic
        def store(typing_context, pointer, index, pack):
            def codegen(context, builder, signature, arguments):
                address, index, pack = arguments
                kind = context.get_value_type(pointer.dtype)
                units = [builder.extract_value(pack, k) for k in range(lanes)]
                if isinstance(pointer, HalfPointer):
                    pairs = zip(units[::2], units[1::2], strict=True)
                    units = [packed(builder, pointer.char, *pair) for pair in pairs]
                for place, size in _accesses(builder, pointer, kind, lanes, address, index):
                    vector = ir.Constant(place.type.pointee, ir.Undefined)
                    for k in range(vector.type.count):
                        vector = builder.insert_element(vector, units.pop(0), ir.Constant(INT32, k))
                    builder.store(vector, place, align=size)
                return context.get_dummy_value()

            return types.void(pointer, types.int64, pack), codegen

        return store


_load2, _load4, _load8 = _load_of(2), _load_of(4), _load_of(8)
_store2, _store4, _store8 = _store_of(2), _store_of(4), _store_of(8)


# Functions, since the compile cache cannot name an intrinsic that a kernel closes over.


@jitable
def load1(pointer, index):
    return (pointer[index],)


@jitable
def load2(pointer, index):
    return _load2(pointer, index)


@jitable
def load4(pointer, index):
    return _load4(pointer, index)


@jitable
def load8(pointer, index):
    return _load8(pointer, index)


@jitable
def store1(pointer, index, pack):
    pointer[index] = pack[0]


@jitable
def store2(pointer, index, pack):
    _store2(pointer, index, pack)


@jitable
def store4(pointer, index, pack):
    _store4(pointer, index, pack)


@jitable
def store8(pointer, index, pack):
    _store8(pointer, index, pack)


LOAD = {1: load1, 2: load2, 4: load4, 8: load8}
STORE = {1: store1, 2: store2, 4: store4, 8: store8}


# ---- a pack to and from places of an array of the thread's own, from `at` on


@jitable
def unpack1(values, at, pack):
    values[at] = pack[0]


@jitable
def unpack2(values, at, pack):
    values[at], values[at + 1] = pack


@jitable
def unpack4(values, at, pack):
    values[at], values[at + 1], values[at + 2], values[at + 3] = pack


@jitable
def unpack8(values, at, pack):
    a, b, c, d, e, f, g, h = pack
    unpack4(values, at, (a, b, c, d))
    unpack4(values, at + 4, (e, f, g, h))


@jitable
def pack1(values, at):
    return (values[at],)


@jitable
def pack2(values, at):
    return values[at], values[at + 1]


@jitable
def pack4(values, at):
    return values[at], values[at + 1], values[at + 2], values[at + 3]


@jitable
def pack8(values, at):
    a, b, c, d = pack4(values, at)
    e, f, g, h = pack4(values, at + 4)
    return a, b, c, d, e, f, g, h


UNPACK = {1: unpack1, 2: unpack2, 4: unpack4, 8: unpack8}
PACK = {1: pack1, 2: pack2, 4: pack4, 8: pack8}


# ---- of a pack those elements that lie before the array's end, one by one


@cache
def partly_of(lanes: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Build ``take(values, at, pointer, index, size)``, which puts 0 for the others, and ``give``, the way back."""

    def take(values, at, pointer, index, size):
        for k in range(lanes):
            values[at + k] = pointer[index + k] if index + k < size else values.dtype.type(0)

    def give(values, at, pointer, index, size):
        for k in range(lanes):
            if index + k < size:
                pointer[index + k] = values[at + k]

    return jitable(take), jitable(give)


@device
def thread_of_grid():
    """This thread's number among all of the grid's, along x."""
    return int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
