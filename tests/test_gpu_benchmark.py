"""benchmarks/gpu.py runs from end to end: on a card quickly, in the simulator over a few numbers."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from numba.core import config

from softgrad.ops.backend import BackendUnavailableError, get_backend

try:
    get_backend("gpu")
except BackendUnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)

pytestmark = pytest.mark.gpu


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).resolve().parent.parent / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_benchmark", module)
    spec.loader.exec_module(module)
    return module


def test_it_measures_and_writes(benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elements = 1 << 24
    if config.ENABLE_CUDASIM:
        elements = 60
        monkeypatch.setattr(benchmark, "CLASSES", (0, 0, 3, 0, 20))
        monkeypatch.setattr(benchmark, "ROUNDS", 1)
        monkeypatch.setattr(benchmark, "epochs", lambda dataset, count: [{"seconds": 1.0, "test_accuracy": 0.5}])
        monkeypatch.setattr(benchmark, "launch_microseconds", lambda xp: 1.0)
    result = CliRunner().invoke(
        benchmark.main, ["--output", str(tmp_path), "--elements", str(elements), "--quick"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert len(found["cells"]) == 2 * len(benchmark.ROWS) + len(benchmark.ELEMENTWISE)
    assert all(cell["gigabytes_a_second"] > 0 for cell in found["cells"])
    assert {"cupy"} <= {name for cell in found["cells"] for name in cell["ratios"]}
    assert (tmp_path / "gpu.md").read_text().count("| softmax |") == 2
