"""Branches, barriers, shuffles, votes and races: what lanes do to each other, and the faults that are found in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import interpreter_or_skip
from ptx import execution
from ptx.decoding import SPECIAL
from ptx.execution import LaunchError
from ptx.known import known_instructions
from ptx_programs import Global, kernel

interpreter_or_skip()

pytestmark = pytest.mark.usefixtures("order")

SHARED = ".shared .align 8 .b8 tile[512];"

# %d8 is the thread's place in the first array, %d7 in the second, of numbers of four bytes; %r9 its number in the grid.
PLACES = """
    mov.u32 %r8, %ctaid.x
    mov.u32 %r7, %ntid.x
    mad.lo.u32 %r9, %r8, %r7, %r0
    mul.wide.u32 %d9, %r9, 4
    add.s64 %d8, %d0, %d9
    add.s64 %d7, %d1, %d9
"""


@pytest.fixture(params=["forward", "reverse", "1", "2"])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.settings, "order", request.param)


def run(body: str, *, blocks: int = 1, threads: int = 32, shared: str = SHARED) -> np.ndarray:
    """The first array of what a kernel has over two, empty and 0, 1, 2 ...; see PLACES."""
    memory = Global()
    out = memory.empty(blocks * threads, np.uint32)
    memory.run(
        kernel(PLACES + body, ["u64 out", "u64 x"], before=shared),
        out,
        memory.put(np.arange(blocks * threads, dtype=np.uint32)),
        blocks=blocks,
        threads=threads,
    )
    return out.copy()


def refused(body: str, message: str, statement: str, place: str, **sizes: Any) -> None:
    with pytest.raises(LaunchError) as caught:
        run(body, **sizes)
    text = str(caught.value)
    assert re.search(message, text), text
    assert re.search(rf"at instruction \d+, {re.escape(statement)}; {place}", text), text


# ---- branches


def test_lanes_part_and_meet_again() -> None:
    body = """
        mov.u32 %r1, 0
        setp.lt.u32 %p1, %r0, 10
        @!%p1 bra other
        add.u32 %r1, %r1, 1
        bra.uni met
        other:
        add.u32 %r1, %r1, 2
        met:
        shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1
        mad.lo.u32 %r1, %r2, 10, %r1
        st.global.u32 [%d8], %r1
        exit
        ret
    """
    np.testing.assert_array_equal(run(body), np.where(np.arange(32) < 10, 11, 22))


def test_loops_of_different_lengths() -> None:
    body = """
        mov.u32 %r1, 0
        mov.u32 %r2, 0
        again:
        add.u32 %r1, %r1, %r2
        add.u32 %r2, %r2, 1
        setp.le.u32 %p1, %r2, %r0
        @%p1 bra again
        st.global.u32 [%d8], %r1
    """
    numbers = np.arange(45)
    np.testing.assert_array_equal(run(body, threads=45), numbers * (numbers + 1) // 2)


def test_special_registers() -> None:
    body = "mov.u32 %r10, 0\n"
    body += "".join(f"mov.u32 %r11, {name}\nmad.lo.u32 %r10, %r10, 3, %r11\n" for name in SPECIAL)
    found = run(body + "st.global.u32 [%d8], %r10", blocks=2, threads=40)
    for block in range(2):
        for thread in range(40):
            lane, total = thread % 32, 0
            at = 1 << lane
            below = at - 1
            every = (1 << 32) - 1
            for value in (
                *(thread, 0, 0, 40, 1, 1, block, 0, 0, 2, 1, 1, lane, thread // 32, 2, 0),
                *(at, below, below | at, every & ~(below | at), every & ~below, 0),
            ):
                total = (total * 3 + value) % (1 << 32)
            assert found[block * 40 + thread] == total


# ---- shuffles and votes


@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
@pytest.mark.parametrize("segment", [32, 16, 4])
@pytest.mark.parametrize("by", [0, 1, 3, 9])
def test_shuffles(mode: str, segment: int, by: int) -> None:
    clamp = (32 - segment) << 8 | (0 if mode == "up" else 31)
    body = f"""
        add.u32 %r1, %r0, 100
        shfl.sync.{mode}.b32 %r2|%p1, %r1, {by}, {clamp}, -1
        selp.b32 %r3, 1000, 0, %p1
        add.u32 %r2, %r2, %r3
        st.global.u32 [%d8], %r2
    """
    lanes = np.arange(32)
    first = lanes // segment * segment
    wanted = {"up": lanes - by, "down": lanes + by, "bfly": lanes ^ by, "idx": first + by % segment}[mode]
    inside = wanted >= first if mode == "up" else wanted < first + segment
    np.testing.assert_array_equal(run(body), 100 + np.where(inside, wanted, lanes) + 1000 * inside)


@pytest.mark.parametrize("members", [0xFFFFFFFF, 0x0000FFFF, 0x000000F0])
def test_votes(members: int) -> None:
    lanes = np.arange(32)
    here = members >> lanes & 1 == 1
    body = f"""
        mov.u32 %r2, %lanemask_eq
        and.b32 %r2, %r2, {members}
        setp.eq.u32 %p1, %r2, 0
        st.global.u32 [%d8], 0
        @%p1 ret
        setp.gt.u32 %p2, %r0, 5
        vote.sync.ballot.b32 %r3, %p2, {members}
        vote.sync.any.pred %p3, %p2, {members}
        vote.sync.all.pred %p4, %p2, {members}
        @%p3 add.u32 %r3, %r3, 1
        @%p4 add.u32 %r3, %r3, 2
        st.global.u32 [%d8], %r3
    """
    votes = (lanes > 5) & here
    expected = sum(1 << int(lane) for lane in lanes[votes]) + votes.any() + 2 * (votes == here).all()
    np.testing.assert_array_equal(run(body), np.where(here, expected & 0xFFFFFFFF, 0))


def test_halves_of_a_warp_shuffle_apart() -> None:
    body = """
        setp.lt.u32 %p1, %r0, 16
        @%p1 bra low
        shfl.sync.idx.b32 %r1, %r0, 20, 31, 0xffff0000
        bra met
        low:
        shfl.sync.idx.b32 %r1, %r0, 3, 31, 0x0000ffff
        met:
        st.global.u32 [%d8], %r1
    """
    np.testing.assert_array_equal(run(body), np.where(np.arange(32) < 16, 3, 20))


def test_a_shuffle_without_a_member() -> None:
    shuffle = "shfl.sync.idx.b32 %r1, %r0, 0, 31, -1"
    refused(
        f"setp.eq.u32 %p1, %r0, 7\n@%p1 ret\n{shuffle}",
        "lane 7, a member, has returned",
        shuffle,
        "lane 0 of warp 0, block 0",
    )
    refused(
        f"setp.ne.u32 %p1, %r0, 7\n@%p1 {shuffle}", "guard is false", f"@%p1 {shuffle}", "lane 7 of warp 0, block 0"
    )
    refused(shuffle, "lane 8, a member, has returned or never was", shuffle, "lane 0 of warp 1, block 0", threads=40)


def test_a_shuffle_of_a_lane_that_is_no_member() -> None:
    shuffle = "shfl.sync.idx.b32 %r1, %r0, 9, 31, 0xff"
    body = f"setp.gt.u32 %p1, %r0, 7\n@%p1 ret\n{shuffle}"
    refused(body, "the value of lane 9, which takes no part", shuffle, "lane 0 of warp 0, block 0")


def test_a_member_that_waits_elsewhere() -> None:
    body = """
        setp.eq.u32 %p1, %r0, 7
        @%p1 bra other
        shfl.sync.idx.b32 %r1, %r0, 0, 31, -1
        ret
        other:
        shfl.sync.idx.b32 %r1, %r0, 1, 31, -1
    """
    with pytest.raises(
        LaunchError, match=r"a member is missing: lanes 0x[0-9a-f]{8} wait here, 0x[0-9a-f]{8} at instruction"
    ):
        run(body)


def test_a_lane_must_be_its_own_member() -> None:
    shuffle = "shfl.sync.idx.b32 %r1, %r0, 0, 31, 0xff"
    refused(shuffle, "none of its own members", shuffle, "lane 8 of warp 0, block 0")


# ---- barriers


def test_a_barrier_that_not_all_threads_reach() -> None:
    returned = "setp.eq.u32 %p1, %r0, 35\n@%p1 ret\nbar.sync 0"
    refused(returned, "not all threads reach: thread 35 has returned", "bar.sync 0", "lane 3 of", threads=64)
    other = "setp.lt.u32 %p1, %r0, 10\n@%p1 bra past\nbar.sync 0\npast:\nshfl.sync.idx.b32 %r1, %r0, 0, 31, -1"
    with pytest.raises(LaunchError, match=r"a barrier that not all threads reach|a member is missing"):
        run(other)
    guarded = "setp.lt.u32 %p1, %r0, 10\n@%p1 bar.sync 0"
    refused(guarded, "guard is false", "@%p1 bar.sync 0", "lane 10 of warp 0, block 0")


def test_the_end_without_a_return() -> None:
    with pytest.raises(LaunchError, match="the end of the kernel, without `ret`"):
        Global().run(kernel("mov.u32 %r1, 0", [], ends=False))


# ---- races

NEIGHBOUR = """
    mov.u64 %d2, tile
    mul.wide.u32 %d3, %r0, 4
    add.s64 %d3, %d2, %d3
    st.shared.u32 [%d3], %r0
    {between}
    xor.b32 %r1, %r0, {other}
    mul.wide.u32 %d4, %r1, 4
    add.s64 %d4, %d2, %d4
    ld.shared.u32 %r2, [%d4]
    st.global.u32 [%d8], %r2
