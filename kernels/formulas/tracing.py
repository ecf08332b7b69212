"""A formula's expressions: what it computes of its arguments, found by calling it with arguments that record that.

A function written for numbers is called once with `Expression` objects. Operators and the functions of
`softgrad.formulas` give further expressions, so that the result knows all it was computed from: `derivatives` makes
expressions of its derivatives, and `generated` a function to compile. No value is known meanwhile: what would need one,
an ``if`` or ``float()``, is an error that names the line.
"""

from __future__ import annotations

import inspect
import linecache
import math
import operator
import sys
from collections.abc import Callable, Container, Iterable
from functools import partialmethod, wraps
from numbers import Real
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import numpy as np

from softgrad.kernels.formulas.jit import jitable, overload

Function = TypeVar("Function", bound=Callable[..., Any])

KERNELS = str(Path(__file__).resolve().parents[1])

# By a whole power of at most so much a product is meant.
LARGEST_POWER = 64


class FormulaError(TypeError):
    """A formula does what cannot be done while it is traced."""


class Expression:
    """What a function gives of arguments: expressions, and None where an optional one is absent."""

    __slots__ = ("arguments", "function")
    __hash__ = object.__hash__

    def __init__(self, function: Callable[..., Any] | None, *arguments: Expression | None) -> None:
        self.function, self.arguments = function, arguments

    def _refuse(self, problem: str) -> NoReturn:
        raise FormulaError(f"{_place()}: {problem}")

    def __bool__(self) -> NoReturn:
        self._refuse(
            "a formula is compiled for all elements at once, and a condition may hold for some of them only: instead "
            "of if and while write where(condition, a, b), instead of and, or and not write &, | and ~, instead of "
            "0 < x < 1 write (0 < x) & (x < 1), instead of min and max write minimum and maximum, of softgrad.formulas"
        )

    def __float__(self) -> NoReturn:
        self._refuse(
            "a formula's numbers are not known while it is compiled; instead of float() and the functions of math "
            "write those of softgrad.formulas, such as exp and sqrt"
        )

    __int__ = __index__ = __complex__ = __round__ = __trunc__ = __floor__ = __ceil__ = __float__

    def _hold_nothing(self, *_: Any) -> NoReturn:
        self._refuse("a formula computes an element from an element: there is nothing to go through or to index")

    __iter__ = __len__ = __getitem__ = __contains__ = _hold_nothing

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)  # Python, NumPy and others ask for what is optional
        self._refuse(f"a formula computes with elements, which have no attribute {name!r}")

    def __array_ufunc__(self, ufunc: Any, method: str, *arguments: Any, **options: Any) -> Expression:
        return self._of_numpy(ufunc, arguments, plain=method == "__call__" and not options)

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, options: Any) -> Expression:
        return self._of_numpy(function, arguments, plain=not options)

    def _of_numpy(self, function: Any, arguments: tuple[Any, ...], plain: bool) -> Expression:
        known = NUMPY_FUNCTIONS.get(function)
        if known is None or not plain:
            self._refuse(
                f"np.{function.__name__} is none of the functions that formulas are made of; softgrad.formulas has them"
            )
        # NumPy's numbers would come back here.
        result: Expression = known(
            *(
                bool(one) if isinstance(one, np.bool_) else one if isinstance(one, Expression) else number(one)
                for one in arguments
            )
        )
        return result


