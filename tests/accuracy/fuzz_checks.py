"""What `fuzz_ops` asks of a call: how it ends, what it writes, and whether plain copies give the same numbers.

A call that returns is made once more with arguments that lie apart, contiguous, in the native byte order, of NumPy's
own type and Python's own numbers: the results and all that was written must be the same to the bit, but for matrix
products, whose order of summation is BLAS's. A call that raises must raise with those too, unless they are what was
wrong: a mask, read-only memory, two results in one place.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
from fuzz_arguments import Fuzzer, arguments
from fuzz_values import STATES, Boxed

from softgrad import ops

DOCUMENTED = (TypeError, ValueError, MemoryError)

# What plain copies have no more.
OF_THE_MEMORY = ("masked array", "read-only", "must not share memory")

# Matrix products are compared where no number is larger than this, and how far they may be apart for numbers of 1.
MATMUL_LARGEST = 100
MATMUL_TOLERANCE = {"e": 1e-2, "f": 1e-4, "d": 1e-10}

Arguments = dict[str, Any]


def call(fuzz: Fuzzer, name: str) -> str:
    """One call of that function: how it ended. Raises AssertionError if something broke."""
    function = getattr(ops, name)
    given = arguments(fuzz, name, function)
    copies = {key: plain(value, is_number(function, key)) for key, value in given.items()}
    arrays = dict(arrays_in(given))
    memories = {id(memory): memory for memory in map(memory_of, arrays.values())}
    before = {key: bytes_of(memory).copy() for key, memory in memories.items()}
    with np.errstate(all="raise") if fuzz.maybe(0.1) else np.errstate():
        ending, result = outcome(function, given)
    written = {key: array for key, array in arrays.items() if ending == "returned" and is_written(name, key, given)}
    for key, memory in memories.items():
        mine = {name: array for name, array in arrays.items() if memory_of(array) is memory}
        changed = (bytes_of(memory) != before[key]) & ~bytes_within(memory, (mine[k] for k in mine if k in written))
        assert not changed.any(), f"the memory of {', '.join(mine)} was written, and the call {ending}: {result}"

    right_ending, right = outcome(function, copies)
    if ending != "returned":
        assert str(result), f"{ending} without a word"
        lay_wrong = any(words in str(result) for words in OF_THE_MEMORY)
        assert right_ending != "returned" or lay_wrong, f"{ending} {result}, but plain copies return"
        return ending
    assert right_ending == "returned", f"it returned, but with plain copies {right_ending} {right}"
    for key, value in given.items():
        assert key in STATES or not is_masked(value), f"the mask of {key} is lost"
    for out in flat(given.get("out")):
        assert any(part is out for part in flat(result)) or not given.get("input_grad", True), "the result is not out"
    if not (name == "sample_categorical" and given.get("rng") is None):
        results = [("the result", *pair) for pair in zip(flat(result), flat(right), strict=True)]
        compare(name, [*results, *what_was_written(written, dict(arrays_in(copies)))], copies)
    return ending


def outcome(function: Callable[..., Any], given: Arguments) -> tuple[str, Any]:
    """How the call ended, and its result or error."""
    kinds = {key: parameter.kind for key, parameter in inspect.signature(function).parameters.items()}
    positional = [value for key, value in given.items() if kinds[key] is inspect.Parameter.POSITIONAL_ONLY]
    named = {key: value for key, value in given.items() if kinds[key] is not inspect.Parameter.POSITIONAL_ONLY}
    try:
        return "returned", function(*positional, **named)
    except DOCUMENTED as error:
        return type(error).__name__, error


# ---- plain copies


def is_number(function: Callable[..., Any], key: str) -> bool:
    """Is the argument a number or an option, and no array?"""
    named = inspect.signature(function).parameters[key].kind is inspect.Parameter.KEYWORD_ONLY
    return key == "num_classes" or (named and key not in ("weight", "pos_weight", "bias", "where", "out", *STATES))


def plain(value: Any, number: bool = False) -> Any:
    """The same numbers in arrays of NumPy's own type that share no memory, or in Python's numbers."""
    if isinstance(value, Boxed):
        return value.number
    if isinstance(value, np.ndarray):
        array = np.array(np.asarray(value), value.dtype.newbyteorder("="), order="C")
        return array.item() if number and array.ndim == 0 else array
    if isinstance(value, tuple | list):
        return type(value)(plain(part, number) for part in value)
    return copy.deepcopy(value) if isinstance(value, np.random.Generator) else value


def is_masked(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return any(isinstance(part, np.ma.MaskedArray) for part in parts)


# ---- memory


def arrays_in(given: Arguments) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays among the arguments; those of a tuple as out[0], out[1] ..."""
    for key, value in given.items():
        if isinstance(value, np.ndarray):
            yield key, value
        elif isinstance(value, tuple):
            yield from ((f"{key}[{i}]", part) for i, part in enumerate(value) if isinstance(part, np.ndarray))


