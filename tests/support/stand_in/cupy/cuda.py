"""The one device of the stand-in, whose work is done when it is called for; and its way to launch a kernel's PTX."""

from __future__ import annotations

import itertools
import os
import time
from types import SimpleNamespace
from typing import Any

from . import _arena

# "sm_90" if kernels are executed as PTX of that architecture.
ARCHITECTURE = os.environ.get("SOFTGRAD_PTX", "sm_90")

# The most shared memory of a block: without asking for more, and on each architecture when asked for.
PLAIN_SHARED_BYTES = 48 << 10
MOST_SHARED_BYTES = {"sm_80": 163 << 10, "sm_90": 227 << 10, "sm_100": 227 << 10}


class Event:
    """A moment on the host."""

    moment = 0.0

    def record(self) -> None:
        self.moment = time.perf_counter()

    def synchronize(self) -> None:
        pass


def get_elapsed_time(begin: Event, end: Event) -> float:
    """In milliseconds."""
    return (end.moment - begin.moment) * 1e3


def is_available() -> bool:
    return True


class Device:
    def __init__(self, device: int | None = None) -> None:
        self.id = device or 0
        self.compute_capability = ARCHITECTURE.removeprefix("sm_")
        self.attributes = {
            "MultiProcessorCount": 132,
            "MaxSharedMemoryPerBlock": PLAIN_SHARED_BYTES,
            "MaxSharedMemoryPerBlockOptin": MOST_SHARED_BYTES[ARCHITECTURE],
        }

    def synchronize(self) -> None:
        pass


class Stream:
    ptr = 0

    def __init__(self, non_blocking: bool = False) -> None:
        pass

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        pass


def get_current_stream() -> Stream:
    return Stream()


class runtime:
    @staticmethod
    def getDevice() -> int:
        return 0

    @staticmethod
    def getDeviceProperties(device: int) -> dict[str, Any]:
        return {"name": b"a stand-in for a GPU", "totalGlobalMem": _arena.ARENA_BYTES}

    @staticmethod
    def getDeviceCount() -> int:
        return 1

    @staticmethod
    def runtimeGetVersion() -> int:
        return 13000


# ---- kernels

_functions: dict[int, Function] = {}
_numbers = itertools.count(1)


class Module:
    """A kernel, of its PTX, which stands for the machine code that CuPy's would be given."""

    def load(self, cubin: bytes) -> None:
        from ptx.reading import read

        self.program = read(cubin.decode())
        if self.program.target != int(ARCHITECTURE.removeprefix("sm_")):
            raise RuntimeError(f"a kernel for sm_{self.program.target} on {ARCHITECTURE}")

    def get_function(self, name: str) -> Function:
        return Function(self, name)


class Function:
    def __init__(self, module: Module, name: str) -> None:
        if name != module.program.name:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: {name}")
        self.program = module.program
        self.most_dynamic_bytes = PLAIN_SHARED_BYTES - self.program.shared_bytes
        self.ptr = next(_numbers)
        _functions[self.ptr] = self

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, shared_mem: int = 0) -> None:
        from ptx import execution, totals

        grid, block = ((*sizes, 1, 1)[:3] for sizes in (grid, block))
        execution.check_sizes(self.program, grid, block)
        if shared_mem > self.most_dynamic_bytes:
            raise execution.LaunchError(f"{shared_mem} bytes of shared memory; {self.most_dynamic_bytes} are allowed")
        parameters = execution.packed(self.program, [execution.argument(value) for value in args])
        memory = execution.Memory(_arena.address, _arena.ARENA_BYTES, _arena.page_bytes)
        counts, executions = execution.run(self.program, memory, grid, block, parameters, shared_mem)
        totals.note(
            totals.Launched(self.program, grid, block, self.program.shared_bytes + shared_mem, counts, executions)
        )


class driver:
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8

    @staticmethod
    def funcSetAttribute(function: int, attribute: int, value: int) -> None:
        from ptx.execution import LaunchError

        chosen = _functions[function]
        most = MOST_SHARED_BYTES[ARCHITECTURE] - chosen.program.shared_bytes
        if attribute != driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES or value > most:
            raise LaunchError(f"attribute {attribute} cannot be {value}; shared memory has {most} bytes")
        chosen.most_dynamic_bytes = value


function = SimpleNamespace(Module=Module, Function=Function)
