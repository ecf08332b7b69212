"""What PTX's instructions give, in Python's integers, fractions and NumPy's numbers, to hold the interpreter to.

A reference takes and gives bits, as a lane has them: of the instruction set's own words, not of the interpreter's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

Reference = Callable[..., int]

NAN_32 = 0x7FFFFFFF
NAN_16 = 0x7FFF

# Formats of floating point: bits of the exponent and of the fraction.
FORMATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}
INTEGERS = ("s16", "u16", "s32", "u32", "s64", "u64")


def width_of(kind: str) -> int:
    return int(kind.lstrip("bsuf"))


def to_integer(bits: int, kind: str) -> int:
    """The number that bits are in an integer type."""
    width = width_of(kind)
    bits &= (1 << width) - 1
    return bits - (1 << width) if kind[0] == "s" and bits >> (width - 1) else bits


def to_bits(value: int, width: int) -> int:
    return value & ((1 << width) - 1)


def to_float(bits: int, kind: str) -> float:
    """The number that bits are in a format, exactly."""
    exponent_bits, fraction_bits = FORMATS[kind]
    sign = -1.0 if bits >> (exponent_bits + fraction_bits) & 1 else 1.0
    exponent, fraction = bits >> fraction_bits & ((1 << exponent_bits) - 1), bits & ((1 << fraction_bits) - 1)
    if exponent == (1 << exponent_bits) - 1:
        return math.nan if fraction else sign * math.inf
    bias = (1 << (exponent_bits - 1)) - 1
    if exponent == 0:
        return sign * math.ldexp(fraction, 1 - bias - fraction_bits)
    return sign * math.ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits)


def from_float(value: float | Fraction, kind: str, *, negative: bool | None = None) -> int:
    """The bits of a number rounded to a format, to the nearest, ties to even; `negative` is the sign of a zero."""
    exponent_bits, fraction_bits = FORMATS[kind]
    bias = (1 << (exponent_bits - 1)) - 1
    infinite = ((1 << exponent_bits) - 1) << fraction_bits
    if isinstance(value, float):
        if math.isnan(value):
            return (
                NAN_16 if exponent_bits + fraction_bits == 15 else NAN_32 if kind == "f32" else infinite | infinite >> 1
            )
        sign = math.copysign(1.0, value) < 0
        if math.isinf(value):
            return sign << (exponent_bits + fraction_bits) | infinite
        value = Fraction(value)
    else:
        sign = value < 0
    sign = bool(negative) if value == 0 and negative is not None else sign
    size = abs(value)
    exponent = 1 - bias
    if size:
        above = math.floor(math.log2(size.numerator) - math.log2(size.denominator)) + 1
        while Fraction(2) ** above > size:
            above -= 1
        exponent = max(above, exponent)
    units = round(size / Fraction(2) ** (exponent - fraction_bits))  # to even at ties
    bits = min(units + ((exponent + bias - 1) << fraction_bits), infinite) if units else 0
    return sign << (exponent_bits + fraction_bits) | bits


# ---- integers


def _of_integers(kind: str, result_width: int, compute: Callable[..., int], kinds: tuple[str, ...] = ()) -> Reference:
    def reference(*bits: int) -> int:
        given = (to_integer(one, kinds[place] if kinds else kind) for place, one in enumerate(bits))
        return to_bits(compute(*given), result_width)

    return reference


def _divided(a: int, b: int) -> int:
    return -1 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _rest(a: int, b: int) -> int:
    return a if b == 0 else a - b * _divided(a, b)


def _field(kind: str) -> Reference:
    top = width_of(kind) - 1

    def reference(a: int, begin: int, length: int) -> int:
        begin, length = begin & 0xFF, length & 0xFF
        sign = 0 if kind[0] == "u" or length == 0 else a >> min(begin + length - 1, top) & 1
        bits = [a >> (begin + i) & 1 if i < length and begin + i <= top else sign for i in range(top + 1)]
        return sum(bit << i for i, bit in enumerate(bits))

    return reference


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def integers() -> Iterator[tuple[str, Reference]]:
    for kind in INTEGERS:
        width = width_of(kind)
        for name, compute in {
            "add": lambda a, b: a + b,
            "sub": lambda a, b: a - b,
            "mul.lo": lambda a, b: a * b,
            "mul.hi": lambda a, b, width=width: a * b >> width,
            "mad.lo": lambda a, b, c: a * b + c,
            "div": _divided,
            "rem": _rest,
            "min": min,
            "max": max,
        }.items():
            yield f"{name}.{kind}", _of_integers(kind, width, compute)
        counted = _of_integers(kind, width, lambda a, count, width=width: a >> min(count, width), (kind, "u32"))
        yield f"shr.{kind}", counted
        for name, compare in COMPARISONS.items():
            yield f"setp.{name}.{kind}", _of_integers(kind, 1, compare)
        if width < 64:
            wide = f"{kind[0]}{2 * width}"
            yield f"mul.wide.{kind}", _of_integers(kind, 2 * width, lambda a, b: a * b)
            yield f"mad.wide.{kind}", _of_integers(kind, 2 * width, lambda a, b, c: a * b + c, (kind, kind, wide))
        if width > 16:
            yield f"bfe.{kind}", _field(kind)
        if kind[0] == "s":
            yield f"neg.{kind}", _of_integers(kind, width, lambda a: -a)
            yield f"abs.{kind}", _of_integers(kind, width, abs)


# ---- bits


def _inserted(top: int) -> Reference:
    def reference(a: int, b: int, begin: int, length: int) -> int:
        begin, length = begin & 0xFF, length & 0xFF
        for i in range(length):
            if begin + i <= top:
                b = b & ~(1 << (begin + i)) | (a >> i & 1) << (begin + i)
        return b

    return reference


def _permuted(a: int, b: int, selector: int) -> int:
    data = [*a.to_bytes(4, "little"), *b.to_bytes(4, "little")]
    chosen = (selector >> 4 * place & 15 for place in range(4))
    return int.from_bytes([(0xFF if data[one & 7] >> 7 else 0) if one & 8 else data[one] for one in chosen], "little")


def _looked_up(a: int, b: int, c: int, table: int) -> int:
    return sum((table >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1) & 1) << i for i in range(32))


def _funnel(left: bool, wrap: bool) -> Reference:
    def reference(a: int, b: int, count: int) -> int:
        by = count & 31 if wrap else min(count, 32)
        both = b << 32 | a
        return to_bits(both << by >> 32 if left else both >> by, 32)

    return reference


def bits() -> Iterator[tuple[str, Reference]]:
    for width in (1, 16, 32, 64):
        kind = "pred" if width == 1 else f"b{width}"
        yield f"and.{kind}", lambda a, b: a & b
        yield f"or.{kind}", lambda a, b: a | b
        yield f"xor.{kind}", lambda a, b: a ^ b
        yield f"not.{kind}", lambda a, width=width: to_bits(~a, width)
        if width == 1:
            continue
        yield f"shl.{kind}", lambda a, count, width=width: to_bits(a << min(count, width), width)
        yield f"shr.{kind}", lambda a, count, width=width: a >> min(count, width)
        yield f"setp.eq.{kind}", lambda a, b: a == b
        yield f"setp.ne.{kind}", lambda a, b: a != b
        if width > 16:
            yield f"popc.{kind}", int.bit_count
            yield f"clz.{kind}", lambda a, width=width: width - a.bit_length()
            yield f"brev.{kind}", lambda a, width=width: int(f"{a:0{width}b}"[::-1], 2)
            yield f"bfi.{kind}", _inserted(width - 1)
    for side in "lr":
        for mode in ("clamp", "wrap"):
            yield f"shf.{side}.{mode}.b32", _funnel(side == "l", mode == "wrap")
    yield "prmt.b32", _permuted
    yield "lop3.b32", _looked_up


def moves() -> Iterator[tuple[str, Reference]]:
    for kind in ("b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"):
        yield f"mov.{kind}", lambda a: a
        yield f"selp.{kind}", lambda a, b, p: a if p else b
    for name in ("mov.pred", "cvta.to.global.u64", "cvta.global.u64"):
        yield name, lambda a: a


# ---- floating point


def _of_floats(kind: str, compute: Callable[..., Any]) -> Reference:
    """By NumPy's arithmetic, which rounds as IEEE 754 says."""
    number = np.float32 if kind == "f32" else np.float64

    def reference(*given: int) -> int:
        with np.errstate(all="ignore"):
            result = compute(*(number(to_float(one, kind)) for one in given))
        return from_float(float(result), kind)

    return reference


