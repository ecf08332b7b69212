"""The compile cache: machine code on disk, never stale, safe to share between processes.

Numba's own ``cache=True`` stamps an entry with the one file that holds the compiled function. Here a kernel
is a loop from one file compiled over a formula from another, so an edited formula would be answered with old
machine code. In this cache

- the folder of an entry is the digest of *every* kernel source and of the versions of the compilers;
- the file name of an entry is the digest of everything else that shapes its machine code: which function, over
  which formulas, for which argument types, on which processor.

There is no index to keep consistent: a file either is the answer or is not there. Two processes that compile
the same kernel at once write the same name, each by an atomic rename, and either file is right. Every file
starts with the digest of its name and contents, so one that is damaged or renamed reads as a miss; and so does
whatever fails to load, for any reason.

The folders lie in one of the cache's own, ``$NUMBA_CACHE_DIR/softgrad`` or ``kernels`` in the user's cache, which must
be this user's or root's and closed to other writers: `storage` says what is believed and why. Nothing is removed there
but folders and files of this cache's names. Where no such folder can be had the kernels are compiled anew in each
process: slower, with the same results.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import pickle
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import llvmlite
import numba
from numba.core import config, types
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from softgrad.kernels.formulas.generated import is_generated
from softgrad.kernels.storage import own_folder, read_own, remove_abandoned, remove_oldest, user_cache, write_own

Loaded = TypeVar("Loaded")

KERNELS = Path(__file__).resolve().parent

# Folders of older sources kept beside the current one, so that two checkouts in turn both start warm.
KEPT_FOLDERS = 6

DIGEST_BYTES = 32

# The names of what the cache writes: folders and entries.
FOLDER_NAMES = re.compile("[0-9a-f]{24}")
ENTRY_NAMES = re.compile(r"[0-9a-f]{40}\.kernel")


def _sources_digest() -> str | None:
    """The digest of all kernel sources and compiler versions; None where the sources cannot be read."""
    digest = hashlib.sha256(f"{sys.version} numba {numba.__version__} llvmlite {llvmlite.__version__}".encode())
    sources = sorted(KERNELS.rglob("*.py"))
    try:
        for source in sources:
            digest.update(f"\0{source.relative_to(KERNELS)}\0".encode())
            digest.update(source.read_bytes())
    except OSError:
        return None
    return digest.hexdigest()[:24] if sources else None


# Taken when the kernels are imported: a source edited later is not what this process runs.
SOURCES_DIGEST = _sources_digest()


def enable_cache(dispatcher: Any) -> Any:
    """Give a Numba dispatcher this cache, where there is a folder for it and the function can be named."""
    folder = cache_folder()
    name = _identity(dispatcher.py_func)
    if folder is not None and name is not None:
        dispatcher._cache = KernelCache(folder, name)
    return dispatcher


def cache_folder() -> Path | None:
    """The folder for the present sources and compilers, made if need be; None where there is none to trust."""
    return _place()[0]


def describe_cache() -> str:
    """Where compiled kernels are kept, or why they are not."""
    folder, reason = _place()
    if folder is None:
        return f"not kept: {reason}"
    return f"{folder}" if os.access(folder, os.W_OK) else f"{folder}, read only"


@cache
def _place() -> tuple[Path | None, str]:
    """The folder; or None, and why there is none."""
    if SOURCES_DIGEST is None:
        return None, "the sources of the kernels cannot be read"
    root = _root()
    if root is None:
        return None, "this user has no home folder"
    try:
        root = root.absolute()  # the working directory may change
        folder = root / SOURCES_DIGEST
        own_folder(root)
        own_folder(folder)
    except OSError as error:
        return None, f"{error.filename or root} cannot be used ({error.strerror})"
    with contextlib.suppress(OSError):
        os.utime(folder)
    remove_abandoned(folder, ENTRY_NAMES)
    remove_oldest(folder, FOLDER_NAMES, ENTRY_NAMES, KEPT_FOLDERS)
    return folder, ""


def _root() -> Path | None:
    """The cache's own folder: in ``$NUMBA_CACHE_DIR`` if that is set, as Numba's users expect, or the user's cache."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR) / "softgrad"
    folder = user_cache()
    return None if folder is None else folder / "kernels"


def _identity(function: Callable[..., Any]) -> str | None:
    """Name a function by module, qualified name and, recursively, the functions and values it closes over.

    None if that name would not say everything: a function from outside the kernels may change without a
    change of the folder's digest, and must not be cached, unless it is one whose name has its own.
    """
    function = inspect.unwrap(function)  # a formula's function, as formulas that are traced call it
    if not (is_generated(function) or Path(function.__code__.co_filename).resolve().is_relative_to(KERNELS)):
        return None
    parts = [function.__module__, function.__qualname__, str(function.__code__.co_firstlineno)]
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        if isinstance(value, FunctionType):
            part = _identity(value)
        elif _is_plain(value):
            part = repr(value)
        else:
            part = None
        if part is None:
            return None
        parts.append(part)
    return f"({' '.join(parts)})"


def _is_plain(value: Any) -> bool:
    """Does `repr` say everything of the value?"""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str | types.Type)


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
        return load_entry(
            self._path(sig, target_context.codegen()),
            lambda payload: CompileResult._rebuild(target_context, *pickle.loads(payload)),
        )

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


def load_entry(path: Path, load: Callable[[bytes], Loaded]) -> Loaded | None:
    """What `load` makes of what was written there; None, a miss, if there is nothing to trust or `load` fails on it."""
    # Whatever a payload is that cannot be loaded (of another version of a library, say), it is compiled anew.
    with contextlib.suppress(Exception):
        content = read_own(path)
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if digest == _digest_of(path, payload):
            return load(payload)
    return None


def write_entry(path: Path, payload: bytes) -> None:
    """Keep a payload. A full or vanished disk costs the entry, not the call."""
    with contextlib.suppress(OSError):
        write_own(path, _digest_of(path, payload) + payload)


def _digest_of(path: Path, payload: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + payload).digest()