def is_written(name: str, key: str, given: Arguments) -> bool:
    """May a call that returns have written that argument?"""
    return key.startswith("out") or key in ("param", *STATES) or (key == "grad" and bool(given.get("overwrite_grad")))


def memory_of(array: np.ndarray) -> np.ndarray:
    """All the memory that an array is part of, guards included."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return whole


def bytes_of(memory: np.ndarray) -> np.ndarray:
    if memory.dtype == object:
        return np.zeros(0, np.uint8)
    flat_view = np.asarray(memory).ravel(order="K")
    assert flat_view.size == 0 or np.shares_memory(flat_view, memory)
    return flat_view.view(np.uint8)


def bytes_within(memory: np.ndarray, arrays: Iterator[np.ndarray]) -> np.ndarray:
    """For each byte of the memory whether it belongs to one of the arrays."""
    belongs = np.zeros(bytes_of(memory).size, np.uint8)
    begin = np.lib.array_utils.byte_bounds(np.asarray(memory))[0]
    for array in map(np.asarray, arrays):
        if array.size and belongs.size:
            offset = array.__array_interface__["data"][0] - begin
            item = np.frombuffer(b"\x01" * array.itemsize, f"V{array.itemsize}")[0]
            np.ndarray(array.shape, item.dtype, belongs, offset, array.strides)[...] = item
    return belongs.astype(bool)


def what_was_written(written: Arguments, copies: Arguments) -> Iterator[tuple[str, Any, Any]]:
    """What is in each array that was written, and what should be; not of those that another lies over."""
    for key, array in written.items():
        others = [np.asarray(other) for other_key, other in written.items() if other_key != key]
        if key != "grad" and not any(np.may_share_memory(np.asarray(array), other) for other in others):
            yield key, array, copies[key]


# ---- values


def flat(result: Any) -> list[Any]:
    """The parts of a result that are there."""
    if isinstance(result, tuple):
        return [part for whole in result for part in flat(whole)]
    return [] if result is None else [result]


def compare(name: str, pairs: list[tuple[str, Any, Any]], given: Arguments) -> None:
    """Raise AssertionError unless what was found is what is right."""
    exact = not name.startswith("linear")
    numbers = [
        np.abs(array[np.isfinite(array)]).max(initial=0) for _, array in arrays_in(given) if array.dtype.kind == "f"
    ]
    if not exact and not all(is_moderate(value) for value in [*given.values(), *flat(given.get("out"))]):
        return
    scale = max([1.0, *map(float, numbers)])
    for key, found, right in ((key, np.asarray(found), np.asarray(right)) for key, found, right in pairs):
        assert found.shape == right.shape, f"{key} has shape {found.shape}, of plain copies {right.shape}"
        assert found.dtype.newbyteorder("=") == right.dtype, f"{key} is {found.dtype}, of plain copies {right.dtype}"
        if right.dtype.kind not in "fiu":
            continue
        found = found.astype(right.dtype)
        same = (found == right) & (np.signbit(found) == np.signbit(right)) | (found != found) & (right != right)
        if not exact:
            with np.errstate(all="ignore"):
                near = np.abs(found - right) <= MATMUL_TOLERANCE[right.dtype.char] * (scale * scale + np.abs(right))
            same |= near
        assert same.all(), f"{key}: {found[~same][0]!r} instead of {right[~same][0]!r} at {np.argwhere(~same)[0]}"


def is_moderate(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return bool(np.isfinite(value).all() and (np.abs(value) <= MATMUL_LARGEST).all())
    return not isinstance(value, Real) or abs(value) <= MATMUL_LARGEST
