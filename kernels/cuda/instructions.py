"""What the GPU has an instruction for that Numba has no function for, or one that takes more of them."""

from __future__ import annotations

from numba import cuda

from softgrad.kernels.cuda.launch import SIMULATED, device
from softgrad.kernels.formulas import sums
from softgrad.kernels.formulas.jit import jitable

ALL_LANES = 0xFFFFFFFF

if SIMULATED:
    larger = sums.larger

    @device
    def exchanged(x, distance):
        return cuda.shfl_xor_sync(ALL_LANES, x, distance)

    @device
    def added_to(pointer, n):
        return cuda.atomic.add(pointer, 0, n)

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    INT32, INT64 = ir.IntType(32), ir.IntType(64)

    @intrinsic
    def _max(typing_context, a, b):
        def codegen(context, builder, signature, arguments):
            if isinstance(signature.return_type, types.Integer):
                return builder.select(builder.icmp_signed(">", *arguments), *arguments)
            number = arguments[0].type
            name = "llvm.nvvm.fmax." + ("f" if signature.return_type == types.float32 else "d")
            return builder.call(_declared(builder, name, number, number, number), arguments)

        return a(a, b), codegen

    @intrinsic
    def _exchanged(typing_context, x, distance):
        def codegen(context, builder, signature, arguments):
            value, lanes = arguments[0], builder.trunc(arguments[1], INT32)
            if signature.return_type.bitwidth == 32:
                return _shuffled(builder, value, lanes)
            bits = builder.bitcast(value, INT64)
            low = builder.zext(_shuffled(builder, builder.trunc(bits, INT32), lanes), INT64)
            shift = ir.Constant(INT64, 32)
            high = builder.zext(_shuffled(builder, builder.trunc(builder.lshr(bits, shift), INT32), lanes), INT64)
            return builder.bitcast(builder.or_(low, builder.shl(high, shift)), value.type)

        return x(x, types.int64), codegen

    @intrinsic
    def _added_to(typing_context, pointer, n):
        def codegen(context, builder, signature, arguments):
            return builder.atomic_rmw("add", *arguments, "monotonic")

        return pointer.dtype(pointer, pointer.dtype), codegen

    def _declared(builder, name, returned, *taken):
        return builder.module.declare_intrinsic(name, (), ir.FunctionType(returned, taken))

    def _shuffled(builder, value, lanes):
        """Of a lane so many lanes away; float32 as such, without a move to an integer register and back."""
        name = "llvm.nvvm.shfl.sync.bfly." + ("f32" if value.type == ir.FloatType() else "i32")
        shuffle = _declared(builder, name, value.type, INT32, value.type, INT32, INT32)
        return builder.call(shuffle, [ir.Constant(INT32, -1), value, lanes, ir.Constant(INT32, 31)])

    # Functions, since the compile cache cannot name an intrinsic that a kernel closes over.

    @jitable
    def larger(a, b):
        """The larger of two numbers of one type; NaN is passed over."""
        return _max(a, b)

    @jitable
    def exchanged(x, distance):
        """The `x` of the lane whose number differs in the bit `distance`; all lanes of the warp must call it."""
        return _exchanged(x, distance)

    @jitable
    def added_to(pointer, n):
        """What an integer in memory was, before `n` is added to it at once, whoever else does so."""
        return _added_to(pointer, n)
