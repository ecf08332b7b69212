"""Formulas of a user's own over arrays: one function gives the loop on the CPU, the kernel on the GPU, the gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy import ndarray

from softgrad.kernels.formulas.authored import OPTION_TYPES, Authored, Traced
from softgrad.kernels.formulas.registry import Activation, unlimited
from softgrad.kernels.formulas.tracing import Expression, number
from softgrad.ops.arguments import as_array, check_dtype, check_real, check_shape, contiguous, convert, float_array
from softgrad.ops.backend import CPU, SMALL_ELEMENTWISE, Backend, backend_of
from softgrad.ops.dtypes import FLOAT64, compute_dtype
from softgrad.ops.ready import all_disjoint, is_like, ready_backend, ready_target
from softgrad.ops.results import Result, check_disjoint
from softgrad.ops.scalars import check_number, real_number

Function = Callable[..., Any]

# Given an object of a class that has this method, the call is the method's: variables of autodiff have it.
OWN = "__elementwise__"


def elementwise(function: Function) -> Elementwise:
    """Make of a formula, a function of numbers, an operation over arrays, with its gradient.

    The function is called once, with arguments that record what is computed of them, and compiled from that: into a
    SIMD loop for NumPy arrays and a kernel for CuPy arrays. It is written with ``+ - * / **`` and comparisons, with
    numbers, with `softgrad.formulas` (or NumPy's functions of the same names), with other such operations, and with
    functions of its author's. A number takes the arrays' dtype. Arguments without a default are arrays, one to four;
    those with a number for a default are parameters, the same for all elements, and those with a bool, a str or None
    are options, for which an ``if`` may ask. The result is a number, or a tuple of numbers.

    Its derivatives follow by the chain rule: those of `softgrad.formulas` by their own, `where` by that of what is
    taken. Where that loses digits the author has a better one: ``@NAME.derivative``.

    Parameters
    ----------
    function : function
        The formula.

    Returns
    -------
    Elementwise
        ``NAME(*arrays, out=None, **parameters)`` gives the formula's values, in arrays of the shape to which the arrays
        broadcast, and of their dtype. 16-bit floats are computed in float32; integers, booleans and numbers take the
        dtype of the floats beside them, or are float64. ``NAME.backward(grad, *arrays, out=None, **parameters)`` gives
        the gradients by each array, all in one pass; ``NAME.derivative`` is a decorator. It is an activation for
        `linear` and for training if it is of one array, and differentiates in `autodiff`. Compiled code is kept on
        disk, by what the formula computes.

    Raises
    ------
    TypeError
        If the function takes arguments in another way; when called, if it does what cannot be compiled (the message has
        the line, and what to write instead), or as other operations do.
    ValueError
        When called, if the shapes do not broadcast, a parameter is not finite, or `out` is read-only or of another
        shape.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> from softgrad.formulas import sigmoid
    >>> @ops.elementwise
    ... def swiglu(x, gate, *, beta=1.0):
    ...     return x * gate * sigmoid(beta * gate)
    >>> x, gate = np.float32([1, 2]), np.float32([0, 3])
    >>> swiglu(x, gate)
    array([0.       , 5.7154446], dtype=float32)
    >>> dx, dgate = swiglu.backward(np.ones(2, np.float32), x, gate, beta=2.0)
    >>> dgate
    array([0.5      , 2.0246527], dtype=float32)
    """
    return Elementwise(function)


class Elementwise:
    """A formula over arrays, as `elementwise` makes it.

    Attributes
    ----------
    formula
        What it was made of.
    """

    __name__: str
    __qualname__: str

    def __init__(self, function: Function) -> None:
        self.formula = Authored(function)
        functools.update_wrapper(self, function)
        self.__signature__ = self.formula.signature()
        self._count = len(self.formula.arrays)
        self._small: Any = None
        self._small_of: Traced | None = None

    def __repr__(self) -> str:
        return f"<formula {self.__qualname__}{self.__signature__}>"

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by its name, as functions are

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of the arguments that are arrays."""
        return self.formula.arrays

    @property
    def parameters(self) -> Mapping[str, float]:
        """The names and defaults of the numbers that are the same for all elements."""
        return MappingProxyType(self.formula.parameters)

    def derivative(self, function: Function) -> Function:
        """Take a function's values for the formula's slopes: a decorator, where those that are found lose digits.

        Parameters
        ----------
        function : function
            Of the formula's arguments. It gives the derivative by the array, or a tuple of those by each array; of a
            formula with several results a tuple that has this of each.

        Returns
        -------
        function
            The function itself.

        Raises
        ------
        TypeError
            If the function takes other arguments.

        Examples
        --------
        >>> from softgrad import ops
        >>> from softgrad.formulas import exp
        >>> @ops.elementwise
        ... def falling(x):
        ...     return 1 / (1 + exp(x))
        >>> @falling.derivative
        ... def slope(x):
        ...     return -1 / (2 + exp(x) + exp(-x))
        >>> print(falling.backward(1.0, 0.0))
        -0.25
        """
        self.formula.set_slopes(function)
        self._small = self._small_of = None
        return function

    def __call__(self, *arrays: Any, out: Any = None, **parameters: Any) -> Any:
        # Over 1,000 numbers an op is all overhead: what is small and ready goes where the least is left to do.
        if (
            (small := self._small) is not None
            and not parameters
            and len(arrays) == self._count
            and type(first := arrays[0]) is ndarray
            and (self._count == 1 or _are_like(CPU, arrays, first))
            and (out is None or is_like(CPU, out, first))
            and (not self.formula.watched or self.formula.is_current())
            and (y := small(arrays, out)) is not None
        ):
            return y
        self._check_count(arrays)
        for array in arrays:
            if isinstance(array, Expression):
                return self._in_formula(arrays, out, parameters)
            if hasattr(type(array), OWN):
                return getattr(type(array), OWN)(self, arrays, out, parameters)
        formula = self.formula
        numbers, options = self._sorted(parameters)
        traced = formula.traced((True,) * self._count, options)
        single = traced.results == 1 and not traced.is_tuple
        if single and not formula.options and self._small_of is not traced:
            self._small = SMALL_ELEMENTWISE(traced.forward, self._count, tuple(self.parameters.values()))
            self._small_of = traced
        backend = ready_backend(arrays[0])
        if (
            backend is not None
            and single
            and arrays[0].ndim
            and _are_like(backend, arrays, arrays[0])
            and (target := ready_target(backend, out, *arrays)) is not None
        ):
            values = self._values(numbers, arrays[0].dtype)
            backend.kernels.over_arrays(traced.forward, self._count, 1)(arrays, values, (target,))
            return target
        outs = _each(out, traced.results, not single, "result")
        operands = _Operands(self.arrays, arrays, outs)
        if not all(operands.are_arrays):
            traced = formula.traced(operands.are_arrays, options)
        results = [
            Result(operands.backend, one, operands.shape, operands.dtype, operands.inputs, name=name)
            for name, one in outs.items()
        ]
        check_disjoint(operands.backend, results, "pass arrays of their own")
        values = self._values(numbers, compute_dtype(operands.dtype))
        operands.run(traced.forward, operands.inputs, values, [one.target for one in results])
        returned = tuple(one.returned() for one in results)
        return returned[0] if single else returned

    def backward(self, grad: Any, *arrays: Any, out: Any = None, **parameters: Any) -> Any:
        """The gradients: grad times the derivative by each array, summed over what that was broadcast to.

        Parameters
        ----------
        grad : array_like, or tuple of array_like or None
            The gradient of the loss with respect to the result, or to each of several, of its shape and dtype, or a
            number for all elements. None is for a result that the loss does not depend on.
        *arrays : array_like
            As the formula was given them.
        out : ndarray, or tuple of ndarray or None, optional
            Where to write: for one array an array of its shape and the result's dtype, for several a tuple of such,
            with None in the place of what is to be allocated.
        **parameters
            As the formula was given them.

        Returns
        -------
        ndarray or floating, or tuple of those
            The gradient by the array, or by each of several, of its shape and in the dtype computed.

        Raises
        ------
        TypeError, ValueError
            As for a call of the formula; if `grad` has another shape or dtype than its result; if the formula has an
            operation whose derivative is not known.
        """
        self._check_count(arrays)
        numbers, options = self._sorted(parameters)
        backend = ready_backend(grad)
        if backend is not None and grad.ndim and _are_like(backend, arrays, grad):
            traced = self.formula.traced((True,) * self._count, options)
            targets = self._targets(backend, grad, arrays, out)
            if targets and traced.results == 1 and not traced.is_tuple:
                values = self._values(numbers, compute_dtype(grad.dtype))
                run = backend.kernels.over_arrays(traced.backward(), 1 + self._count, self._count)
                run((grad, *arrays), values, targets)
                return targets if self._count > 1 else targets[0]
        outs = _each(out, self._count, self._count > 1, "array", self.arrays)
        operands = _Operands(self.arrays, arrays, outs)
        traced = self.formula.traced(operands.are_arrays, options)
        grads = _each(grad, traced.results, traced.is_tuple, "result", name="grad")
        given = tuple(one is not None or not traced.is_tuple for one in grads.values())
        clean = [
            operands.gradient(one, name) for (name, one), is_given in zip(grads.items(), given, strict=True) if is_given
        ]
        values = self._values(numbers, compute_dtype(operands.dtype))
        reads = (*clean, *operands.inputs)
        results = [
            Result(operands.backend, one, shape, operands.dtype, reads, in_place=shape == operands.shape, name=name)
            for (name, one), shape in zip(outs.items(), operands.shapes, strict=True)
        ]
        check_disjoint(operands.backend, results, "pass arrays of their own")
        # Of what was broadcast the gradient is first computed for every element.
        whole = [
            one.target if shape == operands.shape else operands.empty()
            for one, shape in zip(results, operands.shapes, strict=True)
        ]
        operands.run(traced.backward(given), reads, values, whole)
        for one, shape, buffer in zip(results, operands.shapes, whole, strict=True):
            if shape != operands.shape:
                one.array[...] = operands.summed(buffer, shape)
        returned = tuple(one.returned() for one in results)
        return returned if self._count > 1 else returned[0]

    @property
    def activation(self) -> Activation:
        """The formula as a row of `ops.ACTIVATIONS`, for `linear` and for training.

        Raises
        ------
        ValueError
            If it has not one array and one result.
        """
        formula = self.formula
        traced = formula.traced((True,) * self._count, formula.options)
        if self._count != 1 or traced.results != 1 or traced.is_tuple:
            raise ValueError(
                f"activation must be a formula of one array with one result; got {self.__name__}{self.__signature__}"
            )
        return _row(traced, tuple(formula.parameters.items()))

    def _targets(self, backend: Backend, grad: Any, arrays: tuple[Any, ...], out: Any) -> tuple[Any, ...]:
        """Where the gradients by ready arrays can be written at once; nothing if they cannot."""
        if out is None:
            return tuple(backend.xp.empty(grad.shape, grad.dtype) for _ in arrays)
        outs = (out,) if self._count == 1 else out
        if not (isinstance(outs, tuple) and len(outs) == self._count):
            return ()
        targets = tuple(ready_target(backend, one, grad, *arrays) for one in outs)
        ready = all(target is not None for target in targets) and all_disjoint(backend, targets, ())
        return targets if ready else ()

    def _check_count(self, arrays: tuple[Any, ...]) -> None:
        if len(arrays) != self._count:
            named = ", ".join((*self.parameters, *self.formula.options, "out"))
            raise TypeError(
                f"{self.__name__} takes {self._count} array{'s' * (self._count > 1)} by position, "
                f"{', '.join(self.arrays)}, and {named} by name; got {len(arrays)} by position"
            )

    def _sorted(self, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is given by name: the parameters, and the options with the defaults of those that are not given."""
        parameters, options = self.formula.parameters, dict(self.formula.options)
        numbers = {}
        for name, value in given.items():
            if name in parameters:
                numbers[name] = value
            elif name not in options:
                known = ", ".join((*parameters, *options)) or "no parameters"
                raise TypeError(f"{self.__name__} has no parameter {name!r}; it takes {known}")
            elif not isinstance(value, OPTION_TYPES):
                raise TypeError(f"{name} must be a bool, a str or None; got {type(value).__name__}")
            else:
                options[name] = value
        return numbers, options

    def _values(self, given: Mapping[str, Any], dtype: Any) -> tuple[float, ...]:
        """The parameters in order, checked to be finite numbers of the dtype computed in."""
        if not given:
            return tuple(self.formula.parameters.values())
        return tuple(
            check_number(given.get(name, default), name, dtype=dtype)
            for name, default in self.formula.parameters.items()
        )

    def _in_formula(self, arrays: tuple[Any, ...], out: Any, given: dict[str, Any]) -> Any:
        """The call within another formula, which is being traced."""
        if out is not None:
            raise TypeError(f"{self.__name__} has no out within a formula; use what it returns")
        numbers, options = self._sorted(given)
        others = {**self.formula.parameters, **numbers, **options}
        results, is_tuple = self.formula.applied([number(one) for one in arrays], others)
        return tuple(results) if is_tuple else results[0]


@functools.cache
def _row(traced: Traced, parameters: tuple[tuple[str, float], ...]) -> Activation:
    words = "a formula of its own", "its derivative"
    return Activation(traced.forward, traced.backward(), "input", *words, MappingProxyType(dict(parameters)), unlimited)


def _are_like(backend: Backend, arrays: tuple[Any, ...], like: Any) -> bool:
    return all(array is like or is_like(backend, array, like) for array in arrays)


def _each(
    given: Any, count: int, several: bool, of: str, names: Sequence[str] = (), *, name: str = "out"
) -> dict[str, Any]:
    """What is given for each, by the name it has in messages: if there are several a tuple, or None."""
    if not several:
        return {name: given}
    if given is None and name == "out":
        given = (None,) * count
    if not (isinstance(given, tuple | list) and len(given) == count):
        names = f" ({', '.join(names)})" if names else ""
        raise TypeError(f"{name} must be a tuple of {count}, one for each {of}{names}; got {type(given).__name__}")
    return {f"{name}[{i}]": one for i, one in enumerate(given)}


class _Operands:
    """The arrays and numbers of a call, prepared for kernels.

    Attributes
    ----------
    inputs
        The arrays, broadcast to one shape and of one dtype, clean.
    are_arrays
        Of each operand whether it is one of those. The others are numbers.
    numbers
        Those.
    shapes
        Of each operand as it was given.
    """

    def __init__(self, names: Sequence[str], given: tuple[Any, ...], outs: Mapping[str, Any]) -> None:
        self.backend = backend = backend_of(**dict(zip(names, given, strict=True)), **outs)
        self.are_arrays = tuple(not isinstance(one, Real | np.bool_) for one in given)
        if not any(self.are_arrays):
            self.are_arrays = (True,) * len(given)
        arrays = {
            name: as_array(backend, one, name)
            for name, one, is_array in zip(names, given, self.are_arrays, strict=True)
            if is_array
        }
        self.numbers = tuple(
            real_number(one, name)
            for name, one, is_array in zip(names, given, self.are_arrays, strict=True)
            if not is_array
        )
        self.dtype = dtype = _common_dtype(arrays)
        shapes = {name: array.shape for name, array in arrays.items()}
        self.shapes = [shapes.get(name, ()) for name in names]
        try:
            alike = len(set(shapes.values())) == 1
            self.shape = shape = next(iter(shapes.values())) if alike else np.broadcast_shapes(*shapes.values())
        except ValueError:
            found = ", ".join(f"{name} of {size}" for name, size in shapes.items())
            raise ValueError(f"the arrays must broadcast to one shape; got {found}") from None
        xp = backend.xp
        self.inputs = tuple(
            contiguous(backend, array if array.shape == shape else xp.broadcast_to(array, shape), dtype)
            for array in arrays.values()
        )

    def run(self, formula: Function, inputs: Sequence[Any], values: tuple[float, ...], outs: list[Any]) -> None:
        """Have the formula's results of the inputs, the operands that are numbers, and the parameters."""
        kernel = self.backend.kernels.over_arrays(formula, len(inputs), len(outs))
        kernel(tuple(inputs), (*self.numbers, *values), tuple(outs))

    def empty(self) -> Any:
        """Room for a result, as a kernel writes it."""
        return self.backend.bits(self.backend.xp.empty(self.shape, self.dtype))

    def gradient(self, grad: Any, name: str) -> Any:
        """The gradient of a result, clean; of a number that for every element."""
        if isinstance(grad, Real):
            grad = self.backend.xp.full(self.shape, real_number(grad, name), self.dtype)
        grad = float_array(self.backend, grad, name)
        check_shape(grad, self.shape, name, "the shape of the result")
        check_dtype(grad, self.dtype, name, "as the result is")
        return contiguous(self.backend, grad, self.dtype)

    def summed(self, buffer: Any, shape: tuple[int, ...]) -> Any:
        """The sums of a gradient for every element, over the axes by which an operand of that shape was broadcast."""
        added = len(self.shape) - len(shape)
        axes = (*range(added), *(i + added for i, size in enumerate(shape) if size != self.shape[i + added]))
        return convert(buffer.view(self.dtype), FLOAT64).sum(axis=axes).reshape(shape)


def _common_dtype(arrays: Mapping[str, Any]) -> Any:
    """The dtype of the floats among the arrays, which have one; float64 if there are none."""
    found: tuple[str, Any] | None = None
    for name, array in arrays.items():
        check_real(array.dtype, name)
        if array.dtype.kind in "iub":
            continue
        dtype = array.dtype.newbyteorder("=")
        if found is not None:
            check_dtype(array, found[1], name, f"as {found[0]} is")
        found = found or (name, dtype)
    return FLOAT64 if found is None else found[1]
