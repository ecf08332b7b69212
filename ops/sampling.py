"""Draws from the categorical distribution of logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softgrad.kernels.formulas.conditions import is_class
from softgrad.ops.arguments import contiguous, float_array, place_of
from softgrad.ops.backend import backend_of
from softgrad.ops.dtypes import INT64, compute_dtype
from softgrad.ops.scalars import check_size, shown, whole_number
from softgrad.ops.softmax import ONE, checked_temperature


def _key_of(rng: Any) -> int:
    """64 bits, which decide all noise of a call."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    seed = None if rng is None else whole_number(rng, "rng", "a numpy.random.Generator, an integer seed or None")
    if seed is not None and seed < 0:
        raise ValueError(f"rng must be a seed not below 0; got {shown(rng)}")
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _draws_shape(shape: Any) -> tuple[int, ...]:
    if shape is None:
        return ()
    sizes = tuple(
        whole_number(size, "shape", "None, an integer or a tuple of integers")
        for size in (shape if isinstance(shape, tuple | list) else (shape,))
    )
    if min(sizes, default=0) < 0:
        raise ValueError(f"shape must have no negative sizes; got {shown(shape)}")
    return sizes


def sample_categorical(
    logits: Any,
    /,
    *,
    temperature: float = ONE,
    shape: int | tuple[int, ...] | None = None,
    rng: Any = None,
    validate: bool = True,
) -> Any:
    """Classes drawn at random, class j of a row with probability softmax(x / T)_j.

    A draw is argmax_j x_j / T + G_j with independent Gumbel noise G, made by a counter-based generator as it is needed:
    there is no array of noise, nor of probabilities.

    Parameters
    ----------
    logits : array_like
        Shape (..., C), with C at least 1, any strides. 16-bit floats are computed in float32, integers in float64.
    temperature : float, default 1
        T: 0 is the arg-max, drawn uniformly from equal ones; infinity is uniform over the classes above -inf.
    shape : int or tuple of int, optional
        How many independent draws of each row: the result has these axes first. None is one, without an axis.
    rng : numpy.random.Generator or int, optional
        What the noise is made from: 64 bits drawn from a generator, or a seed, which gives the same draws whatever the
        number of threads. None takes fresh entropy.
    validate : bool, default True
        Raise for a row that is no distribution. Without it such a row's draws are -1.

    Returns
    -------
    ndarray of int64, or int64
        Shape (*shape, *logits.shape[:-1]), each in [0, C); a class with logit -inf is never drawn. CuPy arrays give
        the same draws as NumPy arrays but for ties in rounding, which is no promise.

    Raises
    ------
    TypeError
        If the logits hold no real numbers, or an option is of the wrong type.
    ValueError
        If there are no classes, a row has NaN or +inf or nothing but -inf, the temperature is negative or NaN, or a
        size or seed is negative. The generator has advanced then, if all but the rows was right.

    Notes
    -----
    The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011). Its words give uniform numbers of 32 bits
    whose small values are exact to rounding, so classes of probability 1e-9 are drawn as often as they should be.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.sample_categorical([[0.0, 9.0, 0.0], [5.0, 1.0, 5.0]], temperature=0.01, rng=1)[0]
    np.int64(1)
    >>> ops.sample_categorical([0.0, -float("inf")], shape=4)
    array([0, 0, 0, 0])
    """
    backend = backend_of(logits=logits)
    logits = float_array(backend, logits, "logits")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., C) with at least one class; got shape {logits.shape}")
    dtype = compute_dtype(logits.dtype)
    temperature = checked_temperature(temperature, dtype)
    kept, classes = logits.shape[:-1], logits.shape[-1]
    result_shape = (*_draws_shape(shape), *kept)
    check_size(result_shape, INT64, "shape", shape)
    key = _key_of(rng)
    draws, rows = math.prod(result_shape), math.prod(kept)
    drawn = backend.xp.empty((draws,), np.int64)
    if draws:
        matrix = contiguous(backend, logits, logits.dtype).reshape(rows, classes)
        backend.kernels.sample_categorical_forward(matrix, temperature, key, drawn)
        bad = backend.kernels.first_failing(is_class)(drawn, classes) if validate else -1
        if bad >= 0:
            place = place_of(bad % rows, kept)
            raise ValueError(
                f"logits must be below +inf, with one above -inf, and no NaN in a row; row {place} is not so; "
                "mask classes with -inf, or pass validate=False"
            )
    return drawn.reshape(result_shape)[()]
