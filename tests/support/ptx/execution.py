"""Launching: a program over blocks of threads, what is wrong said in words, and what it has cost."""

from __future__ import annotations

import ctypes
import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptx.building import library
from ptx.decoding import SPECIAL
from ptx.reading import Program

ORDERS = {"forward": 0, "reverse": 1}
RANDOM = 2

# As in `interpreter/memory.h`: arrays begin at pages, and memory to which nothing was written holds this.
PAGE_BYTES, CANARY = 512, 0xFFFADBAD

# Of any GPU that is compiled for.
MOST_GRID, MOST_BLOCK, MOST_THREADS = (2**31 - 1, 65_535, 65_535), (1024, 1024, 64), 1024


# The fields of the structures below.
COUNTED = (
    "slots instructions divergences barriers shuffles "
    "load_requests load_sectors load_bytes store_requests store_sectors store_bytes "
    "shared_load_requests shared_load_wavefronts shared_store_requests shared_store_wavefronts"
)
POINTERS = "code constants memory page_bytes parameters executions counts"
SIZES = "global own register parameter static_shared shared"
MOST_SPECIAL = 24


class LaunchError(RuntimeError):
    """What a driver would refuse, or a kernel does wrong: where, and with what instruction."""


class Counts(ctypes.Structure):
    """What launches cost, as in `interpreter/traffic.h`; that of memory only where it is measured.

    Attributes
    ----------
    slots, instructions
        What warps and what threads have executed.
    """

    _fields_ = [(name, ctypes.c_uint64) for name in COUNTED.split()]


class _Launch(ctypes.Structure):
    """As in `interpreter/memory.h`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in POINTERS.split()),
        *((f"{name}_bytes", ctypes.c_int64) for name in SIZES.split()),
        ("length", ctypes.c_int32),
        *((name, ctypes.c_int32 * 3) for name in ("grid", "block")),
        ("special", ctypes.c_int32 * MOST_SPECIAL),
        ("order", ctypes.c_int32),
        ("seed", ctypes.c_uint32),
        *((name, ctypes.c_int32) for name in ("find_races", "measure")),
        *((f"fault_{name}", ctypes.c_int32) for name in ("place", "lane", "warp", "block")),
        ("fault", ctypes.c_char * 512),
    ]


@dataclass
class Settings:
    """How launches go: `order` is that of warps and blocks, forward, reverse or the seed of a random one."""

    order: str = field(default_factory=lambda: os.environ.get("SOFTGRAD_PTX_ORDER", "forward"))
    find_races: bool = True
    measure: bool = False


settings = Settings()


@dataclass(frozen=True)
class Memory:
    """The GPU's memory: where it lies, and of each page of 512 bytes how many belong to an array."""

    address: int
    bytes: int
    page_bytes: np.ndarray


def run(
    program: Program, memory: Memory, grid: tuple[int, ...], block: tuple[int, ...], parameters: bytes, shared: int = 0
) -> tuple[Counts, np.ndarray]:
    """Launch a program, with so many bytes of shared memory beside its own.

    Returns
    -------
    What it has cost, and how often each instruction was executed.

    Raises
    ------
    LaunchError
        If anything is wrong: what, with the instruction, the lane and the block.
    """
    counts, executions = Counts(), np.zeros(len(program.statements), np.uint64)
    launch = _Launch(
        code=ctypes.addressof(program.instructions),
        constants=ctypes.cast(program.constants, ctypes.c_void_p).value,
        memory=memory.address,
        page_bytes=memory.page_bytes.ctypes.data,
        parameters=ctypes.cast(parameters, ctypes.c_void_p).value,
        executions=executions.ctypes.data,
        counts=ctypes.addressof(counts),
        global_bytes=memory.bytes,
        own_bytes=program.own_bytes,
        register_bytes=program.register_bytes,
        parameter_bytes=program.parameter_bytes,
        static_shared_bytes=program.shared_bytes,
        shared_bytes=program.shared_bytes + shared,
        length=len(program.statements),
        grid=grid,
        block=block,
        special=(*program.special, *[-1] * (MOST_SPECIAL - len(SPECIAL))),
        order=ORDERS.get(settings.order, RANDOM),
        seed=0 if settings.order in ORDERS else int(settings.order),
        find_races=settings.find_races,
        measure=settings.measure,
    )
    library().ptx_launch(ctypes.byref(launch))
    if launch.fault:
        place = launch.fault_place
        statement = program.statements[place] if place < len(program.statements) else "the end"
        raise LaunchError(
            f"{launch.fault.decode()}; at instruction {place}, {statement}; lane {launch.fault_lane} of warp "
            f"{launch.fault_warp}, block {launch.fault_block} of {grid} with {block} threads, in {program.name}"
        )
    return counts, executions


def check_sizes(program: Program, grid: tuple[int, ...], block: tuple[int, ...]) -> None:
    """Raise LaunchError where a driver would refuse a grid or a block."""
    for sizes, most in ((grid, MOST_GRID), (block, MOST_BLOCK)):
        if len(sizes) != 3 or any(not 0 < size <= limit for size, limit in zip(sizes, most, strict=True)):
            raise LaunchError(f"a grid of {grid} blocks of {block} threads is not possible")
    threads = math.prod(block)
    if threads > min(MOST_THREADS, program.most_threads or MOST_THREADS):
        raise LaunchError(
            f"{threads} threads a block; {program.name} is for {program.most_threads or MOST_THREADS} at most"
        )


def packed(program: Program, arguments: list[tuple[str, bytes]]) -> bytes:
    """The parameters' memory of arguments: of each its kind, "pointer" or NumPy's letter, and its bytes.

    Raises
    ------
    LaunchError
        If their number, widths or kinds are not the parameters'.
    """
    if len(arguments) != len(program.parameters):
        raise LaunchError(f"{len(arguments)} arguments for the {len(program.parameters)} parameters of {program.name}")
    memory = bytearray(program.parameter_bytes)
    for number, ((kind, value), parameter) in enumerate(zip(arguments, program.parameters, strict=True)):
        is_float = parameter.type.startswith("f")
        if len(value) != parameter.bytes or is_float != (kind == "f"):
            raise LaunchError(
                f"argument {number}, of kind {kind} and {len(value)} bytes, is no .{parameter.type} of {program.name}"
            )
        memory[parameter.offset : parameter.offset + len(value)] = value
    return bytes(memory)


def argument(value: Any) -> tuple[str, bytes]:
    """What a driver is given for a number of NumPy's or an array of the GPU.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(value, np.generic):
        return value.dtype.kind, value.tobytes()
    if not hasattr(value, "__cuda_array_interface__"):
        raise TypeError(f"a kernel cannot be given {type(value)}")
    return "pointer", int(value.data.ptr).to_bytes(8, "little")
