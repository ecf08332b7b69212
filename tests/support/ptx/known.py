"""The interpreter's table of instructions, and an instruction as it takes it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import NamedTuple

from ptx.building import library

WARP = 32
NONE = -1
MOST_OPERANDS = 10

# The bytes of a number of each type.
WIDTHS = {f"{letter}{bits}": bits // 8 for letter in "bsuf" for bits in (8, 16, 32, 64) if (letter, bits) != ("f", 8)}
INTEGERS = tuple(f"{letter}{bits}" for letter in "su" for bits in (8, 16, 32, 64))


class UnknownPtxError(ValueError):
    """The text has something that the interpreter does not know; the message has the instruction."""


class Instruction(ctypes.Structure):
    """As in `interpreter/instruction.h`."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("entry", "guard", "guard_negated", "second")),
        ("operands", ctypes.c_int32 * MOST_OPERANDS),
        *((name, ctypes.c_int32) for name in ("target", "register_bytes")),
        ("offset", ctypes.c_int64),
    ]


class Known(NamedTuple):
    """An entry of the table: what its operands are, a sign for each (`instruction.h`), and its elements of memory."""

    index: int
    signature: str
    bytes: int
    count: int


class _Described(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_char_p) for name in ("name", "signature")),
        *((name, ctypes.c_int32) for name in ("bytes", "count")),
    ]


@cache
def known_instructions() -> dict[str, Known]:
    """All instructions that can be executed, by name; those of `mov` with braces say on which side they are."""
    describe = library().ptx_describe
    describe.restype = _Described
    found = {}
    for index in range(library().ptx_known()):
        one = describe(index)
        name = one.name.decode()
        assert name not in found, name
        found[name] = Known(index, one.signature.decode(), one.bytes, one.count)
    return found
