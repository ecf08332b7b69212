"""A SIMD vector type for Numba: a register of lanes, with loads, stores, arithmetic, comparisons and reductions.

`Vector(dtype, lanes)` maps to LLVM's ``<lanes x float>`` or ``<lanes x double>``; LLVM splits it over as many registers
as the processor needs, so code over it is portable. `Mask(lanes)` is what comparisons give and `where` takes. Both
support the operators that formulas use, so a formula written for a number compiles for a vector unchanged.

The last elements of an array, fewer than the lanes, are loaded and stored under a mask by the same instructions as the
rest: the result for an element does not depend on where it lies.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_jitable, register_model

# Both dtypes have as many lanes, so that ten classes fit one vector of either: one or two registers with AVX-512, two
# or four with AVX2. More than one register in flight also hides the latency of an instruction behind the next.
LANES = {types.float32: 16, types.float64: 16}

_ELEMENT = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
_BITS = {types.float32: ir.IntType(32), types.float64: ir.IntType(64)}
_MANTISSA_BITS = {types.float32: 23, types.float64: 52}
_BIAS = {types.float32: 127, types.float64: 1023}
_INT32 = ir.IntType(32)

# From this degree on a polynomial is evaluated in two chains.
LONG_POLYNOMIAL = 6


class Vector(types.Type):
    """The Numba type of a register of `lanes` numbers of `dtype`."""

    def __init__(self, dtype: types.Float, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


class Mask(types.Type):
    """The Numba type of one truth value for each lane."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(_ELEMENT[vector.dtype], vector.lanes))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, mask):
        super().__init__(manager, mask, ir.VectorType(ir.IntType(1), mask.lanes))


def dtype_of(number: types.Type) -> types.Float:
    """The dtype of a vector's lanes, or of a number itself."""
    return number.dtype if isinstance(number, Vector) else number


def is_number(number: types.Type) -> bool:
    """Is it a float of a dtype that kernels compute in, or a vector of such?"""
    return dtype_of(number) in LANES


def vector_of(array: types.Array) -> Vector:
    """The vector type that an array is read in."""
    return Vector(array.dtype, LANES[array.dtype])


# ---- emitting LLVM's instructions


def _llvm_type(number: types.Type) -> ir.Type:
    element = _ELEMENT[dtype_of(number)]
    return ir.VectorType(element, number.lanes) if isinstance(number, Vector) else element


def _llvm_integers(number: types.Type) -> ir.Type:
    element = _BITS[dtype_of(number)]
    return ir.VectorType(element, number.lanes) if isinstance(number, Vector) else element


