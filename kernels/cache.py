"""The compile cache: machine code on disk, never stale, safe to share between processes.

Numba's own ``cache=True`` stamps an entry with the one file that holds the compiled function. Here a kernel
is a loop from one file compiled over a formula from another, so an edited formula would be answered with old
machine code. In this cache

- the folder of an entry is the digest of *every* kernel source and of the versions of the compilers;
- the file name of an entry is the digest of everything else that shapes its machine code: which function, over
  which formulas, for which argument types, on which processor.

There is no index to keep consistent: a file either is the answer or is not there. Two processes that compile
the same kernel at once write the same name, each by an atomic rename, and either file is right. Every file
starts with the digest of its contents, so a damaged one reads as a miss.

Where no folder can be written the kernels are compiled anew in each process: slower, with the same results.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import numba
import platformdirs
from numba.core import config, types
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

KERNELS = Path(__file__).resolve().parent

# Folders of older sources kept beside the current one, so that two checkouts in turn both start warm.
KEPT_FOLDERS = 6

DIGEST_BYTES = 32


def _sources_digest() -> str | None:
    """The digest of all kernel sources and compiler versions; None where the sources cannot be read."""
    sources = sorted(KERNELS.rglob("*.py"))
    if not sources:
        return None
    digest = hashlib.sha256(f"{sys.version} numba {numba.__version__} llvmlite {llvmlite.__version__}".encode())
    for source in sources:
        digest.update(f"\0{source.relative_to(KERNELS)}\0".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:24]


# Taken when the kernels are imported: a source edited later is not what this process runs.
SOURCES_DIGEST = _sources_digest()


def enable_cache(dispatcher: Any) -> Any:
    """Give a Numba dispatcher this cache, where there is a folder for it and the function can be named."""
    folder = cache_folder()
    name = _identity(dispatcher.py_func)
    if folder is not None and name is not None:
        dispatcher._cache = KernelCache(folder, name)
    return dispatcher


@cache
def cache_folder() -> Path | None:
    """The folder for the present sources and compilers, made if need be; None where none can be written.

    ``$NUMBA_CACHE_DIR`` if it is set, as Numba's users expect, else the user's cache folder.
    """
    if SOURCES_DIGEST is None:
        return None
    root = Path(config.CACHE_DIR) if config.CACHE_DIR else platformdirs.user_cache_path("softgrad")
    folder = root / "kernels" / SOURCES_DIGEST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        os.utime(folder)
    except OSError:
        return None
    _drop_old_folders(folder)
    return folder


def _drop_old_folders(current: Path) -> None:
    """Remove all but the most recently used folders beside `current`."""
    try:
        folders = sorted(current.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    except OSError:
        return
    for folder in folders[KEPT_FOLDERS:]:
        if folder != current:
            shutil.rmtree(folder, ignore_errors=True)


def _identity(function: Callable[..., Any]) -> str | None:
    """Name a function by module, qualified name and, recursively, the functions and values it closes over.

    None if that name would not say everything: a function from outside the kernels may change without a
    change of the folder's digest, and must not be cached.
    """
    if not Path(function.__code__.co_filename).resolve().is_relative_to(KERNELS):
        return None
    parts = [function.__module__, function.__qualname__, str(function.__code__.co_firstlineno)]
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        if isinstance(value, FunctionType):
            part = _identity(value)
        elif isinstance(value, bool | int | float | str | types.Type):
            part = repr(value)
        else:
            part = None
        if part is None:
            return None
        parts.append(part)
    return f"({' '.join(parts)})"


class KernelCache(_Cache):
    """The cache of one kernel, in the form Numba's dispatcher asks for."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(self._folder)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Nothing to flush: an entry is valid for as long as its name is asked for."""

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        target_context.refresh()
        if not self._enabled:
            return None
        payload = read_entry(self._path(sig, target_context.codegen()))
        if payload is None:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(payload))

    def save_overload(self, sig: Any, data: CompileResult) -> None:
        if self._enabled and not data.library.has_dynamic_globals:
            write_entry(self._path(sig, data.codegen), dumps(data._reduce()))

    def _path(self, sig: Any, codegen: Any) -> Path:
        # OPT and BOUNDSCHECK are the user's switches (NUMBA_OPT, NUMBA_BOUNDSCHECK) that change the code.
        key = (self._name, str(sig), codegen.magic_tuple(), str(config.OPT), str(config.BOUNDSCHECK))
        return self._folder / _file_name(key)


def entry_path(function: Callable[..., Any], *key: Any) -> Path | None:
    """Where the machine code of a function, compiled for what `key` says, is kept; None where it cannot be."""
    folder, name = cache_folder(), _identity(function)
    return None if folder is None or name is None else folder / _file_name((name, *map(str, key)))


def _file_name(key: tuple[Any, ...]) -> str:
    return f"{hashlib.sha256(repr(key).encode()).hexdigest()[:40]}.kernel"


def read_entry(path: Path) -> bytes | None:
    """What was written there; None if it is not there, or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return payload if hashlib.sha256(payload).digest() == digest else None


def write_entry(path: Path, payload: bytes) -> None:
    """Write under a temporary name, then rename. A full or vanished disk costs the entry, not the call."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(hashlib.sha256(payload).digest() + payload)
        temporary.replace(path)
    except OSError:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
