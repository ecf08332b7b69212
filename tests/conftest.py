"""What all tests share: every backend that is present, and the way hypothesis searches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# The tests are no package; `reference` and `numerics` lie beside them.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from numerics import Arrays

from softgrad.kernels.cpu import threads
from softgrad.ops.backend import BackendUnavailableError, get_backend

# No deadline: a first example may compile a kernel. On a build server the same examples each time.
hypothesis.settings.register_profile("softgrad", deadline=None, max_examples=60, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("softgrad")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `mnist` are skipped where the real files are not."""
    if (Path(os.environ.get("SOFTGRAD_DATA", "")) / "mnist").is_dir():
        return
    for item in items:
        if item.get_closest_marker("mnist"):
            item.add_marker(pytest.mark.skip(reason="needs $SOFTGRAD_DATA/mnist"))


@pytest.fixture(autouse=True, scope="session")
def threads_from_128_kib_on() -> Iterator[None]:
    """The results above and below the threshold are the same (test_threads.py); a low one makes for small arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "PARALLEL_BYTES", 128 << 10)
        yield


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
