"""A SIMD vector type for Numba: a register of lanes, with arithmetic, comparisons, selection and constants.

`Vector(dtype, lanes)` maps to LLVM's ``<lanes x float>`` or ``<lanes x double>``; LLVM splits it over as many registers
as the processor needs, so code over it is portable. `Mask(lanes)` is what comparisons give and `where` takes. Both
support the operators that formulas use, so a formula written for a number compiles for a vector unchanged.

`cpu/memory` loads and stores vectors, `cpu/horizontal` makes numbers of them, `math` has the elementary functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from softgrad.kernels.formulas.jit import overload
from softgrad.kernels.simd.half import NUMBER

# Both dtypes have as many lanes, so that ten classes fit one vector of either: one or two registers with AVX-512, two
# or four with AVX2. More than one register in flight also hides the latency of an instruction behind the next.
LANES = {types.float32: 16, types.float64: 16}

_ELEMENT = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
_BITS = {types.float32: ir.IntType(32), types.float64: ir.IntType(64)}
MANTISSA_BITS = {types.float32: 23, types.float64: 52}
BIAS = {types.float32: 127, types.float64: 1023}
INT32 = ir.IntType(32)

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


def number_of(array: types.Array) -> types.Float:
    """The type of the numbers that an array's elements are computed in."""
    return NUMBER[array.dtype]


def vector_of(array: types.Array) -> Vector:
    """The vector type that an array is read in."""
    return Vector(number_of(array), LANES[number_of(array)])


# ---- emitting LLVM's instructions


def llvm_type(number: types.Type) -> ir.Type:
    element = _ELEMENT[dtype_of(number)]
    return ir.VectorType(element, number.lanes) if isinstance(number, Vector) else element


def llvm_integers(number: types.Type) -> ir.Type:
    element = _BITS[dtype_of(number)]
    return ir.VectorType(element, number.lanes) if isinstance(number, Vector) else element


def llvm_constant(kind: ir.Type, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def splat(builder, element, lanes):
    undefined = ir.Constant(ir.VectorType(element.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, element, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def llvm_suffix(kind: ir.Type) -> str:
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{llvm_suffix(kind.element)}"
    return "f64" if isinstance(kind, ir.DoubleType) else "f32" if isinstance(kind, ir.FloatType) else f"i{kind.width}"


def call_llvm(builder, name: str, returned: ir.Type, arguments, **options):
    """Call one of LLVM's own functions by its full name."""
    signature = ir.FunctionType(returned, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, arguments, **options)


def lanewise(name: str, arity: int, emit: Callable[..., Any]) -> Any:
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
        kind = llvm_type(number)
        return call_llvm(builder, f"llvm.{name}.{llvm_suffix(kind)}", kind, values)

    return emit


# ---- operations on a number or on every lane of a vector


def _magnitude_mask(number):
    """As bits, all but the sign."""
    return llvm_constant(llvm_integers(number), (1 << (_BITS[dtype_of(number)].width - 1)) - 1)


def _emit_fabs(builder, number, x):
    if isinstance(number, Vector):
        return _llvm_function("fabs")(builder, number, x)
    # In bits, since the number may be a GPU thread's, whose compiler does not know LLVM's function.
    bits = builder.and_(builder.bitcast(x, llvm_integers(number)), _magnitude_mask(number))
    return builder.bitcast(bits, llvm_type(number))


def _emit_copysign(builder, number, x, sign):
    if isinstance(number, Vector):
        return _llvm_function("copysign")(builder, number, x, sign)
    integers, magnitude = llvm_integers(number), _magnitude_mask(number)
    size = builder.and_(builder.bitcast(x, integers), magnitude)
    of_sign = builder.and_(builder.bitcast(sign, integers), builder.not_(magnitude))
    return builder.bitcast(builder.or_(size, of_sign), llvm_type(number))


fabs = lanewise("fabs", 1, _emit_fabs)
fma = lanewise("fma", 3, _llvm_function("fma"))
sqrt = lanewise("sqrt", 1, _llvm_function("sqrt"))
copysign = lanewise("copysign", 2, _emit_copysign)


def polynomial(name: str, float32: tuple[float, ...], float64: tuple[float, ...]) -> Any:
    """An intrinsic that evaluates a polynomial in fused multiply-adds.

    The coefficients, lowest power first, are those of the argument's dtype; they become constants of the machine code.
    """
    coefficients = {types.float32: float32, types.float64: float64}

    def emit(builder, number, x):
        kind = llvm_type(number)

        def multiply_add(a, b, c):
            return call_llvm(builder, f"llvm.fma.{llvm_suffix(kind)}", kind, (a, b, c))

        def horner(values, x):
            *rest, result = (llvm_constant(kind, value) for value in values)
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
            multiply_add(horner(rest[1::2], square), x, horner(rest[::2], square)), x, llvm_constant(kind, first)
        )

    return lanewise(name, 1, emit)


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
        return splat(builder, number, like.lanes) if isinstance(like, Vector) else number

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
    operation = lanewise(symbol.__name__, 2, lambda builder, number, a, b: emit(builder)(a, b))

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

_negative = lanewise("neg", 1, lambda builder, number, x: builder.fneg(x))


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


# ---- lanes


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
            vectors.append(splat(builder, context.cast(builder, number, kind, like.dtype), like.lanes))
        return context.make_tuple(builder, signature.return_type, vectors)

    return returned(like, numbers), codegen


@intrinsic
def widen(typing_context, x):
    """The lanes in float64."""
    wide = Vector(types.float64, x.lanes)

    def codegen(context, builder, signature, arguments):
        return arguments[0] if x == wide else builder.fpext(arguments[0], llvm_type(wide))

    return wide(x), codegen


@intrinsic
def count_true(typing_context, mask):
    """In how many lanes the mask holds."""

    def codegen(context, builder, signature, arguments):
        bits = ir.IntType(mask.lanes)
        count = call_llvm(builder, f"llvm.ctpop.i{mask.lanes}", bits, [builder.bitcast(arguments[0], bits)])
        return builder.zext(count, ir.IntType(64))

    return types.intp(mask), codegen
