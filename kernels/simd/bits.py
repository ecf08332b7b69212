"""Exponents: powers of two made from bits, and numbers split into mantissa and exponent, in every lane."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from softgrad.kernels.simd.vector import (
    BIAS,
    MANTISSA_BITS,
    dtype_of,
    lanewise,
    llvm_constant,
    llvm_integers,
    llvm_type,
)


def _emit_power(builder, number, shifted):
    """2**n, for a number whose lowest bits hold n + the exponent's bias: they are moved up to the exponent's place."""
    dtype, integers, kind = dtype_of(number), llvm_integers(number), llvm_type(number)
    bits = builder.bitcast(shifted, integers)
    return builder.bitcast(builder.shl(bits, llvm_constant(integers, MANTISSA_BITS[dtype])), kind)


power_of_low_bits = lanewise("power_of_low_bits", 1, _emit_power)


@intrinsic
def power_halves_of_low_bits(typing_context, shifted):
    """(2**h, 2**(n - h)) with h = n // 2, for a number whose lowest bits hold n + twice the exponent's bias."""

    def codegen(context, builder, signature, arguments):
        integers, kind = llvm_integers(shifted), llvm_type(shifted)
        bits = builder.bitcast(arguments[0], integers)
        half = builder.lshr(bits, llvm_constant(integers, 1))
        powers = [
            _emit_power(builder, shifted, builder.bitcast(part, kind)) for part in (half, builder.sub(bits, half))
        ]
        return context.make_tuple(builder, signature.return_type, powers)

    return types.UniTuple(shifted, 2)(shifted), codegen


# 3/4 as bits: the mantissa that `split_exponent` gives lies in [3/4, 3/2).
_THREE_QUARTERS_BITS = {types.float32: 0x3F400000, types.float64: 0x3FE8000000000000}


@intrinsic
def split_exponent(typing_context, x):
    """(m, e) with x = m * 2**e, m in [3/4, 3/2), e whole, both in x's type; for normal x > 0."""
    dtype = dtype_of(x)

    def codegen(context, builder, signature, arguments):
        integers, kind = llvm_integers(x), llvm_type(x)
        mantissa, offset = MANTISSA_BITS[dtype], llvm_constant(integers, _THREE_QUARTERS_BITS[dtype])
        above = builder.sub(builder.bitcast(arguments[0], integers), offset)
        exponent = builder.ashr(above, llvm_constant(integers, mantissa))
        fraction = builder.add(builder.and_(above, llvm_constant(integers, (1 << mantissa) - 1)), offset)
        parts = [builder.bitcast(fraction, kind), builder.sitofp(exponent, kind)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(x, 2)(x), codegen


@intrinsic
def exponent_of(typing_context, x):
    """(e, 2**(2 - e)) with `split_exponent`'s e; for normal x > 0. The power is normal, which 2**-e may not be."""
    dtype = dtype_of(x)

    def codegen(context, builder, signature, arguments):
        integers, kind = llvm_integers(x), llvm_type(x)
        mantissa = llvm_constant(integers, MANTISSA_BITS[dtype])
        above = builder.sub(
            builder.bitcast(arguments[0], integers), llvm_constant(integers, _THREE_QUARTERS_BITS[dtype])
        )
        exponent = builder.ashr(above, mantissa)
        power = builder.shl(builder.sub(llvm_constant(integers, BIAS[dtype] + 2), exponent), mantissa)
        parts = [builder.sitofp(exponent, kind), builder.bitcast(power, kind)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(x, 2)(x), codegen
