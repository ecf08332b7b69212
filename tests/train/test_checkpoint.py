"""Checkpoints and run directories: whole or not there, refused when damaged, and resumed bit for bit."""

from __future__ import annotations

import errno
import json
import math
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
from safetensors.numpy import load_file

import softgrad.train.run
from softgrad.ops.backend import CPU
from softgrad.train import Run, TrainConfig, Trainer, load_checkpoint, load_dataset, save_checkpoint
from softgrad.train.config import OPTIMIZERS
from softgrad.train.errors import CheckpointError, RunDirectoryError
from softgrad.train.loop import Progress
from softgrad.train.metrics import read_metrics
from softgrad.train.tensor_file import pack, unpack

CONFIG = TrainConfig(dataset="digits", hidden=(16, 8), epochs=3)


@pytest.fixture
def finished(tmp_path):
    run = Run.start(CONFIG, tmp_path / "run")
    list(run.epochs())
    return run


def stop_after(batches):
    """A stop condition that holds after so many batches in all."""
    seen = iter(range(1, batches + 1))
    return lambda: next(seen, None) == batches


def test_a_run_directory_holds_what_it_should(finished):
    names = sorted(path.name for path in finished.path.iterdir())
    assert names == ["best.safetensors", "config.json", "last.safetensors", "metrics.jsonl"]
    config = json.loads((finished.path / "config.json").read_text())
    assert config["hidden"] == [16, 8]
    assert config["data"] == "embedded in softgrad"
    assert (config["lr"], config["momentum"], config["weight_decay"]) == (0.05, 0.9, 5e-4)
    records = read_metrics(finished.path)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert set(records[0]) == {
        "epoch", "step", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr", "seconds",
        "samples_per_second",
    }  # fmt: skip


def test_the_best_checkpoint_is_of_the_best_epoch(finished):
    records = read_metrics(finished.path)
    best = max(record["test_accuracy"] for record in records)
    checkpoint = load_checkpoint(finished.path / "best.safetensors")
    assert checkpoint.progress.best_accuracy == best
    assert records[checkpoint.progress.epoch - 1]["test_accuracy"] == best


