"""`TrainConfig`, the schedules and the standardisation: the small parts of a run that are decided before it starts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from softgrad import ops
from softgrad.formulas import sigmoid
from softgrad.train import TrainConfig
from softgrad.train.config import MODELS, OPTIMIZERS, SCHEDULES, defaults_of
from softgrad.train.data.standardise import CHUNK, Standardisation


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("hidden", (0,), "hidden must be positive whole numbers"),
        ("hidden", 0, "hidden must be positive whole numbers"),
        ("hidden", 10**30, "hidden must be sizes below 2,147,483,648; got 1000000"),
        ("hidden", True, "hidden must be positive whole numbers"),
        ("hidden", {8, 4}, "hidden must be positive whole numbers"),
        ("hidden", np.ones((2, 2), int), "hidden must be positive whole numbers"),
        ("epochs", np.float64(2), "epochs must be a whole number, 1 or above; got 2.0"),
        ("lr", np.float32("nan"), "lr must be a finite number above 0; got nan"),
        ("hidden", (2.5,), "hidden must be positive whole numbers"),
        ("hidden", (True,), "hidden must be positive whole numbers"),
        ("hidden", "256", "hidden must be positive whole numbers"),
        ("model", "svm", "model must be one of perceptron, adaline, logistic, softmax, mlp; got 'svm'"),
        ("activation", "rleu", "activation must be one of identity, sigmoid, tanh, relu"),
        ("activation", "heaviside", "activation must be one of"),
        (
            "optimizer",
            "adm",
            "optimizer must be one of sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw; got 'adm'",
        ),
        (
            "schedule",
            "cos",
            "schedule must be one of constant, step, exponential, inverse-time, cosine, one-cycle; got 'cos'",
        ),
        ("backend", "tpu", "backend must be one of auto, cpu, gpu; got 'tpu'"),
        ("dtype", "float16", "dtype must be one of float32, float64, bfloat16; got 'float16'"),
        ("lr", 0, "lr must be a finite number above 0; got 0"),
        ("lr", -0.1, "lr must be a finite number above 0; got -0.1"),
        ("lr", math.nan, "lr must be a finite number above 0; got nan"),
        ("lr", math.inf, "lr must be a finite number above 0; got inf"),
        ("lr", "0.1", "lr must be a finite number above 0; got '0.1'"),
        ("momentum", 1.0, r"momentum must be in \[0, 1\); got 1.0"),
        ("weight_decay", -1e-4, "weight_decay must be a finite number, 0 or above; got -0.0001"),
        ("warmup_steps", -1, "warmup_steps must be a whole number, 0 or above; got -1"),
        ("warmup_steps", 0.5, "warmup_steps must be a whole number, 0 or above; got 0.5"),
        ("batch_size", 0, "batch_size must be a whole number, 1 or above; got 0"),
        ("epochs", 1.5, "epochs must be a whole number, 1 or above; got 1.5"),
        ("seed", -1, "seed must be a whole number, 0 or above; got -1"),
        ("dataset", None, "dataset must be a name; got None"),
    ],
)
def test_a_setting_outside_its_range_is_named(setting, value, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig(**{setting: value})


@pytest.mark.parametrize("model", [model for model in MODELS if model != "mlp"])
def test_a_linear_model_has_no_hidden_layers(model):
    assert TrainConfig(model=model).hidden == TrainConfig(model=model, hidden=()).hidden == ()
    with pytest.raises(ValueError, match=rf"hidden must be none for the model {model}, which is linear; got \(16,\)"):
        TrainConfig(model=model, hidden=(16,))


@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_an_integer_beyond_all_floats_is_refused(name):
    with pytest.raises(ValueError, match=f"^{name} must be a finite number.*; got 1000000"):
        TrainConfig(**{name: 10**400})


def test_arrays_without_axes_are_numbers():
    config = TrainConfig(lr=np.array(0.25), epochs=np.array(2), hidden=np.array([4, 2]))
    assert (config.lr, config.epochs, config.hidden) == (0.25, 2, (4, 2))


@pytest.mark.parametrize("settings", [{"model": model} for model in MODELS if model != "mlp"] + [{"hidden": ()}])
def test_an_activation_without_hidden_layers_is_refused(settings):
    with pytest.raises(ValueError, match=r"activation is no setting of the m.*, but of hidden layers; leave it out"):
        TrainConfig(**settings, activation="gelu")
    with pytest.raises(ValueError, match="activation is no setting of"):
        TrainConfig.from_json(TrainConfig(**settings).to_json() | {"activation": "gelu"})


def test_numbers_of_numpy_and_a_single_size_are_settings():
    plain = TrainConfig(hidden=(64,), lr=0.5, epochs=3, seed=7)
    for hidden in (64, np.int32(64), [64], np.array([64]), (np.uint8(64),), np.array(64)):
        config = TrainConfig(hidden=hidden, lr=np.float32(0.5), epochs=np.int64(3), seed=np.uint8(7))
        assert config == plain
        assert json.dumps(config.to_json()) == json.dumps(plain.to_json())


@ops.elementwise
def swish(x, *, beta=1.5):
    return x * sigmoid(beta * x)


@ops.elementwise
def gated(x, gate):
    return x * gate


def test_an_activation_of_one_s_own_is_kept_by_its_name():
    config = TrainConfig(activation=swish)
    assert config.activation == f"{__name__}:swish"
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_an_activation_that_could_not_be_found_again_is_refused():
    @ops.elementwise
    def local(x):
        return x

    with pytest.raises(ValueError, match="define it at the top of a module"):
        TrainConfig(activation=local)
    with pytest.raises(ValueError, match="a formula of one array with one result"):
        TrainConfig(activation=gated)
    with pytest.raises(ValueError, match="no_such_module, which is not imported"):
        TrainConfig(activation="no_such_module:swish")
    with pytest.raises(ValueError, match="has no nothing"):
        TrainConfig(activation=f"{__name__}:nothing")
    with pytest.raises(ValueError, match=r"must be a formula made by ops\.elementwise; got str"):
        TrainConfig(activation=f"{__name__}:__name__")


def test_what_is_not_given_is_the_models_own():
    assert TrainConfig().hidden == (256, 128)
    assert TrainConfig(hidden=()).hidden == ()
    assert TrainConfig(model="logistic").resolved().lr == TrainConfig().resolved().lr == 0.05
    for optimizer, lr in (("nesterov", 0.002), ("rmsprop", 0.001)):
        assert TrainConfig(model="adaline", optimizer=optimizer).resolved().lr == lr
    assert TrainConfig(model="adaline", lr=0.5).resolved().lr == 0.5


def test_json_round_trip_keeps_every_setting():
    config = TrainConfig(hidden=(7, 5), lr=1 / 3, activation="mish", seed=12)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("change", [{"learning_rate": 1}, None])
def test_json_with_other_settings_is_refused(change):
    settings = TrainConfig().to_json()
    settings = {**settings, **change} if change else {k: v for k, v in settings.items() if k != "lr"}
    with pytest.raises(ValueError, match="config must hold exactly"):
        TrainConfig.from_json(settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adam", "beta1": 1.0}, r"beta1 must be in \[0, 1\); got 1.0"),
        ({"optimizer": "adamw", "beta2": -0.1}, r"beta2 must be in \[0, 1\); got -0.1"),
        ({"schedule": "step", "decay": 0.0}, r"decay must be in \(0, 1\]; got 0.0"),
        ({"schedule": "exponential", "decay": 1.5}, r"decay must be in \(0, 1\]; got 1.5"),
        ({"schedule": "step", "decay_steps": 0}, "decay_steps must be a whole number, 1 or above; got 0"),
        (
            {"optimizer": "adam", "momentum": 0.9},
            "momentum is no setting of the optimizer adam, but of momentum, nesterov; leave it out or choose",
        ),
        ({"optimizer": "sgd", "momentum": 0.0}, "momentum is no setting of the optimizer sgd"),
        ({"beta2": 0.99}, "beta2 is no setting of the optimizer nesterov, but of adam, adamw"),
        ({"decay": 0.5}, "decay is no setting of the schedule cosine, but of step, exponential; leave it out"),
        ({"schedule": "inverse-time", "decay": 0.5}, "decay is no setting of the schedule inverse-time"),
        (
            {"schedule": "one-cycle", "decay_steps": 5},
            "decay_steps is no setting of the schedule one-cycle, but of step",
        ),
    ],
)
def test_a_setting_of_another_optimizer_or_schedule_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        TrainConfig(**settings)


def test_each_optimizer_has_defaults_of_its_own():
    assert set(defaults_of("lr")) == set(defaults_of("weight_decay")) == set(OPTIMIZERS)
    assert TrainConfig().update_settings() == {"lr": 0.05, "weight_decay": 5e-4, "momentum": 0.9}
    adamw = TrainConfig(optimizer="adamw", lr=0.5).update_settings()
    assert adamw == {"lr": 0.5, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999}
    assert TrainConfig(optimizer="adam", weight_decay=0).update_settings()["weight_decay"] == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_resolved_configuration_holds_the_defaults_and_is_kept_by_json(optimizer, schedule):
    config = TrainConfig(optimizer=optimizer, schedule=schedule)
    resolved = config.resolved()
    assert resolved.lr == config.update_settings()["lr"] > 0
    assert resolved.schedule_settings() == config.schedule_settings()
    assert resolved.resolved() == resolved
    assert TrainConfig.from_json(json.loads(json.dumps(resolved.to_json()))) == resolved


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
