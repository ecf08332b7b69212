"""The examples in docstrings give what they say, each in the module that users import."""

from __future__ import annotations

from collections.abc import Iterator
from doctest import DocTest, DocTestFinder, DocTestRunner
from importlib import import_module
from pkgutil import walk_packages

import pytest

# Beside them are the benchmarks, which need the peers, and the CUDA kernels, which need a GPU.
PACKAGES = ("ops", "train", "kernels.formulas", "kernels.simd", "kernels.cpu")


def _examples() -> Iterator[DocTest]:
    modules = [import_module(f"softgrad.{name}") for name in ("formulas", "terminal", "failures", *PACKAGES)]
    for package in PACKAGES:
        path = import_module(f"softgrad.{package}").__path__
        modules += [import_module(module.name) for module in walk_packages(path, f"softgrad.{package}.")]
    for module in modules:
        yield from (test for test in DocTestFinder(exclude_empty=True).find(module) if test.examples)


@pytest.mark.parametrize("example", list(_examples()), ids=lambda test: test.name)
def test_docstring(example: DocTest, capsys: pytest.CaptureFixture[str]) -> None:
    failed, _ = DocTestRunner().run(example)
    assert not failed, capsys.readouterr().out
