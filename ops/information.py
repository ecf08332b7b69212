"""Information measures of probabilities: self-information, entropy, cross-entropy, KL divergence, perplexity."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np

from softgrad.kernels.formulas.conditions import is_between, is_probability
from softgrad.kernels.formulas.information import CROSS_ENTROPY, ENTROPY, KL_DIVERGENCE, PERPLEXITY, Measure
from softgrad.ops.arguments import check_dtype, check_shape, contiguous, float_array, place_of
from softgrad.ops.axes import Axis, Rows, remembered
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.dtypes import compute_dtype
from softgrad.ops.ready import is_like, ready_backend
from softgrad.ops.results import Result
from softgrad.ops.scalars import real_number, shown

# How far from 1 the sum of a distribution may be, by the bytes of its numbers. A softmax over 262,144 classes is that
# near whoever computed it: rounding to float16 may take all its tiny probabilities up, or to 0; in float32 careless
# sums lose some digits.
TOLERANCE = {2: 1e-2, 4: 1e-4, 8: 1e-6}

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


def _of_rows(
    measure: Measure, distributions: tuple[Any, ...], axis: Axis, base: Any, keepdims: bool, validate: bool
) -> Any:
    backend = ready_backend(distributions[0])
    if backend is None or not all(is_like(backend, q, distributions[0]) for q in distributions[1:]):
        backend, distributions = _prepared(*distributions)
    shape, dtype = distributions[0].shape, distributions[0].dtype
    factors = _factor_of(base, dtype)
    rows = (remembered if type(axis) is int else Rows)(shape, axis)
    computed = compute_dtype(dtype)
    views = [rows.view(backend, array, dtype) for array in distributions]
    result = Result(backend, None, rows.keepdims_shape if keepdims else rows.kept_shape, computed)
    checks = backend.xp.empty((len(views), len(views[0])), computed)
    if views[0].size:
        backend.kernels.information_measure(measure)(views, *factors, result.target.reshape(-1), checks)
    else:
        result.target[...] = measure.of_nothing
        checks[...] = 0
    if validate:
        _check_distributions(backend, checks, rows, axis, TOLERANCE[dtype.itemsize])
    return result.returned()


def _prepared(*distributions: Any) -> tuple[Backend, tuple[Any, ...]]:
    """The backend, and p, or p and q, as arrays that fit each other."""
    given = dict(zip("pq", distributions, strict=False))
    backend = backend_of(**given)
    p, *others = (float_array(backend, value, name) for name, value in given.items())
    for q in others:
        check_shape(q, p.shape, "q", "as p has")
        check_dtype(q, p.dtype, "q", "as p is")
    return backend, (p, *others)


def _check_distributions(backend: Backend, checks: Any, rows: Rows, axis: Axis, tolerance: float) -> None:
    """Raise ValueError for the first row that does not sum to 1 or goes below 0; of NaN neither is true."""
    found = backend.kernels.first_failing(is_between)(checks.reshape(-1), 1 - tolerance, 1 + tolerance)
    if found >= 0:
        which, row = divmod(found, checks.shape[1])
        place = place_of(row, rows.kept_shape) if len(rows.kept_shape) > 1 else row
        check = float(checks[which, row])
        fault = f"holds {check:.8g}" if check < 0 else f"sums to {check:.8g}"
        raise ValueError(
            f"{'pq'[which]} must hold distributions along axis {axis}: nothing below 0, with a sum of 1 to within "
            f"{tolerance:g}; row {place} {fault}; divide the rows by their sums, or pass validate=False"
        )


def self_information(p: Any, /, *, base: float | None = None, validate: bool = True, out: Any = None) -> Any:
    """-log(p), the information in an event of probability p.

    Parameters
    ----------
    p : array_like
        Probabilities, any shape and strides. Floats keep their dtype (16-bit ones are computed in float32);
        integers and booleans become float64.
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
    backend = ready_backend(p)
    if backend is None or out is not None:
        backend = backend_of(p=p, out=out)
        p = float_array(backend, p, "p")
    factors = _factor_of(base, p.dtype)
    clean = contiguous(backend, p, p.dtype)
    result = Result(backend, out, p.shape, p.dtype, (clean,))
    position = backend.kernels.first_failing(is_probability)(clean.reshape(-1)) if validate else -1
    if position >= 0:
        place = place_of(position, p.shape)
        found = f"{float(p[place]):.8g}" + (f" at {place}" if place else "")
        raise ValueError(f"p must lie in [0, 1]; found {found}; or pass validate=False")
    backend.kernels.self_information_forward(clean, *factors, result.target)
    return result.returned()


def entropy(
    p: Any, /, *, axis: Axis = -1, base: float | None = None, keepdims: bool = False, validate: bool = True
) -> Any:
    """-sum(p log(p)), the expected information of a distribution; 0 log 0 = 0.

    Parameters
    ----------
    p : array_like
        Probabilities, any shape, any strides; 16-bit floats are computed in float32, integers and booleans in
        float64.
    axis : int, tuple of int or None, default -1
        What sums to 1; None is all axes. Unless it is the last, or are the last ones, a copy is made.
    base : float, optional
        Of the logarithm: None is e, for nats; 2 gives bits; any positive number but 1.
    keepdims : bool, default False
        Keep the summed axes, with size 1.
    validate : bool, default True
        Check, in the same pass, that no element is below 0 and every row sums to 1, to within 1e-2 of 16-bit
        floats, 1e-4 of float32 and 1e-6 of float64: a softmax over 262,144 classes does. Without the check NaN in a row
        gives NaN there alone, and a row of any other numbers what the formula says.

    Returns
    -------
    floating or ndarray
        A number for each row, within 1 ULP; float32 of 16-bit floats. Powers of two give whole bits.

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
    return _of_rows(ENTROPY, (p,), axis, base, keepdims, validate)


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
    return _of_rows(CROSS_ENTROPY, (p, q), axis, base, keepdims, validate)


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
    return _of_rows(KL_DIVERGENCE, (p, q), axis, base, keepdims, validate)


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
    return _of_rows(PERPLEXITY, (p,), axis, None, keepdims, validate)