"""


@pytest.mark.parametrize(
    ("between", "other", "races"),
    [
        ("bar.sync 0", 32, False),
        ("barrier.sync 0", 32, False),
        ("bar.sync 0", 1, False),
        ("bar.warp.sync -1", 1, False),
        ("bar.warp.sync -1", 32, True),
        ("shfl.sync.idx.b32 %r5, %r0, 0, 31, -1", 1, True),  # it orders no memory
        ("membar.cta", 32, True),
        ("mov.u32 %r5, 0", 1, True),
        ("mov.u32 %r5, 0", 32, True),
        ("mov.u32 %r5, 0", 0, False),
    ],
)
def test_shared_memory_between_threads(between: str, other: int, races: bool) -> None:
    body = NEIGHBOUR.format(between=between, other=other)
    if races:
        with pytest.raises(
            LaunchError, match=r"a race: shared memory|comes of shared memory, or of a register, that nothing"
        ):
            run(body, threads=64)
    else:
        np.testing.assert_array_equal(run(body, threads=64), np.arange(64) ^ other)


def test_parts_of_a_warp_synchronise_apart() -> None:
    body = """
        setp.lt.u32 %p1, %r0, 16
        selp.b32 %r5, 0x0000ffff, 0xffff0000, %p1
    """
    inside, across = (body + NEIGHBOUR.format(between="bar.warp.sync %r5", other=other) for other in (1, 16))
    np.testing.assert_array_equal(run(inside), np.arange(32) ^ 1)
    with pytest.raises(LaunchError, match="a race: shared memory"):
        run(across)


def test_a_write_after_others_have_read() -> None:
    body = """
        ld.global.u32 %r1, [%d1]
        {between}
        setp.ne.u32 %p1, %r0, 31
        @%p1 ret
        st.global.u32 [%d1], 5
    """
    for order in ("bar.sync 0", "bar.warp.sync -1"):
        run(body.format(between=order))
    refused(
        body.format(between="shfl.sync.idx.b32 %r5, %r0, 0, 31, -1"),
        r"a race: global memory at 0x\w+ is written, and was read by thread \d+ of block 0",
        "st.global.u32 [%d1], 5",
        "lane 31 of warp 0, block 0",
    )


def test_stores_of_several_lanes_to_one_place() -> None:
    run("st.global.u32 [%d0], 7")  # one and the same number
    refused(
        "st.global.u32 [%d0], %r0",
        "a race: global memory at 0x.* is written, and was written by",
        "st.global.u32 [%d0], %r0",
        "lane 1 of",
    )


def test_neighbouring_bytes_do_not_race() -> None:
    body = """
        cvt.u64.u32 %d3, %r9
        add.s64 %d3, %d0, %d3
        cvt.u16.u32 %h1, %r9
        st.global.u8 [%d3], %h1
    """
    found = run(body, blocks=2, threads=32)
    np.testing.assert_array_equal(found.view(np.uint8)[:64], np.arange(64))


def test_blocks_do_not_see_each_other() -> None:
    write = "st.global.u32 [%d0], %r8"
    refused(
        write,
        "a race: global memory .* was written by thread .* of block",
        write,
        "lane 0 of warp 0, block",
        blocks=2,
        threads=1,
    )
    read = """
        st.global.u32 [%d8], 1
        xor.b32 %r1, %r9, 1
        mul.wide.u32 %d3, %r1, 4
        add.s64 %d3, %d0, %d3
        ld.global.u32 %r2, [%d3]
    """
    with pytest.raises(LaunchError, match=r"a race: global memory|nothing was written to"):
        run(read, blocks=2, threads=1)


def test_memory_that_is_read_as_never_written_must_not_be() -> None:
    body = "st.global.u32 [%d8], 1\nld.global.nc.u32 %r1, [%d8]"
    refused(body, "is read by ld.global.nc, and was written by", "ld.global.nc.u32 %r1, [%d8]", "lane 0 of")


LAST_BLOCK = """
    setp.ne.u32 %p1, %r0, 0
    st.global.u32 [%d8], %r9
    bar.sync 0
    @%p1 ret
    {release}
    mov.u64 %d2, %d1
    atom.global.add.u32 %r1, [%d2], 1
    {acquire}
    mov.u32 %r2, %nctaid.x
    sub.u32 %r2, %r2, 1
    setp.ne.u32 %p2, %r1, %r2
    @%p2 ret
    mov.u32 %r3, 0
    mov.b64 %d3, %d0
    mov.u32 %r4, 0
    again:
    ld.global.u32 %r5, [%d3]
    add.u32 %r3, %r3, %r5
    add.s64 %d3, %d3, 4
    add.u32 %r4, %r4, 1
    setp.lt.u32 %p3, %r4, 12
    @%p3 bra again
    st.global.u32 [%d0], %r3
"""


@pytest.mark.parametrize(
    "fence", ["membar.gl", "membar.sys", "fence.sc.gpu", "fence.sc.sys", "fence.acq_rel.gpu", "fence.acq_rel.sys"]
)
def test_the_last_block_sees_what_all_have_done_behind_fences(fence: str) -> None:
    assert run(LAST_BLOCK.format(release=fence, acquire=fence), blocks=3, threads=4)[0] == sum(range(12))


@pytest.mark.parametrize(
    ("release", "acquire"),
    [("membar.gl", "membar.cta"), ("fence.sc.cta", "membar.gl"), ("fence.acq_rel.cta", "fence.acq_rel.cta")],
)
def test_without_them_it_races(release: str, acquire: str) -> None:
    with pytest.raises(LaunchError, match="a race: global memory"):
        run(LAST_BLOCK.format(release=release, acquire=acquire), blocks=3, threads=4)


def test_every_one_of_these_is_tested() -> None:
    text = "".join(Path(__file__).with_name(name).read_text() for name in ("test_control.py", "test_memory.py"))
    names = [
        name
        for name in known_instructions()
        if name.startswith(("bra", "ret", "exit", "bar", "vote", "membar", "fence"))
    ]
    assert [name for name in names if name not in text] == []
