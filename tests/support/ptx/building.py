"""The interpreter's library: compiled by the system's compiler at first use, and kept for the next process."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import llvmlite.binding
import platformdirs

SOURCES = Path(__file__).parent / "interpreter"

# Products and sums are not contracted; memory is read as whatever type an instruction says.
OPTIONS = ["-std=c++17", "-O2", "-ftree-vectorize", "-ffp-contract=off", "-fno-strict-aliasing", "-shared", "-fPIC"]

# What of the processor makes the lanes of a warp quicker: wide vectors, and multiply-adds without a call.
FEATURES = ("avx2", "fma", "popcnt")


class NoCompilerError(RuntimeError):
    """There is no compiler for C++ here."""


@cache
def library() -> ctypes.CDLL:
    """The interpreter.

    Raises
    ------
    NoCompilerError
        If it is not built yet, and there is nothing to build it with.
    """
    compiler = next(filter(None, map(shutil.which, ("g++", "c++", "clang++"))), None)
    if compiler is None:
        raise NoCompilerError("executing PTX needs a compiler for C++: g++, c++ or clang++")
    options = OPTIONS + [
        f"-m{feature}" for feature in FEATURES if llvmlite.binding.get_host_cpu_features().get(feature)
    ]
    file = _folder() / f"{_digest(compiler, *options)}.so"
    with _only_one(file.with_suffix(".lock")):  # of several processes that start at once
        if not file.exists():
            _compile(compiler, options, file)
    return ctypes.CDLL(str(file))


def _folder() -> Path:
    """A folder of this user's own."""
    try:
        folder = platformdirs.user_cache_path("softgrad") / "ptx-interpreter"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    folder = Path(tempfile.gettempdir()) / f"softgrad-ptx-interpreter-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise NoCompilerError(f"{folder} belongs to somebody else")
    return folder


def _digest(*options: str) -> str:
    digest = hashlib.sha256("\0".join((platform.machine(), *options)).encode())
    for source in sorted((*SOURCES.glob("*.h"), *SOURCES.glob("*.cpp"))):
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    return digest.hexdigest()[:24]


class _only_one:
    """Holds a lock on a file, which the system gives up when a process ends."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _compile(compiler: str, options: list[str], file: Path) -> None:
    """Each source by itself, all at once; then the library, in one step."""
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        objects = [Path(place, source.stem + ".o") for source in sorted(SOURCES.glob("*.cpp"))]
        started = [
            subprocess.Popen([compiler, *options, "-c", str(SOURCES / f"{one.stem}.cpp"), "-o", str(one)])
            for one in objects
        ]
        if sum(process.wait() for process in started):  # all of them are waited for
            raise RuntimeError("the interpreter does not compile")
        built = Path(place, file.name)
        subprocess.run([compiler, *options, *map(str, objects), "-o", str(built)], check=True)
        built.replace(file)