def _constant(kind: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def _splat(builder, element, lanes):
    undefined = ir.Constant(ir.VectorType(element.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, element, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes))


def _suffix(kind: ir.Type) -> str:
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return "f64" if isinstance(kind, ir.DoubleType) else "f32" if isinstance(kind, ir.FloatType) else f"i{kind.width}"


def _call(builder, name: str, returned: ir.Type, arguments, **options):
    """Call one of LLVM's own functions by its full name."""
    signature = ir.FunctionType(returned, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, arguments, **options)


def _lanewise(name: str, arity: int, emit: Callable[..., Any]) -> Any:
    """An intrinsic from `arity` numbers or vectors of one type to that type, by ``emit(builder, number, *values)``."""

    def typed(number: types.Type) -> tuple[Any, Callable[..., Any]]:
        def codegen(context, builder, signature, arguments):
            return emit(builder, signature.return_type, *arguments)

        return number(*([number] * arity)), codegen

    def unary(typing_context, a):
        return typed(a) if is_number(a) else None

    def binary(typing_context, a, b):
        return typed(a) if is_number(a) and a == b else None

    def ternary(typing_context, a, b, c):
        return typed(a) if is_number(a) and a == b == c else None

    by_arity: dict[int, Any] = {1: unary, 2: binary, 3: ternary}
    operation = by_arity[arity]
    operation.__name__ = operation.__qualname__ = name
    return intrinsic(operation)


def _llvm_function(name: str) -> Callable[..., Any]:
    def emit(builder, number, *values):
        kind = _llvm_type(number)
        return _call(builder, f"llvm.{name}.{_suffix(kind)}", kind, values)

    return emit


# ---- operations on a number or on every lane of a vector

fabs = _lanewise("fabs", 1, _llvm_function("fabs"))
fma = _lanewise("fma", 3, _llvm_function("fma"))
copysign = _lanewise("copysign", 2, _llvm_function("copysign"))


def _emit_power(builder, number, shifted):
    """2**n, for a number whose lowest bits hold n + the exponent's bias: they are moved up to the exponent's place."""
    dtype, integers, kind = dtype_of(number), _llvm_integers(number), _llvm_type(number)
    bits = builder.bitcast(shifted, integers)
    return builder.bitcast(builder.shl(bits, _constant(integers, _MANTISSA_BITS[dtype])), kind)


power_of_low_bits = _lanewise("power_of_low_bits", 1, _emit_power)


@intrinsic
def power_halves_of_low_bits(typing_context, shifted):
    """(2**h, 2**(n - h)) with h = n // 2, for a number whose lowest bits hold n + twice the exponent's bias."""

    def codegen(context, builder, signature, arguments):
        integers, kind = _llvm_integers(shifted), _llvm_type(shifted)
        bits = builder.bitcast(arguments[0], integers)
        half = builder.lshr(bits, _constant(integers, 1))
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
        integers, kind = _llvm_integers(x), _llvm_type(x)
        mantissa, offset = _MANTISSA_BITS[dtype], _constant(integers, _THREE_QUARTERS_BITS[dtype])
        above = builder.sub(builder.bitcast(arguments[0], integers), offset)
        exponent = builder.ashr(above, _constant(integers, mantissa))
        fraction = builder.add(builder.and_(above, _constant(integers, (1 << mantissa) - 1)), offset)
        parts = [builder.bitcast(fraction, kind), builder.sitofp(exponent, kind)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(x, 2)(x), codegen


@intrinsic
def exponent_of(typing_context, x):
    """(e, 2**(2 - e)) with `split_exponent`'s e; for normal x > 0. The power is normal, which 2**-e may not be."""
    dtype = dtype_of(x)

    def codegen(context, builder, signature, arguments):
        integers, kind = _llvm_integers(x), _llvm_type(x)
        mantissa = _constant(integers, _MANTISSA_BITS[dtype])
        above = builder.sub(builder.bitcast(arguments[0], integers), _constant(integers, _THREE_QUARTERS_BITS[dtype]))
        exponent = builder.ashr(above, mantissa)
        power = builder.shl(builder.sub(_constant(integers, _BIAS[dtype] + 2), exponent), mantissa)
        parts = [builder.sitofp(exponent, kind), builder.bitcast(power, kind)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(x, 2)(x), codegen


def polynomial(name: str, float32: tuple[float, ...], float64: tuple[float, ...]) -> Any:
    """An intrinsic that evaluates a polynomial in fused multiply-adds.

    The coefficients, lowest power first, are those of the argument's dtype; they become constants of the machine code.
    """
    coefficients = {types.float32: float32, types.float64: float64}

    def emit(builder, number, x):
        kind = _llvm_type(number)

        def multiply_add(a, b, c):
            return _call(builder, f"llvm.fma.{_suffix(kind)}", kind, (a, b, c))

        def horner(values, x):
            *rest, result = (_constant(kind, value) for value in values)
            for value in reversed(rest):
                result = multiply_add(result, x, value)
            return result

        first, *rest = coefficients[dtype_of(number)]
        if len(rest) < LONG_POLYNOMIAL:
            return horner((first, *rest), x)
        # Two chains, of the even and the odd powers, half as long: a processor waits for the chain, not for the sum of
        # the work. The constant is added last, so that the sum's rounding stays the only one that counts.
        square = builder.fmul(x, x)
        return multiply_add(
            multiply_add(horner(rest[1::2], square), x, horner(rest[::2], square)), x, _constant(kind, first)
        )

    return _lanewise(name, 1, emit)


# ---- constants and selection


@intrinsic
def const(typing_context, like, value):
    """`value` in the type of `like`: a number of its dtype, in every lane if it is a vector."""
    if not isinstance(value, types.Number | types.Boolean):
        # Already a vector: `const` of a parameter that was broadcast.
        return (
            (like(like, value), lambda context, builder, signature, arguments: arguments[1]) if like == value else None
        )

    def codegen(context, builder, signature, arguments):
        number = context.cast(builder, arguments[1], signature.args[1], dtype_of(like))
        return _splat(builder, number, like.lanes) if isinstance(like, Vector) else number

    return like(like, value), codegen


@intrinsic
def where(typing_context, condition, a, b):
    """a in the lanes where the condition holds, else b; for numbers a or b."""
    if a != b or not isinstance(condition, Mask | types.Boolean):
        return None

    def codegen(context, builder, signature, arguments):
        return builder.select(*arguments)

    return a(condition, a, b), codegen


# ---- operators of vectors and masks


def _operator(symbol: Any, emit: Callable[..., Any]) -> None:
    """Give an operator to two vectors of one type, or to a vector and a number, which is broadcast."""
    operation = _lanewise(symbol.__name__, 2, lambda builder, number, a, b: emit(builder)(a, b))

    @overload(symbol)
    def _implement(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: operation(a, b)
        if isinstance(a, Vector) and isinstance(b, types.Number):
            return lambda a, b: operation(a, const(a, b))
        if isinstance(b, Vector) and isinstance(a, types.Number):
            return lambda a, b: operation(const(b, a), b)
        return None


_operator(operator.add, lambda builder: builder.fadd)
_operator(operator.sub, lambda builder: builder.fsub)
_operator(operator.mul, lambda builder: builder.fmul)
_operator(operator.truediv, lambda builder: builder.fdiv)

_negative = _lanewise("neg", 1, lambda builder, number, x: builder.fneg(x))


@overload(operator.neg)
def _neg(x):
    return (lambda x: _negative(x)) if isinstance(x, Vector) else None


def _comparison(symbol: Any, sign: str) -> None:
    """Give a comparison to vectors: false with NaN, except ``!=``, which is true."""

    @intrinsic
    def compare(typing_context, a, b):
        def codegen(context, builder, signature, arguments):
            emit = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
            return emit(sign, *arguments)

        return Mask(a.lanes)(a, b), codegen

    @overload(symbol)
    def _implement(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: compare(a, b)
        if isinstance(a, Vector) and isinstance(b, types.Number):
            return lambda a, b: compare(a, const(a, b))
        return None


for _symbol, _sign in (
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="), (operator.eq, "=="),
    (operator.ne, "!="),
):  # fmt: skip
    _comparison(_symbol, _sign)


def _logical(symbol: Any, method: str) -> None:
    @intrinsic
    def combine(typing_context, a, b):
        return a(a, b), lambda context, builder, signature, arguments: getattr(builder, method)(*arguments)

    @overload(symbol)
    def _implement(a, b):
        return (lambda a, b: combine(a, b)) if isinstance(a, Mask) and a == b else None


_logical(operator.and_, "and_")
_logical(operator.or_, "or_")


# ---- memory


def _pointer(context, builder, array_type, array, index, kind):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index], inbounds=True), kind.as_pointer())


def _first_lanes(builder, count, lanes):
    """The mask of the first `count` lanes."""
    limit = _splat(builder, builder.trunc(count, _INT32), lanes)
    return builder.icmp_signed("<", ir.Constant(ir.VectorType(_INT32, lanes), list(range(lanes))), limit)


@intrinsic
def lanes_of(typing_context, array):
    """The number of lanes that an array is read in."""
    lanes = LANES[array.dtype]
    return types.intp(array), lambda context, builder, signature, arguments: ir.Constant(ir.IntType(64), lanes)


@intrinsic
def zeros(typing_context, array):
    """A vector of zeros of an array's dtype."""
    vector = vector_of(array)
    return vector(array), lambda context, builder, signature, arguments: _constant(_llvm_type(vector), 0.0)


@intrinsic
def load(typing_context, array, index):
    """The lanes from `index` on of a contiguous array of one axis; they must exist."""
    vector = vector_of(array)

    def codegen(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments, _llvm_type(vector))
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@intrinsic
def store(typing_context, array, index, x):
    """Write all lanes to the array, from `index` on."""

    def codegen(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], _llvm_type(x))
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, x), codegen


