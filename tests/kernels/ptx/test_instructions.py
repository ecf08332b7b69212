"""Every instruction that a lane executes by itself, beside Python's and NumPy's arithmetic, to the bit."""

from __future__ import annotations

import itertools
import random

import numpy as np
import ptx_reference
import pytest
from devices import interpreter_or_skip
from ptx.known import UnknownPtxError, known_instructions
from ptx_programs import Global, kernel, results

interpreter_or_skip()

REFERENCES = ptx_reference.lanewise()

# The lanes that a program is run over: some warps, the last of them not full.
LANES = 100

# Bits of floating point and of anything else, by their number: the ends of ranges, what rounds, what is special.
EDGES = {
    ("f", 32): [
        0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000, 0x3F000000, 0x3FC00000,
        0x40200000, 0x4B000001, 0x4F000000, 0xCF000000, 0x4EFFFFFF, 0x4F800000, 0x5F000000, 0xDF000000,
        0x5F800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x7F812345,
        0x477FEFFF, 0x477FF000, 0x33000000, 0x33000001, 0x387FE000, 0x38800000,
    ],
    ("f", 64): [
        0, 1 << 63, 1, (1 << 63) | 1, 0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x3FF0000000000000,
        0xBFF0000000000000, 0x3FE0000000000000, 0x3FF8000000000000, 0x4004000000000000, 0x41DFFFFFFFC00000,
        0x41E0000000000000, 0xC1E0000000000000, 0xC1E0000000200000, 0x43E0000000000000, 0xC3E0000000000000,
        0x43F0000000000000, 0x41EFFFFFFFE00000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000,
        0x7FF8000000000000, 0x36A0000000000000, 0x3690000000000000, 0x47EFFFFFF0000000, 0x47EFFFFFEFFFFFFF,
    ],
    ("i", 1): [
        0, 1,
    ],
    ("i", 16): [
        0, 1, 2, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x00FF, 0x0080, 0x3C00, 0x7C00, 0xFC00, 0x7E01, 0x0001, 0x03FF,
        0xFF80,
    ],
    ("i", 32): [
        0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 255, 256, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0xFFFF,
        0x12345678,
    ],
    ("i", 64): [
        0, 1, 2, 3, 63, 64, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64)
        - 1,
    ],
}  # fmt: skip