def _fused(kind: str) -> Reference:
    def reference(*given: int) -> int:
        a, b, c = (to_float(one, kind) for one in given)
        if not (math.isfinite(a) and math.isfinite(b)):
            return from_float(a * b + c, kind)
        if not math.isfinite(c):
            return from_float(c, kind)
        product_negative = math.copysign(1, a) != math.copysign(1, b)
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        return from_float(exact, kind, negative=product_negative and math.copysign(1, c) < 0)

    return reference


def _extremum(kind: str, choose: Callable[..., float]) -> Reference:
    def reference(first: int, second: int) -> int:
        numbers = [one for one in (to_float(first, kind), to_float(second, kind)) if not math.isnan(one)]
        if not numbers:
            return from_float(math.nan, kind)
        return from_float(choose(numbers, key=lambda one: (one, math.copysign(1, one))), kind)

    return reference


def _compared(kind: str, compare: Callable[[float, float], bool]) -> Reference:
    return lambda a, b: int(compare(to_float(a, kind), to_float(b, kind)))


def floats() -> Iterator[tuple[str, Reference]]:
    for kind, top in (("f32", 31), ("f64", 63)):
        for name, compute in {
            "add.rn": lambda a, b: a + b,
            "sub.rn": lambda a, b: a - b,
            "mul.rn": lambda a, b: a * b,
            "div.rn": lambda a, b: a / b,
            "rcp.rn": lambda a: 1 / a,
            "sqrt.rn": np.sqrt,
        }.items():
            yield f"{name}.{kind}", _of_floats(kind, compute)
        yield f"fma.rn.{kind}", _fused(kind)
        yield f"min.{kind}", _extremum(kind, min)
        yield f"max.{kind}", _extremum(kind, max)
        sign = 1 << top
        yield f"neg.{kind}", lambda a, sign=sign: a ^ sign
        yield f"abs.{kind}", lambda a, sign=sign: a & ~sign
        yield f"copysign.{kind}", lambda a, b, sign=sign: b & ~sign | a & sign
    for kind in ("f16", "f32", "f64"):
        for name, compare in COMPARISONS.items():
            yield (
                f"setp.{name}.{kind}",
                _compared(kind, lambda a, b, compare=compare: not _unordered(a, b) and compare(a, b)),
            )
            yield (
                f"setp.{name}u.{kind}",
                _compared(kind, lambda a, b, compare=compare: _unordered(a, b) or compare(a, b)),
            )
        yield f"setp.num.{kind}", _compared(kind, lambda a, b: not _unordered(a, b))
        yield f"setp.nan.{kind}", _compared(kind, lambda a, b: _unordered(a, b))


