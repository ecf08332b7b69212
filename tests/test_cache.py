"""The compile cache, seen from outside: which files it leaves, which it takes, and that no answer is ever stale.

Each test gives a process of its own a copy of the kernels, to edit, and an empty folder for the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
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
        return sorted((self.cache / "softgrad").iterdir())

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
    ages = {f"{age:024x}": age for age in range(1, 10)}
    for name, age in ages.items():
        old = site.cache / "softgrad" / name
        old.mkdir(parents=True, mode=0o700)
        (old / f"{age:040x}.kernel").write_bytes(b"")
        os.utime(old, (1_600_000_000 - age, 1_600_000_000 - age))
    site.run("relu")
    kept = {folder.name for folder in site.folders()}
    assert len(kept) == 6
    assert {name for name, age in ages.items() if age <= 5} < kept, "the oldest go first"


def test_folders_of_others_stay(site: Site) -> None:
    """The cache folder may be anybody's: a clone of softgrad, say, with its `kernels`."""
    theirs = [site.cache / "kernels" / f"a{i}" / "work.py" for i in range(9)]
    theirs += [site.cache / "softgrad" / f"a{i}" / f"{i:040x}.kernel" for i in range(9)]  # not of the cache's names
    theirs += [site.cache / "softgrad" / f"{i:024x}" / "thesis.txt" for i in range(9)]  # but not of its contents
    theirs += [site.cache / "softgrad" / "notes.kernel", site.cache / "elsewhere" / f"{1:040x}.kernel"]
    for file in theirs:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text("mine")
        os.utime(file.parent, (1_000_000_000, 1_000_000_000))
    link = site.cache / "softgrad" / f"{99:024x}"
    link.symlink_to(site.cache / "elsewhere")
    (site.cache / "softgrad").chmod(0o700)
    assert site.run("relu") == expected("relu")
    assert all(file.read_text() == "mine" for file in theirs)
    assert link.is_symlink()


def test_what_cannot_be_loaded_is_compiled_anew(site: Site) -> None:
    """A right digest over what is no compiled kernel: of another version of a library, or a joke."""
    kernels = ("relu", "identity", "heaviside")
    site.run(*kernels)
    raising = b"c__builtin__\nexec\n(V1/0\ntR."
    for path, payload in zip(site.entries(), (b"", pickle.dumps((1, 2)), raising), strict=True):
        path.write_bytes(hashlib.sha256(path.name.encode() + payload).digest() + payload)
    before = site.entries()
    assert site.run(*kernels) == expected(*kernels)
    assert not before.items() & site.entries().items(), "each should have been replaced"


def test_an_entry_under_another_s_name_is_a_miss(site: Site) -> None:
    site.run("identity", "heaviside")
    first, second = site.entries()
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert site.run("identity", "heaviside") == expected("identity", "heaviside")


def test_what_others_can_write_is_not_run(site: Site) -> None:
    site.run("relu", "identity")
    writable, _ = site.entries()
    writable.chmod(0o666)
    before = site.entries()
    assert site.run("relu", "identity") == expected("relu", "identity")
    assert len(before.items() - site.entries().items()) == 1, "that alone should have been written anew"

    (folder,) = site.folders()
    for open_to_others in (folder, folder.parent):
        open_to_others.chmod(0o777)
        before = site.entries()
        assert site.run("relu") == expected("relu")
        assert site.run("heaviside") == expected("heaviside")  # nor is anything put there
        assert site.entries() == before
        open_to_others.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="gives files to another user")
def test_what_belongs_to_another_user_is_not_run(site: Site) -> None:
    site.run("relu")
    ((entry, _),) = site.entries().items()
    os.chown(entry, 12345, 12345)
    before = site.entries()
    assert site.run("relu") == expected("relu")
    assert site.entries() != before
    (folder,) = site.folders()
    os.chown(folder, 12345, 12345)
    before = site.entries()
    assert site.run("relu", "identity") == expected("relu", "identity")
    assert site.entries() == before


def test_pipes_and_links_in_the_place_of_entries_are_misses(site: Site, tmp_path: Path) -> None:
    site.run("relu", "identity")
    pipe, link = site.entries()
    content = link.read_bytes()
    for path in (pipe, link):
        path.unlink()
    os.mkfifo(pipe)
    (tmp_path / "elsewhere").write_bytes(content)
    link.symlink_to(tmp_path / "elsewhere")
    assert site.run("relu", "identity") == expected("relu", "identity")  # and does not wait for a writer
    assert (tmp_path / "elsewhere").read_bytes() == content


# Another user, as whom a process cannot go on here, where the interpreter may lie in a home folder: no entry in the
# password file, no $HOME, and what belongs to root is another's.
NOBODY = """
import os, pwd

def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = getpwuid
os.geteuid = lambda: 12345
"""


@pytest.mark.parametrize("filled", [False, True], ids=["nothing to write to", "a cache that root filled"])
def test_a_user_without_a_home(site: Site, filled: bool) -> None:
    """As in many a container, whose image may have a cache that root has filled."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    expected_place = "not kept: this user has no home folder"
    if filled:
        site.run("relu")
        environment["NUMBA_CACHE_DIR"] = str(site.cache)
        expected_place = str(site.folders()[0])
        if os.geteuid() != 0:
            expected_place = (
                f"not kept: {site.folders()[0].parent} cannot be used (belongs to another user, {os.getuid()})"
            )
    before = site.entries()
    says = "from softgrad.kernels.cache import describe_cache; print(describe_cache(), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOBODY + SCRIPT + says, str(site.root), "relu"],
        env=environment, cwd=site.root, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected("relu")
    assert done.stderr.strip() == expected_place
    assert site.entries() == before


def test_what_a_killed_writer_left_is_removed(site: Site) -> None:
    site.run("relu")
    (folder,) = site.folders()
    left = folder / f"{1:040x}.kernel.abcd1234.tmp"
    young = folder / f"{2:040x}.kernel.abcd1234.tmp"
    others = folder / "notes.tmp"
    for file in (left, young, others):
        file.write_bytes(b"half")
    for file in (left, others):
        os.utime(file, (1_600_000_000, 1_600_000_000))
    site.run("relu")
    assert not left.exists()
    assert young.exists()  # its writer may be alive
    assert others.exists()
