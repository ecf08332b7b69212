"""How a function becomes a kernel of the GPU, and how it is launched.

A kernel is a function over pointers and numbers. numba-cuda compiles it to PTX and nvJitLink to a cubin, neither of
which needs a driver; the cubin is kept on disk; CuPy loads it and launches it on its current stream. So a launch looks
at no types but the dtypes of its arguments, and a test without a GPU compiles the very kernels that a GPU runs.

Products and sums are not contracted into fused multiply-adds: an element then has the same bits as on the CPU, where a
formula says `fma` if it means one.

In Numba's simulator (``NUMBA_ENABLE_CUDASIM=1``) the same functions run as plain Python over the arrays' memory.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda, from_dtype, types
from numba.core import config

import softgrad.kernels.simd.primitives  # noqa: F401  (for a number they are the same on the GPU)
from softgrad.kernels.cache import entry_path, load_entry, write_entry
from softgrad.kernels.cuda import half
from softgrad.kernels.formulas.jit import jitable, named

SIMULATED = bool(config.ENABLE_CUDASIM)

# The threads of a block, unless there is a reason for another number.
THREADS = 256

# What kernels that are launched with shared memory may declare beside that, and CUDA's number for how much that may be.
STATIC_SHARED = 2048
MOST_DYNAMIC_SHARED = 8

# The types of numbers that kernels are given.
NUMBERS = frozenset(np.sctypeDict.values())

Function = Callable[..., Any]
Sizes = int | tuple[int, ...]

# Reentrant, for a signal handler that launches a kernel.
_compiling = threading.RLock()


def device(function: Function) -> Function:
    """A function for kernels to call that uses ``cuda`` itself; others need no more than `jitable`."""
    called: Function = cuda.jit(device=True)(named(function)) if SIMULATED else jitable(function)
    return called


class Kernel:
    """A function over pointers and numbers, compiled for a GPU when it is first launched there.

    A block has at most `threads`, and a processor of the GPU room for so many `blocks`: that decides how many registers
    a thread may have. If it is `shared`, a launch may ask for all of a block's shared memory (`shared_bytes`).
    """

    def __init__(self, function: Function, *, threads: int = THREADS, blocks: int = 1, shared: bool = False) -> None:
        self.function, self.bounds, self.shared = named(function), (threads, blocks), shared
        self._loaded: dict[Any, Any] = {}
        self._simulated: Any = cuda.jit(function) if SIMULATED else None

    def launch(self, blocks: Sizes, threads: Sizes, *arguments: Any, shared: int = 0) -> None:
        """Run so many blocks of so many threads on the current stream.

        Arguments are arrays and NumPy's numbers, or tuples of such; `shared` are the bytes of shared memory of a block
        beside what the kernel declares.

        Raises
        ------
        ValueError
            If an array is on another device than the current one.
        """
        if SIMULATED:
            self._simulated[blocks, threads, None, shared](*map(_as_pointer, arguments))
            return
        plain = flattened(arguments)
        device = device_of(argument for argument in plain if type(argument) not in NUMBERS)
        key: list[Any] = [device]
        for argument in plain:
            kind = type(argument)
            key.append(kind if kind in NUMBERS else argument.dtype.char)
        function = self._loaded.get(tuple(key))
        if function is None:
            function = self._loaded[tuple(key)] = self.loaded(device, signature_of(arguments))
        function(three(blocks), three(threads), tuple(plain), shared)

    def loaded(self, device: int, signature: Any) -> Any:
        """The kernel of those types for that device, the current one."""
        key = device, signature
        function = self._loaded.get(key)
        if function is None:
            function = self._loaded[key] = self._load(signature)
        return function

    def _load(self, signature: Any) -> Any:
        """The kernel for the current GPU."""
        function = self._found(signature)
        if self.shared:
            _cupy().cuda.driver.funcSetAttribute(function.ptr, MOST_DYNAMIC_SHARED, shared_bytes() - STATIC_SHARED)
        return function

    def _found(self, signature: Any) -> Any:
        """The kernel for the current GPU, from the disk if it is there."""
        capability = _cupy().cuda.Device().compute_capability
        architecture = int(capability[:-1]), int(capability[-1])
        path = entry_path(self.function, signature, *self.bounds, architecture, _versions())
        kept = None if path is None else load_entry(path, _function_of)
        if kept is not None:
            return kept
        entry, ptx = ptx_of(self.lowered(signature, architecture), architecture)
        cubin, _ = link(ptx, architecture)
        payload = json.dumps(entry).encode() + b"\n" + cubin
        if path is not None:
            write_entry(path, payload)
        return _function_of(payload)

    def lowered(self, signature: Any, capability: tuple[int, int]) -> Any:
        """The kernel in LLVM's language, in numba-cuda's library."""
        # `cuda.compile` is this and no more, but has no option for the contraction into fused multiply-adds.
        from numba.cuda.compiler import _compile_pyfunc_with_fixup

        with _device_of(capability):
            library, _ = _compile_pyfunc_with_fixup(
                self.function, signature, launch_bounds=self.bounds, cc=capability, device=False, abi="numba",
                debug=None, lineinfo=False, fastmath=False, opt=None, abi_info=None, forceinline=False, lto=False,
            )  # fmt: skip
        library._nvvm_options["fma"] = False
        return library


def _function_of(payload: bytes) -> Any:
    """The function of the current GPU: the payload is its name, a line of JSON, and the cubin it is in."""
    entry, _, cubin = payload.partition(b"\n")
    module = _cupy().cuda.function.Module()
    module.load(cubin)
    return module.get_function(json.loads(entry))


def signature_of(arguments: Any) -> Any:
    """The kernel's types: a pointer for an array, a number for a number, a tuple for a tuple."""

    def type_of(argument: Any) -> Any:
        if isinstance(argument, tuple):
            return types.Tuple([*map(type_of, argument)])
        if argument.dtype.char in half.HALVES:
            return half.HalfPointer(argument.dtype.char)
        number = from_dtype(argument.dtype)
        return number if isinstance(argument, np.generic) else types.CPointer(number)

    return types.void(*map(type_of, arguments))