def _unordered(a: float, b: float) -> bool:
    return math.isnan(a) or math.isnan(b)


# ---- conversions

ROUNDINGS: dict[str, Callable[[float], int]] = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}


def _to_whole(kind: str, rounding: Callable[[float], int]) -> Reference:
    def reference(given: int) -> int:
        value = to_float(given, kind)
        return from_float(math.copysign(rounding(value), value) if math.isfinite(value) else value, kind)

    return reference


def _to_integer(source: str, target: str, rounding: Callable[[float], int]) -> Reference:
    width = width_of(target)
    least, most = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if target[0] == "s" else (0, (1 << width) - 1)

    def reference(given: int) -> int:
        value = to_float(given, source)
        if math.isnan(value):
            return 1 << (width - 1) if source == "f64" or width == 64 else 0
        if math.isinf(value):
            return to_bits(most if value > 0 else least, width)
        return to_bits(min(max(rounding(value), least), most), width)

    return reference


def conversions() -> Iterator[tuple[str, Reference]]:
    kinds = ("s8", "u8", *INTEGERS)
    for source in kinds:
        for target in kinds:
            register = max(width_of(target), 16)
            truncated = lambda a, source=source, target=target, register=register: to_bits(  # noqa: E731
                to_integer(to_integer(a, source), target), register
            )
            yield f"cvt.{target}.{source}", truncated
            if width_of(source) < 64:
                yield f"cvt.{target}.{source} of b64", truncated
        for target in ("f32", "f64"):
            number = lambda a, source=source, target=target: from_float(Fraction(to_integer(a, source)), target)  # noqa: E731
            yield f"cvt.rn.{target}.{source}", number
    for source in ("f32", "f64"):
        for mode, rounding in ROUNDINGS.items():
            yield f"cvt.{mode}.{source}.{source}", _to_whole(source, rounding)
            for target in ("s32", "u32", "s64", "u64"):
                yield f"cvt.{mode}.{target}.{source}", _to_integer(source, target, rounding)
    for name, source, target in (
        ("cvt.f64.f32", "f32", "f64"),
        ("cvt.rn.f32.f64", "f64", "f32"),
        ("cvt.f32.f16", "f16", "f32"),
        ("cvt.f64.f16", "f16", "f64"),
        ("cvt.f32.bf16", "bf16", "f32"),
        ("cvt.rn.f16.f32", "f32", "f16"),
        ("cvt.rn.bf16.f32", "f32", "bf16"),
    ):
        yield name, lambda a, source=source, target=target: from_float(to_float(a, source), target)
    for kind in ("f16", "bf16"):
        pair = lambda a, b, kind=kind: from_float(to_float(a, "f32"), kind) << 16 | from_float(to_float(b, "f32"), kind)  # noqa: E731
        yield f"cvt.rn.{kind}x2.f32", pair


def lanewise() -> dict[str, Reference]:
    """Of all instructions that each lane executes by itself and that touch no memory, what they give."""
    found: dict[str, Reference] = {}
    for name, reference in [*integers(), *bits(), *moves(), *floats(), *conversions()]:
        assert name not in found, name
        found[name] = reference
    return found
