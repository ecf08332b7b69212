"""The GPU's memory: arrays lie apart in one arena, so that what a kernel does outside of them is seen."""

from __future__ import annotations

import math
import mmap
import weakref
from collections import defaultdict, deque
from typing import Any

import numpy as np

ARENA_BYTES = 4 << 30  # of addresses; memory is taken as it is used

# An array begins at a page, and a page behind it stays empty.
PAGE_BYTES = 512

# What memory holds to which nothing was written: in floating point a NaN.
CANARY = 0xFFFADBAD

# Freed memory lies idle for a while, so that what still uses it is seen.
IDLE_BYTES = 64 << 20

# From so many bytes on memory is given back to the system.
RETURNED_BYTES = 1 << 20

_map = mmap.mmap(-1, ARENA_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
_words = np.frombuffer(_map, np.uint32)
address: int = _words.ctypes.data

# Of each page, how many bytes belong to an array.
page_bytes = np.zeros(ARENA_BYTES // PAGE_BYTES, np.uint16)

_end = 0
_idle: deque[tuple[int, int]] = deque()  # pages and where they begin
_free: dict[int, list[int]] = defaultdict(list)
_used = _idle_pages = 0


def used_bytes() -> int:
    return _used


def contains(place: int) -> bool:
    """Is that an address of this memory?"""
    return address <= place < address + ARENA_BYTES


def allocate(shape: tuple[int, ...], dtype: Any, order: str = "C") -> np.ndarray:
    """NumPy's view of fresh memory; it is freed when nothing refers to the view or to views of it.

    Raises
    ------
    MemoryError
        If there is no such room.
    """
    global _used
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    pages = _rounded(-(-size // PAGE_BYTES) + 1)
    first = _take(pages)
    whole, rest = divmod(size, PAGE_BYTES)
    page_bytes[first : first + whole] = PAGE_BYTES
    page_bytes[first + whole] = rest
    _used += size
    begin = first * PAGE_BYTES
    _words[begin // 4 : (begin + size + 3) // 4] = CANARY
    view = np.ndarray(shape, dtype, _map, begin, order=order)
    weakref.finalize(view, _give_back, first, pages, size).atexit = False
    return view


def _rounded(pages: int) -> int:
    """A number of pages that comes again: three leading bits."""
    step = 1 << max(pages.bit_length() - 3, 0)
    return -(-pages // step) * step


def _take(pages: int) -> int:
    global _end
    if _free[pages]:
        return _free[pages].pop()
    if (_end + pages) * PAGE_BYTES > ARENA_BYTES:
        raise MemoryError(f"no room for {pages * PAGE_BYTES} bytes")
    first, _end = _end, _end + pages
    return first


def _give_back(first: int, pages: int, size: int) -> None:
    global _used, _idle_pages
    _used -= size
    page_bytes[first : first + pages] = 0
    if size >= RETURNED_BYTES:
        system = mmap.PAGESIZE
        begin, end = -(-first * PAGE_BYTES // system) * system, (first + pages) * PAGE_BYTES // system * system
        _map.madvise(mmap.MADV_DONTNEED, begin, end - begin)
    _idle.append((pages, first))
    _idle_pages += pages
    while _idle_pages * PAGE_BYTES > IDLE_BYTES:
        pages, first = _idle.popleft()
        _idle_pages -= pages
        _free[pages].append(first)
