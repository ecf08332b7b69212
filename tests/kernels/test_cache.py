"""The compile cache, seen from outside: which files it leaves, which it takes, and that no answer is ever stale.

Each test gives a process of its own a copy of the kernels, to edit, and an empty folder for the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target

import softgrad
from softgrad.kernels import cache, storage

PACKAGE = Path(softgrad.__file__).resolve().parent

# Runs named kernels on [-1, 0, 2] in the copy at argv[1] and prints their results.
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import softgrad
assert softgrad.__file__.startswith(sys.argv[1]), softgrad.__file__
from softgrad.kernels import cpu
from softgrad.kernels.formulas.registry import ACTIVATIONS
from softgrad.kernels.formulas.softmax import SOFTMAX

def run(name):
    x = np.array([[-1.0, 0.0, 2.0]])
    out = np.empty_like(x)
    if name == "cross_entropy":
        return [cpu.softmax_cross_entropy_forward(x, np.array([2]), None, None, np.empty(0))]
    if name == "softmax":
        cpu.normalised(SOFTMAX)(x, 1.0, out)
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

    def current(self) -> Path:
        """The folder of the present sources, after the first run."""
        (folder,) = {path.parent for path in self.entries()}
        return folder

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.package / "kernels" / file
        source = path.read_text()
        assert source.count(old) == 1, f"the test edits {old!r} in {file}, which is not there once"
        path.write_text(source.replace(old, new))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


WARM = ("relu", "identity")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("filled"))
    site.run(*WARM)
    return site


@pytest.fixture
def warm(filled: Site, site: Site) -> Site:
    """A site whose cache holds the kernels of `WARM`."""
    shutil.copytree(filled.cache, site.cache)
    return site


def expected(*kernels: str) -> dict[str, object]:
    return {name: EXPECTED[name] for name in kernels}


@pytest.mark.slow
def test_second_process_compiles_nothing(site: Site) -> None:
    kernels = ("relu", "softmax", "cross_entropy")
    assert site.run(*kernels) == expected(*kernels)
    entries = site.entries()
    assert len(entries) == 3
    assert site.run(*kernels) == expected(*kernels)
    assert site.entries() == entries
    assert not [path for path in site.cache.rglob("*") if path.is_file() and path not in entries], "left behind"


RELU = ("def relu(x):\n", "def relu(x):\n    x = x + const(x, 1.0)\n")


@pytest.mark.slow
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


@pytest.mark.slow
def test_edited_primitive_is_never_answered_from_stale_code(site: Site) -> None:
    # A formula's overload lies in another file than the formula and the loop.
    assert site.run("softmax") == expected("softmax")
    site.edit(
        "simd/math.py",
        "    vanishes = x < _exp_lowest(x)\n",
        "    vanishes = x < const(x, 0.0)\n",
    )
    assert site.run("softmax") == {"softmax": [0.0, 0.0, 1.0]}


@pytest.mark.slow
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


@pytest.mark.slow
def test_folder_that_cannot_be_written_costs_only_time(site: Site, tmp_path: Path) -> None:
    # Below a file no folder can be made, not even by root, whom permissions do not bind.
    file = tmp_path / "file"
    file.write_text("")
    assert site.run("relu", "softmax", cache=file / "cache") == expected("relu", "softmax")
    assert file.read_text() == ""


@pytest.mark.slow
def test_two_processes_may_compile_the_same_kernels_at_once(site: Site) -> None:
    kernels = ("relu", "cross_entropy")
    both = [site.start(*kernels) for _ in range(2)]
    assert [site.finish(process) for process in both] == [expected(*kernels)] * 2
    entries = site.entries()
    assert len(entries) == 2
    assert site.run(*kernels) == expected(*kernels)
    assert site.entries() == entries


@pytest.mark.slow
def test_kernels_of_two_processes_keep_apart_in_a_third(site: Site) -> None:
    # The linker knows compiled functions by name. Kernels from one loop over different formulas, each compiled
    # in a process of its own, must not answer for each other.
    assert site.run("identity") == expected("identity")
    assert site.run("heaviside") == expected("heaviside")
    entries = site.entries()
    assert len(entries) == 2
    assert site.run("identity", "heaviside") == expected("identity", "heaviside")
    assert site.entries() == entries


@pytest.mark.slow
def test_only_a_few_folders_of_older_sources_are_kept(site: Site) -> None:
    for age in range(1, 10):
        old = site.cache / "softgrad" / f"{age:024x}"
        old.mkdir(parents=True, mode=0o700)
        (old / f"{age:040x}.kernel").write_bytes(b"")
        (old / f"{age:040x}.kernel.abc_1234.tmp").write_bytes(b"")
        os.utime(old, (1_600_000_000 - age, 1_600_000_000 - age))
    (site.cache / "softgrad").chmod(0o700)
    site.run("relu")
    kept = [folder.name for folder in site.folders()]
    assert len(kept) == 6
    assert {f"{age:024x}" for age in range(1, 6)} < set(kept), "the oldest go first"


# ---- what belongs to others is neither removed nor run


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.slow
def test_nothing_is_removed_but_what_the_cache_wrote(warm: Site, tmp_path: Path) -> None:
    # Folders of others, with names that the cache might take for its own; and in the cache's own folder some that have
    # its names and are links, or hold something else.
    for age in range(9):
        (warm.cache / "kernels" / f"a{age}").mkdir(parents=True)
        (warm.cache / f"{age:024x}").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{1:040x}.kernel").write_bytes(b"")
    own = warm.cache / "softgrad"
    for age in range(9):
        old = own / f"{age:024x}"
        if age < 3:
            old.symlink_to(tmp_path / "elsewhere")
            continue
        old.mkdir()
        (old / f"{age:040x}.kernel").write_bytes(b"")
        if age < 6:
            (old / "notes.txt").write_text("mine")
        elif age < 8:
            (old / f"{age + 1:040x}.kernel").symlink_to(tmp_path / "elsewhere")
        else:
            (old / f"{age + 1:040x}.kernel").mkdir()
        os.utime(old, (1_600_000_000, 1_600_000_000))
    (own / "mine").mkdir()
    before = tree(tmp_path)
    warm.run("relu")
    assert before <= tree(tmp_path)


def test_what_killed_writers_left_is_removed(warm: Site) -> None:
    folder = warm.current()
    names = [f"{1:040x}.kernel.abc_1234.tmp", f"{2:040x}.kernel.abc_1234.tmp", "other.tmp", f"{3:040x}.kernel.txt"]
    for name in names:
        (folder / name).write_bytes(b"half")
        if name != names[1]:  # that one is being written now
            os.utime(folder / name, (1_600_000_000, 1_600_000_000))
    warm.run("relu")
    assert [name for name in names if (folder / name).exists()] == names[1:]


def sealed(name: str, payload: bytes) -> bytes:
    """What the cache takes for an entry of that name."""
    return hashlib.sha256(name.encode() + payload).digest() + payload


class Bomb:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.file),)


needs_user_ids = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs user ids")


@pytest.mark.slow
@needs_user_ids
@pytest.mark.parametrize("opened", ["files", "root", "folder"])
def test_what_others_can_write_is_not_run(warm: Site, tmp_path: Path, opened: str) -> None:
    bombs = [tmp_path / f"ran{i}" for i in range(2)]
    entries = list(warm.entries())
    for entry, bomb in zip(entries, bombs, strict=True):
        entry.write_bytes(sealed(entry.name, pickle.dumps(Bomb(bomb))))
    if opened == "files":
        entries[0].chmod(0o606)
        entries[1].rename(tmp_path / "target")
        entries[1].symlink_to(tmp_path / "target")
    else:
        folder = warm.current() if opened == "folder" else warm.current().parent
        folder.chmod(0o720)
    assert warm.run(*WARM) == expected(*WARM)
    assert not any(bomb.exists() for bomb in bombs)
    if opened == "files":  # replaced by some to trust
        assert [(entry.is_symlink(), entry.stat().st_mode & 0o777) for entry in entries] == [(False, 0o600)] * 2
    else:  # closed again, the same bombs go off, which are no kernels and so misses
        folder.chmod(0o700)
        assert warm.run(*WARM) == expected(*WARM)
        assert all(bomb.exists() for bomb in bombs)


@needs_user_ids
def test_files_of_other_users_are_not_believed_but_roots_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, me = tmp_path / "a" / "b", os.geteuid()
    storage.own_folder(folder)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]
    storage.write_own(folder / "file", b"code")
    assert storage.read_own(folder / "file") == b"code"

    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    monkeypatch.setattr(storage, "ROOT_UID", me)
    storage.own_folder(folder)
    assert storage.read_own(folder / "file") == b"code"

    monkeypatch.setattr(storage, "ROOT_UID", me + 2)
    for use in (lambda: storage.own_folder(folder), lambda: storage.read_own(folder / "file")):
        with pytest.raises(PermissionError, match=f"belongs to another user, {me}"):
            use()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_fifos_and_folders_in_place_of_entries_do_not_hang(warm: Site) -> None:
    fifo, folder = warm.entries()
    for entry in (fifo, folder):
        entry.unlink()
    os.mkfifo(fifo, 0o600)
    folder.mkdir()
    assert warm.run(*WARM) == expected(*WARM)
    assert fifo.is_file()
    shutil.rmtree(warm.cache / "softgrad")
    os.mkfifo(warm.cache / "softgrad", 0o600)
    assert warm.run("relu") == expected("relu")


def test_whatever_fails_to_load_is_a_miss(warm: Site) -> None:
    entry, _ = warm.entries()
    content = entry.read_bytes()
    payload = content[32:]
    assert content == sealed(entry.name, payload)
    unloadable = [
        b"",
        b"garbage",
        payload[: len(payload) // 2],
        pickle.dumps(None),
        pickle.dumps((1, 2, 3)),
        b"cno_such_module\nthing\n.",
        b"csoftgrad.kernels\nno_such_name\n.",
        pickle.dumps(tuple("no machine code" for _ in pickle.loads(payload))),
    ]
    for bad in unloadable:
        entry.write_bytes(sealed(entry.name, bad))
        assert (
            cache.load_entry(entry, lambda bad: CompileResult._rebuild(cpu_target.target_context, *pickle.loads(bad)))
            is None
        )
    assert warm.run(*WARM) == expected(*WARM)  # the last of them
    assert len(entry.read_bytes()) > 10_000, "compiled anew and overwritten"

    entry.rename(entry.with_name(f"{0:040x}.kernel"))
    assert cache.load_entry(entry.with_name(f"{0:040x}.kernel"), len) is None, "its name is part of what it says"


@needs_user_ids
def test_a_filled_cache_that_cannot_be_written_is_read(warm: Site) -> None:
    entries = warm.entries()
    for path in (*entries, warm.current(), warm.current().parent):
        path.chmod(0o500)
    try:
        assert warm.run(*WARM) == expected(*WARM)
        assert entries == warm.entries()
    finally:
        for path in (warm.current().parent, warm.current()):
            path.chmod(0o700)


NOBODY = """
import os
os.setresuid(12345, 0, 0)  # looked up by the real id; the other one keeps Python's files readable
from softgrad import ops
from softgrad.kernels.cache import describe_cache
from softgrad.train.data.datasets import load_dataset
print(describe_cache())
print(load_dataset("auto").note)
"""


@needs_user_ids
def test_a_user_without_a_home_can_import_and_load(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user whom no password file knows")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    command = [sys.executable, "-W", "error", "-c", NOBODY]
    process = subprocess.run(command, env=kept, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    where, note = process.stdout.splitlines()
    assert where == "not kept: this user has no home folder"
    assert note.startswith(
        "MNIST is nowhere to be looked for, and this user has no home folder to download it to; using"
    )
    assert tree(tmp_path) == set(), "no folder named ~"


def test_what_keeps_kernels_from_being_kept_is_said(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def described(root: Path) -> str:
        monkeypatch.setattr(cache, "_root", lambda: root)
        cache._place.cache_clear()
        return cache.describe_cache()

    monkeypatch.setattr(cache, "SOURCES_DIGEST", "0" * 24)
    (tmp_path / "file").write_text("")
    try:
        assert described(tmp_path / "new") == f"{tmp_path / 'new' / ('0' * 24)}"
        assert re.fullmatch(r"not kept: .*file.* cannot be used \(.+\)", described(tmp_path / "file" / "below"))
        monkeypatch.chdir(tmp_path)
        assert described(Path("relative")) == f"{tmp_path / 'relative' / ('0' * 24)}"
        if hasattr(os, "geteuid"):
            (tmp_path / "new").chmod(0o770)
            why = "cannot be used (can be written by other users)"
            assert described(tmp_path / "new") == f"not kept: {tmp_path / 'new'} {why}"
        if getattr(os, "geteuid", lambda: 0)() != 0:  # whom permissions do not bind
            (tmp_path / "relative" / ("0" * 24)).chmod(0o500)
            assert described(Path("relative")).endswith(", read only")
    finally:
        cache._place.cache_clear()