def ptx_of(library: Any, capability: tuple[int, int]) -> tuple[str, str]:
    """The kernel's name in its PTX, and the PTX; needs no driver."""
    (ptx,) = library.get_asm_strs(cc=capability)
    found = re.search(r"\.entry\s+(\w+)\s*\(", ptx)
    assert found is not None
    return found[1], ptx


@contextmanager
def _device_of(capability: tuple[int, int]) -> Iterator[None]:
    """Answer numba-cuda, which asks the current device for its architecture wherever a kernel calls a function."""
    from numba.cuda import dispatcher

    with _compiling:
        ask = dispatcher.get_current_device
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        try:
            yield
        finally:
            dispatcher.get_current_device = ask


def link(ptx: str, capability: tuple[int, int]) -> tuple[bytes, str]:
    """The cubin, and what nvJitLink says of it: its registers, its spills; needs no driver."""
    from cuda.bindings import nvjitlink

    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"]
    handle = nvjitlink.create(len(options), options)
    try:
        code = ptx.encode()
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), "kernel")
        nvjitlink.complete(handle)
        cubin = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, cubin)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    return bytes(cubin), log.decode(errors="replace")


def shared_bytes() -> int:
    """The most shared memory that a block of the current GPU has for a kernel that asks for it."""
    return _shared_bytes(current_device())


@cache
def _shared_bytes(device: int) -> int:
    return int(_cupy().cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"])


def blocks_for(size: int, per_block: int) -> int:
    """How many blocks it takes."""
    return -(-size // per_block)


def flattened(arguments: tuple[Any, ...]) -> list[Any]:
    """The arguments as the machine code takes them: those of a tuple one by one."""
    plain: list[Any] = []
    for argument in arguments:
        if type(argument) is tuple:
            plain += flattened(argument)
        else:
            plain.append(argument)
    return plain


def device_of(arrays: Iterable[Any]) -> int:
    """The current device; raises ValueError if an array is on another."""
    device = current_device()
    if device_count() > 1:
        for array in arrays:
            if array.data.device_id != device:
                theirs = array.data.device_id
                raise ValueError(
                    f"arrays must be on the current device, {device}; got one on device {theirs}; "
                    f"call within `with cupy.cuda.Device({theirs}):`"
                )
    return device


def _as_pointer(argument: Any) -> Any:
    """For the simulator: NumPy's view of an array's memory, of which it would otherwise give the kernel a copy."""
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    if isinstance(argument, tuple):
        return tuple(map(_as_pointer, argument))
    if isinstance(argument, np.generic):
        return argument
    memory = (ctypes.c_char * argument.nbytes).from_address(argument.data.ptr)
    kind = half.HalfArray if argument.dtype.char in half.HALVES else FakeCUDAArray
    return kind(np.ndarray(argument.size, argument.dtype, memory))


def three(sizes: Sizes) -> tuple[int, ...]:
    """Blocks of a grid, or threads of a block, along all three axes."""
    return (sizes, 1, 1) if isinstance(sizes, int) else (*sizes, 1, 1)[:3]


@cache
def _cupy() -> Any:
    return importlib.import_module("cupy")


@cache
def _versions() -> str:
    return f"numba-cuda {metadata.version('numba-cuda')}"


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array on the current GPU for a kernel to fill."""
    return _cupy().empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of zeros there."""
    return _cupy().zeros(shape, dtype)


@cache
def device_count() -> int:
    """How many devices there are; with one there is nothing to ask and to check."""
    count: int = _cupy().cuda.runtime.getDeviceCount()
    return count


def current_device() -> int:
    """The number of the device that work is given to."""
    device: int = 0 if device_count() == 1 else _cupy().cuda.runtime.getDevice()
    return device


def place_of_work() -> tuple[int, int]:
    """The current device and stream: launches in the same place take their turns."""
    return current_device(), _cupy().cuda.get_current_stream().ptr
