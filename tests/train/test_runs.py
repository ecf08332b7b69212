"""Run directories under kills and in company: one run at a time, and each can be resumed or begun anew."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import kill_runs
import numpy as np
import pytest
from click.testing import CliRunner
from numerics import one_quick

import softgrad.train.run
from softgrad.cli import main
from softgrad.train import Run, TrainConfig
from softgrad.train.atomic import TEMPORARY, atomic_write, remove_leftovers
from softgrad.train.errors import CheckpointError, DivergedError, RunDirectoryError
from softgrad.train.lock import FolderLock
from softgrad.train.loop import EpochRecord
from softgrad.train.metrics import append_record, keep_records, read_metrics

CONFIG = TrainConfig(dataset="digits", hidden=(8,), epochs=2)


def params_of(run: Run) -> bytes:
    return bytes(run.trainer.model.params.tobytes())


# ---- runs that ended before their first checkpoint


def test_a_run_that_diverged_at_once_can_be_resumed_and_begun_anew(tmp_path: Path) -> None:
    wild = TrainConfig(dataset="digits", hidden=(8,), epochs=1, lr=1e30)
    for attempt in (lambda: Run.start(wild, tmp_path), lambda: Run.resume(tmp_path), lambda: Run.start(wild, tmp_path)):
        with pytest.raises(DivergedError):
            list(attempt().epochs())
    run = Run.start(CONFIG, tmp_path)
    assert len(list(run.epochs())) == 2
    with pytest.raises(RunDirectoryError, match="holds a run already; resume it, or choose another"):
        Run.start(CONFIG, tmp_path)


@pytest.mark.parametrize("saves", [0, 1])  # before the first file of the first epoch, and between its two
def test_a_run_that_was_cut_off_in_its_first_save_ends_as_if_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    whole = Run.start(CONFIG, tmp_path / "whole")
    list(whole.epochs())
    save, count = softgrad.train.run.save_checkpoint, iter(range(10))

    def cut_off(path: Path, trainer: object) -> None:
        if next(count) == saves:
            raise KeyboardInterrupt
        save(path, trainer)  # type: ignore[arg-type]

    for name, go_on in (("resumed", Run.resume), ("anew", lambda path: Run.start(CONFIG, path))):
        cut = tmp_path / name
        count = iter(range(10))
        monkeypatch.setattr(softgrad.train.run, "save_checkpoint", cut_off)
        with pytest.raises(KeyboardInterrupt):
            list(Run.start(CONFIG, cut).epochs())
        monkeypatch.undo()
        assert len(read_metrics(cut)) == 1
        run = go_on(cut)
        assert [record.epoch for record in run.epochs()] == [1, 2]
        assert params_of(run) == params_of(whole)
        assert [record["epoch"] for record in read_metrics(cut)] == [1, 2]
        assert sorted(os.listdir(cut)) == ["best.safetensors", "config.json", "last.safetensors", "metrics.jsonl"]


def test_a_folder_without_a_run_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no run, neither a checkpoint nor config.json; start one there"):
        Run.resume(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config.json is damaged .* and there is no checkpoint; start anew"):
        Run.resume(tmp_path)


def test_a_lost_checkpoint_is_said(tmp_path: Path) -> None:
    list(Run.start(CONFIG, tmp_path).epochs())
    (tmp_path / "last.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has records of 2 epochs but no checkpoint; put last.safetensors back"):
        Run.resume(tmp_path)
    with pytest.raises(RunDirectoryError, match="holds a run already"):
        Run.start(CONFIG, tmp_path)


# ---- one run at a time


def test_a_folder_is_taken_by_one_run(tmp_path: Path) -> None:
    run = Run.start(CONFIG, tmp_path)
    for another in (Run.resume, lambda path: Run.start(CONFIG, path)):
        with pytest.raises(
            RunDirectoryError, match="is in use, a run is being trained there; wait until that ends, or"
        ):
            another(tmp_path)
    records = run.epochs()
    next(records)
    with pytest.raises(RunDirectoryError, match="is in use"):
        Run.resume(tmp_path)
    list(records)
    assert not list(Run.resume(tmp_path).epochs())


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = f"from softgrad.train.lock import FolderLock, Path; lock = FolderLock(Path({str(tmp_path)!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}; print('held', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            FolderLock(tmp_path)
        holder.kill()
    lock = FolderLock(tmp_path)
    assert lock.certain
    lock.release()
    assert not os.listdir(tmp_path)


def test_default_names_are_made_by_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs: list[Run] = []
    threads = [threading.Thread(target=lambda: runs.append(Run.start(CONFIG))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.path for run in runs}) == 6


def test_a_name_that_is_in_the_way_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("nowhere")
    with pytest.raises(
        RunDirectoryError, match=r"run directory runs cannot be written \(File exists\); a file of that"
    ):
        Run.start(CONFIG)


def test_a_run_whose_epochs_ended_does_not_go_on_behind_another(tmp_path: Path) -> None:
    run = Run.start(CONFIG, tmp_path)
    records = run.epochs()
    next(records)
    records.close()
    list(Run.resume(tmp_path).epochs())
    with pytest.raises(
        RunDirectoryError, match=r"was released when its epochs ended; take it up again with Run\.resume"
    ):
        list(run.epochs())
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2]
    assert not list(Run.resume(tmp_path).epochs())


def test_training_in_a_thread_that_gets_no_signals(tmp_path: Path) -> None:
    codes: list[int] = []
    arguments = ["train", "--dataset", "digits", "--epochs", "1", "--hidden", "8", "--run-dir", str(tmp_path / "run")]
    worker = threading.Thread(target=lambda: codes.append(CliRunner().invoke(main, arguments).exit_code))
    worker.start()
    worker.join()
    assert codes == [0]


def test_an_error_while_it_is_watched_costs_nothing(tmp_path: Path) -> None:
    whole = Run.start(CONFIG, tmp_path / "whole")
    list(whole.epochs())
    batches = iter(range(100))

    def gone(trainer: object) -> None:
        if next(batches) == 15:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        list(Run.start(CONFIG, tmp_path / "cut").epochs(gone))
    run = Run.resume(tmp_path / "cut")
    assert run.trainer.step == 16
    list(run.epochs())
    assert params_of(run) == params_of(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As SIGHUP under nohup."""
    script = (
        "import os, signal; from softgrad.train.stopping import stop_on_signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stop_on_signal() as stopped:\n"
        "    os.kill(os.getpid(), signal.SIGHUP); assert not stopped()\n"
        "    os.kill(os.getpid(), signal.SIGTERM); assert stopped()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# ---- kills


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
def test_killed_runs_end_as_if_never_killed() -> None:
    counts: Counter[str] = Counter()
    kill_runs.kill_runs(1, seed=1, counts=counts)
    assert counts


@pytest.mark.skipif(sys.platform == "win32", reason="other pipes there")
@pytest.mark.parametrize("mode", one_quick(["--json", "--quiet", None]))
def test_a_closed_pipe_ends_quietly_with_what_was_trained(tmp_path: Path, mode: str | None) -> None:
    arguments = ["train", "--dataset", "digits", "--hidden", "8", "--epochs", "3", "--run-dir", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "softgrad.cli", *arguments, *([mode] if mode else [])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, b"")
    run = Run.resume(tmp_path / "run")
    assert len(read_metrics(tmp_path / "run")) == run.trainer.progress.epoch
    list(run.epochs())
    assert run.trainer.finished


# ---- what killed processes leave


def test_leftovers_of_saves_are_removed_and_nothing_else(tmp_path: Path) -> None:
    list(Run.start(CONFIG, tmp_path).epochs(stop=lambda: True))
    ours = [f".last.safetensors.{'0a' * 6}.tmp", f".config.json.{'ff' * 6}.tmp"]
    theirs = [".last.safetensors.tmp", f".notes.{'0a' * 6}.tmp", f"last.safetensors.{'0a' * 6}.tmp", "thesis.txt"]
    for name in (*ours, *theirs):
        (tmp_path / name).write_text("half")
    Run.resume(tmp_path)
    assert not set(ours) & set(os.listdir(tmp_path))
    assert set(theirs) < set(os.listdir(tmp_path))
    remove_leftovers(tmp_path / "last.safetensors")
    assert TEMPORARY.fullmatch(f"{'0a' * 6}.tmp")


# ---- metrics.jsonl

RECORD = EpochRecord(1, 12, 0.5, 0.75, 0.25, 1.0, 0.1, 0.5, 1000.0)


def test_records_come_back_whatever_lies_between_them(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_record(path, RECORD)
    for line in (
        b"5",
        b"{}",
        b"null",
        b"[1]",
        b"\xff\xfe",
        b'{"epoch": 7',
        b'{"epoch": "1"}',
        b"",
        b"NaN",
        b"[" * 10**5,
    ):
        with path.open("ab") as file:
            file.write(line + b"\n")
        append_record(path, EpochRecord(2, 24, math.nan, 0.5, math.inf, 0.5, 0.1, 0.5, 1000.0))
    append_record(path, RECORD)
    with path.open("ab") as file:
        file.write(b'{"epoch": 3, "step')
    records = read_metrics(tmp_path)
    assert [record["epoch"] for record in records] == [1, 2]
    assert records[0] == RECORD.to_json()
    assert math.isnan(records[1]["train_loss"])
    assert math.isnan(records[1]["test_loss"])
    assert b"NaN" not in path.read_bytes().splitlines()[-3]
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith('{"epoch": 2'):
            assert json.loads(line)["train_loss"] is None


def test_a_resume_keeps_what_it_knows_and_the_file_s_mode(tmp_path: Path) -> None:
    run = Run.start(CONFIG, tmp_path)
    list(run.epochs())
    path = tmp_path / "metrics.jsonl"
    good = path.read_bytes().splitlines()
    path.write_bytes(
        b"\n".join([good[0], b"\xff damaged", good[1], b"5", good[1].replace(b'"epoch": 2', b'"epoch": 9')])
    )
    path.chmod(0o640)
    Run.resume(tmp_path)
    assert path.read_bytes() == b"".join(line + b"\n" for line in good)
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.stat().st_mtime_ns
    keep_records(path, read_metrics(tmp_path))
    assert path.stat().st_mtime_ns == before


# ---- what is written where


def test_a_device_a_pipe_and_a_link_stay_what_they_are(tmp_path: Path) -> None:
    atomic_write(Path(os.devnull), b"nothing")
    assert not Path(os.devnull).is_file()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device or address"):  # and no waiting for a reader
        atomic_write(tmp_path / "pipe", b"x")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    atomic_write(tmp_path / "pipe", b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    for name, target in (("link", "file"), ("dangling", "new")):
        atomic_write(tmp_path / name, b"data")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_bytes() == b"data"
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file", "link", "new", "pipe"]


def test_standard_output_by_its_name(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from softgrad.train.atomic import atomic_write\n"
        "print('before', flush=True); atomic_write(Path('/dev/stdout'), b'data\\n'); print('after')"
    )
    with (tmp_path / "out").open("w") as file:
        subprocess.run([sys.executable, "-c", script], stdout=file, check=True)
    assert (tmp_path / "out").read_text().split() == ["before", "data", "after"] or os.name == "nt"
    piped = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert piped.stdout.split() == [b"before", b"data", b"after"]


def test_a_file_keeps_its_mode_and_a_new_one_has_the_user_s(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        atomic_write(path, b"new")
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o604)
        atomic_write(path, b"newer")
        assert path.stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(before)


def test_numbers_of_a_run_are_those_of_a_run(tmp_path: Path) -> None:
    """`Run` takes names as strings, too."""
    run = Run.start(CONFIG, str(tmp_path / "run"))
    list(run.epochs())
    assert np.isfinite(run.trainer.model.params).all()
    assert Run.resume(str(tmp_path / "run")).trainer.finished