class Number(Expression):
    """An expression for a number."""

    __slots__ = ()

    def _arithmetic(self, symbol: Callable[..., Any], other: Any) -> Any:
        return Number(symbol, self, number(other)) if _is_operand(other) else NotImplemented

    def _reflected(self, symbol: Callable[..., Any], other: Any) -> Any:
        return Number(symbol, number(other), self) if _is_operand(other) else NotImplemented

    def _comparison(self, symbol: Callable[..., Any], other: Any) -> Any:
        return Condition(symbol, self, number(other)) if _is_operand(other) else NotImplemented

    __add__ = partialmethod(_arithmetic, operator.add)
    __sub__ = partialmethod(_arithmetic, operator.sub)
    __mul__ = partialmethod(_arithmetic, operator.mul)
    __truediv__ = partialmethod(_arithmetic, operator.truediv)
    __radd__ = partialmethod(_reflected, operator.add)
    __rsub__ = partialmethod(_reflected, operator.sub)
    __rmul__ = partialmethod(_reflected, operator.mul)
    __rtruediv__ = partialmethod(_reflected, operator.truediv)
    __lt__ = partialmethod(_comparison, operator.lt)
    __le__ = partialmethod(_comparison, operator.le)
    __gt__ = partialmethod(_comparison, operator.gt)
    __ge__ = partialmethod(_comparison, operator.ge)
    __eq__ = partialmethod(_comparison, operator.eq)
    __ne__ = partialmethod(_comparison, operator.ne)
    __hash__ = object.__hash__

    def __neg__(self) -> Number:
        return Number(operator.neg, self)

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Number:
        result: Number = NUMPY_FUNCTIONS[np.fabs](self)
        return result

    def __pow__(self, exponent: Any) -> Number:
        """By a whole number a product, of as few factors as squares make it; by a half the square root."""
        power = float(exponent) if isinstance(exponent, Real) else math.nan
        if not ((2 * power).is_integer() and abs(power) <= LARGEST_POWER):
            self._refuse(
                f"x ** {'y' if math.isnan(power) else exponent} is not supported: powers are whole numbers and halves "
                f"up to {LARGEST_POWER}; of a positive x write exp(y * log(x)), of softgrad.formulas"
            )
        return self._power(power)

    def _power(self, power: float) -> Any:
        if power < 0:
            return 1.0 / self._power(-power)
        if not power.is_integer():
            root = NUMPY_FUNCTIONS[np.sqrt](self)
            return root if power == 0.5 else self._power(power - 0.5) * root
        if power < 2:
            return self if power else Constant(1.0)

        def slope(slopes: list[Any]) -> Any:
            return power * self._power(power - 1) * slopes[0]

        return Given(self._product(int(power)), (self,), slope)

    def _product(self, count: int) -> Any:
        if count == 1:
            return self
        half = self._product(count // 2)
        return half * half * self if count % 2 else half * half

    def __rpow__(self, base: Any) -> Number:
        self._refuse("a ** x is not supported; write exp(x * log(a)), or exp2(x) for 2 ** x, of softgrad.formulas")

    def _unsupported(self, other: Any) -> NoReturn:
        self._refuse(
            "//, %, divmod and @ are not among the operators of a formula, which are + - * / ** and comparisons"
        )

    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = _unsupported
    __matmul__ = __rmatmul__ = __lshift__ = __rshift__ = _unsupported

    def _no_condition(self, other: Any) -> NoReturn:
        self._refuse("& and | combine conditions, and this is a number; compare it, as in (x > 0) & (y > 0)")

    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _no_condition

    def __invert__(self) -> NoReturn:
        self._no_condition(self)


class Constant(Number):
    """A number known when the formula is compiled, rounded to the dtype computed in then."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        super().__init__(None)
        self.value = value


class Argument(Number):
    """An element of an array, or a parameter."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__(None)
        self.name = name


class Given(Number):
    """A value with a rule of its own for its derivative: ``slope(derivatives)`` of those of the arguments."""

    __slots__ = ("slope", "value")

    def __init__(self, value: Number, arguments: tuple[Number, ...], slope: Callable[..., Any] | None = None) -> None:
        super().__init__(None, *arguments)
        self.value, self.slope = value, slope


class Condition(Expression):
    """An expression that holds or does not."""

    __slots__ = ()

    def _combined(self, symbol: Callable[..., Any], other: Any) -> Condition:
        if isinstance(other, bool | np.bool_):
            holds = other if symbol is operator.and_ else not other
            return self if holds else Condition(operator.ne if other else operator.eq, ZERO, ONE)
        if not isinstance(other, Condition):
            self._refuse("& and | combine conditions; compare the number, as in (x > 0) & (y > 0)")
        return Condition(symbol, self, other)

    __and__ = __rand__ = partialmethod(_combined, operator.and_)
    __or__ = __ror__ = partialmethod(_combined, operator.or_)

    def __invert__(self) -> Condition:
        """What does not hold: of a comparison with NaN, too, so that none is turned round."""
        return Condition(operator.ne, NUMPY_FUNCTIONS[np.where](self, ZERO, ONE), ZERO)

    def _no_number(self, *_: Any) -> NoReturn:
        self._refuse("a condition is no number; write where(condition, 1.0, 0.0)")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_number
    __neg__ = __pos__ = __abs__ = __pow__ = __rpow__ = _no_number
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _no_number
    __hash__ = object.__hash__


ZERO, ONE = Constant(0.0), Constant(1.0)

# NumPy's functions that are those of formulas.
NUMPY_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.negative: operator.neg,
    np.positive: operator.pos,
    np.absolute: operator.abs,
    np.power: operator.pow,
    np.square: lambda x: x * x,
    np.reciprocal: lambda x: 1.0 / x,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    **dict.fromkeys((np.logical_and, np.bitwise_and), operator.and_),
    **dict.fromkeys((np.logical_or, np.bitwise_or), operator.or_),
    **dict.fromkeys((np.logical_not, np.invert), operator.invert),
}


