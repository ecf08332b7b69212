"""fuzz_ops.py, a moment of it: hostile calls end with a result or a documented error, and write nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fuzz_arguments import Fuzzer
from fuzz_checks import call, memory_of
from signatures import PUBLIC

from softgrad import ops

pytestmark = pytest.mark.slow

CALLS = 25  # of each function

softmax = ops.softmax


def test_hostile_calls_of_every_function() -> None:
    for number, name in enumerate(PUBLIC):
        endings = Counter(call(Fuzzer(1000 * number + i), name) for i in range(CALLS))
        assert endings.total() == CALLS
        assert endings["returned"] or name == "heaviside_backward", f"{name}: {endings}"


def undocumented(x, /, *, axis=-1, out=None):
    return [][axis]


def writes_its_input(x, /, *, axis=-1, out=None):
    result = softmax(x, axis=axis, out=out)
    if x.flags.writeable and x.size and out is None:
        x.flat[0] += 1
    return result


def writes_before_it_raises(x, /, *, axis=-1, out=None):
    if isinstance(out, np.ndarray) and out.flags.writeable and out.size and out.dtype.kind == "f":
        out.flat[0] = 7
    return softmax(x, axis=axis, out=out)


def writes_beside_out(x, /, *, axis=-1, out=None):
    result = softmax(x, axis=axis, out=out)
    memory = memory_of(out) if out is not None else result
    if memory is not out and memory.dtype == np.uint8 and memory.size > 512:
        memory[3] = 0
    return result


def forgets_masks(x, /, *, axis=-1, out=None):
    return softmax(np.asarray(x), axis=axis, out=out)


def writes_while_it_reads(x, /, *, axis=-1, where=True, out=None):
    result = softmax(x, axis=axis, out=out)
    result[...] = np.where(where, result, 0)
    return result


def knows_strides_by_heart(x, /, *, axis=-1, out=None):
    wrong = isinstance(x, np.ndarray) and x.ndim > 1 and x.strides[-1] == 2 * x.itemsize
    return softmax(x + 1e-3 * (np.arange(x.shape[-1]) if wrong else 0), axis=axis, out=out)


def cannot_take_other_byte_orders(x, /, *, axis=-1, out=None):
    if isinstance(x, np.ndarray) and not x.dtype.isnative:
        raise TypeError("x must be native")
    return softmax(x, axis=axis, out=out)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (undocumented, "IndexError"),
        (writes_its_input, "was written, and the call returned"),
        (writes_before_it_raises, "was written, and the call "),
        (writes_beside_out, "was written, and the call returned"),
        (forgets_masks, "the mask of x is lost"),
        (writes_while_it_reads, "the result: "),
        (knows_strides_by_heart, "the result: "),
        (cannot_take_other_byte_orders, "TypeError x must be native, but plain copies return"),
    ],
)
def test_it_finds_what_is_broken(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], found: str) -> None:
    monkeypatch.setattr(ops, "softmax", function)
    errors = []
    for seed in range(1500):
        try:
            call(Fuzzer(seed), "softmax")
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
            if found in errors[-1]:
                return
    raise AssertionError(f"{found!r} not found, but {set(errors)}")