def operands_of(name: str, signature: str) -> list[np.ndarray]:
    """Edges beside edges as far as there is room, and random bits; the same every time."""
    draw = random.Random(name)
    kind = "f" if name.split(".")[-1] in ("f32", "f64") else "i"
    widths = [8 * int(sign) if sign != "p" else 1 for sign in signature.lstrip("|")[1:]]
    pools = [EDGES.get((kind, width)) or EDGES["i", width] for width in widths]
    crossed = list(itertools.product(*pools))
    chosen = draw.sample(crossed, min(len(crossed), 3 * LANES // 4))
    while len(chosen) < LANES:
        chosen.append(tuple(draw.getrandbits(width) for width in widths))
    if name == "lop3.b32":  # a table of eight bits
        chosen = [(*lane[:3], lane[3] & 0xFF) for lane in chosen]
    return [np.array(lanes, np.uint64) for lanes in zip(*chosen, strict=True)]


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_it_gives_what_the_instruction_set_says(name: str) -> None:
    signature = known_instructions()[name].signature
    operands = operands_of(name, signature)
    expected = [int(REFERENCES[name](*map(int, lane))) for lane in zip(*operands, strict=True)]
    found = results(name, signature, operands)
    if (name.endswith("f64") and not name.startswith(("setp", "neg", "abs", "copysign", "mov", "selp"))) or name in (
        "cvt.f64.f32",
        "cvt.f64.f16",
    ):
        expected, found = (list(map(_one_nan, numbers)) for numbers in (expected, found))  # its payload is not said
    wrong = [
        (lane, hex(one), hex(int(other)))
        for *lane, one, other in zip(*operands, expected, found, strict=True)
        if one != other
    ]
    assert not wrong, wrong[0]


def _one_nan(bits: int) -> int:
    return 0x7FF8 << 48 if int(bits) & (1 << 63) - 1 > 0x7FF << 52 else int(bits)


@pytest.mark.parametrize("name", [name for name in sorted(REFERENCES) if name.startswith("setp")])
def test_a_second_predicate_is_the_opposite(name: str) -> None:
    signature = known_instructions()[name].signature
    operands = operands_of(name, signature)
    assert (results(name, signature, operands) != results(name, signature, operands, second=True)).all()


def test_packing_and_unpacking() -> None:
    program = kernel(
        """
        mov.b64 %d1, 0x1122334455667788
        mov.b64 {%r1, %r2}, %d1
        mov.b64 %d2, {%r2, %r1}
        mov.b64 {%h1, %h2, %h3, %h4}, %d1
        mov.b64 %d3, {%h4, %h3, %h2, %h1}
        mov.b32 {_, %h1}, %r1
        mov.b32 %r3, {%h1, %h4}
        st.global.v2.b64 [%d0], {%d2, %d3}
        st.global.b32 [%d0 + 16], %r3
        """
    )
    memory = Global()
    out = memory.empty(3, np.uint64)
    out[2] = 0
    memory.run(program, out, threads=1)
    assert list(map(hex, out)) == ["0x5566778811223344", "0x7788556633441122", "0x11225566"]


BRACES = {"mov.b32 {}", "mov.b64 {}", "mov.b64 {,}", "{} mov.b32", "{} mov.b64", "{,} mov.b64"}
OF_MEMORY = ("ld.", "st.", "atom.", "red.", "membar.", "fence.")  # test_memory.py
OF_SEVERAL_LANES = ("bra", "ret", "exit", "bar.", "barrier.", "shfl.", "vote.")  # test_control.py


def test_every_known_instruction_is_tested() -> None:
    rest = {name for name in known_instructions() if not name.startswith((*OF_MEMORY, *OF_SEVERAL_LANES))}
    assert rest == REFERENCES.keys() | BRACES


@pytest.mark.parametrize(
    "line",
    [
        "add.f32 %f1, %f2, %f3",  # may be contracted
        "add.rn.ftz.f32 %f1, %f2, %f3",
        "ex2.approx.f32 %f1, %f2",
        "lg2.approx.ftz.f32 %f1, %f2",
        "rcp.approx.f32 %f1, %f2",
        "call.uni foo",
        "ld.f32 %f1, [%d1]",
        "ld.global.v2.f32 {%f1}, [%d1]",
        "ld.global.f32 %f1, [%r1]",
        "ld.global.b64 %r1, [%d1]",
        "ld.global.v8.b32 {%r1,%r2,%r3,%r4,%r5,%r6,%r7,%r8}, [%d1]",  # of sm_90
        "mov.u32 %r1, %clock",
        "mov.u32 %r1, nothing",
        "mov.u32 %d1, %r1",
        "add.s32 %r1, %r2",
        "add.s32 %r1, %r2, 0x1ffffffff",
        "add.s32 %r1, %r2, 3.5",
        "bra nowhere",
        "bar.sync 1",
        "bar.sync 0, 64",
        "@%r1 ret",
    ],
)
def test_what_is_not_known_is_an_error_when_it_is_read(line: str) -> None:
    with pytest.raises(UnknownPtxError, match=r"(?s)."):
        kernel(line, target=90)


@pytest.mark.parametrize(
    "before", [".func f() { ret; }", ".global .align 4 .b8 table[4];\n.const .f32 x;", ".shared .texref t;"]
)
def test_so_is_what_a_module_has_beside_its_kernel(before: str) -> None:
    with pytest.raises(UnknownPtxError):
        kernel("ret", before=before)
