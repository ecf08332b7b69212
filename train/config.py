"""`TrainConfig`: everything that decides a run's result, checked when it is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from softgrad.ops import ACTIVATIONS
from softgrad.ops.elementwise import Elementwise
from softgrad.ops.lookup import find_activation, is_formula_name, name_of_formula
from softgrad.train.checks import NOT_NEGATIVE, Range, check_choice, check_in, check_whole, is_whole
from softgrad.train.optimizers import OPTIMIZERS
from softgrad.train.schedules import SCHEDULES, settings_of

MODELS = ("perceptron", "adaline", "logistic", "softmax", "mlp")
BACKENDS = ("auto", "cpu", "gpu")
DTYPES = ("float32", "float64", "bfloat16")
HIDDEN = (256, 128)
ACTIVATION = "relu"
MOST_UNITS = 2**31  # more are no size of an array of weights
# The gradient of a square grows with it: above 2 / (the largest eigenvalue of the inputs' mean x x^T) descent diverges.
ADALINE_LR = 0.002
TRAINABLE_ACTIVATIONS = tuple(name for name, row in ACTIVATIONS.items() if row.backward is not None)

# What the settings that are names can be.
CHOICES: Mapping[str, Collection[str]] = {
    "model": MODELS,
    "activation": TRAINABLE_ACTIVATIONS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "dtype": DTYPES,
    "backend": BACKENDS,
}

# The settings that each optimizer and each schedule has, with their defaults.
SETTINGS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "optimizer": {name: method.settings for name, method in OPTIMIZERS.items()},
    "schedule": {name: settings_of(name) for name in SCHEDULES},
}

# The ranges of those that are numbers.
SHARE_KEPT = Range("in [0, 1)", lambda value: 0 <= value < 1)
RANGES: Mapping[str, Range] = {
    "lr": Range("a finite number above 0", lambda value: value > 0),
    "momentum": SHARE_KEPT,
    "beta1": SHARE_KEPT,
    "beta2": SHARE_KEPT,
    "weight_decay": NOT_NEGATIVE,
    "decay": Range("in (0, 1]", lambda value: 0 < value <= 1),
}

# The least of those that are whole numbers, and never None.
LEAST: Mapping[str, int] = {"warmup_steps": 0, "batch_size": 1, "epochs": 1, "seed": 0}


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run.

    Those that are None by default belong to the optimizer or the schedule: None stands for its own default
    (`resolved` puts it there), and a number for one that has no such setting is refused.

    Attributes
    ----------
    dataset
        The name of a data set (`train.data.catalogue.DATASETS`), or "auto".
    model
        "mlp", or a linear model: "perceptron", "adaline", "logistic" (each class told from all others) or "softmax".
        Those begin at zeros, so that the seed decides their shuffles alone.
    hidden
        Sizes of the hidden layers of an "mlp", or the size of its only one; by default (256, 128), empty for softmax
        regression. The linear models have none.
    activation
        Of the hidden layers, and to be chosen only where there are some; one of `ops.ACTIVATIONS` that has a backward,
        or a formula of one array that `ops.elementwise` has made, at the top of a module. Its name is kept,
        "module:name"; what reads the run must have imported the module.
    optimizer
        One of `optimizers.OPTIMIZERS`.
    lr
        The largest learning rate of the schedule; the default of an "adaline" is 0.002 at most.
    momentum
        For "momentum" and "nesterov", in [0, 1).
    beta1, beta2
        For "adam" and "adamw": how much of the means of gradients and of their squares is kept at a step, in [0, 1).
    weight_decay
        The L2 penalty's factor, 0 or above; of "adamw" the decoupled one.
    schedule
        One of `schedules.SCHEDULES`.
    warmup_steps
        Steps in which the learning rate climbs, before the schedule begins; fewer than there are steps.
    decay
        For "step" and "exponential": the factor on the learning rate over decay_steps, in (0, 1].
    decay_steps
        For "step", "exponential" and "inverse-time"; a third of the steps if None.
    batch_size, epochs, seed
        Whole numbers; the seed decides weights and shuffles.
    dtype
        "float32" or "float64", of weights and arithmetic; "bfloat16" is what activations, gradients and the weights
        of a step are stored in, while the weights that learn are float32.
    backend
        "cpu", "gpu", or "auto".

    Raises
    ------
    ValueError
        If a setting is outside its range; the message starts with its name.
    """

    dataset: str = "auto"
    model: str = "mlp"
    hidden: tuple[int, ...] = None  # type: ignore[assignment]  # the model's, when the config is made
    activation: str = ACTIVATION
    optimizer: str = "nesterov"
    lr: float | None = None
    momentum: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    weight_decay: float | None = None
    schedule: str = "cosine"
    warmup_steps: int = 0
    decay: float | None = None
    decay_steps: int | None = None
    batch_size: int = 128
    epochs: int = 10
    seed: int = 0
    dtype: str = "float32"
    backend: str = "auto"

    def __post_init__(self) -> None:
        for field in fields(self):  # numbers of NumPy are taken, and kept as Python's, which JSON can hold
            value = getattr(self, field.name)
            if isinstance(value, np.integer | np.floating) or (
                getattr(value, "shape", None) == () and hasattr(value, "item")
            ):
                object.__setattr__(self, field.name, value.item())
        if not isinstance(self.dataset, str):
            raise ValueError(f"dataset must be a name; got {self.dataset!r}")
        if isinstance(self.activation, Elementwise):
            object.__setattr__(self, "activation", name_of_formula(self.activation))
        for name, choices in CHOICES.items():
            if name == "activation" and is_formula_name(self.activation):
                find_activation(self.activation)
            else:
                check_choice(getattr(self, name), name, choices)
        self._check_hidden()
        for name, allowed in RANGES.items():
            if getattr(self, name) is not None:
                check_in(getattr(self, name), name, allowed)
        for name, least in LEAST.items():
            check_whole(getattr(self, name), name, least)
        if self.decay_steps is not None:
            check_whole(self.decay_steps, "decay_steps", 1)
        self._check_used()

    def _check_hidden(self) -> None:
        """Put the model's default in the place of None; raise ValueError unless hidden layers and activation fit it."""
        hidden: Any = self.hidden
        if hidden is None:
            hidden = HIDDEN if self.model == "mlp" else ()
        object.__setattr__(self, "hidden", _hidden_sizes(hidden))
        if self.hidden and self.model != "mlp":
            raise ValueError(f"hidden must be none for the model {self.model}, which is linear; got {self.hidden}")
        if self.activation != ACTIVATION and not self.hidden:
            kind = "mlp without hidden layers" if self.model == "mlp" else f"model {self.model}"
            raise ValueError(f"activation is no setting of the {kind}, but of hidden layers; leave it out")

    def _check_used(self) -> None:
        """Raise ValueError if a setting was given for an optimizer or a schedule that has none of that name."""
        for kind, choices in SETTINGS.items():
            chosen = getattr(self, kind)
            unused = {name for settings in choices.values() for name in settings} - set(choices[chosen])
            for name in sorted(unused):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} is no setting of the {kind} {chosen}, but of {', '.join(defaults_of(name))}; "
                        "leave it out or choose one of these"
                    )

    def update_settings(self) -> dict[str, Any]:
        """The optimizer's settings: those given, and its defaults."""
        return self._settings("optimizer")

    def schedule_settings(self) -> dict[str, Any]:
        """The schedule's settings, likewise."""
        return self._settings("schedule")

    def resolved(self) -> TrainConfig:
        """The same with the numbers of the optimizer and the schedule in the place of None."""
        return replace(self, **self.update_settings(), **self.schedule_settings())

    def _settings(self, kind: str) -> dict[str, Any]:
        defaults = dict(SETTINGS[kind][getattr(self, kind)])
        if self.model == "adaline" and "lr" in defaults:
            defaults["lr"] = min(defaults["lr"], ADALINE_LR)
        return {**defaults, **{name: getattr(self, name) for name in defaults if getattr(self, name) is not None}}

    @property
    def objective(self) -> str:
        """The name of what the model learns from, in `train.objectives.OBJECTIVES`."""
        return "softmax" if self.model == "mlp" else self.model

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON's types."""
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> TrainConfig:
        """The settings that `to_json` gave.

        Raises
        ------
        ValueError
            If a setting is missing, unknown or outside its range.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(settings, dict) or set(settings) != names:
            wrong = sorted(names ^ set(settings)) if isinstance(settings, dict) else type(settings).__name__
            raise ValueError(f"config must hold exactly {', '.join(sorted(names))}; differs in {wrong}")
        return cls(**settings)


def defaults_of(setting: str) -> dict[str, Any]:
    """The optimizers, or the schedules, that have a setting, with its default for each."""
    return {
        name: settings[setting]
        for choices in SETTINGS.values()
        for name, settings in choices.items()
        if setting in settings
    }


def _hidden_sizes(given: Any) -> tuple[int, ...]:
    """The sizes as Python's numbers; a single one is that of the only layer."""
    sizes = given.tolist() if isinstance(given, np.ndarray) else given
    sizes = [sizes] if isinstance(sizes, int) else sizes
    if isinstance(sizes, list | tuple):
        sizes = tuple(size.item() if isinstance(size, np.integer) else size for size in sizes)
        if all(is_whole(size, 1) for size in sizes):
            if max(sizes, default=0) >= MOST_UNITS:
                raise ValueError(f"hidden must be sizes below {MOST_UNITS:,}; got {max(sizes)}")
            return sizes
    raise ValueError(f"hidden must be positive whole numbers, such as 256,128; got {given!r}")
