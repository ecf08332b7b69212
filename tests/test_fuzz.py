"""tools/fuzz_ops.py, a moment of it: hostile calls end with a result or a documented error, and write nothing else."""

from __future__ import annotations

from collections import Counter

import fuzz_ops
import numpy as np
import pytest

from softgrad import ops

CALLS = 40  # of each function


def test_hostile_calls_of_every_function() -> None:
    for number, name in enumerate(fuzz_ops.names()):
        endings = Counter(fuzz_ops.call(fuzz_ops.Fuzzer(1000 * number + i), name) for i in range(CALLS))
        assert endings.total() == CALLS
        assert len(endings) > 1 or name == "heaviside_backward", f"{name}: {endings}"


def broken(monkeypatch: pytest.MonkeyPatch, function: object) -> str:
    """What the fuzzer says of that function in softmax's place."""
    monkeypatch.setattr(ops, "softmax", function)
    for seed in range(500):
        try:
            fuzz_ops.call(fuzz_ops.Fuzzer(seed), "softmax")
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "nothing"


def test_it_finds_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    softmax = ops.softmax

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
        memory = fuzz_ops.memory_of(out) if out is not None else result
        if memory is not out and memory.dtype == np.uint8 and memory.size > 512:
            memory[3] = 0
        return result

    for function, found in (
        (undocumented, "IndexError"),
        (writes_its_input, "was written"),
        (writes_before_it_raises, "was written"),
        (writes_beside_out, "what lies around out"),
    ):
        assert found in broken(monkeypatch, function), function.__name__
