"""Loads, stores and atomics of every kind, beside NumPy's; and what is wrong with memory, each with its instruction."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import interpreter_or_skip
from ptx import execution
from ptx.execution import LaunchError
from ptx.known import WIDTHS, known_instructions
from ptx_programs import Global, kernel

interpreter_or_skip()

THREADS = 40

LOADS = sorted(name for name in known_instructions() if name.startswith(("ld.global", "ld.shared")))

# Registers by how they are called, and their bytes.
REGISTERS = {"%h": 2, "%r": 4, "%d": 8}


def registers_of(name: str, prefix: str, start: int = 10) -> str:
    """As many registers as an access has elements, in braces if there are several."""
    count = known_instructions()[name].count
    names = [f"{prefix}{start + number}" for number in range(count)]
    return names[0] if count == 1 else f"{{{', '.join(names)}}}"


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        (name, prefix)
        for name in LOADS
        for prefix, width in REGISTERS.items()
        if known_instructions()[name].bytes <= width
    ],
)
def test_what_is_stored_is_loaded_into_registers_that_are_as_wide_or_wider(name: str, prefix: str) -> None:
    known = known_instructions()[name]
    kind = name.split(".")[-1]
    width = REGISTERS[prefix]
    bytes_each, size = known.bytes * known.count, 8 * known.count
    plain, stored = f"b{8 * known.bytes}", registers_of(name, prefix)
    vector = "" if known.count == 1 else f".v{known.count}"
    store = f"st.{name.split('.')[1]}{vector}.{kind}"
    body = f"""
        mul.wide.u32 %d27, %r0, {bytes_each}
        add.s64 %d28, %d1, %d27
        ld.global{vector}.{plain} {stored}, [%d28]
        {"mov.u64 %d28, tile" if "shared" in name else "mov.b64 %d28, %d2"}
        add.s64 %d28, %d28, %d27
        {store} [%d28], {stored}
        mul.wide.u32 %d29, %r0, {size}
        add.s64 %d29, %d0, %d29
        {name} {stored}, [%d28]
    """
    if ".nc" in name:  # memory that nothing writes to
        body = body.replace(f"{store} [%d28], {stored}", "").replace("mov.b64 %d28, %d2", "mov.b64 %d28, %d1")
    for number in range(known.count):
        sign = "s" if kind[0] == "s" else "u"
        register = f"{prefix}{10 + number}"
        body += f"\n{f'cvt.{sign}64.{sign}{8 * width} %d9, {register}' if width < 8 else f'mov.b64 %d9, {register}'}"
        body += f"\nst.global.b64 [%d29 + {8 * number}], %d9"
    program = kernel(body, ["u64 out", "u64 x", "u64 y"], before=f".shared .align 16 .b8 tile[{THREADS * bytes_each}];")
    memory = Global()
    given = np.random.default_rng(known.index).integers(0, 256, (THREADS, bytes_each), np.uint8)
    out = memory.empty((THREADS, known.count), np.uint64)
    memory.run(program, out, memory.put(given), memory.empty(given.shape, np.uint8), threads=THREADS)
    number_type = {"f": "u", "b": "u"}.get(kind[0], kind[0])
    extended = given.view(f"{number_type.replace('s', 'i')}{known.bytes}").astype(np.int64).view(np.uint64)
    np.testing.assert_array_equal(out, extended)


@pytest.mark.parametrize("name", sorted(name for name in known_instructions() if name.startswith("ld.param")))
def test_parameters(name: str) -> None:
    known, kind = known_instructions()[name], name.split(".")[-1]
    if known.count > 1:
        program = kernel(f"{name} {registers_of(name, '%d')}, [x]", ["u64 out", f"{kind} x"])
        memory = Global()
        with pytest.raises(LaunchError, match=r"of parameter memory|misaligned"):
            memory.run(program, memory.empty(1, np.uint8), number_of(kind))
        return
    body = f"""
        {name} %d10, [x]
        st.global.b64 [%d0], %d10
    """
    memory, value = Global(), number_of(kind)
    out = memory.empty(1, np.uint64)
    memory.run(kernel(body, ["u64 out", f"{kind} x"]), out, value, threads=1)
    signed = np.array([value]).view(f"{'i' if kind[0] == 's' else 'u'}{known.bytes}").astype(np.int64)
    assert out == signed.view(np.uint64)


def number_of(kind: str) -> Any:
    """A number of that type, of NumPy's."""
    dtype = np.dtype({"b": "u", "s": "i"}.get(kind[0], kind[0]) + str(WIDTHS[kind]))
    return dtype.type(-3 if kind[0] in "sf" else 200)