def _is_operand(value: Any) -> bool:
    return isinstance(value, Number | Real | np.bool_ | np.floating) or getattr(value, "shape", None) == ()


def number(value: Any) -> Number:
    """The expression itself, or of a number a constant."""
    if isinstance(value, Number):
        return value
    if isinstance(value, Expression):
        value._refuse("a condition is no number; write where(condition, 1.0, 0.0)")
    try:
        if not isinstance(value, str | bytes):
            return Constant(float(value))
    except (TypeError, ValueError, OverflowError):
        pass
    raise FormulaError(
        f"{_place()}: a formula computes with its arguments and with numbers; got {type(value).__name__}; make an "
        "array an argument of the function"
    )


def traceable(function: Function) -> Function:
    """A function of numbers as a part of formulas: of an expression it gives one, of all else what it gives itself.

    Its first argument may be a condition if that is what it is called.
    """
    parameters = inspect.signature(function)
    conditional = next(iter(parameters.parameters)) == "condition"

    @wraps(function)
    def traced(*given, **named):
        for value in given:
            if isinstance(value, Expression):
                break
        else:
            if not any(isinstance(value, Expression) for value in named.values()):
                return function(*given, **named)
        bound = parameters.bind(*given, **named)
        bound.apply_defaults()
        values = [*bound.arguments.values()]
        if conditional:
            if isinstance(values[0], bool | np.bool_):
                return number(values[1] if values[0] else values[2])
            if not isinstance(values[0], Condition):
                number(values[0])._refuse("a condition is a comparison, such as x > 0")
            return Number(traced, values[0], *map(number, values[1:]))
        return Number(traced, *(None if value is None else number(value) for value in values))

    alike = getattr(np, function.__name__, None)
    if isinstance(alike, np.ufunc) or conditional:
        NUMPY_FUNCTIONS.setdefault(alike, traced)
    return traced  # type: ignore[return-value]


def ancestry(
    results: Iterable[Expression], parts: Callable[[Any], Iterable[Expression | None]], known: Container[int] = ()
) -> list[Expression]:
    """The results and all parts that they have, each once and behind its own; those known by their ids are left out."""
    order: list[Expression] = []
    seen: set[int] = set()
    stack = [(node, False) for node in results]  # of its own: an expression may be deeper than Python's stack
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen and id(node) not in known:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((one, False) for one in parts(node) if one is not None)
    return order


# The functions that formulas call, by those that kernels compile.
COMPOSED: dict[Callable[..., Any], Callable[..., Any]] = {}


def composable(function: Function) -> Function:
    """A function of numbers, written with those of formulas, for compiled code and for traced formulas to call."""
    compiled = jitable(function)
    traced = COMPOSED[compiled] = traceable(compiled)

    @overload(traced, strict=False)
    def implementation(*given, **named):
        return compiled

    return traced


# ---- where in somebody's code something is


def _place() -> str:
    """The innermost line outside this package that is being executed, for a message."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_own(frame):
        frame = frame.f_back
    if frame is None:
        return "a formula"
    code = frame.f_code
    line = linecache.getline(code.co_filename, frame.f_lineno).strip()
    words = f", {line!r}" if line else ""
    return f"{code.co_name}, line {frame.f_lineno} of {code.co_filename}{words}"


def _is_own(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(KERNELS) or "/functools.py" in file
