"""Kernels' PTX, kept for the next process: what compiles a kernel for one architecture keeps it for the others, too.

Most of the time of compiling goes where the architectures are alike.
"""

from __future__ import annotations

import json
import tempfile
from functools import cache as once
from pathlib import Path
from typing import Any
from unittest.mock import patch

from softgrad.kernels import cache
from softgrad.kernels.cuda import launch

ARCHITECTURES = [(8, 0), (9, 0), (10, 0)]

_lowered = launch.Kernel.lowered


@once
def folder() -> Path:
    """Of this user, for these sources."""
    place = Path(tempfile.gettempdir()) / f"softgrad-ptx-{cache.SOURCES_DIGEST}"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def lowered(kernel: launch.Kernel, signature: Any, capability: tuple[int, int]) -> Any:
    """As the kernel's own `lowered`, whose PTX is kept for all architectures."""
    library = _lowered(kernel, signature, capability)
    for each in ARCHITECTURES:
        path = _path(kernel, signature, each)
        if path is not None:
            entry, ptx = launch.ptx_of(library, each)
            cache.write_entry(path, json.dumps(entry).encode() + b"\n" + ptx.encode())
    return library


def ptx_of(kernel: launch.Kernel, signature: Any, capability: tuple[int, int]) -> str:
    """A kernel's PTX for one of the architectures."""
    path = _path(kernel, signature, capability)
    kept = None if path is None else cache.load_entry(path, _text)
    return kept or launch.ptx_of(lowered(kernel, signature, capability), capability)[1]


def _path(kernel: launch.Kernel, signature: Any, capability: tuple[int, int]) -> Path | None:
    with patch.object(cache, "cache_folder", folder):
        return cache.entry_path(kernel.function, signature, *kernel.bounds, capability, launch._versions())


def _text(payload: bytes) -> str:
    return payload.partition(b"\n")[2].decode()