# ---- atomics

COMBINED: dict[str, Callable[..., Any]] = {"add": np.add, "min": np.minimum, "max": np.maximum}


@pytest.mark.parametrize("name", sorted(name for name in known_instructions() if name.startswith(("atom.", "red."))))
@pytest.mark.parametrize("order", ["forward", "reverse", "5"])
def test_atomics(name: str, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.settings, "order", order)
    kept, space, operation, kind = name.split(".")
    width = WIDTHS[kind]
    register = "%r" if width == 4 else "%d"
    swapped = f"{register}10, " if operation == "cas" else ""
    place = "[%d0]" if space == "global" else "[tile]"
    body = f"""
        mul.wide.u32 %d9, %r0, {width}
        add.s64 %d8, %d1, %d9
        ld.global.b{8 * width} {register}10, [%d8]
        add.s64 %d8, %d2, %d9
        setp.ne.u32 %p1, %r0, 0
        @%p1 bra wait
        ld.global.b{8 * width} {register}12, [%d0]
        st.shared.b{8 * width} [tile], {register}12
        wait:
        bar.sync 0
        {name} {f"{register}11, " if kept == "atom" else ""}{place}, {swapped}{register}10
        {f"st.global.b{8 * width} [%d8], {register}11" if kept == "atom" else ""}
        bar.sync 0
        @%p1 ret
        {f"ld.shared.b{8 * width} {register}12, [tile]" if space == "shared" else ""}
        {f"st.global.b{8 * width} [%d0], {register}12" if space == "shared" else ""}
    """
    dtype = np.dtype({"b": "u", "s": "i"}.get(kind[0], kind[0]) + str(width))
    program = kernel(body, ["u64 total", "u64 x", "u64 old"], before=".shared .align 8 .b8 tile[8];")
    memory, count = Global(), 50
    x = (np.arange(count) * 37 % 23 + 1 - (11 if kind[0] in "sf" else 0)).astype(dtype)
    total, old = memory.put(np.array([3], dtype)), memory.put(np.zeros(count, dtype))
    memory.run(program, total, memory.put(x), old, threads=count)
    if operation in COMBINED:
        assert total[0] == COMBINED[operation].reduce(np.append(x, dtype.type(3)))
    elif operation == "exch":
        assert total[0] in x
    else:  # only those that find their own number put it there again
        assert total[0] == 3
    if kept == "atom":
        assert 3 in old
        if operation == "exch":
            assert sorted([*old, total[0]]) == sorted([*x, 3])


def test_atomic_sums_of_single_precision_lose_subnormal_numbers_in_global_memory_only() -> None:
    body = """
        mov.b32 %r1, 0x00000001
        st.shared.b32 [tile], %r1
        red.global.add.f32 [%d0], 0f00000001
        red.shared.add.f32 [tile], 0f00000001
        ld.shared.b32 %r1, [tile]
        st.global.b32 [%d0 + 4], %r1
    """
    memory = Global()
    out = memory.put(np.array([1, 0], np.uint32))
    memory.run(kernel(body, before=".shared .align 4 .b8 tile[4];"), out, threads=1)
    assert list(out) == [0, 2]


# ---- what is wrong


