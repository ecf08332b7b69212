"""Memory of the GPU, sixteen bytes at a time: four float32 or two float64 in one access.

A pack is a tuple of neighbouring elements. Its place must be a multiple of sixteen bytes, which the host sees to
(`lanes_for`); where it is not, kernels are built for packs of one element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import cuda, float32, float64, int64

from softgrad.kernels.cuda.launch import SIMULATED, address_of, device
from softgrad.kernels.formulas.jit import jitable

PACK_BYTES = 16

# Of a dtype's character, the type of a thread's own numbers.
NUMBER = {"f": float32, "d": float64}


def lanes_for(*arrays: Any, row: int | None = None) -> int:
    """How many elements a pack has: as many as sixteen bytes hold if all arrays, and all rows, begin at a multiple."""
    itemsize = arrays[0].dtype.itemsize
    starts = [address_of(array) for array in arrays] + ([] if row is None else [row * itemsize])
    return PACK_BYTES // itemsize if all(start % PACK_BYTES == 0 for start in starts) else 1


if SIMULATED:

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

    def _address(builder: Any, pointer: Any, index: Any, lanes: int) -> Any:
        first = builder.gep(pointer, [index])
        return builder.bitcast(first, ir.VectorType(pointer.type.pointee, lanes).as_pointer())

    def _load_of(lanes: int) -> Callable[..., Any]:
        @intrinsic
        def load(typing_context, pointer, index):
            def codegen(context, builder, signature, arguments):
                vector = builder.load(_address(builder, *arguments, lanes), align=PACK_BYTES)
                items = [builder.extract_element(vector, ir.Constant(ir.IntType(32), k)) for k in range(lanes)]
                return context.make_tuple(builder, signature.return_type, items)

            return types.UniTuple(pointer.dtype, lanes)(pointer, types.int64), codegen

        return load

    def _store_of(lanes: int) -> Callable[..., Any]:
        @intrinsic
        def store(typing_context, pointer, index, pack):
            def codegen(context, builder, signature, arguments):
                address, index, pack = arguments
                place = _address(builder, address, index, lanes)
                vector = ir.Constant(place.type.pointee, ir.Undefined)
                for k in range(lanes):
                    item = builder.extract_value(pack, k)
                    vector = builder.insert_element(vector, item, ir.Constant(ir.IntType(32), k))
                builder.store(vector, place, align=PACK_BYTES)
                return context.get_dummy_value()

            return types.void(pointer, types.int64, pack), codegen

        return store


_load2, _load4, _store2, _store4 = _load_of(2), _load_of(4), _store_of(2), _store_of(4)


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
def store1(pointer, index, pack):
    pointer[index] = pack[0]


@jitable
def store2(pointer, index, pack):
    _store2(pointer, index, pack)


@jitable
def store4(pointer, index, pack):
    _store4(pointer, index, pack)


LOAD = {1: load1, 2: load2, 4: load4}
STORE = {1: store1, 2: store2, 4: store4}


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
def pack1(values, at):
    return (values[at],)


@jitable
def pack2(values, at):
    return values[at], values[at + 1]


@jitable
def pack4(values, at):
    return values[at], values[at + 1], values[at + 2], values[at + 3]


UNPACK = {1: unpack1, 2: unpack2, 4: unpack4}
PACK = {1: pack1, 2: pack2, 4: pack4}


@device
def thread_of_grid():
    """This thread's number among all of the grid's, along x."""
    return int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
