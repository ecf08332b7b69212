"""What a type checker knows of the public functions: it is what they are, and it helps their callers."""

from __future__ import annotations

from pathlib import Path

import make_stubs
import pytest

ROOT = Path(__file__).resolve().parent.parent

CALLER = """
from typing import Any, assert_type
import numpy as np
from numpy.typing import NDArray
from softgrad import ops
from softgrad.ops import autodiff

x: NDArray[np.float32] = np.zeros((2, 3), np.float32)
wide: NDArray[np.float64] = np.zeros((2, 3))
on_card: Any = x
assert_type(ops.softmax(x), NDArray[np.float32])
assert_type(ops.softmax(wide, axis=(0, 1), temperature=0.5, where=wide > 0), NDArray[np.float64])
assert_type(ops.softmax_backward(x, x), NDArray[np.float32])
assert_type(ops.leaky_relu(x, negative_slope=0.1), NDArray[np.float32])
assert_type(ops.gelu_backward(x, x, approximate="tanh"), NDArray[np.float32])
assert_type(ops.softmax([1.0, 2.0]), Any)
assert_type(ops.softmax(on_card), Any)
loss, grad = ops.softmax_cross_entropy_with_grad(x, [0, 1], reduction="sum")
assert_type(grad, NDArray[np.float32])
ops.sgd_update(x, x, lr=0.1)
value, slope = autodiff.value_and_grad(lambda x: autodiff.gelu(x).sum(), argnums=0)(x)
"""

WRONG = ["ops.softmax(x, axes=1)", "ops.softmax(x=x)", "ops.softmaks(x)", "ops.sgd_update(x, x)", 'ops.relu(x, "y")']


def test_the_stub_is_what_the_signatures_say() -> None:
    assert make_stubs.STUB.read_text() == make_stubs.stub(), "run python tools/make_stubs.py"


@pytest.mark.slow
def test_callers_are_helped_in_strict_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "softgrad").symlink_to(ROOT, target_is_directory=True)  # the folder that mypy looks for
    monkeypatch.setenv("MYPYPATH", str(tmp_path))
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(CALLER)
    bad.write_text(CALLER + "".join(f"{line}\n" for line in WRONG))
    options = ("--strict", "--no-incremental", "--follow-imports=silent", f"--config-file={ROOT / 'pyproject.toml'}")
    report, errors, code = api.run([*options, str(good)])
    assert (code, errors) == (0, ""), report
    report, errors, code = api.run([*options, str(bad)])
    assert (code, errors) == (1, "")
    first = 1 + CALLER.count("\n")
    assert {line for line in range(first, first + len(WRONG)) if f"bad.py:{line}: error" in report} == set(
        range(first, first + len(WRONG))
    )
