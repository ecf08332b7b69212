"""The card's backend for tests of it alone, which are skipped where there is none."""

from __future__ import annotations

import pytest

from softgrad.ops.backend import Backend, get_backend
from softgrad.ops.gpu import BackendUnavailableError


def gpu_or_skip() -> Backend:
    """The GPU backend; skips the test, or the module that asks at its import, if it cannot run."""
    try:
        return get_backend("gpu")
    except BackendUnavailableError as error:
        pytest.skip(str(error), allow_module_level=True)
