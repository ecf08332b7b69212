"""Kernels' PTX, kept for the next process; and, for another architecture, what it was made of.

Most of the time of compiling goes where the architectures are alike: from Python to LLVM's language.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from functools import cache as once
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from softgrad.kernels import cache
from softgrad.kernels.cuda import launch

_lowered = launch.Kernel.lowered


@once
def folder() -> Path:
    """Of this user, for these sources."""
    place = Path(tempfile.gettempdir()) / f"softgrad-ptx-{cache.SOURCES_DIGEST}"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def lowered(kernel: launch.Kernel, signature: Any, capability: tuple[int, int]) -> Any:
    """As the kernel's own `lowered`, as far as PTX is made of it: numba-cuda's options and the modules' texts."""
    path = _path(kernel, signature)
    kept = None if path is None else cache.load_entry(path, lambda payload: json.loads(zlib.decompress(payload)))
    if kept is None:
        with _flags_compared_quickly():
            library = _lowered(kernel, signature, capability)
        kept = library._nvvm_options, library.llvm_strs
        if path is not None:
            cache.write_entry(path, zlib.compress(json.dumps(kept).encode(), level=1))
    return SimpleNamespace(get_asm_strs=lambda cc: [_ptx(*kept, cc)])


def _flags_compared_quickly() -> Any:
    """While numba-cuda compiles. It asks whether two sets of flags are equal 3,000 times a kernel, mostly of the same,
    and builds two dictionaries of all that there are each time, a tenth of all it does.
    """
    from numba.cuda.core.targetconfig import TargetConfig

    all_equal = TargetConfig.__eq__

    def equal(one: Any, other: Any) -> Any:
        return one._values == getattr(other, "_values", None) or all_equal(one, other)

    return patch.multiple(TargetConfig, __eq__=equal, __hash__=lambda flags: hash(type(flags)))


def _ptx(options: dict[str, Any], modules: list[str], capability: tuple[int, int]) -> str:
    """The modules' PTX, as `get_asm_strs` of numba-cuda's library gives it."""
    from numba.cuda.cudadrv import nvvm

    ptx = nvvm.compile_ir(modules, arch="compute_{}{}".format(*capability), **options)
    return ptx.decode().strip("\x00").strip()


def ptx_of(kernel: launch.Kernel, signature: Any, capability: tuple[int, int]) -> str:
    """A kernel's PTX for an architecture."""
    path = _path(kernel, signature, capability)
    kept = None if path is None else cache.load_entry(path, _text)
    if kept is None:
        entry, kept = launch.ptx_of(lowered(kernel, signature, capability), capability)
        if path is not None:
            cache.write_entry(path, json.dumps(entry).encode() + b"\n" + kept.encode())
    return kept


def _path(kernel: launch.Kernel, signature: Any, *capability: tuple[int, int]) -> Path | None:
    with patch.object(cache, "cache_folder", folder):
        return cache.entry_path(kernel.function, signature, *kernel.bounds, *capability, launch._versions())


def _text(payload: bytes) -> str:
    return payload.partition(b"\n")[2].decode()
