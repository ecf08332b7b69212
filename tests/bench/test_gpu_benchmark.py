"""`softgrad bench --backend gpu` from end to end: on a GPU as anyone runs it, in the simulator over a few numbers."""

from __future__ import annotations

import io
import json

import pytest
from click.testing import CliRunner
from devices import STAND_IN, gpu_or_skip
from numba.core import config

from softgrad.bench import operation
from softgrad.bench.__main__ import measure
from softgrad.bench.cases import OPERATIONS
from softgrad.bench.contest import admit
from softgrad.bench.device import device_of
from softgrad.bench.peers import find_peers, load_peer
from softgrad.bench.report import markdown, ops_report
from softgrad.bench.results import Cell, Results
from softgrad.bench.run import count_cells
from softgrad.bench.settings import DTYPES, ON_GPU, Settings
from softgrad.bench.training import TrainingSettings
from softgrad.bench.training_sides import softgrad_epochs
from softgrad.cli import main
from softgrad.train import TrainConfig, load_dataset

gpu_or_skip()

pytestmark = pytest.mark.gpu

MEASURED = ("softmax", "softmax_cross_entropy_with_grad", "relu_backward", "sgd_update momentum")


@pytest.fixture
def settings(monkeypatch):
    elements, peers = 1 << 20, find_peers((), "gpu")
    if STAND_IN:
        elements, peers = 60, ("cupy",)  # others look for a card of their own
        monkeypatch.setattr(operation, "GPU_CLASSES", (3, 20))
        monkeypatch.setattr("softgrad.bench.contest.MIN_ROUNDS", 1)
        monkeypatch.setattr("softgrad.bench.contest.ROUND_SECONDS", 1e-6)
        monkeypatch.setattr("softgrad.bench.overhead.SHAPE", (2, 3))
    return Settings(MEASURED, ("float32",), (ON_GPU,), peers, 1e-6, False, "gpu", elements)


def test_it_measures_every_cell_on_the_card(settings):
    lines = io.StringIO()
    measure(ON_GPU, settings, lines)
    events = [json.loads(line) for line in lines.getvalue().splitlines()]
    found = {name: [event["value"] for event in events if event["event"] == name] for name in ("cell", "copy_rate")}
    results = Results(settings)
    results.cells += [Cell.from_json(cell) for cell in found["cell"]]
    results.copy_rates[ON_GPU] = found["copy_rate"]
    assert len(results.cells) == count_cells(settings)
    assert all(cell.ours(out=cell.operation.startswith("sgd")) for cell in results.cells)
    assert "cupy" in {time.peer for cell in results.cells for time in cell.times}
    assert all(rate > 0 for rate in results.copy_rates[ON_GPU])
    assert "a GPU" in markdown(ops_report(results))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "softmax_backward", "sigmoid", "relu", "tanh"])
def test_peers_agree_with_ours(name, dtype, settings):
    device = device_of("gpu")
    case = OPERATIONS[name].case((254, 30), dtype, device)
    peers = [load_peer(peer) for peer in settings.peers]
    _, contenders, problems = admit(case, load_peer("softgrad"), peers, device)
    assert problems == []
    assert {contender.peer for contender in contenders} == {"softgrad"} | {p.name for p in peers if p.ways_of(case)}


def test_both_devices_are_measured_with_the_same_numbers():
    (here,) = OPERATIONS["softmax"].case((4, 5), "float64").arguments
    (there,) = OPERATIONS["softmax"].case((4, 5), "float64", device_of("gpu")).arguments
    assert there.shape == here.shape
    assert there.dtype == here.dtype
    assert 0.1 < float(abs(there).mean()) < 10


@pytest.mark.skipif(
    config.ENABLE_CUDASIM, reason="each epoch takes minutes in the simulator; a few steps are in test_gpu.py"
)
def test_training_is_timed_on_the_card():
    epochs = list(softgrad_epochs(load_dataset("digits"), TrainConfig(dataset="digits", epochs=2, backend="gpu")))
    assert len(epochs) == 2
    assert TrainingSettings("gpu", "digits", None, 2, 1, ON_GPU).epochs == 2


def test_threads_are_refused():
    for command in ("ops", "train"):
        result = CliRunner().invoke(main, ["bench", command, "--backend", "gpu", "--threads", "2"])
        assert result.exit_code == 2
        assert result.stderr == "Error: --threads has no meaning with --backend gpu; leave one of the two out\n"
