"""PTX text to a program that can be executed. Whatever is not known is an error here, never passed over."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ptx.decoding import Decoder
from ptx.known import WIDTHS, Instruction, UnknownPtxError
from ptx.registers import Registers, up_to


class Parameter(NamedTuple):
    name: str
    type: str
    offset: int

    @property
    def bytes(self) -> int:
        return WIDTHS[self.type]


@dataclass
class Program:
    """A kernel, read.

    Attributes
    ----------
    text
        All of it.
    name, target
        As they are there: the entry and, as in 90, the architecture.
    shared_bytes
        Of shared memory, without what a launch adds.
    most_threads
        What the text allows a block, if it does.
    statements
        The text of each instruction.
    instructions
        What the interpreter executes.
    own_bytes, register_bytes, constants
        Of the registers of a warp, those that the text declares and all; and what the others hold.
    special
        Where the special registers lie that are used.
    """

    text: str = ""
    name: str = ""
    target: int = 0
    parameters: list[Parameter] = field(default_factory=list)
    parameter_bytes: int = 0
    shared_bytes: int = 0
    most_threads: int | None = None
    statements: list[str] = field(default_factory=list)
    instructions: ctypes.Array[Instruction] | None = None
    own_bytes: int = 0
    register_bytes: int = 0
    constants: bytes = b""
    special: list[int] = field(default_factory=list)


def float64_of(text: str) -> set[str]:
    """The instructions of a PTX module that handle float64: add, mul, cvt ..."""
    return set(re.findall(r"^\s*(?:@!?%\w+\s+)?(\w+)[.\w]*\.f64", text, re.MULTILINE))


def read(text: str) -> Program:
    """The one kernel of a PTX module.

    Raises
    ------
    UnknownPtxError
        If there is anything that the interpreter does not know.
    """
    return _Reader(text).program


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
        self.program = Program(text)
        self.registers = Registers()
        self.places: dict[str, int] = {}  # of labels
        body = self._head()
        program = self.program
        addresses = self._shared_memory() | {one.name: one.offset for one in program.parameters}
        program.statements = list(self._statements(body))
        program.own_bytes = self.registers.end
        decoder = Decoder(program.target, self.registers, addresses, self.places)
        program.instructions = (Instruction * len(program.statements))()
        for place, statement in enumerate(program.statements):
            try:
                program.instructions[place] = decoder.decode(statement)
            except (KeyError, ValueError, OverflowError) as error:
                raise UnknownPtxError(f"{error}, in: {statement}") from None
        program.register_bytes = self.registers.end
        program.constants = self.registers.constants(program.own_bytes)
        program.special = decoder.special()

    def _head(self) -> str:
        """Note the kernel's name, parameters and limits; what remains is its body."""
        if refused := re.search(r"\.func\b|\.local\b|\.tex\w*|\.const\b|\.address_size\s+32", self.text):
            raise UnknownPtxError(f"{refused[0]} is not known")
        entries = re.findall(r"\.entry\s+([\w$]+)\s*\(", self.text)
        target = re.search(r"\.target\s+sm_(\d+)", self.text)
        if len(entries) != 1 or target is None:
            raise UnknownPtxError(f"{len(entries)} kernels, and not one of a known architecture")
        self.program.name, self.program.target = entries[0], int(target[1])
        parameters, _, rest = self.text.partition(".entry")[2].partition(")")
        for parameter in filter(str.strip, parameters.partition("(")[2].split(",")):
            self._parameter(parameter.strip())
        limits, _, body = rest.partition("{")
        if found := re.search(r"\.maxntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", limits):
            x, y, z = (int(size or 1) for size in found.groups())
            self.program.most_threads = x * y * z
        return body.rpartition("}")[0]

    def _parameter(self, text: str) -> None:
        found = re.fullmatch(r"\.param\s+\.(\w+)(?:\s+\.ptr)?(?:\s+\.global)?(?:\s+\.align\s+\d+)?\s+([\w$]+)", text)
        if found is None or found[1] not in WIDTHS:
            raise UnknownPtxError(f"the parameter {text!r}")
        width = WIDTHS[found[1]]
        offset = up_to(self.program.parameter_bytes, width)
        self.program.parameters.append(Parameter(found[2], found[1], offset))
        self.program.parameter_bytes = offset + width

    def _shared_memory(self) -> dict[str, int]:
        """Where arrays in shared memory lie: those of a known size, then what a launch adds."""
        declared = re.findall(
            r"(\.extern\s+)?(?:\.visible\s+|\.weak\s+)?\.shared\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)\s*(?:\[(\d*)\])?\s*;",
            self.text,
        )
        if len(declared) != len(re.findall(r"^\s*(?:\.\w+\s+)*\.shared\b", self.text, re.MULTILINE)):
            raise UnknownPtxError("a declaration of shared memory")
        places = {}
        for extern, align, kind, name, count in sorted(declared, key=lambda each: bool(each[0])):
            begin = up_to(self.program.shared_bytes, int(align or WIDTHS[kind]))
            places[name] = begin
            self.program.shared_bytes = begin if extern else begin + WIDTHS[kind] * int(count or 1)
        return places

    def _statements(self, body: str) -> Iterator[str]:
        """The instructions' text; registers and labels are noted on the way."""
        count = 0
        for part in body.split(";"):
            statement = part.strip()
            while found := re.match(r"([\w$]+):\s*|[{}]\s*", statement):
                if found[1]:
                    self.places[found[1]] = count
                statement = statement[found.end() :]
            if statement.startswith(".reg"):
                self._declare(statement)
            elif statement and not statement.startswith((".pragma", ".loc", ".shared", ".extern", ".visible")):
                if statement.startswith("."):
                    raise UnknownPtxError(statement)
                count += 1
                yield " ".join(statement.split())

    def _declare(self, statement: str) -> None:
        found = re.fullmatch(r"\.reg\s+\.(\w+)\s+(.*)", statement, re.DOTALL)
        if found is None or found[1] not in ("pred", *WIDTHS):
            raise UnknownPtxError(statement)
        for name in map(str.strip, found[2].split(",")):
            many = re.fullmatch(r"(%?[\w$]+)<(\d+)>", name)
            for each in [f"{many[1]}{number}" for number in range(int(many[2]))] if many else [name]:
                self.registers.declare(each, found[1])
