"""Labels of any kind - integers, booleans, whole floats, strings - and their places among the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from softgrad.ops.arguments import as_array
from softgrad.ops.backend import CPU, backend_of


def on_host(array: Any, name: str = "y") -> np.ndarray:
    """A NumPy array of what may be a list, or on a GPU."""
    backend = backend_of(**{name: array})
    array = as_array(backend, array, name)
    return np.asarray(array if backend is CPU else array.get())


def as_labels(y: Any, rows: int | None, name: str = "y") -> np.ndarray:
    """Labels as a NumPy array, one for each row where their number is known.

    Raises
    ------
    TypeError
        If they are neither numbers nor strings, or some are and others are not.
    ValueError
        If there is not one for each row, or a number is not whole.
    """
    if isinstance(y, list | tuple) and len({_kind(label) for label in y}) > 1:  # NumPy would make strings of all
        kinds = sorted({type(label).__name__ for label in y})
        raise TypeError(f"{name} must hold labels of one kind, which can be sorted; got {' and '.join(kinds)}")
    labels = on_host(y, name)
    if labels.ndim != 1 or rows not in (None, len(labels)):
        expected = "(N,)" if rows is None else f"({rows},), a label for each row of x"
        raise ValueError(f"{name} must have shape {expected}; got shape {labels.shape}")
    if labels.dtype.kind not in "iubfUSTO":
        raise TypeError(f"{name} must hold labels: numbers, booleans or strings; got {labels.dtype}")
    if labels.dtype.kind in "fOT":
        for row, label in enumerate(labels.tolist()):
            if label != label or (isinstance(label, float) and not label.is_integer()):
                raise ValueError(
                    f"{name} must hold labels; found {label!r} at row {row}; for numbers there is LinearRegression"
                )
    return labels


def sorted_classes(labels: np.ndarray, name: str) -> np.ndarray:
    """The classes among the labels; raises if there is only one, or they cannot be sorted."""
    try:
        classes = np.unique(labels)
    except TypeError as error:
        raise TypeError(f"{name} must hold labels of one kind, which can be sorted; {error}") from error
    if len(classes) < 2:
        raise ValueError(f"{name} must hold labels of at least two classes; got {classes.tolist()}")
    return classes


def places_of(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The place of each label among the classes; raises ValueError for one that is none of them."""
    places = {label: place for place, label in enumerate(classes.tolist())}
    for row, label in enumerate(labels.tolist()):
        if label not in places:
            raise ValueError(f"y must hold labels of the classes {classes.tolist()}; found {label!r} at row {row}")
    return np.array([places[label] for label in labels.tolist()], np.int64)


def _kind(label: Any) -> str:
    return "str" if isinstance(label, str) else "bytes" if isinstance(label, bytes) else "other"
