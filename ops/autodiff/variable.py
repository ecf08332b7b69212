"""`Variable`, an array that remembers how it was computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softgrad.ops.arguments import as_array, float_array
from softgrad.ops.autodiff import arrays, elementwise
from softgrad.ops.autodiff.graph import Node, value_of
from softgrad.ops.axes import Axis
from softgrad.ops.backend import backend_of

REMEDY = "use {} of softgrad.ops.autodiff, or its .value, which counts as a constant"

# The arithmetic of arrays that meet a Variable on the right, as NumPy calls it.
ARITHMETIC: dict[Any, Callable[..., Any]] = {
    np.add: elementwise.add,
    np.subtract: elementwise.subtract,
    np.multiply: elementwise.multiply,
    np.divide: elementwise.divide,
    np.power: elementwise.power,
    np.matmul: arrays.matmul,
}
COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}

# Where NumPy has another name for a function of `autodiff`.
OTHER_NAMES = {"absolute": "abs", "fabs": "abs", "amax": "max", "amin": "min"}


def _remedy(name: str) -> str:
    """What to use instead of NumPy's function of that name."""
    from softgrad.ops import autodiff

    ours = OTHER_NAMES.get(name, name)
    return REMEDY.format(ours if ours in autodiff.__all__ else "the functions")


class _Ufuncs:
    """`__array_ufunc__` of a Variable: arithmetic is autodiff's, and all other ufuncs name what to use instead.

    NumPy looks for it in the class, and finds `call`. CuPy asks an object for it, and leaves arithmetic to those that
    have None there, as to all that are no arrays of its own.
    """

    def __get__(self, variable: Any, owner: type) -> Callable[..., Any] | None:
        return self.call if variable is None else None

    @staticmethod
    def call(variable: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and not options:
            if ufunc in ARITHMETIC:
                return ARITHMETIC[ufunc](*inputs)
            if ufunc in COMPARISONS:
                return ufunc(*map(value_of, inputs))
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise TypeError(f"numpy.{name} takes no Variable; {_remedy(name)}")


class Variable(Node):
    """An array or number that remembers how it was computed, so that there is a way back for gradients.

    It has the arithmetic of arrays (``+ - * / ** @``, unary ``-``), broadcasting and indexing; comparisons give plain
    booleans. The arrays it was computed from must not change before the gradient is taken.

    Parameters
    ----------
    value : array_like
        Of floats; integers count as float64, and Python's numbers.

    Attributes
    ----------
    value : ndarray or floating
        The array or number itself.

    Raises
    ------
    TypeError
        If the value holds no floats, or is a Variable already.

    Examples
    --------
    >>> from softgrad.ops import autodiff
    >>> x = autodiff.Variable([1.0, 2.0])
    >>> autodiff.gradients((x * x + x).sum(), x)
    array([3., 5.])
    """

    __slots__ = ()

    __array_ufunc__ = _Ufuncs()
    __array_priority__ = 1000

    def __init__(self, value: Any, /) -> None:
        super().__init__(checked_floats(value, "value"))

    __elementwise__ = staticmethod(elementwise.formula)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError(f"a Variable does not become an array, which has no gradient; {_remedy('')}")

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} takes no Variable; {_remedy(function.__name__)}")

    def __float__(self) -> float:
        raise TypeError(f"a Variable does not become a number, which has no gradient; {_remedy('')}")

    __int__ = __float__

    def __repr__(self) -> str:
        return f"Variable({self.value!r})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's shape."""
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self.value.size)

    @property
    def dtype(self) -> Any:
        """The value's dtype."""
        return self.value.dtype

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return arrays.transpose(self)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """`autodiff.sum` of this."""
        return arrays.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """`autodiff.mean` of this."""
        return arrays.mean(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """`autodiff.min` of this."""
        return arrays.min(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """`autodiff.max` of this."""
        return arrays.max(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Any:
        """`autodiff.reshape` of this, to a tuple or to sizes one by one."""
        return arrays.reshape(self, shape[0] if len(shape) == 1 else shape)

    def __getitem__(self, index: Any) -> Any:
        return arrays.getitem(self, index)

    def __len__(self) -> int:
        return len(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __add__(self, other: Any) -> Any:
        return elementwise.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return elementwise.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return elementwise.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return elementwise.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return elementwise.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return elementwise.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return elementwise.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return elementwise.divide(other, self)

    def __pow__(self, other: Any) -> Any:
        return elementwise.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return elementwise.power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return arrays.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return arrays.matmul(other, self)

    def __neg__(self) -> Any:
        return elementwise.negative(self)

    def __abs__(self) -> Any:
        return elementwise.abs(self)

    def __lt__(self, other: Any) -> Any:
        return self.value < value_of(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= value_of(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > value_of(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= value_of(other)

    def __eq__(self, other: Any) -> Any:
        return self.value == value_of(other)

    def __ne__(self, other: Any) -> Any:
        return self.value != value_of(other)

    __hash__ = object.__hash__


def checked_floats(value: Any, name: str) -> Any:
    """The value as an array of floats, or as a NumPy number, integers as float64; raises TypeError if it is neither."""
    if isinstance(value, Variable):
        raise TypeError(f"{name} is a Variable already; gradients of gradients are not supported; pass its .value")
    backend = backend_of(**{name: value})
    array = as_array(backend, value, name)
    if array.dtype.kind == "b":
        raise TypeError(f"{name} must hold numbers to have a gradient; got bool; convert it, as in x.astype(float)")
    return float_array(backend, array, name)[()]
