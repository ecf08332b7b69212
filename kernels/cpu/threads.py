"""Threads: how many share a call, and what keeps that safe.

Numba runs parallel loops on one of three layers. Measured for an empty loop on two cores: tbb 2 to 4 us; GNU omp
2 us, but with stalls of 5 to 20 ms on a loaded machine; workqueue 45 to 100 us, and it aborts the process when two
Python threads call it at once. So tbb is made to be found, and workqueue is entered by one thread at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import site
import sys
import threading
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import numba

# Bytes of an array below which one thread is quicker than waking the others. Measured on two cores with tbb: an empty
# parallel loop takes 4 us, but the other thread joins after 20 us or more. Two threads instead of one take, at 100,000
# float32, 23 us instead of 12 for relu, 47 instead of 35 for sigmoid, 70 instead of 76 for gelu; at 100,000 float64
# 21 instead of 19, 59 instead of 93 and 136 instead of 218.
PARALLEL_BYTES = 512 << 10

_workqueue_entry = threading.Lock()


def thread_count() -> int:
    """How many threads share a call: what `numba.set_num_threads` allows."""
    count: int = numba.get_num_threads()
    return count


@cache
def threading_layer() -> str:
    """Start Numba's threads and name their layer: "tbb", "omp" or "workqueue"."""
    # The first parallel region picks the layer. Numba has no public call for that alone.
    from numba.np.ufunc.parallel import _launch_threads

    _launch_threads()
    layer: str = numba.threading_layer()
    return layer


def parallel_entry() -> AbstractContextManager[object]:
    """What to hold while entering a parallel region."""
    return _workqueue_entry if threading_layer() == "workqueue" else contextlib.nullcontext()


def _load_tbb() -> None:
    """Load the tbb wheel's library, which lies in a folder of the environment that no loader searches."""
    if sys.platform != "linux":
        return
    for prefix in (sys.prefix, site.getuserbase()):
        library = Path(prefix) / "lib" / "libtbb.so.12"
        if library.exists():
            with contextlib.suppress(OSError):
                ctypes.CDLL(os.fspath(library), mode=ctypes.RTLD_GLOBAL)
                return


# At import: a parallel kernel that is loaded from the cache starts Numba's threads, and so picks the layer.
_load_tbb()
