"""16-bit floats in the GPU's memory: a kernel reads an element as float32, and what it writes is rounded.

A kernel takes them by a pointer of its own type, and is written as for any other. Packs of them are taken apart and put
together in words of 32 bits, two numbers each.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numba.core import config

# The characters of their dtypes: float16, and the bfloat16 of `ml_dtypes`.
FLOAT16, BFLOAT16 = "e", "E"
HALVES = (FLOAT16, BFLOAT16)

if config.ENABLE_CUDASIM:
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    class HalfArray(FakeCUDAArray):
        """An array of the simulator's that reads and rounds as the pointer does."""

        def __getitem__(self, index: Any) -> Any:
            return np.float32(self._ary[index])

        def __setitem__(self, index: Any, number: Any) -> None:
            with np.errstate(all="ignore"):
                self._ary[index] = number

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import lower_builtin, models, register_model

    FLOAT, HALF, INT16, INT32 = ir.FloatType(), ir.HalfType(), ir.IntType(16), ir.IntType(32)

    class HalfPointer(types.CPointer):
        """A pointer to 16-bit floats of the dtype with that character; to a kernel its elements are float32."""

        def __init__(self, char: str) -> None:
            self.char, self.dtype, self.addrspace = char, types.float32, None
            types.Type.__init__(self, f"half_{char}*")

        @property
        def key(self) -> Any:
            return self.char

    @register_model(HalfPointer)
    class _HalfPointerModel(models.PrimitiveModel):
        def __init__(self, manager: Any, pointer: Any) -> None:
            super().__init__(manager, pointer, INT16.as_pointer())

    @lower_builtin(operator.getitem, HalfPointer, types.Integer)
    def _element(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.load(builder.gep(arguments[0], [arguments[1]]))
        if signature.args[0].char == FLOAT16:
            return builder.fpext(builder.bitcast(bits, HALF), FLOAT)
        return builder.bitcast(builder.shl(builder.zext(bits, INT32), ir.Constant(INT32, 16)), FLOAT)

    @lower_builtin(operator.setitem, HalfPointer, types.Integer, types.Any)
    def _set_element(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, index, number = arguments
        word = packed(builder, signature.args[0].char, number, ir.Constant(FLOAT, 0.0))
        builder.store(builder.trunc(word, INT16), builder.gep(pointer, [index]))
        return context.get_dummy_value()

    def unpacked(builder: Any, char: str, word: Any) -> tuple[Any, Any]:
        """The two numbers of a word, as float32."""
        sixteen = ir.Constant(INT32, 16)
        if char == BFLOAT16:
            high = builder.and_(word, ir.Constant(INT32, 0xFFFF0000))
            return builder.bitcast(builder.shl(word, sixteen), FLOAT), builder.bitcast(high, FLOAT)
        halves = (builder.trunc(bits, INT16) for bits in (word, builder.lshr(word, sixteen)))
        first, second = (builder.fpext(builder.bitcast(bits, HALF), FLOAT) for bits in halves)
        return first, second

    def packed(builder: Any, char: str, first: Any, second: Any) -> Any:
        """The word of two numbers, rounded."""
        if char == BFLOAT16:  # NVVM knows no type for it; the instruction is sm_80's
            convert = ir.InlineAsm(ir.FunctionType(INT32, [FLOAT, FLOAT]), "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f")
            return builder.call(convert, [second, first])
        bits = (builder.zext(builder.bitcast(builder.fptrunc(x, HALF), INT16), INT32) for x in (first, second))
        low, high = bits
        return builder.or_(low, builder.shl(high, ir.Constant(INT32, 16)))