@intrinsic
def load_first(typing_context, array, index, count, fill):
    """The first `count` lanes from `index` on, the others as in the vector `fill`; nothing beyond is read."""
    vector = vector_of(array)

    def codegen(context, builder, signature, arguments):
        kind = _llvm_type(vector)
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], kind)
        mask = _first_lanes(builder, arguments[2], vector.lanes)
        alignment = ir.Constant(_INT32, array.dtype.bitwidth // 8)
        return _call(builder, f"llvm.masked.load.{_suffix(kind)}.p0", kind, (pointer, alignment, mask, arguments[3]))

    return vector(array, types.intp, types.intp, vector), codegen


@intrinsic
def store_first(typing_context, array, index, count, x):
    """Write the first `count` lanes to the array, from `index` on; nothing beyond is touched."""

    def codegen(context, builder, signature, arguments):
        kind = _llvm_type(x)
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], kind)
        mask = _first_lanes(builder, arguments[2], x.lanes)
        alignment = ir.Constant(_INT32, array.dtype.bitwidth // 8)
        _call(builder, f"llvm.masked.store.{_suffix(kind)}.p0", ir.VoidType(), (arguments[3], pointer, alignment, mask))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, x), codegen


@intrinsic
def keep_first(typing_context, x, count, other):
    """x in the first `count` lanes, `other` in the rest."""

    def codegen(context, builder, signature, arguments):
        return builder.select(_first_lanes(builder, arguments[1], x.lanes), arguments[0], arguments[2])

    return x(x, types.intp, x), codegen


