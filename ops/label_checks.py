"""Labels of rows: as the kernels take them, and whether they lie in the classes."""

from __future__ import annotations

from typing import Any

from softgrad.ops.arguments import LARGEST_INT64, integer_array, is_ready, is_ready_index
from softgrad.ops.backend import Backend


def are_ready(logits: Any, labels: Any) -> bool:
    """Can a CPU kernel take logits of shape (N, C) and their labels as they are?"""
    return is_ready(logits) and logits.ndim == 2 and logits.shape[1] > 0 and is_ready_index(labels, logits.shape[:1])


def label_array(
    backend: Backend, labels: Any, name: str, shape: tuple[int, ...], *, beyond: int = LARGEST_INT64
) -> Any:
    """Integer labels of that shape, as the kernels take them; `beyond` stands for those that are no int64."""
    labels = integer_array(backend, labels, name, beyond=beyond)
    if labels.shape != shape:
        remedy = ""
        if labels.ndim == len(shape) + 1 and labels.shape[:-1] == shape and labels.shape[-1] > 1:
            remedy = "; of one-hot rows give their argmax(-1)"
            remedy += ", or floats as probabilities" if name == "targets" else ""
        raise ValueError(f"{name} must have shape {shape}, one label for each row; got shape {labels.shape}{remedy}")
    return labels


def check_labels(backend: Backend, labels: Any, classes: int, name: str = "labels", *, given: Any) -> None:
    """Raise ValueError unless every label lies in [0, classes), naming the first bad one as it was `given`."""
    row = backend.kernels.first_outside(labels, classes)
    if row >= 0:
        found = backend.xp.asarray(given).reshape(-1)[row]
        remedy = "; the losses leave out such rows with ignore_index=-100" if found == -100 else ""
        raise ValueError(f"{name} must lie in [0, {classes}); found {found} at row {row}{remedy}")
