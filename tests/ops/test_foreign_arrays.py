"""Arrays of other kinds in any argument of any operation: subclasses, masked arrays, the other byte order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import event
from numerics import Arrays, assert_same_bits
from signatures import NAMES, WRITTEN, called, drawn

from softgrad import ops


class Touchy(np.ndarray):
    """An array that refuses whatever NumPy would do with it as such."""

    def __array_finalize__(self, other: Any) -> None:
        self.unit = getattr(other, "unit", "metre")

    def __array_ufunc__(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("a ufunc was called with it")

    def __array_function__(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("a function was called with it")

    def __getitem__(self, place: Any) -> Any:
        raise AssertionError("it was indexed")

    __setitem__ = __getitem__


def as_memmap(array: np.ndarray, path: Path) -> np.ndarray:
    mapped = np.memmap(path, array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    return mapped


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_subclasses_and_either_byte_order_are_taken_as_plain_memory(name: str, tmp_path: Path) -> None:
    values = drawn(name)
    expected = called(name, {key: array.copy() for key, array in values.items()})
    for key, array in values.items():
        kinds: dict[str, Any] = {
            "touchy": array.copy().view(Touchy),
            "recarray": array.copy().view(np.recarray),
            "memmap": as_memmap(array, tmp_path / key),
        }
        kinds |= {"matrix": np.asmatrix(array.copy())} if array.ndim == 2 else {}
        kinds |= {"swapped": array.astype(array.dtype.newbyteorder("S"))} if array.dtype != bool else {}
        for kind, given in kinds.items():
            arrays = {other: value.copy() for other, value in values.items()} | {key: given}
            results = called(name, arrays)
            assert not any(result is None for result in results)
            if key in WRITTEN:
                assert any(result is given for result in results), f"{key} as {kind} is not returned"
            for found, right in zip(results, expected, strict=True):
                native = np.asarray(found).astype(np.asarray(right).dtype)
                assert_same_bits(native, right, f"{name}: {key} as {kind}")


@pytest.mark.parametrize("name", NAMES)
def test_masked_arrays_are_refused_by_name(backend: Arrays, name: str) -> None:
    values = drawn(name)
    for key, array in values.items():
        masked = np.ma.array(array, mask=np.zeros(array.shape, bool), copy=True)  # nothing hidden: refused all the same
        written, has_where = key in WRITTEN, "where" in values and key in ("x", "grad", "y")
        remedy = f"{key}.data with where=~np.ma.getmaskarray({key})" if has_where else f"{key}.filled(...) with"
        forms = [("is", masked)] if backend.backend.name == "cpu" else []  # a NumPy array is not mixed with CuPy's
        for verb, given in forms if written else [*forms, ("holds", [masked])]:
            arrays = {other: given if other == key else backend.put(value) for other, value in values.items()}
            with pytest.raises(TypeError) as raised:
                called(name, arrays)
            assert str(raised.value).startswith(f"{key} {verb} a masked array, ")
            assert f"; pass {key + '.data' if written else remedy}" in str(raised.value)
            for other, value in values.items():
                assert_same_bits(masked.data if other == key else backend.get(arrays[other]), value, f"{name}: {other}")


class Gives:
    """Another package's array that NumPy is given a masked one for."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.ma.array([1.0, 2.0, 99.0], mask=[0, 0, 1])


def test_masks_that_hide_deeper_are_found() -> None:
    hidden = np.ma.array([1.0, 2.0, 99.0], mask=[0, 0, 1])
    for given in (Gives(), [[hidden], [hidden]], ([0.0, 1.0, 2.0], hidden), [1.0, np.ma.masked]):
        with pytest.raises(
            TypeError, match=r"^x (is|holds) a masked array, whose mask would be lost; pass x\.data with "
        ):
            ops.softmax(given)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match=r"^x must be "):
        ops.softmax(endless)


@pytest.mark.parametrize("ignored", [-100, -1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("label", [2**64 - 100, 2**64 - 1, 2**63])
def test_a_label_beyond_int64_is_no_ignored_one(backend: Arrays, label: int, ignored: int) -> None:
    logits = backend.put(np.eye(3))
    labels = backend.put(np.array([0, label, 2], np.uint64))
    for call in (ops.softmax_cross_entropy, ops.softmax_cross_entropy_with_grad):
        with pytest.raises(ValueError, match=rf"^labels must lie in \[0, 3\); found {label} at row 1$"):
            call(logits, labels, ignore_index=ignored)
    losses = ops.softmax_cross_entropy(logits, labels, ignore_index=ignored, reduction="none", validate=False)
    assert np.isnan(backend.get(losses)).tolist() == [False, True, False]
    loss, _ = ops.linear_cross_entropy_with_grad(logits, logits, labels, ignore_index=ignored, validate=False)
    assert np.isnan(float(loss))


def test_an_index_beyond_int64_stands_for_the_last_row(backend: Arrays) -> None:
    x = backend.put(np.arange(6.0).reshape(3, 2))
    found = ops.gather_scale(x, backend.put(np.array([2**64 - 1, 0], np.uint64)), validate=False)
    assert_same_bits(backend.get(found), np.array([[4.0, 5.0], [0.0, 1.0]]))


def test_labels_that_have_no_length_can_be_counted() -> None:
    class Exported:
        def __init__(self, array: np.ndarray) -> None:
            self.__dlpack__, self.array = array.__dlpack__, array

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    assert ops.accuracy(np.eye(3), Exported(np.array([0, 1, 0]))) == 2 / 3


class Compilations(event.Listener):
    """Counts what Numba compiles."""

    def __init__(self) -> None:
        self.count = 0

    def on_start(self, event: event.Event) -> None:
        self.count += 1

    def on_end(self, event: event.Event) -> None:
        pass


@pytest.mark.parametrize("name", NAMES)
def test_read_only_arrays_are_taken_by_the_kernels_of_all_others(name: str) -> None:
    values = drawn(name)
    expected = called(name, {key: array.copy() for key, array in values.items()})
    kept = {key: array.copy() for key, array in values.items()}
    for key, array in kept.items():
        array.flags.writeable = key in WRITTEN
    counted = Compilations()
    with event.install_listener("numba:compile", counted):
        results = called(name, kept)
    assert counted.count == 0
    for found, right in zip(results, expected, strict=True):
        assert_same_bits(np.asarray(found), np.asarray(right))
    for key, array in kept.items():
        if key not in WRITTEN:
            assert_same_bits(array, values[key])
