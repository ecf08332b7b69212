"""Information measures of probabilities: self-information, entropy, cross-entropy, KL divergence, perplexity."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np

from softgrad.ops.arguments import (
    FLOAT16,
    FLOAT32,
    FLOAT64,
    check_dtype,
    check_shape,
    compute_dtype,
    contiguous,
    float_array,
    place_of,
    real_number,
    shown,
)
from softgrad.ops.axes import Axis, Rows, rows_of
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.results import into

# How far from 1 the sum of a distribution may be. A softmax over 262,144 classes is that near whoever computed it:
# rounding to float16 may take all its tiny probabilities up, or to 0; in float32 careless sums lose some digits.
TOLERANCE = {FLOAT16: 1e-2, FLOAT32: 1e-4, FLOAT64: 1e-6}

NATS = 1.0, 0.0


@lru_cache(maxsize=64)
def _factor(base: float, dtype: Any) -> tuple[float, float]:
    """1 / log(base) as a number of that dtype and what rounding took from it."""
    with localcontext(prec=50):
        exact = 1 / Decimal(base).ln()
        high = float(dtype.type(float(exact)))
        return high, float(exact - Decimal(high))


def _factor_of(base: Any, dtype: Any) -> tuple[float, float]:
    if base is None:
        return NATS
    number = real_number(base, "base")
    if not 0 < number < np.inf or number == 1:
        raise ValueError(f"base must be a positive finite number other than 1, or None for nats; got {shown(base)}")
    return _factor(number, compute_dtype(dtype))


def _prepared(**given: Any) -> tuple[Backend, list[Any]]:
    """The backend, and p, or p and q, as arrays that fit each other."""
    backend = backend_of(**given)
    p, *others = (float_array(backend, value, name) for name, value in given.items())
    for q in others:
        check_shape(q, p.shape, "q", "as p has")
        check_dtype(q, p.dtype, "q", "as p is")
    return backend, [p, *others]


def _of_rows(
    name: str,
    backend: Backend,
    arrays: list[Any],
    axis: Axis,
    factors: tuple[float, ...],
    keepdims: bool,
    validate: bool,
) -> Any:
    """What the kernel of that name makes of the rows of its arrays."""
    shape, dtype = arrays[0].shape, arrays[0].dtype
    rows = rows_of(shape, axis, columns=False)
    views = [rows.view(backend, array, compute_dtype(dtype)) for array in arrays]
    checks = backend.xp.zeros((2 * len(arrays), len(views[0])), compute_dtype(dtype))

    def write(target: Any) -> None:
        if views[0].size:
            getattr(backend.kernels, name)(*views, *factors, target.reshape(-1), checks)
        else:  # rows of no classes: an empty sum, of which the perplexity is exp(0)
            target[...] = 1 if name == "perplexity_forward" else 0
        if validate:
            _check_distributions(backend, checks, rows, axis, TOLERANCE[dtype])

    return into(backend, None, rows.keepdims_shape if keepdims else rows.kept_shape, dtype, (), write)


def _check_distributions(backend: Backend, checks: Any, rows: Rows, axis: Axis, tolerance: float) -> None:
    """Raise ValueError for the first row that does not sum to 1 or goes below 0; of NaN neither is true."""
    first_beyond = backend.kernels.first_beyond
    for name, sums, below in zip("pq", checks[::2], checks[1::2], strict=False):
        found = first_beyond(sums, 1 - tolerance, 1 + tolerance), first_beyond(below, 0.0, 0.0)
        if max(found) >= 0:
            row = min(place for place in found if place >= 0)
            place = place_of(row, rows.kept_shape) if len(rows.kept_shape) > 1 else row
            lowest, total = -float(below[row]), float(sums[row])
            fault = f"holds {lowest:.8g}" if lowest < 0 else f"sums to {total:.8g}"
            raise ValueError(
                f"{name} must hold distributions along axis {axis}: nothing below 0, with a sum of 1 to within "
                f"{tolerance:g}; row {place} {fault}; divide the rows by their sums, or pass validate=False"
            )


def self_information(p: Any, /, *, base: float | None = None, validate: bool = True, out: Any = None) -> Any:
    """-log(p), the information in an event of probability p.

    Parameters
    ----------
    p : array_like
        Probabilities, any shape and strides. Floats keep their dtype (float16 is computed in float32); integers and
        booleans become float64.
    base : float, optional
        Of the logarithm: None is e, for nats; 2 gives bits; any positive number but 1.
    validate : bool, default True
        Check first that every element lies in [0, 1]. Without the check, NaN and negative numbers give NaN.
    out : ndarray, optional
        Where to write, of p's shape and the result's dtype; may be p itself.

    Returns
    -------
    ndarray
        Of p's shape: +inf where p is 0, and 0, never -0, where p is 1. Powers of two give whole bits.

    Raises
    ------
    TypeError
        If p is complex or holds no numbers, the base is no number, or `out` is of another dtype or on another device.
    ValueError
        If an element is outside [0, 1], the base is not positive and finite or is 1, or `out` is of another shape
        or read-only.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.self_information([0.5, 0.125, 1.0, 0.0], base=2)
    array([ 1.,  3.,  0., inf])
    """
    backend = backend_of(p=p, out=out)
    p = float_array(backend, p, "p")
    factors = _factor_of(base, p.dtype)
    clean = contiguous(backend, p, compute_dtype(p.dtype))

    def write(target: Any) -> None:
        if validate:
            position = backend.kernels.first_beyond(clean, 0.0, 1.0)
            if position >= 0:
                place = place_of(position, p.shape)
                found = f"{float(clean[place]):.8g}" + (f" at {place}" if place else "")
                raise ValueError(f"p must lie in [0, 1]; found {found}; or pass validate=False")
        backend.kernels.self_information_forward(clean, *factors, target)

    return into(backend, out, p.shape, p.dtype, (clean,), write)


def entropy(
    p: Any, /, *, axis: Axis = -1, base: float | None = None, keepdims: bool = False, validate: bool = True
) -> Any:
    """-sum(p log(p)), the expected information of a distribution; 0 log 0 = 0.

    Parameters
    ----------
    p : array_like
        Probabilities, any shape, any strides. Floats keep their dtype (float16 is computed in float32); integers and
        booleans become float64.
    axis : int, tuple of int or None, default -1
        What sums to 1; None is all axes. Unless it is the last, or are the last ones, a copy is made.
    base : float, optional
        Of the logarithm: None is e, for nats; 2 gives bits; any positive number but 1.
    keepdims : bool, default False
        Keep the summed axes, with size 1.
    validate : bool, default True
        Check, in the same pass, that no element is below 0 and every row sums to 1, to within 1e-2 in float16, 1e-4
        in float32 and 1e-6 in float64: a softmax over 262,144 classes does. Without the check NaN in a row gives NaN
        there alone, and a row of any other numbers what the formula says.

    Returns
    -------
    floating or ndarray
        A number for each row, within 1 ULP (in float16, as rounded). Powers of two give whole bits.

    Raises
    ------
    TypeError
        If p is complex or holds no numbers, or the base is no number.
    ValueError
        If a row is no distribution, the axis does not exist, or the base is not positive and finite or is 1.

    See Also
    --------
    scipy.stats.entropy : Divides by the sum first.

    Examples
    --------
    >>> from softgrad import ops
    >>> float(ops.entropy([0.5, 0.25, 0.25, 0.0], base=2))
    1.5
    """
    backend, arrays = _prepared(p=p)
    return _of_rows("entropy_forward", backend, arrays, axis, _factor_of(base, arrays[0].dtype), keepdims, validate)


def cross_entropy(
    p: Any, q: Any, /, *, axis: Axis = -1, base: float | None = None, keepdims: bool = False, validate: bool = True
) -> Any:
    """-sum(p log(q)), the expected information of q where p is true; 0 log q = 0, even of q = 0.

    Parameters
    ----------
    p, q : array_like
        Probabilities, both of one shape and dtype; as for `entropy`.
    axis, base, keepdims, validate
        As for `entropy`; both p and q are checked.

    Returns
    -------
    floating or ndarray
        A number for each row, within 1 ULP; +inf where q is 0 and p is not.

    Raises
    ------
    TypeError
        As `entropy`, and if the dtypes or devices differ.
    ValueError
        As `entropy`, of p or q, and if the shapes differ.

    See Also
    --------
    softmax_cross_entropy : From logits and labels, where a logarithm of a probability may not be rounded to -inf.

    Examples
    --------
    >>> from softgrad import ops
    >>> float(ops.cross_entropy([1.0, 0.0], [0.25, 0.75], base=2))
    2.0
    """
    backend, arrays = _prepared(p=p, q=q)
    factor = _factor_of(base, arrays[0].dtype)
    return _of_rows("cross_entropy_forward", backend, arrays, axis, factor, keepdims, validate)


def kl_divergence(
    p: Any, q: Any, /, *, axis: Axis = -1, base: float | None = None, keepdims: bool = False, validate: bool = True
) -> Any:
    """sum(p log(p / q) - p + q), the information lost where q stands for p; sum(p log(p / q)) if both sum to 1.

    The terms are never negative (`scipy.special.kl_div`), so nothing cancels: near p = q the result is as exact as
    anywhere, and it is 0 only of equals.

    Parameters
    ----------
    p, q : array_like
        Probabilities, both of one shape and dtype; as for `entropy`.
    axis, base, keepdims, validate
        As for `entropy`; both p and q are checked.

    Returns
    -------
    floating or ndarray
        A number for each row, within 4 ULP, and 0 or above (for a base above 1); +inf where q is 0 and p is not.

    Raises
    ------
    TypeError
        As `entropy`, and if the dtypes or devices differ.
    ValueError
        As `entropy`, of p or q, and if the shapes differ.

    Examples
    --------
    >>> from softgrad import ops
    >>> float(ops.kl_divergence([1.0, 0.0], [0.25, 0.75], base=2))
    2.0
    """
    backend, arrays = _prepared(p=p, q=q)
    factor = _factor_of(base, arrays[0].dtype)
    return _of_rows("kl_divergence_forward", backend, arrays, axis, factor, keepdims, validate)


def perplexity(p: Any, /, *, axis: Axis = -1, keepdims: bool = False, validate: bool = True) -> Any:
    """exp(entropy(p)): as many equally probable classes would be as uncertain.

    There is no base: whichever the entropy is taken to, raised to that power it is the same.

    Parameters
    ----------
    p, axis, keepdims, validate
        As for `entropy`.

    Returns
    -------
    floating or ndarray
        A number for each row, within 3 ULP, between 1 and the number of classes.

    Raises
    ------
    TypeError
        If p is complex or holds no numbers.
    ValueError
        If a row is no distribution, or the axis does not exist.

    Examples
    --------
    >>> from softgrad import ops
    >>> round(float(ops.perplexity([0.25, 0.25, 0.25, 0.25])), 12)
    4.0
    """
    backend, arrays = _prepared(p=p)
    return _of_rows("perplexity_forward", backend, arrays, axis, (), keepdims, validate)
