"""The compile cache, seen from outside: which files it leaves, which it takes, and that no answer is ever stale.

Each test gives a process of its own a copy of the kernels, to edit, and an empty folder for the cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import softgrad

PACKAGE = Path(softgrad.__file__).resolve().parent

# Runs named kernels on [-1, 0, 2] in the copy at argv[1] and prints their results.
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import softgrad
assert softgrad.__file__.startswith(sys.argv[1]), softgrad.__file__
from softgrad.kernels import cpu
from softgrad.kernels.formulas.activation_table import ACTIVATIONS

def run(name):
    x = np.array([[-1.0, 0.0, 2.0]])
    out = np.empty_like(x)
    if name == "cross_entropy":
        return [cpu.softmax_cross_entropy_forward(x, np.array([2]), np.empty(0))]
    if name == "softmax":
        cpu.softmax_forward(x, 1.0, out)
    else:
        cpu.activation_forward(ACTIVATIONS[name])(x, (), out)
    return out.ravel().tolist()

print(json.dumps({name: run(name) for name in sys.argv[2:]}))
"""

EXPECTED = {
    "relu": [0.0, 0.0, 2.0],
    "identity": [-1.0, 0.0, 2.0],
    "heaviside": [0.0, 1.0, 1.0],
    "softmax": pytest.approx([0.04201006613406605, 0.11419519938459449, 0.8437947344813395]),
    "cross_entropy": pytest.approx([0.16984601955628557]),
}


class Site:
    """A copy of the kernels, and a cache folder for the processes that run them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "site"
        self.package = self.root / "softgrad"
        self.cache = folder / "cache"
        self.package.mkdir(parents=True)
        shutil.copy(PACKAGE / "__init__.py", self.package)
        shutil.copytree(PACKAGE / "kernels", self.package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))

    def start(self, *kernels: str, cache: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SCRIPT, str(self.root), *kernels],
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache or self.cache), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> dict[str, list[float]]:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert err == ""
        results: dict[str, list[float]] = json.loads(out)
        return results

    def run(self, *kernels: str, cache: Path | None = None) -> dict[str, list[float]]:
        return self.finish(self.start(*kernels, cache=cache))

    def entries(self) -> dict[Path, tuple[int, int]]:
        """The compiled kernels on disk. An entry that is written anew has another inode, since it is renamed there."""
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.cache.rglob("*.kernel")}

    def folders(self) -> list[Path]:
        return sorted((self.cache / "kernels").iterdir())

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.package / "kernels" / file
        source = path.read_text()
        assert source.count(old) == 1, f"the test edits {old!r} in {file}, which is not there once"
        path.write_text(source.replace(old, new))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def expected(*kernels: str) -> dict[str, object]:
    return {name: EXPECTED[name] for name in kernels}


def test_second_process_compiles_nothing(site: Site) -> None:
    kernels = ("relu", "softmax", "cross_entropy")
    assert site.run(*kernels) == expected(*kernels)
    entries = site.entries()
    assert len(entries) == 3
    assert site.run(*kernels) == expected(*kernels)
    assert site.entries() == entries
    assert not [path for path in site.cache.rglob("*") if path.is_file() and path not in entries], "left behind"


RELU = ('"""max(x, 0)."""\n', '"""max(x, 0)."""\n    x = x + const(x, 1.0)\n')


def test_edited_formula_is_never_answered_from_stale_code(site: Site) -> None:
    assert site.run("relu") == expected("relu")
    entries = site.entries()

    site.edit("formulas/activations.py", *RELU)
    assert site.run("relu") == {"relu": [0.0, 1.0, 3.0]}
    assert len(site.folders()) == 2

    site.edit("formulas/activations.py", RELU[1], RELU[0])
    with_both = site.entries()
    assert site.run("relu") == expected("relu")
    assert site.entries() == with_both, "the old entry should have been found again"
    assert entries.items() <= with_both.items()


def test_edited_primitive_is_never_answered_from_stale_code(site: Site) -> None:
    # A formula's overload lies in another file than the formula and the loop.
    assert site.run("softmax") == expected("softmax")
    site.edit(
        "cpu/vecmath.py",
        "    vanishes = x < _exp_lowest(x)\n",
        "    vanishes = x < const(x, 0.0)\n",
    )
    assert site.run("softmax") == {"softmax": [0.0, 0.0, 1.0]}


def test_damaged_entry_is_compiled_anew(site: Site) -> None:
    kernels = ("relu", "identity", "heaviside")
    site.run(*kernels)
    truncated, emptied, one_bit = site.entries()
    truncated.write_bytes(truncated.read_bytes()[:-1])
    emptied.write_bytes(b"")
    content = one_bit.read_bytes()
    middle = len(content) // 2
    one_bit.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    damaged = site.entries()
    assert site.run(*kernels) == expected(*kernels)
    mended = site.entries()
    assert mended.keys() == damaged.keys()
    assert not mended.items() & damaged.items(), "every damaged entry should have been replaced"
    assert site.run(*kernels) == expected(*kernels)
    assert site.entries() == mended


def test_folder_that_cannot_be_written_costs_only_time(site: Site, tmp_path: Path) -> None:
    # Below a file no folder can be made, not even by root, whom permissions do not bind.
    file = tmp_path / "file"
    file.write_text("")
    assert site.run("relu", "softmax", cache=file / "cache") == expected("relu", "softmax")
    assert file.read_text() == ""


def test_two_processes_may_compile_the_same_kernels_at_once(site: Site) -> None:
    kernels = ("relu", "cross_entropy")
    both = [site.start(*kernels) for _ in range(2)]
    assert [site.finish(process) for process in both] == [expected(*kernels)] * 2
    entries = site.entries()
    assert len(entries) == 2
    assert site.run(*kernels) == expected(*kernels)
    assert site.entries() == entries


def test_kernels_of_two_processes_keep_apart_in_a_third(site: Site) -> None:
    # The linker knows compiled functions by name. Kernels from one loop over different formulas, each compiled
    # in a process of its own, must not answer for each other.
    assert site.run("identity") == expected("identity")
    assert site.run("heaviside") == expected("heaviside")
    entries = site.entries()
    assert len(entries) == 2
    assert site.run("identity", "heaviside") == expected("identity", "heaviside")
    assert site.entries() == entries


def test_only_a_few_folders_of_older_sources_are_kept(site: Site) -> None:
    for age in range(1, 10):
        old = site.cache / "kernels" / f"old{age}"
        old.mkdir(parents=True)
        (old / "some.kernel").write_bytes(b"")
        os.utime(old, (1_600_000_000 - age, 1_600_000_000 - age))
    site.run("relu")
    kept = [folder.name for folder in site.folders()]
    assert len(kept) == 6
    assert {f"old{age}" for age in range(1, 6)} < set(kept), "the oldest go first"
