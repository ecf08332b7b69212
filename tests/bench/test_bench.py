"""The benchmark: everyone agrees before anyone is timed, nothing is left out, and the tables say what was measured.

No test asserts a time.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import re
import time
from types import MappingProxyType

import numpy as np
import pytest
from click.testing import CliRunner
from numerics import one_quick, quick
from signatures import PUBLIC

from softgrad import ops
from softgrad.bench.cases import OPERATIONS, QUICK_OPERATIONS, find_operations
from softgrad.bench.contention import Clock, share_of_others
from softgrad.bench.contest import admit, compete, time_in_turn
from softgrad.bench.copy_rate import copy_rate
from softgrad.bench.peers import is_installed, load_peer
from softgrad.bench.peers.peer import Contender, Peer, both
from softgrad.bench.report import markdown, ops_report, print_report
from softgrad.bench.results import Cell, Overhead, Problem, Results, Time, geometric_mean
from softgrad.bench.run import count_cells, run
from softgrad.bench.settings import DTYPES, FAMILIES, PEERS, USUAL_DTYPES, Settings
from softgrad.bench.sheets import ratio_text, shape_text, sheets, time_text
from softgrad.bench.training import Training, TrainingSettings, measure_training, sides_of
from softgrad.cli import main

OURS = load_peer("softgrad")
INSTALLED = [name for name in PEERS["cpu"] if is_installed(name)]
SMALL = 40  # of a large shape's sizes

QUICKLY = Settings(("softmax",), ("float32",), (1,), ("numpy",), 0.001, True)


def small_case(name, dtype="float32"):
    operation = OPERATIONS[name]
    return operation.case(tuple(min(size, SMALL) for size in operation.shapes[0]), dtype)


def fake(function):
    """A peer whose softmax is that function, in both modes."""
    return Peer("fake", MappingProxyType({"softmax": both(function)}), array=lambda array: array)


def cell(ours=2e-6, numpy=1e-6, jax=3e-6, **fields):
    times = (Time("softgrad", "", False, ours), Time("numpy", "", False, numpy), Time("jax", "", False, jax))
    settings = {"threads": 1, "traffic": 10_240, "times": times, **fields}
    return Cell("softmax", "rows", (128, 10), "float32", **settings)


def results_of(*cells):
    results = Results(QUICKLY)
    results.cells.extend(cells)
    return results


# ---- what is measured


def test_every_operation_that_computes_something_has_a_case():
    no_backward = {f"{name}_backward" for name, row in ops.ACTIVATIONS.items() if row.backward is None}
    measured = {one.function for one in OPERATIONS.values() if one.family != "formulas"}
    assert measured == set(PUBLIC) - no_backward


def test_the_issue_s_shapes_are_there():
    assert OPERATIONS["softmax"].shapes == (
        (128, 10), (1024, 10), (60_000, 10), (4096, 1000), (256, 32_000), (64, 128_256),
    )  # fmt: skip
    assert OPERATIONS["gelu"].shapes == ((1000,), (100_000,), (10_000_000,))
    assert set(QUICK_OPERATIONS) <= set(OPERATIONS)
    assert {operation.family for operation in OPERATIONS.values()} == set(FAMILIES)


def test_operations_are_found_by_name_and_family():
    assert find_operations((), None) == tuple(OPERATIONS)
    assert find_operations(("relu", "softmax"), None) == ("softmax", "relu")
    assert find_operations(("relu", "softmax"), "elementwise") == ("relu",)
    with pytest.raises(ValueError, match=r"op must be one of softmax, .*; got 'softmaks'"):
        find_operations(("softmaks",), None)
    with pytest.raises(ValueError, match="op relu has nothing of the family rows"):
        find_operations(("relu",), "rows")


@pytest.mark.slow
def test_traffic_is_what_is_read_and_written_once():
    def traffic(name):
        return compete(small_case(name), OURS, (), 1, 0.0).traffic

    rows, classes = SMALL, 10
    assert traffic("softmax") == 2 * 4 * rows * classes
    assert traffic("softmax_backward") == 3 * 4 * rows * classes
    assert traffic("logsumexp") == 4 * rows * classes + 4 * rows
    assert traffic("relu_backward") == 3 * 4 * SMALL
    assert traffic("sgd_update momentum") == 5 * 4 * SMALL
    assert traffic("gather_scale") == 8 * SMALL + SMALL * SMALL + 4 * SMALL * SMALL


# ---- agreement


@pytest.mark.parametrize("dtype", one_quick(USUAL_DTYPES["cpu"]))
@pytest.mark.parametrize("name", quick(OPERATIONS, *QUICK_OPERATIONS))
def test_every_peer_agrees_with_ours(name, dtype):
    case = small_case(name, dtype)
    result, contenders, problems = admit(case, OURS, [load_peer(peer) for peer in INSTALLED])
    assert problems == []
    assert {contender.peer for contender in contenders} >= {"softgrad"}
    for array in result if isinstance(result, tuple) else (result,):
        assert np.isfinite(array).all()


@pytest.mark.parametrize("name", INSTALLED)
def test_peers_name_operations_that_exist(name):
    functions = {operation.function for operation in OPERATIONS.values()}
    assert set(load_peer(name).ways) <= functions


def test_contenders_do_not_disturb_each_other_s_arguments():
    case = small_case("sgd_update momentum")
    before = [array.copy() for array in case.arguments]
    compete(case, OURS, [load_peer("numpy")], 1, 0.0)
    for array, copy in zip(case.arguments, before, strict=True):
        assert np.array_equal(array, copy)


def wrong(x, axis, out=None):
    y = np.array(ops.softmax(x))
    y[3, 4] += 1e-3
    return y


def not_a_number(x, axis, out=None):
    y = np.array(ops.softmax(x))
    y[3, 4] = np.nan
    return y


def failing(x, axis, out=None):
    raise RuntimeError("no such luck")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (wrong, r"0\.\d+ instead of 0\.\d+ at \(3, 4\)"),
        (not_a_number, r"nan instead of 0\.\d+ at \(3, 4\)"),
        (failing, "RuntimeError: no such luck"),
        (lambda x, axis, out=None: ops.softmax(x)[1:], r"shape \(39, 10\) instead of \(40, 10\)"),
        (lambda x, axis, out=None: ops.softmax(x).astype(np.float64), "float64 instead of float32"),
        (lambda x, axis, out=None: (x, x), "2 results instead of 1"),
    ],
)
def test_who_disagrees_is_reported_and_not_timed(function, reason):
    found = compete(small_case("softmax"), OURS, [fake(function), load_peer("numpy")], 1, 0.0)
    assert {time.peer for time in found.times} == {"softgrad", "numpy"}
    assert [problem.contender for problem in found.problems] == ["fake", "fake with out="]
    for problem in found.problems:
        assert re.match(reason, problem.reason)


def test_rounding_is_no_disagreement():
    noisy = fake(lambda x, axis, out=None: np.float32(ops.softmax(np.float64(x)) * (1 + 1e-6)))
    assert admit(small_case("softmax"), OURS, [noisy])[2] == []


# ---- timing


def test_everyone_has_a_turn_in_every_round_and_the_first_one_changes():
    turns = []
    contenders = [
        Contender(name, "", False, lambda name=name: turns.append(name) or time.sleep(0.002)) for name in "abc"
    ]
    medians = time_in_turn(contenders, 0.0, settle=False)
    assert len(medians) == 3
    assert min(medians) > 0
    assert "".join(turns[6:]) == "abcbcacababcbca"  # after two calls each to see how long they take


def test_garbage_collection_is_as_it_was():
    assert gc.isenabled()
    time_in_turn([Contender("a", "", False, lambda: time.sleep(0.002))], 0.0, settle=True)
    assert gc.isenabled()


def test_a_contender_s_context_is_held_around_its_calls():
    held = []

    class Context:
        def __enter__(self):
            held.append(True)

        def __exit__(self, *error):
            held.pop()

    calls = []
    time_in_turn([Contender("a", "", False, lambda: calls.append(len(held)), Context)], 0.0, settle=True)
    assert set(calls) == {1}


def test_copy_rate_and_the_share_of_others_are_numbers():
    assert copy_rate(2) > 0
    before = Clock.now()
    share = share_of_others(before)
    assert (share is None) == (before is None)
    assert share is None or 0 <= share <= 1
    assert share_of_others(None) is None


# ---- what is made of it


def test_ratio_is_the_best_peer_s_time_over_ours():
    lost = cell()
    assert lost.ratio(out=False) == pytest.approx(0.5)
    assert lost.best_peer(out=False).peer == "numpy"
    assert lost.is_lost(out=False)
    assert lost.rate(out=False) == pytest.approx(10_240 / 2e-6 / 1e9)
    assert lost.ratio(out=True) is None
    assert not lost.is_lost(out=True)
    assert not cell(ours=1.04e-6).is_lost(out=False)
    assert cell(ours=1.06e-6).is_lost(out=False)


def test_cells_and_settings_survive_json():
    made = cell(problems=(Problem("jax", "nan"),))
    assert Cell.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert Settings.from_json(json.loads(json.dumps(QUICKLY.to_json()))) == QUICKLY


def test_geometric_mean():
    assert geometric_mean([2, 0.5]) == pytest.approx(1)
    assert geometric_mean([]) is None


def test_numbers_are_short():
    assert [ratio_text(cell(ours=ours), out=False) for ours in (2e-6, 1.01e-6, 0.3e-6, 1e-8)] == [
        "0.50×!", "0.99×", "3.3×", "100×",
    ]  # fmt: skip
    assert ratio_text(cell(), out=True) == "-"
    assert [shape_text(shape) for shape in ((128, 10), (1000,), (10_000_000,))] == ["128×10", "1e3", "1e7"]
    assert [time_text(s) for s in (1.234e-6, 56.78e-6, 0.999e-3, 0.0123, 2.0)] == [
        "1.23 µs", "56.8 µs", "999 µs", "12.3 ms", "2000 ms",
    ]  # fmt: skip


def test_losing_cells_are_marked_and_listed_with_the_winner(capsys):
    results = results_of(cell(), cell(ours=1e-7, threads=1, problems=(Problem("torch", "nan instead of 1"),)))
    print_report(ops_report(results))
    printed = capsys.readouterr().out
    assert "Losing cells" in printed
    assert "0.50×!" in printed
    assert "not timed: torch in softmax 128×10 float32, 1 thread: nan instead of 1" in printed
    document = markdown(ops_report(results))
    assert "**0.50×!**" in document
    assert "## Not timed" in document
    losing = next(sheet for sheet in sheets(results) if sheet.title == "Losing cells")
    assert len(losing.rows) == 1
    assert losing.rows[0][4] == "numpy"
    assert "Losing cells" not in [sheet.title for sheet in sheets(results_of(cell(ours=1e-7)))]


def test_tables_fit_a_hundred_columns(capsys, monkeypatch):
    name = max(OPERATIONS, key=len)
    worst = dataclasses.replace(
        cell(ours=2.34567, traffic=10**9), operation=name, shape=(64, 128_256), dtype="float64",
        times=(Time("softgrad", "", True, 0.234), Time("torch", "autograd", True, 0.123)),
    )  # fmt: skip
    results = Results(dataclasses.replace(QUICKLY, dtypes=DTYPES))
    results.cells += [worst, dataclasses.replace(worst, operation="softmax_backward")]
    results.copy_rates[1] = [20.0, 21.0]
    results.overheads.append(Overhead(1, 1e-6, 2e-6, 3e-6))
    monkeypatch.setenv("COLUMNS", "100")
    print_report(ops_report(results))
    printed = capsys.readouterr().out
    assert "…" not in printed
    tables = [line for line in printed.splitlines() if line.startswith(" ")]
    assert max(map(len, tables)) <= 100
    assert "0.53×!" in printed


def test_a_busy_machine_is_warned_of():
    results = results_of(cell())
    results.others[1] = 0.34
    assert "with 1 thread, other processes took 34% of the processors" in markdown(ops_report(results))
    results.others[1] = 0.01
    assert "Warnings" not in markdown(ops_report(results))


def test_chart_is_a_picture():
    pytest.importorskip("matplotlib")
    from softgrad.bench.chart import chart

    assert chart(results_of(cell()), "png").startswith(b"\x89PNG")
    assert b"softmax" in chart(results_of(cell()), "svg")


# ---- processes


def test_a_run_stops_its_process_when_it_is_interrupted():
    results = Results(dataclasses.replace(QUICKLY, operations=tuple(OPERATIONS)))

    def interrupt(cell):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # Popen's context waits for the process, which would take minutes
        run(results, interrupt)
    assert len(results.cells) == 1


def test_a_process_that_fails_is_an_error_with_its_last_words():
    with pytest.raises(ChildProcessError, match=r"with 1 thread failed: ModuleNotFoundError: .*nobody_peer"):
        run(Results(dataclasses.replace(QUICKLY, peers=("nobody",))), lambda cell: None)


# ---- the command


def invoke(*arguments):
    return CliRunner().invoke(main, ["bench", "ops", *map(str, arguments)])


@pytest.mark.slow
def test_the_command_measures_prints_and_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    data, table = tmp_path / "ops.json", tmp_path / "ops.md"
    result = invoke(
        "--quick", "--op", "softmax", "--op", "sgd_update momentum", "--dtype", "float32", "--threads", 1,
        "--peer", "numpy", "--budget", 0.001, "--json", data, "--table", table,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "Call overhead" in result.stdout
    assert "OPENBLAS_CORETYPE was Haswell, unset for the run" in result.stdout
    assert "| softmax |" in table.read_text()

    report = json.loads(data.read_text())
    assert report["settings"]["operations"] == ["softmax", "sgd_update momentum"]
    assert report["environments"]["1"]["threads"] == 1
    assert report["environments"]["1"]["openblas_coretype"] == "not set"
    assert len(report["copy_rates"]["1"]) >= 3
    assert report["overheads"][0]["call"] > 0
    settings = Settings.from_json(report["settings"])
    assert len(report["cells"]) == count_cells(settings) == 4
    for fields in report["cells"]:
        assert fields["problems"] == []
        for out, ratio in ((False, fields["ratio"]), (True, fields["ratio_out"])):
            seconds = {time["peer"]: time["seconds"] for time in fields["times"] if time["out"] == out}
            if fields["operation"] == "sgd_update momentum" and not out:
                assert seconds == {}
                assert ratio is None
            else:
                assert ratio == pytest.approx(seconds["numpy"] / seconds["softgrad"])


@pytest.mark.slow
def test_train_trains_all_sides_and_writes(tmp_path):
    data, table = tmp_path / "train.json", tmp_path / "train.md"
    options = ("--dataset", "digits", "--epochs", 2, "--rounds", 1, "--threads", 1, "--json", data, "--table", table)
    result = CliRunner().invoke(main, ["bench", "train", *map(str, options)])
    assert result.exit_code == 0, result.output
    found = json.loads(data.read_text())
    assert {training["side"] for training in found["trainings"]} == set(sides_of("cpu"))
    for training in found["trainings"]:
        assert len(training["seconds"]) == len(training["accuracies"]) == 2
        assert min(training["accuracies"]) > 0.6
    assert "| softgrad |" in table.read_text()
    assert "test accuracy" in result.stdout


def test_time_to_an_accuracy_is_the_sum_of_the_epochs_until_there():
    training = Training("softgrad", (1.0, 2.0, 4.0), (0.9, 0.98, 0.97))
    assert training.seconds_to(0.9) == 1.0
    assert training.seconds_to(0.95) == 3.0
    assert training.seconds_to(0.99) is None


def test_a_side_that_fails_is_an_error_with_its_last_words(monkeypatch):
    monkeypatch.setattr("softgrad.bench.training.sides_of", lambda backend: ("nobody",))
    settings = TrainingSettings("cpu", "no-such-set", None, 1, 1, 1)
    with pytest.raises(ChildProcessError, match=r"training by nobody failed: .*no-such-set"):
        measure_training(settings, lambda side: None)


def test_wrong_use_is_one_line():
    for arguments, message in (
        (("--op", "softmaks"), "--op must be one of softmax"),
        (
            ("--peer", "cupy"),
            f"--peer must be one of {', '.join(PEERS['cpu'])} with --backend cpu; got cupy",
        ),
        (("--chart", "ops.gif"), "--chart must end in .png or .svg"),
        (("--json", "no/such/folder/ops.json"), "--json must be in a folder that exists"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_missing_peer_is_an_error_that_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr("softgrad.bench.peers.is_installed", lambda name: name == "numpy")
    result = invoke("--peer", "torch")
    assert result.exit_code == 2
    assert result.stderr == "Error: --peer torch is not installed; install it with: pip install torch\n"


@pytest.mark.parametrize(("error", "code"), [(None, 1), (KeyboardInterrupt, 130), (ChildProcessError("gone"), 1)])
def test_disagreement_interruption_and_failure_print_what_there_is(monkeypatch, tmp_path, error, code):
    def measure(results, on_cell):
        results.cells.append(cell(problems=(Problem("jax", "nan instead of 1"),)))
        if error is not None:
            raise error

    monkeypatch.setattr("softgrad.bench.progress.run", measure)
    result = invoke("--json", tmp_path / "ops.json")
    assert result.exit_code == code
    assert "not timed: jax in softmax" in result.stdout
    assert len(json.loads((tmp_path / "ops.json").read_text())["cells"]) == 1


def test_bench_alone_shows_its_commands():
    result = CliRunner().invoke(main, ["bench"])
    assert result.exit_code == 2
    assert "ops  " in result.stderr
