"""Vectors to and from memory, as LLVM's instructions: whole, or some of their lanes only; 16-bit floats by the way.

What is emitted here `memory` makes functions of, and `tiles` takes as it is.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types

from softgrad.kernels.simd.half import HALVES, in_memory, rounded, widened
from softgrad.kernels.simd.vector import INT32, call_llvm, llvm_constant, llvm_suffix, llvm_type, splat


def pointer_to(context, builder, array_type, array, index, vector):
    """The address of a vector of lanes from `index` on."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), in_memory(array_type.dtype, llvm_type(vector)).as_pointer())


def first_lanes(builder, count, lanes):
    """The mask of the first `count` lanes."""
    limit = splat(builder, builder.trunc(count, INT32), lanes)
    return builder.icmp_signed("<", ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes))), limit)


def lanes_between(builder, low, high, lanes):
    """The mask of the lanes from the `low`th up to the `high`th."""
    if isinstance(low, ir.Constant):
        return first_lanes(builder, high, lanes)
    return builder.and_(first_lanes(builder, high, lanes), builder.not_(first_lanes(builder, low, lanes)))


def load_whole(builder, element, pointer):
    """The lanes at an address in an array of such elements."""
    return widened(builder, element, builder.load(pointer, align=element.bitwidth // 8))


def store_whole(builder, element, pointer, x):
    """Write all lanes."""
    builder.store(rounded(builder, element, x), pointer, align=element.bitwidth // 8)


def load_some(builder, element, pointer, low, high, fill):
    """The lanes from the `low`th up to the `high`th, the others as in `fill`."""
    mask = lanes_between(builder, low, high, fill.type.count)
    if element not in HALVES:
        return _masked_load(builder, element, pointer, mask, fill)
    found = builder.call(_apart(builder, "load", pointer.type, pointer.type.pointee), (pointer, low, high))
    return builder.select(mask, widened(builder, element, found), fill)


def store_some(builder, element, pointer, low, high, x):
    """Write the lanes from the `low`th up to the `high`th."""
    if element not in HALVES:
        _masked_store(builder, element, pointer, lanes_between(builder, low, high, x.type.count), x)
    else:
        function = _apart(builder, "store", pointer.type, ir.VoidType(), pointer.type.pointee)
        builder.call(function, (pointer, low, high, rounded(builder, element, x)))


def _masked_load(builder, element, pointer, mask, fill):
    name = f"llvm.masked.load.{llvm_suffix(fill.type)}.p0"
    return call_llvm(builder, name, fill.type, (pointer, _alignment(element), mask, fill))


def _masked_store(builder, element, pointer, mask, x):
    name = f"llvm.masked.store.{llvm_suffix(x.type)}.p0"
    call_llvm(builder, name, ir.VoidType(), (x, pointer, _alignment(element), mask))


def _apart(builder, what, pointer, returned, *more):
    """A function for the access of some lanes of 16 bits, ``(pointer, low, high, *more)``, apart from where it is made.

    AVX2 has no such access under a mask: LLVM looks at each lane's bit, in so many instructions that a loop would be
    called instead of being put in place. (A copy to a vector's room on the stack is no way out: LLVM took it for
    aligned where the stack is not.)
    """
    vector, index = pointer.pointee, ir.IntType(64)
    name = f"softgrad.{what}.some.{llvm_suffix(vector)}"
    if name in builder.module.globals:
        return builder.module.globals[name]
    function = ir.Function(builder.module, ir.FunctionType(returned, (pointer, index, index, *more)), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    inner = ir.IRBuilder(function.append_basic_block())
    address, low, high, *values = function.args
    mask = lanes_between(inner, low, high, vector.count)
    if values:
        _masked_store(inner, types.int16, address, mask, *values)
        inner.ret_void()
    else:
        inner.ret(_masked_load(inner, types.int16, address, mask, llvm_constant(vector, 0)))
    return function


def _alignment(element):
    return ir.Constant(INT32, element.bitwidth // 8)
