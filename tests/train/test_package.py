"""The names of `softgrad.train`, each loaded when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import softgrad.train


def test_every_public_name_is_there_and_no_other() -> None:
    assert list(softgrad.train._MODULES) == softgrad.train.__all__
    names: dict[str, object] = {}
    exec("from softgrad.train import *", names)
    for name in softgrad.train.__all__:
        assert names[name] is getattr(softgrad.train, name)
    with pytest.raises(AttributeError, match=r"module 'softgrad.train' has no attribute 'Trainee'"):
        _ = softgrad.train.Trainee


def test_importing_it_does_not_wait_for_numba() -> None:
    code = "import softgrad.train, sys; assert 'numba' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
