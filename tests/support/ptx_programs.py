"""Small PTX programs for the tests of the interpreter: what surrounds an instruction, and memory to run it over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ptx import execution
from ptx.known import WARP
from ptx.reading import Program, read

REGISTERS = (".pred %p<30>", ".b16 %h<30>", ".b32 %r<30>", ".f32 %f<30>", ".b64 %d<30>")
OF_WIDTH = {0: "%p", 2: "%h", 4: "%r", 8: "%d"}


def kernel(
    body: str, parameters: Sequence[str] = ("u64 out",), target: int = 100, before: str = "", ends: bool = True
) -> Program:
    """A program of a body, one instruction a line, over registers %p %h %r %f %d.

    The parameters are read beforehand, the first into %d0; %r0 is the thread's number, and %d9 eight times that.
    """
    listed = ",\n".join(f".param .{kind} {name}" for kind, name in map(str.split, parameters))
    names = [name.split() for name in parameters]
    loads = [f"ld.param.u64 %d{number}, [{name}]" for number, (kind, name) in enumerate(names) if kind == "u64"]
    lines = [*(f".reg {register}" for register in REGISTERS), *loads, "mov.u32 %r0, %tid.x", "mul.wide.u32 %d9, %r0, 8"]
    lines += [line.strip() for line in body.strip().splitlines() if line.strip()]
    if ends and lines[-1] != "ret":
        lines.append("ret")
    code = "\n".join(line if line.endswith((":", "{")) or line == "}" else f"{line};" for line in lines)
    head = f".version 9.0\n.target sm_{target}\n.address_size 64\n{before}\n"
    return read(f"{head}.visible .entry k(\n{listed})\n{{\n{code}\n}}\n")


class Global:
    """The GPU's memory, of one page for each array, with an empty one behind it."""

    PAGES = 64

    def __init__(self) -> None:
        self._memory = np.full(execution.PAGE_BYTES * (self.PAGES + 1), 0, np.uint8)
        start = -self._memory.ctypes.data % execution.PAGE_BYTES
        self._bytes = self._memory[start : start + execution.PAGE_BYTES * self.PAGES]
        self._bytes.view(np.uint32)[:] = execution.CANARY
        self._page_bytes = np.zeros(self.PAGES, np.uint16)
        self._next = 0

    def put(self, array: np.ndarray) -> np.ndarray:
        """A copy of an array there, to look at afterwards."""
        view = self.empty(array.shape, array.dtype)
        view[...] = array
        return view

    def empty(self, shape: Any, dtype: Any) -> np.ndarray:
        """An array there to which nothing was written."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        begin = self._next * execution.PAGE_BYTES
        whole, rest = divmod(size, execution.PAGE_BYTES)
        self._page_bytes[self._next : self._next + whole] = execution.PAGE_BYTES
        self._page_bytes[self._next + whole] = rest
        self._next += whole + 2
        return self._bytes[begin : begin + size].view(dtype).reshape(shape)

    def free(self, array: np.ndarray) -> None:
        first = (array.ctypes.data - self._bytes.ctypes.data) // execution.PAGE_BYTES
        self._page_bytes[first : first + array.nbytes // execution.PAGE_BYTES + 1] = 0

    def run(
        self, program: Program, *arguments: Any, blocks: int = 1, threads: int = WARP, shared: int = 0
    ) -> execution.Counts:
        """Launch a program with arrays of this memory, and numbers."""
        given = [
            ("pointer", int(value.ctypes.data).to_bytes(8, "little"))
            if isinstance(value, np.ndarray)
            else execution.argument(value)
            for value in arguments
        ]
        memory = execution.Memory(self._bytes.ctypes.data, self._bytes.nbytes, self._page_bytes)
        grid, block = (blocks, 1, 1), (threads, 1, 1)
        execution.check_sizes(program, grid, block)
        return execution.run(program, memory, grid, block, execution.packed(program, given), shared)[0]


def results(name: str, signature: str, operands: Sequence[np.ndarray], *, second: bool = False) -> np.ndarray:
    """What an instruction gives in each lane, as bits, of so many bits for each operand; predicates are 0 and 1."""
    lanes = len(operands[0])
    widths = [0 if sign == "p" else int(sign) for sign in signature.lstrip("|")]
    registers = [f"{OF_WIDTH[width]}{number + 10}" for number, width in enumerate(widths)]
    body = []
    for number, (register, width) in enumerate(zip(registers[1:], widths[1:], strict=True), 1):
        body += [f"add.s64 %d8, %d{number}, %d9", "ld.global.b64 %d7, [%d8]"]
        body += _narrowed(register, width)
    body += [
        f"{name.removesuffix(' of b64')} {registers[0]}{'|%p7' if second else ''}, {', '.join(registers[1:])}",
        "add.s64 %d8, %d0, %d9",
    ]
    body += ["selp.b64 %d7, 1, 0, %p7"] if second else _widened(registers[0], widths[0])
    body += ["st.global.b64 [%d8], %d7"]
    memory = Global()
    program = kernel("\n".join(body), [f"u64 a{number}" for number in range(len(operands) + 1)])
    out = memory.empty(lanes, np.uint64)
    memory.run(program, out, *map(memory.put, operands), threads=lanes)
    return out.copy()


def _narrowed(register: str, width: int) -> list[str]:
    if width == 8:
        return [f"mov.b64 {register}, %d7"]
    if width == 0:
        return [f"setp.ne.u64 {register}, %d7, 0"]
    return [f"cvt.u{8 * width}.u64 {register}, %d7"]


def _widened(register: str, width: int) -> list[str]:
    if width == 8:
        return [f"mov.b64 %d7, {register}"]
    if width == 0:
        return [f"selp.b64 %d7, 1, 0, {register}"]
    return [f"cvt.u64.u{8 * width} %d7, {register}"]


def bits_of(values: Sequence[Any], dtype: Any) -> np.ndarray:
    """Numbers as bits, of the unsigned type of their width, then widened."""
    array = np.array(values, dtype)
    return array.view(f"u{array.itemsize}").astype(np.uint64)
