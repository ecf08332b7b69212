"""Any two arguments of any operation in one memory: results as from copies, or an error and nothing written."""

from __future__ import annotations

import inspect
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numerics import KERNEL_DTYPES, Arrays, assert_same_bits
from signatures import NAMES, SIZE, STATES, WRITTEN, called, drawn, parameters_of

from softgrad import ops

MARGIN = 256
# How many bytes the second array lies behind the first: itself, an element or two, a row.
SHIFTS = (0, 4, 8, -8, 4 * SIZE)


def in_one_memory(backend: Arrays, values: dict[str, np.ndarray], pair: tuple[str, str], shift: int) -> dict[str, Any]:
    """The arrays, of which the pair's second begins so many bytes behind the first."""
    memory = backend.put(np.zeros(2 * MARGIN + 2 * 4 * SIZE * SIZE, np.uint8))
    arrays = {key: backend.put(array) for key, array in values.items()}
    for key, start in zip(pair, (MARGIN, MARGIN + shift), strict=True):
        array = values[key]
        arrays[key] = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    # Labels and booleans are written last: their bytes are some number too, but not the reverse.
    for key in sorted(pair, key=lambda key: values[key].dtype not in KERNEL_DTYPES):
        arrays[key][...] = backend.put(values[key])
    return arrays


def compare(
    backend: Arrays, name: str, values: dict[str, np.ndarray], pair: tuple[str, str], shift: int, **options: Any
) -> None:
    case = f"{name}: {pair[1]} {shift} bytes behind {pair[0]}, {options}, of {', '.join(values)}"
    arrays = in_one_memory(backend, values, pair, shift)
    before = {key: backend.get(array).copy() for key, array in arrays.items()}
    if backend.backend.name == "gpu" and shift % arrays[pair[1]].dtype.itemsize:
        with pytest.raises(ValueError, match=r"must begin at a multiple of \d bytes"):
            called(name, arrays, **options)
        for key, array in arrays.items():
            assert_same_bits(backend.get(array), before[key], case)
        return
    if all(key in WRITTEN for key in pair):
        with pytest.raises(ValueError, match="must not share memory; pass"):
            called(name, arrays, **options)
        for key, array in arrays.items():
            assert_same_bits(backend.get(array), before[key], case)
        return
    expected = called(name, {key: backend.put(array) for key, array in before.items()}, **options)
    for found, right in zip(called(name, arrays, **options), expected, strict=True):
        assert_same_bits(backend.get(found), backend.get(right), case)


@pytest.mark.parametrize("name", [name for name in NAMES if any(key in WRITTEN for key in drawn(name))])
def test_any_two_arguments_may_lie_in_one_memory(backend: Arrays, name: str) -> None:
    values, parameters = drawn(name), parameters_of(name)
    written = {*WRITTEN, "grad"} if name == "linear_backward" else {*WRITTEN}  # it may overwrite grad
    needed = {
        key for key in values if key in STATES or parameters[key.split("[")[0]].default is inspect.Parameter.empty
    }
    shifts = SHIFTS if backend.backend.name == "cpu" else SHIFTS[:2]
    for pair in combinations(values, 2):
        if written.isdisjoint(pair):
            continue
        for keys in {frozenset(values), frozenset(needed | {*pair})}:
            given = {key: values[key] for key in values if key in keys}
            for axis in (-1, 0) if "axis" in parameters else (None,):
                for shift in shifts:
                    compare(backend, name, given, pair, shift, axis=axis)


@pytest.mark.parametrize("first", ["targets", "logits"])
def test_probabilities_may_lie_in_the_gradient_s_memory(backend: Arrays, first: str) -> None:
    values = drawn("softmax_cross_entropy_with_grad")
    values["targets"] = values["out"].copy()
    for shift in SHIFTS:
        compare(backend, "softmax_cross_entropy_with_grad", values, (first, "out"), shift, label_smoothing=0.1)


def test_labels_of_one_class_may_lie_in_the_result_s_memory(backend: Arrays) -> None:
    labels = backend.put(np.zeros(SIZE, np.int64))
    out = labels.view(np.float64).reshape(SIZE, 1)
    assert_same_bits(backend.get(ops.one_hot(labels, 1, out=out)), np.ones((SIZE, 1)))


def test_arrays_that_only_interleave_share_no_memory(backend: Arrays) -> None:
    pairs = backend.xp.ones((SIZE, 2), np.float32)
    grad = backend.put(np.ones(SIZE, np.float32))
    ops.sgd_update(pairs[:, 0], grad, lr=0.5, momentum=1.0, velocity=pairs[:, 1])
    assert_same_bits(backend.get(pairs), np.tile(np.array([0, 2], np.float32), (SIZE, 1)))