# Within the first epoch, at its end, within the last; digits has 12 batches an epoch.
@pytest.mark.parametrize("batches", [1, 5, 12, 30])
@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "sgd"}, {"optimizer": "nesterov"}, {"model": "perceptron", "hidden": ()}, {"dtype": "bfloat16"}],
    ids=lambda changes: " ".join(str(value) for value in changes.values()),
)
def test_an_interrupted_and_resumed_run_ends_bit_for_bit_as_one_never_interrupted(tmp_path, batches, changes):
    config = replace(CONFIG, **changes)
    whole = Run.start(config, tmp_path / "whole")
    list(whole.epochs())

    cut = Run.start(config, tmp_path / "cut")
    list(cut.epochs(stop=stop_after(batches)))
    assert not cut.trainer.finished
    resumed = Run.resume(tmp_path / "cut")
    assert resumed.trainer.step == batches
    list(resumed.epochs())

    for name in ("last.safetensors", "best.safetensors"):
        expected, found = load_file(tmp_path / "whole" / name), load_file(tmp_path / "cut" / name)
        assert expected.keys() == found.keys()
        for tensor in expected:
            assert np.array_equal(expected[tensor], found[tensor]), tensor

    def timeless(record):
        return {key: value for key, value in record.items() if key not in ("seconds", "samples_per_second")}

    assert list(map(timeless, read_metrics(whole.path))) == list(map(timeless, read_metrics(cut.path)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_bit_for_bit_within_an_epoch(tmp_path, optimizer):
    config = replace(CONFIG, optimizer=optimizer, schedule="one-cycle", warmup_steps=7)
    whole, cut = Run.start(config, tmp_path / "whole"), Run.start(config, tmp_path / "cut")
    list(whole.epochs())
    list(cut.epochs(stop=stop_after(17)))
    list(Run.resume(tmp_path / "cut").epochs())
    expected, found = (load_file(run.checkpoint) for run in (whole, cut))
    states = {name.partition(".layers")[0] for name in expected if not name.startswith("layers")}
    assert states == set(whole.trainer.optimizer.state)
    assert expected.keys() == found.keys()
    for tensor in expected:
        assert np.array_equal(expected[tensor], found[tensor]), tensor


def test_a_checkpoint_without_the_states_of_its_optimizer_is_refused(finished):
    rewritten(finished.checkpoint, config=TrainConfig(dataset="digits", hidden=(16, 8), optimizer="adam").to_json())
    with pytest.raises(CheckpointError, match=r"exp_avg.layers.0.weight must be float32 .*; found nothing"):
        Run.resume(finished.path)


def test_resuming_a_finished_run_trains_no_more(finished):
    before = finished.checkpoint.read_bytes()
    assert list(Run.resume(finished.path).epochs()) == []
    assert finished.checkpoint.read_bytes() == before


def test_records_later_than_the_checkpoint_and_a_cut_off_line_are_dropped(finished):
    metrics = finished.path / "metrics.jsonl"
    first = metrics.read_text().splitlines()[0]
    later = json.dumps({**json.loads(first), "epoch": 9})
    metrics.write_text(metrics.read_text() + later + "\n" + first[:20])
    Run.resume(finished.path)
    assert [record["epoch"] for record in read_metrics(finished.path)] == [1, 2, 3]


def test_a_checkpoint_gives_the_model_back(finished):
    model = load_checkpoint(finished.path).model(CPU)
    assert np.array_equal(model.params, finished.trainer.model.params)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_a_truncated_checkpoint_is_refused(finished, keep):
    content = finished.checkpoint.read_bytes()
    finished.checkpoint.write_bytes(content[:keep])
    with pytest.raises(CheckpointError, match=r"checkpoint .*last.safetensors is damaged or no safetensors file"):
        load_checkpoint(finished.path)


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x80\x04pickled, perhaps")
    with pytest.raises(CheckpointError, match="is damaged or no safetensors file"):
        load_checkpoint(path)


def test_what_a_file_says_reaches_no_terminal_raw(tmp_path):
    path = tmp_path / "model.safetensors"
    header = json.dumps({"w": {"dtype": "F\x7f2", "shape": [], "data_offsets": [0, 0]}})
    metadata = '{"__metadata__":{"format":"softgrad-checkpoint-2"},' + header[1:]
    path.write_bytes(len(metadata).to_bytes(8, "little") + metadata.encode())
    with pytest.raises(CheckpointError, match="is damaged or no safetensors file") as caught:
        load_checkpoint(path)
    assert str(caught.value).isprintable()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoint .*nowhere cannot be read \(No such file or directory\)"):
        load_checkpoint(tmp_path / "nowhere")


def rewritten(path, **changes):
    """The same tensors with another description, whole again."""
    tensors, description = unpack(path.read_bytes())
    path.write_bytes(pack(tensors, description | changes))


def test_a_checkpoint_of_another_architecture_is_refused(finished):
    rewritten(finished.checkpoint, config=replace(CONFIG, hidden=(16, 9)).to_json())
    with pytest.raises(
        CheckpointError,
        match=r"another network: layers.1.weight must be float32 of shape \(16, 9\); found float32 of shape \(16, 8\)",
    ):
        load_checkpoint(finished.path).model(CPU)


def test_a_network_that_the_file_does_not_hold_is_refused_before_memory_is_asked_for(finished):
    rewritten(finished.checkpoint, config=replace(CONFIG, hidden=(2**30,)).to_json())
    with pytest.raises(CheckpointError, match=r"layers\.0\.weight must be float32 of shape"):
        load_checkpoint(finished.path).model(CPU)


def test_weights_that_are_not_finite_are_no_model(finished):
    finished.trainer.model.params[3] = np.nan
    save_checkpoint(finished.checkpoint, finished.trainer)
    with pytest.raises(
        CheckpointError, match=r"holds weights that are not finite, in layers\.0\.weight: the run diverged"
    ):
        load_checkpoint(finished.path).model(CPU)


PROGRESS = asdict(Progress())


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {}},
        {"config": []},
        {"config": {**CONFIG.to_json(), "lr": -1}},
        {"config": {**CONFIG.to_json(), "hidden": "16"}},
        {"config": {**CONFIG.to_json(), "lr": 10**400}},
        {"config": {**CONFIG.to_json(), "dataset": "nonsense"}},
        {"progress": {"epoch": 1}},
        {"progress": [1]},
        {"progress": {**PROGRESS, "epoch": "x"}},
        {"progress": {**PROGRESS, "batch": -1}},
        {"progress": {**PROGRESS, "correct": 1.5}},
        {"progress": {**PROGRESS, "best_accuracy": 2}},
        {"progress": {**PROGRESS, "seconds": True}},
        {"image_shape": [8]},
        {"image_shape": [8, 0]},
        {"image_shape": [8.0, 8]},
        {"image_shape": 64},
        {"inputs": {"scale": 1}},
        {"inputs": {"scale": "1", "shift": 0}},
        {"inputs": {"scale": None, "shift": 0}},
        {"inputs": {"scale": 10**400, "shift": 0}},
        {"max_value": 65536},
        {"max_value": 0},
        {"max_value": 16.5},
        {"class_names": "0123456789"},
        {"class_names": [0, 1, 2]},
        {"class_names": []},
    ],
    ids=str,
)
def test_a_damaged_description_is_refused(finished, changes):
    rewritten(finished.checkpoint, **changes)
    with pytest.raises(CheckpointError, match="has a damaged description") as refusal:
        load_checkpoint(finished.path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("place", [{"batch": 13}, {"epoch": 4}, {"epoch": 3, "batch": 1}], ids=str)
def test_a_place_that_the_run_has_not_is_refused(finished, place):
    rewritten(finished.checkpoint, progress={**PROGRESS, **place})
    trainer = Trainer(CONFIG, load_dataset("digits"), CPU)
    before = trainer.model.params.copy()
    with pytest.raises(CheckpointError, match="is none of the run's 3 epochs of 12 batches"):
        load_checkpoint(finished.path).restore(trainer)
    assert np.array_equal(trainer.model.params, before)


def test_a_trainer_is_restored_as_a_whole_or_not_at_all(finished):
    rewritten(finished.checkpoint, config=TrainConfig(dataset="digits", hidden=(16, 8), optimizer="adam").to_json())
    checkpoint = load_checkpoint(finished.path)
    trainer = Trainer(checkpoint.config, load_dataset("digits"), CPU)
    before = trainer.model.params.copy()
    with pytest.raises(CheckpointError, match="found nothing"):
        checkpoint.restore(trainer)
    assert np.array_equal(trainer.model.params, before)
    assert trainer.progress == Progress()


def test_a_loss_that_is_not_finite_is_kept_as_null(finished):
    finished.trainer.progress.loss_sum = math.inf
    save_checkpoint(str(finished.checkpoint), finished.trainer)
    assert math.isnan(load_checkpoint(str(finished.checkpoint)).progress.loss_sum)


def test_a_pipe_or_a_device_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "no\0name"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_checkpoint(path)


def test_a_checkpoint_of_other_images_is_not_resumed(finished):
    checkpoint = load_checkpoint(finished.path)
    digits = load_dataset("digits")
    inverted = replace(digits, train_images=16 - digits.train_images)
    with pytest.raises(CheckpointError, match="was trained on other images"):
        checkpoint.restore(Trainer(CONFIG, inverted, CPU))
    wider = replace(digits, image_shape=(4, 16))
    with pytest.raises(CheckpointError, match="takes 8x8 images of 10 classes; digits has 4x16 images of 10"):
        checkpoint.restore(Trainer(CONFIG, wider, CPU))


def test_a_full_disk_leaves_the_old_checkpoint(finished, monkeypatch):
    before = finished.checkpoint.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(finished.checkpoint, finished.trainer)
    assert finished.checkpoint.read_bytes() == before
    assert not [path for path in finished.path.iterdir() if path.name.startswith(".")]


def test_a_full_disk_while_training_is_explained(tmp_path, monkeypatch):
    run = Run.start(CONFIG, tmp_path / "run")

    def full(path, trainer):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(softgrad.train.run, "save_checkpoint", full)
    with pytest.raises(RunDirectoryError, match=r"cannot be written \(No space left on device\); free some space"):
        list(run.epochs())


def test_a_directory_with_a_run_is_not_overwritten(finished):
    with pytest.raises(RunDirectoryError, match="holds a run already; resume it, or choose another"):
        Run.start(CONFIG, finished.path)


def test_an_unwritable_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"run directory .*file/run cannot be written \(Not a directory\)"):
        Run.start(CONFIG, tmp_path / "file" / "run")


def test_without_a_name_each_run_gets_its_own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = {Run.start(CONFIG).path for _ in range(3)}
    assert len(paths) == 3
    assert all(path.parent.name == "runs" for path in paths)
