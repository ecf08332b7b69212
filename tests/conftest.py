"""What all tests share: every backend that is present, and the way hypothesis searches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
from numba.core import config

# The tests and the tools are no packages; `reference` and `numerics` lie beside the tests. In Numba's CUDA simulator
# `import cupy` finds a stand-in, and so the GPU backend is present.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / ("simulator" if "NUMBA_ENABLE_CUDASIM" in os.environ else "")))

from numerics import Arrays

from softgrad.kernels.cpu import threads
from softgrad.ops.backend import get_backend
from softgrad.ops.gpu import BackendUnavailableError

collect_ignore = ["simulator"]
if find_spec("numba_cuda") is None:  # there is none for macOS
    collect_ignore += ["test_cuda_compile.py", "test_cuda_launch.py"]

# What pytest-xdist tells its workers of the terminal is not so of the pipe that they write to.
for size in ("COLUMNS", "LINES"):
    os.environ.pop(size, None)

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
def small_blocks() -> Iterator[None]:
    """In the simulator few threads do what many do on a card: small arrays then take every path."""
    if not config.ENABLE_CUDASIM:
        yield
        return
    import scheduler

    from softgrad.kernels.cuda import (
        columns,
        elementwise,
        elementwise_losses,
        gather,
        information,
        linear,
        rows,
        sampling,
        sums,
        updates,
    )

    scheduler.order = os.environ.get("SOFTGRAD_SIMULATED_ORDER", "forward")
    scheduler.install()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "NARROW_THREADS", 8)
        patch.setattr(rows, "MOST_THREADS", 64)
        patch.setattr(rows, "MOST_ITEMS", {"f": 8, "d": 4})
        patch.setattr(sums, "THREADS", 64)
        patch.setattr(elementwise_losses, "SEARCH_BLOCKS", 2)
        for module in (information, sampling):
            patch.setattr(module, "THREADS", 64)
            patch.setattr(module, "WARP_CLASSES", 64)
        for module in (columns, elementwise, elementwise_losses, gather, linear, updates):
            patch.setattr(module, "THREADS", 32)
        yield


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