def refused(body: str, *, message: str, statement: str, lane: int, block: int = 0, **sizes: Any) -> None:
    """Run a kernel over an array of 32 numbers and one that is empty, and look at the error."""
    memory = Global()
    x, y = memory.put(np.arange(32, dtype=np.uint32)), memory.empty(32, np.uint32)
    program = kernel(body, ["u64 x", "u64 y"], before=".shared .align 8 .b8 tile[128];")
    with pytest.raises(LaunchError) as caught:
        memory.run(program, x, y, **sizes)
    text = str(caught.value)
    assert re.search(message, text), text
    assert f", {statement}; lane {lane} of" in text, text
    assert f"block {block} of" in text, text


@pytest.mark.parametrize(
    ("line", "message", "lane"),
    [
        ("ld.global.u32 %r1, [%d8 + 4]", "a load of 4 bytes at 0x[0-9a-f]+, in no array", 31),
        ("st.global.u32 [%d8 + -4], 5", "a store of 4 bytes at 0x[0-9a-f]+, in no array", 0),
        ("ld.global.u64 %d10, [%d0 + 4]", "a misaligned load of 8 bytes", 0),
        ("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d8]", "a misaligned load of 16 bytes", 1),
        ("ld.global.u32 %r1, [%d1]", "a load of memory that nothing was written to", 0),
        ("ld.global.u16 %h1, [%d1]", "a load of memory that nothing was written to", 0),
        ("ld.global.u32 %r1, [0]", "a load of 4 bytes at 0x0, in no array", 0),
        ("ld.shared.u32 %r1, [tile + 128]", "a load of 4 bytes at 128 of 128 bytes of shared memory", 0),
        ("st.shared.u32 [tile + -4], 1", "a store of 4 bytes at 18446744073709551612 of 128 bytes", 0),
        ("ld.shared.u32 %r1, [tile + 2]", "a misaligned load of 4 bytes", 0),
        ("atom.shared.add.u32 %r1, [tile], 1", "an atomic on shared memory that nothing was written to", 0),
    ],
)  # fmt: skip
def test_an_access_outside_of_what_there_is(line: str, message: str, lane: int) -> None:
    refused(
        f"""
        mul.wide.u32 %d9, %r0, 4
        add.s64 %d8, %d0, %d9
        {line}
        """,
        message=message,
        statement=line,
        lane=lane,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("st.global.u32 [%d1], %r3", "the stored value comes of shared memory, or of a register, that nothing"),
        ("ld.global.u32 %r4, [%d3]", "the address comes of shared memory, or of a register, that nothing"),
        ("@%p1 st.global.u32 [%d1], 7", "the guard of a store comes of shared memory, or of a register, that nothing"),
    ],
)
def test_what_comes_of_shared_memory_that_nothing_was_written_to_must_not_go_anywhere(line: str, message: str) -> None:
    body = f"""
        ld.shared.u32 %r1, [tile]
        add.s32 %r2, %r1, 1
        shfl.sync.idx.b32 %r3, %r2, 0, 31, -1
        mul.wide.u32 %d2, %r3, 4
        add.s64 %d3, %d0, %d2
        setp.gt.u32 %p1, %r3, 5
        {line}
    """
    refused(body, message=message, statement=line, lane=0)


def test_threads_that_have_nothing_to_do_may_read_it() -> None:
    body = """
        ld.shared.u32 %r1, [tile]
        add.s32 %r1, %r1, 1
        mov.pred %p1, 0
        selp.b32 %r2, %r1, 4, %p1
        @%p1 st.global.u32 [%d0], %r1
        st.global.u32 [%d0], %r2
    """
    memory = Global()
    out = memory.empty(1, np.uint32)
    memory.run(kernel(body, before=".shared .align 8 .b8 tile[128];"), out)
    assert out == 4


def test_freed_memory() -> None:
    memory = Global()
    x = memory.put(np.arange(4, dtype=np.uint32))
    program = kernel("ld.global.u32 %r1, [%d0]")
    memory.run(program, x)
    memory.free(x)
    with pytest.raises(LaunchError, match=r"in no array: past its end, or freed; at instruction 3, ld.global"):
        memory.run(program, x)


