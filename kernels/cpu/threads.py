"""Threads: how many share a call, and what keeps that safe.

Numba runs parallel loops on one of three layers. Measured for an empty loop on two cores: tbb 2 to 4 us; GNU omp
2 us, but with stalls of 5 to 20 ms on a loaded machine; workqueue 45 to 100 us, and it aborts the process when two
Python threads call it at once. So tbb is made to be found, and workqueue is entered by one thread at a time.

Threads do not survive a fork. Measured in children of a process in which another thread computes: omp ends the child at
its first parallel region, even where no other thread lives; tbb says that it could not stop its threads, and one child
in fifteen hangs; with workqueue the lock of its entry may be held by a thread that the child has not. Such a child
computes in one thread, with the same bits. Where the forking thread was the only one, tbb and workqueue start anew.
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

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

# Bytes of an array below which one thread is quicker than waking the others. Measured on two cores with tbb: an empty
# parallel loop takes 4 us, but the other thread joins after 20 us or more. Two threads instead of one take, at 100,000
# float32, 23 us instead of 12 for relu, 47 instead of 35 for sigmoid, 70 instead of 76 for gelu; at 100,000 float64
# 21 instead of 19, 59 instead of 93 and 136 instead of 218.
PARALLEL_BYTES = 512 << 10

# Reentrant, for a signal handler that calls an op: Python runs it before or after a parallel region, never within.
_workqueue_entry = threading.RLock()

# In a forked child: are the threads lost?
_threads_lost = False

# At a fork: did Python threads live beside the forking one?
_had_others = False


def thread_count() -> int:
    """How many threads share a call: what `numba.set_num_threads` allows, or one where a fork has lost the threads."""
    if _threads_lost:
        return 1
    threading_layer()
    # `numba.get_num_threads` is this within two locks, one of which all forked processes share: 1 us instead of 0.1.
    count: int = parallel._get_num_threads()
    return count


@cache
def threading_layer() -> str:
    """Start Numba's threads and name their layer: "tbb", "omp" or "workqueue"."""
    # The first parallel region picks the layer. Numba has no public call for that alone.
    with global_compiler_lock:
        parallel._launch_threads()
    layer: str = numba.threading_layer()
    return layer


def parallel_entry() -> AbstractContextManager[object]:
    """What to hold while entering a parallel region."""
    return _workqueue_entry if threading_layer() == "workqueue" else contextlib.nullcontext()


def _before_fork() -> None:
    global _had_others
    # So that no child inherits a compilation, or a start of the threads, that another thread has half done.
    global_compiler_lock.acquire()
    _had_others = len(sys._current_frames()) > 1


def _after_fork_in_child() -> None:
    global _workqueue_entry, _threads_lost
    global_compiler_lock.release()
    _workqueue_entry = threading.RLock()
    if parallel._is_initialized and (_had_others or numba.threading_layer() == "omp"):
        _threads_lost = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=global_compiler_lock.release, after_in_child=_after_fork_in_child
    )


def _load_tbb() -> None:
    """Load the tbb wheel's library, which lies in a folder of the environment that no loader searches."""
    if sys.platform != "linux":
        return
    prefixes = [sys.prefix]
    if site.ENABLE_USER_SITE:  # None or False where what lies in the home folder is not to be run
        prefixes.append(site.getuserbase())
    for prefix in prefixes:
        # Without a home folder the user's is "~/.local", which would be searched for in the working directory.
        if os.path.isabs(prefix):
            with contextlib.suppress(OSError):
                ctypes.CDLL(os.path.join(prefix, "lib", "libtbb.so.12"), mode=ctypes.RTLD_GLOBAL)
                return


# At import: a parallel kernel that is loaded from the cache starts Numba's threads, and so picks the layer.
_load_tbb()
