"""`TrainConfig`, the schedules and the standardisation: the small parts of a run that are decided before it starts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from softgrad.train import TrainConfig
from softgrad.train.schedules import learning_rate
from softgrad.train.standardise import CHUNK, Standardisation


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("hidden", (0,), "hidden must be positive whole numbers"),
        ("hidden", (2.5,), "hidden must be positive whole numbers"),
        ("hidden", (True,), "hidden must be positive whole numbers"),
        ("hidden", "256", "hidden must be positive whole numbers"),
        ("activation", "rleu", "activation must be one of identity, sigmoid, tanh, relu"),
        ("activation", "heaviside", "activation must be one of"),
        ("optimizer", "adm", "optimizer must be one of sgd, momentum, nesterov; got 'adm'"),
        ("schedule", "cos", "schedule must be one of constant, cosine; got 'cos'"),
        ("backend", "tpu", "backend must be one of auto, cpu, gpu; got 'tpu'"),
        ("dtype", "float16", "dtype must be one of float32, float64; got 'float16'"),
        ("lr", 0, "lr must be a finite number above 0; got 0"),
        ("lr", -0.1, "lr must be a finite number above 0; got -0.1"),
        ("lr", math.nan, "lr must be a finite number above 0; got nan"),
        ("lr", math.inf, "lr must be a finite number above 0; got inf"),
        ("lr", "0.1", "lr must be a finite number above 0; got '0.1'"),
        ("momentum", 1.0, r"momentum must be in \[0, 1\); got 1.0"),
        ("weight_decay", -1e-4, "weight_decay must be a finite number, 0 or above; got -0.0001"),
        ("batch_size", 0, "batch_size must be a whole number, 1 or above; got 0"),
        ("epochs", 1.5, "epochs must be a whole number, 1 or above; got 1.5"),
        ("seed", -1, "seed must be a whole number, 0 or above; got -1"),
        ("dataset", None, "dataset must be a name; got None"),
    ],
)
def test_a_setting_outside_its_range_is_named(setting, value, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig(**{setting: value})


def test_json_round_trip_keeps_every_setting():
    config = TrainConfig(hidden=(7, 5), lr=1 / 3, activation="mish", seed=12)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("change", [{"learning_rate": 1}, None])
def test_json_with_other_settings_is_refused(change):
    settings = TrainConfig().to_json()
    settings = {**settings, **change} if change else {k: v for k, v in settings.items() if k != "lr"}
    with pytest.raises(ValueError, match="config must hold exactly"):
        TrainConfig.from_json(settings)


def test_cosine_goes_from_lr_over_half_to_nearly_zero():
    assert learning_rate("cosine", 0.1, 0, 100) == 0.1
    assert learning_rate("cosine", 0.1, 50, 100) == pytest.approx(0.05)
    assert 0 < learning_rate("cosine", 0.1, 99, 100) < 1e-4
    assert learning_rate("constant", 0.1, 99, 100) == 0.1


@pytest.mark.parametrize("rows", [1, 37, CHUNK // 100 + 11])  # one chunk, one, and a second that is not full
def test_standardised_pixels_have_mean_0_and_deviation_1(rows):
    images = np.random.default_rng(0).integers(0, 256, (rows, 100), np.uint8)
    inputs = Standardisation.of(images)
    pixels = images * inputs.scale + inputs.shift
    assert pixels.mean() == pytest.approx(0, abs=1e-9)
    assert pixels.std() == pytest.approx(1, rel=1e-9)


def test_constant_images_are_only_shifted():
    inputs = Standardisation.of(np.full((3, 4), 9, np.uint8))
    assert 9 * inputs.scale + inputs.shift == 0
