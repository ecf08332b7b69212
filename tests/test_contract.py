"""What the parts of the package owe each other: names, arguments, direction of imports, one formula everywhere."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from devices import gpu_or_skip
from numerics import Arrays, assert_ulp
from signatures import PUBLIC

import softgrad
from softgrad import ops
from softgrad.kernels import Kernels

ROOT = Path(softgrad.__file__).resolve().parent


def test_gpu_backend_is_tested_too() -> None:
    """The one test that is skipped where there is no GPU: all that take `backend` then run on the CPU alone."""
    assert gpu_or_skip().name == "gpu"


# ---- names and arguments


def test_a_backend_exports_the_contract_and_nothing_else(backend: Arrays) -> None:
    kernels = backend.backend.kernels
    contract = {name: promised for name, promised in vars(Kernels).items() if not name.startswith("_")}
    exported = {name for name, value in vars(kernels).items() if callable(value) and not name.startswith("_")}
    assert exported == set(contract)
    for name, kind in get_type_hints(Kernels).items():
        assert type(getattr(kernels, name)) is kind, name
    for name, promised in contract.items():
        _self, *arguments = inspect.signature(promised).parameters
        assert list(inspect.signature(getattr(kernels, name)).parameters) == arguments, name
        assert promised.__doc__, name


def test_every_activation_is_public_with_its_backward() -> None:
    for name, row in ops.ACTIVATIONS.items():
        assert {name, f"{name}_backward"} <= set(PUBLIC)
        assert row.name == name
        assert row.formula
        assert row.derivative
        assert row.saved in ("input", "output")
    assert [name for name, row in ops.ACTIVATIONS.items() if row.backward is None] == ["heaviside"]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_op_is_documented(name: str) -> None:
    op = getattr(ops, name)
    doc = inspect.getdoc(op) or ""
    assert doc.partition("\n\n")[0].endswith("."), "the first paragraph is no sentence"
    if "those of" in doc or "it is `" in doc:
        return  # it refers to another op for its arguments, results and errors
    assert "Raises\n------" in doc
    assert "Returns\n-------" in doc or inspect.signature(op).return_annotation == "None"
    for parameter in inspect.signature(op).parameters:
        assert parameter in doc, f"{parameter} is not explained"


@pytest.mark.parametrize("name", PUBLIC)
def test_arrays_are_positional_and_options_keywords(name: str) -> None:
    parameters = inspect.signature(getattr(ops, name)).parameters.values()
    kinds = {parameter.kind for parameter in parameters}
    assert kinds <= {
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }


# ---- imports point one way: bench -> train -> ops -> kernels -> kernels/simd -> kernels/formulas

OUTER = {
    "kernels/formulas": ["kernels.simd", "kernels.cpu", "kernels.cuda", "kernels.cache"],
    "kernels/simd": ["kernels.cpu", "kernels.cuda", "kernels.cache"],
    "kernels/cpu": ["kernels.cuda"],
    "kernels/cuda": ["kernels.cpu"],
    "kernels": ["cli", "bench", "train", "ops"],
    "ops": ["cli", "bench", "train"],
    "train": ["cli", "bench"],
    "bench": ["cli"],
}


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from softgrad import ops` names the module softgrad.ops
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "softgrad" else [module]


@pytest.mark.parametrize("folder", OUTER)
def test_imports_point_one_way(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for module in imported(path):
            for outer in OUTER[folder]:
                assert not f"{module}.".startswith(f"softgrad.{outer}."), f"{path} imports {module}"


def test_ops_meet_the_kernels_of_a_target_in_its_backend_alone() -> None:
    elsewhere = [path for path in (ROOT / "ops").rglob("*.py") if path.name not in ("backend.py", "environment.py")]
    assert elsewhere
    for path in elsewhere:
        for module in imported(path):
            assert not f"{module}.".startswith(("softgrad.kernels.cpu.", "softgrad.kernels.cuda.")), path


def test_formulas_depend_on_nothing_but_formulas() -> None:
    for path in sorted((ROOT / "kernels" / "formulas").rglob("*.py")):
        of_the_package = [module for module in imported(path) if module.partition(".")[0] == "softgrad"]
        assert all(module.startswith("softgrad.kernels.formulas") for module in of_the_package), path


# ---- one formula: as plain Python it says what the compiled kernels compute


@pytest.mark.parametrize("name", list(ops.ACTIVATIONS))
def test_formula_runs_as_plain_python_and_agrees_with_the_kernel(backend: Arrays, name: str) -> None:
    row = ops.ACTIVATIONS[name]
    x = np.array([-20, -4.5, -3, -1, -0.25, -0.0, 0, 1e-3, 0.5, 1, 2.75, 6, 30, -np.inf, np.inf, np.nan], np.float32)
    parameters = [np.float32(value) for value in row.parameters.values()]
    with np.errstate(all="ignore"):
        plain = [row.forward(value, *parameters) for value in x]
    assert {type(value) for value in plain} == {np.float32}
    # NumPy's float32 functions and the C library's are not the same to the last bit.
    exact = np.array(plain, np.float64)
    assert_ulp(backend.get(getattr(ops, name)(backend.put(x))), exact, 4, inputs=x)
    if row.backward:
        grad = np.float32(0.75)
        with np.errstate(all="ignore"):
            plain = [row.backward(grad, value, *parameters) for value in x]
        assert {type(value) for value in plain} == {np.float32}
        found = getattr(ops, f"{name}_backward")(backend.put(np.full_like(x, grad)), backend.put(x))
        assert_ulp(backend.get(found), np.array(plain, np.float64), 4, floor=1e-3, inputs=x)
