"""Where there is nothing to build the interpreter with, the tests that need it are passed over, and say why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def test_without_a_compiler_the_tests_are_skipped_with_the_reason(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": str(tmp_path), "SOFTGRAD_PTX": "sm_90"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "-m", "gpu", "tests/test_gpu.py"]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "executing PTX needs a compiler for C++: g++, c++ or clang++" in ended.stdout
    assert "passed" not in ended.stdout