@intrinsic
def lane_is(typing_context, like, index):
    """The mask of the one lane at `index`; of none if that is outside the lanes."""

    def codegen(context, builder, signature, arguments):
        # In the index's own width: cut to 32 bits a wild label could come out as a lane.
        wide = ir.VectorType(arguments[1].type, like.lanes)
        return builder.icmp_signed(
            "==", ir.Constant(wide, list(range(like.lanes))), _splat(builder, arguments[1], like.lanes)
        )

    return Mask(like.lanes)(like, index), codegen


@intrinsic
def broadcast(typing_context, like, numbers):
    """A tuple of numbers as a tuple of vectors like `like`, each number in every lane."""
    if not isinstance(numbers, types.BaseTuple):
        return None
    returned = types.UniTuple(like, len(numbers))

    def codegen(context, builder, signature, arguments):
        vectors = []
        for i, kind in enumerate(numbers):
            number = builder.extract_value(arguments[1], i)
            vectors.append(_splat(builder, context.cast(builder, number, kind, like.dtype), like.lanes))
        return context.make_tuple(builder, signature.return_type, vectors)

    return returned(like, numbers), codegen


# ---- reductions: halves are combined with halves, so the order, and with it the bits, is fixed


def _rotation(width: int) -> Any:
    """An intrinsic that moves every lane `width` places down, around the end."""

    def rotate(typing_context, x):
        def codegen(context, builder, signature, arguments):
            order = [(lane + width) % x.lanes for lane in range(x.lanes)]
            undefined = ir.Constant(_llvm_type(x), ir.Undefined)
            return builder.shuffle_vector(arguments[0], undefined, ir.Constant(ir.VectorType(_INT32, x.lanes), order))

        return x(x), codegen

    rotate.__name__ = rotate.__qualname__ = f"rotate_{width}"
    return intrinsic(rotate)


_rotate_8, _rotate_4, _rotate_2, _rotate_1 = (_rotation(width) for width in (8, 4, 2, 1))


@intrinsic
def first_lane(typing_context, x):
    """The number in lane 0."""
    return x.dtype(x), lambda context, builder, signature, arguments: builder.extract_element(
        arguments[0], ir.Constant(_INT32, 0)
    )


@register_jitable
def horizontal_sum(x):
    """The sum of all sixteen lanes."""
    x = x + _rotate_8(x)
    x = x + _rotate_4(x)
    x = x + _rotate_2(x)
    return first_lane(x + _rotate_1(x))


@intrinsic
def widen(typing_context, x):
    """The lanes in float64."""
    wide = Vector(types.float64, x.lanes)

    def codegen(context, builder, signature, arguments):
        return arguments[0] if x == wide else builder.fpext(arguments[0], _llvm_type(wide))

    return wide(x), codegen


@register_jitable
def horizontal_max(x):
    """The largest of all sixteen lanes, NaN passed over unless it is in lane 0."""
    x = _larger(x, _rotate_8(x))
    x = _larger(x, _rotate_4(x))
    x = _larger(x, _rotate_2(x))
    return first_lane(_larger(x, _rotate_1(x)))


@register_jitable
def _larger(a, b):
    return where(b > a, b, a)


@register_jitable
def horizontal_combine(combine, x, y):
    """Combine all sixteen lanes of a value in two parts: ``combine(x, y, other_x, other_y) -> (x, y)``."""
    x, y = combine(x, y, _rotate_8(x), _rotate_8(y))
    x, y = combine(x, y, _rotate_4(x), _rotate_4(y))
    x, y = combine(x, y, _rotate_2(x), _rotate_2(y))
    x, y = combine(x, y, _rotate_1(x), _rotate_1(y))
    return first_lane(x), first_lane(y)


# ---- a loop's view of an array: full registers, and at the end what is left


@register_jitable
def load_until(array, index, stop, fill):
    """The lanes from `index` on; those at `stop` and beyond are not read, but taken from the vector `fill`."""
    if index + lanes_of(array) <= stop:
        return load(array, index)
    return load_first(array, index, stop - index, fill)


@register_jitable
def store_until(array, index, stop, x):
    """Write the lanes to the array from `index` on; nothing at `stop` or beyond is touched."""
    if index + lanes_of(array) <= stop:
        store(array, index, x)
    else:
        store_first(array, index, stop - index, x)


@intrinsic
def count_true(typing_context, mask):
    """In how many lanes the mask holds."""

    def codegen(context, builder, signature, arguments):
        bits = ir.IntType(mask.lanes)
        count = _call(builder, f"llvm.ctpop.i{mask.lanes}", bits, [builder.bitcast(arguments[0], bits)])
        return builder.zext(count, ir.IntType(64))

    return types.intp(mask), codegen
