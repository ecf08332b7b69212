"""16-bit floats: how kernels hold them, and what becomes of them on the way from memory and back.

They are storage alone: a number is widened to float32 when it is loaded, which is exact, and rounded to the nearest,
ties to even, when it is stored. Numba can compute with neither of them on a processor, so kernels are given their bits:
an array of float16 as one of uint16, an array of bfloat16 as one of int16.

bfloat16 is the upper half of a float32. float16 is converted by the processor where it has instructions for that, else
by arithmetic with the bits of a float32, whose exponent has three bits more.
"""

from __future__ import annotations

import platform
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config

# Of the types that elements have in memory, that of the numbers computed with.
NUMBER = {
    types.float32: types.float32,
    types.float64: types.float64,
    types.uint16: types.float32,
    types.int16: types.float32,
}
HALVES = (types.uint16, types.int16)

FLOAT32, INT32, INT16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)

# Bits of a float32: its sign, infinity, and 2^16, 2^-14 and 2^112, by which float16's numbers are bounded and scaled.
SIGN, INFINITY = 0x80000000, 0x7F800000
TOO_LARGE, SMALLEST_NORMAL, EXPONENTS_APART = 0x47800000, 0x38800000, 2.0**112
# And 1/2: added to a number below 2^-14 it leaves that number, rounded to float16's smallest, in its last bits.
HALF = 0x3F000000
# The NaN that all become, and infinity, in float16; the bit that makes a NaN quiet in bfloat16.
NAN16, INFINITY16, QUIET = 0x7E00, 0x7C00, 0x400000


def number_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """NumPy's dtype of the numbers that elements of that dtype are computed in."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def _like(kind: ir.Type, element: ir.Type) -> ir.Type:
    """A vector of such elements, with as many lanes as `kind` if that is one."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def _constant(kind: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def in_memory(element: types.Type, number: ir.Type) -> ir.Type:
    """What a number, or a vector of them, is in an array of such elements."""
    return _like(number, INT16) if element in HALVES else number


def widened(builder, element, bits):
    """What was loaded from an array of such elements, as float32 if it is in 16 bits."""
    if element not in HALVES:
        return bits
    floats, integers = _like(bits.type, FLOAT32), _like(bits.type, INT32)
    if element == types.int16:
        return builder.bitcast(builder.shl(builder.zext(bits, integers), _constant(integers, 16)), floats)
    if _processor_converts():
        return builder.fpext(builder.bitcast(bits, _like(bits.type, ir.HalfType())), floats)
    wide = builder.zext(bits, integers)
    size = builder.shl(builder.and_(wide, _constant(integers, 0x7FFF)), _constant(integers, 13))
    scaled = builder.fmul(builder.bitcast(size, floats), _constant(floats, EXPONENTS_APART))
    not_finite = builder.icmp_unsigned(">=", size, _constant(integers, INFINITY16 << 13))
    size = builder.select(
        not_finite, builder.or_(size, _constant(integers, INFINITY)), builder.bitcast(scaled, integers)
    )
    sign = builder.shl(builder.and_(wide, _constant(integers, 0x8000)), _constant(integers, 16))
    return builder.bitcast(builder.or_(size, sign), floats)


def rounded(builder, element, x):
    """A number as it is stored in an array of such elements."""
    if element not in HALVES:
        return x
    integers, shorts = _like(x.type, INT32), _like(x.type, INT16)
    if element == types.uint16 and _processor_converts():
        return builder.bitcast(builder.fptrunc(x, _like(x.type, ir.HalfType())), shorts)
    bits = builder.bitcast(x, integers)
    to_bits = _to_bfloat16 if element == types.int16 else _to_float16
    return builder.trunc(to_bits(builder, x, bits, integers), shorts)


def _to_bfloat16(builder, x, bits, integers):
    sixteen = _constant(integers, 16)
    last = builder.and_(builder.lshr(bits, sixteen), _constant(integers, 1))
    nearest = builder.add(bits, builder.add(last, _constant(integers, 0x7FFF)))
    quiet = builder.or_(bits, _constant(integers, QUIET))
    return builder.lshr(builder.select(builder.fcmp_unordered("uno", x, x), quiet, nearest), sixteen)


def _to_float16(builder, x, bits, integers):
    floats = x.type
    size = builder.and_(bits, _constant(integers, SIGN - 1))
    half = builder.bitcast(_constant(integers, HALF), floats)
    tiny = builder.sub(
        builder.bitcast(builder.fadd(builder.bitcast(size, floats), half), integers), _constant(integers, HALF)
    )
    last = builder.and_(builder.lshr(size, _constant(integers, 13)), _constant(integers, 1))
    # The exponent is counted from 15 where float32 counts from 127.
    biased = builder.add(size, _constant(integers, ((15 - 127) << 23) + 0xFFF))
    normal = builder.lshr(builder.add(biased, last), _constant(integers, 13))
    found = builder.select(builder.icmp_unsigned("<", size, _constant(integers, SMALLEST_NORMAL)), tiny, normal)
    too_large = builder.icmp_unsigned(">=", size, _constant(integers, TOO_LARGE))
    found = builder.select(too_large, _constant(integers, INFINITY16), found)
    is_nan = builder.icmp_unsigned(">", size, _constant(integers, INFINITY))
    found = builder.select(is_nan, _constant(integers, NAN16), found)
    sign = builder.lshr(builder.and_(bits, _constant(integers, SIGN)), _constant(integers, 16))
    return builder.or_(found, sign)


def _processor_converts() -> bool:
    """Has the processor that is compiled for instructions for float16, so that LLVM needs no library?"""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    if config.CPU_NAME is not None or config.CPU_FEATURES is not None:
        return "+f16c" in (config.CPU_FEATURES or "").split(",")
    return bool(llvm.get_host_cpu_features().get("f16c", False))
