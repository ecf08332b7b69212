"""What all tests share: every backend that is present, and the way hypothesis searches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
from devices import EXECUTED, STAND_IN
from numba.core import config
from numerics import Arrays

from softgrad.kernels.cpu import threads
from softgrad.ops.backend import get_backend
from softgrad.ops.gpu import BackendUnavailableError

# Why kernels that are to be executed as PTX cannot be.
NOT_EXECUTED = ""

# CuPy is not imported before the GPU backend is asked for; where it is a stand-in, `import cupy` then finds that.
if STAND_IN:
    support = Path(__file__).resolve().parent / "support"
    sys.path[:0] = [str(support / "stand_in"), str(support / "simulator")]
if EXECUTED:
    import ptx.building
    import ptx.switch

    try:
        ptx.building.library()
        ptx.switch.turn_on()
    except ptx.building.NoCompilerError as error:
        NOT_EXECUTED = str(error)

collect_ignore = ["support"]
if find_spec("numba_cuda") is None:  # there is none for macOS
    collect_ignore += [f"kernels/test_cuda_{name}.py" for name in ("compile", "launch", "plans")]

# What pytest-xdist tells its workers of the terminal is not so of the pipe that they write to.
for size in ("COLUMNS", "LINES"):
    os.environ.pop(size, None)

# No deadline: a first example may compile a kernel. On a build server the same examples each time.
hypothesis.settings.register_profile("softgrad", deadline=None, max_examples=60, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("softgrad")


@pytest.hookimpl(tryfirst=True)  # before tests are left out by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `mnist` are skipped where the real files are not, and all where they cannot be executed.

    On a GPU those marked `alike` are slow.
    """
    with_mnist = (Path(os.environ.get("SOFTGRAD_DATA", "")) / "mnist").is_dir()
    for item in items:
        if item.get_closest_marker("gpu") and item.get_closest_marker("alike"):
            item.add_marker(pytest.mark.slow)
        if NOT_EXECUTED:
            item.add_marker(pytest.mark.skip(reason=NOT_EXECUTED))
        elif item.get_closest_marker("mnist") and not with_mnist:
            item.add_marker(pytest.mark.skip(reason="needs $SOFTGRAD_DATA/mnist"))


# Room for 768 float32 or 384 float64 beside the reductions.
SIMULATED_SHARED_BYTES = 5 << 10


@pytest.fixture(autouse=True, scope="session")
def small_blocks() -> Iterator[None]:
    """In the simulator few threads do what many do on a GPU: small arrays then take every path."""
    if not config.ENABLE_CUDASIM:
        yield
        return
    import scheduler

    from softgrad.kernels.cuda import (
        columns,
        elementwise,
        elementwise_losses,
        gather,
        held,
        information,
        linear,
        plans,
        sampling,
        search,
        sums,
        updates,
    )

    scheduler.order = os.environ.get("SOFTGRAD_SIMULATED_ORDER", "forward")
    scheduler.install()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "STAGED_ITEMS", 4)
        patch.setattr(plans, "STAGED_TWICE", 3)
        patch.setattr(plans, "STAGED_CLASSES", 16)
        patch.setattr(plans, "STAGED_THREADS", 32)
        patch.setattr(plans, "WARPS_THREADS", 32)
        patch.setattr(plans, "MOST_THREADS", {"f": 64, "d": 64})
        patch.setattr(plans, "MOST_ITEMS", {"f": 8, "d": 4})
        patch.setattr(held, "shared_bytes", lambda: SIMULATED_SHARED_BYTES)
        patch.setattr(sums, "THREADS", 64)
        patch.setattr(sums, "FEWEST_ELEMENTS", 64)
        patch.setattr(sums, "MOST_LEFT", 4)
        patch.setattr(search, "MOST_BLOCKS", 2)
        for module in (information, sampling):
            patch.setattr(module, "THREADS", 64)
            patch.setattr(module, "WARP_CLASSES", 64)
        for module in (columns, elementwise, elementwise_losses, gather, linear, search, updates):
            patch.setattr(module, "THREADS", 32)
        yield


@pytest.fixture(autouse=True, scope="session")
def totals() -> Iterator[None]:
    """What was executed as PTX is noted down for `python -m ptx.totals`."""
    yield
    if EXECUTED and "SOFTGRAD_PTX_TOTALS" in os.environ:
        from ptx.totals import TOTALS

        TOTALS.write(Path(os.environ["SOFTGRAD_PTX_TOTALS"]))


SHARED_BYTES = 128 << 10


@pytest.fixture
def small_arrays_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays are shared among threads from 128 KiB on: the results are the same (test_threads.py)."""
    monkeypatch.setattr(threads, "PARALLEL_BYTES", SHARED_BYTES)


@pytest.fixture(autouse=True, scope="session")
def all_small_arrays_shared(pytestconfig: pytest.Config) -> Iterator[None]:
    """Beside the slow tests, all arrays are. Else only those of tests that ask for it: kernels for several threads are
    compiled apart.
    """
    with pytest.MonkeyPatch.context() as patch:
        if pytestconfig.option.markexpr != "not slow":
            patch.setattr(threads, "PARALLEL_BYTES", SHARED_BYTES)
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
