"""Numbers in any form: arrays without axes of NumPy and other packages, and integers beyond all floats."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from boxed import Boxed, Exported
from numerics import assert_same_bits
from signatures import NAMES, OPTIONS, SIZE, STATES, arrays_of, called, drawn, parameters_of

from softgrad import ops

BEYOND_FLOATS = (10**400, -(10**400), 10**5000)
HUGE = (2**63, 2**70, -(2**70), *BEYOND_FLOATS)
FLAGS = ("validate", "keepdims", "nesterov", "centered", "amsgrad", "input_grad", "overwrite_grad")
OTHERS = ("activation", "reduction", "approximate", "dtype", "out", "b", "parameters", "betas", *FLAGS, *STATES)
WHOLE = {"axis": 0, "step": 3, "ignore_index": 1, "chunk_rows": 2, "num_classes": SIZE, "shape": 3, "rng": 5}
REAL = {"base": 2.0, "softcap": 30.0, "temperature": 0.5, "weight": 0.5, "pos_weight": 0.5}


def numbers_of(name: str) -> dict[str, Any]:
    """A number for each option that takes one."""
    arrays = arrays_of(name)
    found = {}
    for key, parameter in parameters_of(name).items():
        elementwise_weight = key in ("weight", "pos_weight") and name.startswith("sigmoid")
        if key in OTHERS or (key in arrays and not elementwise_weight):
            continue
        if parameter.kind is not parameter.VAR_KEYWORD:
            default = 0.5 if parameter.default in (inspect.Parameter.empty, None) else float(parameter.default)
            found[key] = WHOLE.get(key, REAL.get(key, OPTIONS.get(key, default)))
    return found


CASES = [(name, key) for name in NAMES for key in numbers_of(name)]


def results_of(name: str, key: str, value: Any) -> list[Any]:
    arrays = {other: array for other, array in drawn(name).items() if other != key and other != "where"}
    if name.startswith("rmsprop"):
        arrays["grad"] *= 1e-3
    return called(name, arrays, **{key: value})


@pytest.mark.parametrize(("name", "key"), CASES)
def test_arrays_without_axes_are_numbers(name: str, key: str) -> None:
    number = numbers_of(name)[key]
    expected = results_of(name, key, number)
    for given in (np.array(number), np.asarray(number)[()], Boxed(number), Exported(number)):
        if key == "axis" and isinstance(given, Boxed | Exported):
            continue
        for found, right in zip(results_of(name, key, given), expected, strict=True):
            assert_same_bits(found, right, f"{name}: {key}={given!r}")


@pytest.mark.parametrize(("name", "key"), CASES)
def test_huge_integers_are_named_or_taken(name: str, key: str) -> None:
    for value in HUGE if key in WHOLE else BEYOND_FLOATS:
        try:
            results_of(name, key, value)
        except ValueError as error:
            message = str(error)
            assert key in message, message
            assert len(message) < 300
        else:  # as infinity, or as more than there is
            assert value > 0
            assert key in ("temperature", "step", "chunk_rows", "rng")


@pytest.mark.parametrize(("name", "key"), CASES)
def test_what_is_no_number_in_an_array_is_none(name: str, key: str) -> None:
    for given in (
        np.array("1"),
        np.array(1j),
        np.datetime64(1, "ns"),
        np.ma.array(1.0, mask=True),
        np.array([1.0, 2.0]),
    ):
        if given.ndim and key in ("weight", "pos_weight"):
            continue
        with pytest.raises((TypeError, ValueError), match=rf"\b{key}\b"):
            results_of(name, key, given)


def test_the_numbers_of_a_pair() -> None:
    betas = np.array([0.5, 0.25])
    expected = called("adam_update", drawn("adam_update"), betas=(0.5, 0.25))
    for given in (betas, [np.array(0.5), Boxed(0.25)]):
        for found, right in zip(called("adam_update", drawn("adam_update"), betas=given), expected, strict=True):
            assert_same_bits(found, right)
    for value in BEYOND_FLOATS:
        with pytest.raises(ValueError, match=r"^betas\[1\] must be"):
            called("adam_update", drawn("adam_update"), betas=(0.5, value))


@pytest.mark.parametrize("package", ["torch", "jax.numpy"])
def test_numbers_of_other_packages(package: str) -> None:
    module = pytest.importorskip(package)
    x = drawn("softmax")["x"]
    expected = ops.softmax(x, temperature=0.5, axis=0)
    assert_same_bits(ops.softmax(x, temperature=module.asarray(0.5), axis=module.asarray(0)), expected)
    assert_same_bits(ops.one_hot([1], module.asarray(2)), np.array([[0.0, 1.0]]))
