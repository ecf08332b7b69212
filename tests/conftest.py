"""What all tests share: every backend that is present, and the way hypothesis searches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

# The tests are no package; `reference` and `numerics` lie beside them.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from numerics import Arrays

from softgrad.ops.backend import BackendUnavailableError, get_backend

# No deadline: a first example may compile a kernel. On a build server the same examples each time.
hypothesis.settings.register_profile("softgrad", deadline=None, max_examples=60, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("softgrad")


def _present() -> list[object]:
    """The backends that can run here. test_contract.py has the one test that says why the GPU's cannot."""
    try:
        get_backend("gpu")
    except BackendUnavailableError:
        return ["cpu"]
    return ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(scope="session", params=_present())
def backend(request: pytest.FixtureRequest) -> Arrays:
    """Each backend that is present, as the arrays to give it and to take from it: one test body for all."""
    return Arrays(get_backend(request.param))
