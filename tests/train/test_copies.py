"""Copies of backends, models and trainers, within a process and by way of bytes: whole, and by themselves."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numba.core import config
from numerics import Arrays

from softgrad.train import MLP, TrainConfig, Trainer, load_dataset
from softgrad.train.data.standardise import Standardisation
from softgrad.train.loop import Progress
from softgrad.train.model import Batch
from softgrad.train.objectives import OBJECTIVES

COPIES = [copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_a_backend_is_the_backend(copied: Any, backend: Arrays) -> None:
    assert copied(backend.backend) is backend.backend
    assert copied({"b": [backend.backend]})["b"][0] is backend.backend


@pytest.mark.parametrize("copied", COPIES)
def test_the_views_of_a_copied_model_are_of_its_own_arrays(copied: Any, backend: Arrays) -> None:
    model = MLP((5, 4, 3), "gelu", "float32", backend.backend)
    model.initialise(seed=1)
    twin = copied(model)
    before = backend.get(model.params).copy()
    batches = [Batch(one, 2) for one in (model, twin)]
    for batch in batches:
        batch.inputs[...] = 1
    first, second = (backend.get(one.forward(batch)).copy() for one, batch in zip((model, twin), batches, strict=True))
    assert np.array_equal(first, second)
    twin.params[...] = 0
    assert not backend.get(twin.forward(batches[1])).any()
    assert np.array_equal(backend.get(model.params), before)


@pytest.mark.skipif(bool(config.ENABLE_CUDASIM), reason="a network is too much for the simulator")
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("changes", [{"optimizer": "adam"}, {"model": "logistic", "hidden": ()}], ids=str)
def test_a_copied_trainer_goes_on_by_itself_bit_for_bit(copied: Any, changes: dict[str, Any], backend: Arrays) -> None:
    config = replace(TrainConfig(dataset="digits", hidden=(8,), epochs=2), **changes)
    trainer = Trainer(config, load_dataset("digits"), backend.backend)
    seen = iter(range(10**6))
    assert not list(trainer.fit(stop=lambda: next(seen) == 15))[1:]  # within the second epoch
    before = backend.get(trainer.model.params).copy()
    twin = copied(trainer)
    (theirs,) = twin.fit()
    assert np.array_equal(backend.get(trainer.model.params), before)
    (ours,) = trainer.fit()
    assert np.array_equal(backend.get(twin.model.params), backend.get(trainer.model.params))
    assert (ours.test_loss, ours.train_loss, ours.step) == (theirs.test_loss, theirs.train_loss, theirs.step)
    assert twin.model is not trainer.model
    assert twin.finished


@pytest.mark.parametrize("copied", COPIES)
def test_copies_of_what_is_plain_are_equal(copied: Any) -> None:
    for whole in (TrainConfig(hidden=(4,)), Progress(1, 2), Standardisation(2.0, 1.0)):
        assert copied(whole) == whole
    digits = load_dataset("digits")
    assert np.array_equal(copied(digits).train_images, digits.train_images)
    for objective in OBJECTIVES.values():
        assert copied(objective) is objective