# ---- shared memory that a launch adds

DYNAMIC = ".shared .align 4 .b8 fixed[20];\n.extern .shared .align 16 .b8 added[];"


def test_dynamic_shared_memory_lies_behind_what_the_kernel_has() -> None:
    body = """
        mov.u64 %d1, added
        mov.u32 %r1, %dynamic_smem_size
        st.shared.u32 [added + 60], %r1
        st.global.u64 [%d0], %d1
    """
    memory, program = Global(), kernel(body, before=DYNAMIC)
    out = memory.empty(1, np.uint64)
    memory.run(program, out, threads=1, shared=64)
    assert out == 32
    with pytest.raises(LaunchError, match="a store of 4 bytes at 92 of 92 bytes of shared memory"):
        memory.run(program, out, threads=1, shared=60)


# ---- what a launch is given


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "0 arguments for the 3 parameters"),
        ((np.float32(1), np.int32(1), np.float64(1)), "argument 0, of kind f and 4 bytes, is no .u64"),
        ((np.int64(1), np.float32(1), np.float64(1)), "argument 1, of kind f and 4 bytes, is no .u32"),
        ((np.int64(1), np.int64(1), np.float64(1)), "argument 1, of kind i and 8 bytes, is no .u32"),
        ((np.int64(1), np.int32(1), np.int64(1)), "argument 2, of kind i and 8 bytes, is no .f64"),
        ((np.int64(1), np.int32(1), np.float32(1)), "argument 2, of kind f and 4 bytes, is no .f64"),
    ],
)
def test_arguments_that_are_not_the_parameters(arguments: Any, message: str) -> None:
    with pytest.raises(LaunchError, match=message):
        Global().run(kernel("ret", ["u64 a", "u32 b", "f64 c"]), *arguments)


def test_what_is_no_argument() -> None:
    with pytest.raises(TypeError, match="a kernel cannot be given"):
        Global().run(kernel("ret"), 3)


@pytest.mark.parametrize("sizes", [{"blocks": 0}, {"blocks": 2**31}, {"threads": 0}, {"threads": 1025}])
def test_sizes_that_no_gpu_has(sizes: dict[str, int]) -> None:
    memory = Global()
    with pytest.raises(LaunchError):
        memory.run(kernel("ret"), memory.empty(1, np.uint8), **sizes)


# ---- what accesses cost


def test_sectors_and_wavefronts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.settings, "measure", True)
    body = """
        mul.wide.u32 %d9, %r0, 4
        add.s64 %d8, %d0, %d9
        ld.global.f32 %f1, [%d8]
        mov.u64 %d2, tile
        add.s64 %d3, %d2, %d9
        st.shared.f32 [%d3], %f1
        mul.wide.u32 %d4, %r0, 8
        add.s64 %d3, %d2, %d4
        st.shared.f32 [%d3], %f1
        mul.wide.u32 %d4, %r0, 128
        add.s64 %d3, %d2, %d4
        st.shared.f32 [%d3], %f1
        ld.shared.f32 %f2, [tile]
        st.global.v2.f32 [%d1], {%f1, %f1}
        bar.sync 0
    """
    memory = Global()
    x = memory.put(np.ones(32, np.float32))
    program = kernel(body, ["u64 x", "u64 out"], before=".shared .align 128 .b8 tile[4096];")
    monkeypatch.setattr(execution.settings, "find_races", False)
    counts = memory.run(program, x, memory.empty(2, np.float32))
    assert (counts.load_requests, counts.load_sectors, counts.load_bytes) == (1, 4, 128)
    assert (counts.store_requests, counts.store_sectors, counts.store_bytes) == (1, 1, 256)
    assert (counts.shared_store_requests, counts.shared_store_wavefronts) == (3, 1 + 2 + 32)
    assert (counts.shared_load_requests, counts.shared_load_wavefronts) == (1, 1)
    assert (counts.slots, counts.instructions, counts.barriers) == (20, 20 * 32, 1)
