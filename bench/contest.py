"""One cell: everyone's result compared with ours, then everyone timed in turn."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from softgrad.bench.device import PROCESSORS, Device, host_seconds
from softgrad.bench.operation import Case, array_bytes
from softgrad.bench.peers.peer import Contender, Peer, as_tuple
from softgrad.bench.results import Cell, Problem, Time

# A round repeats its call until it takes about this long, which the clock resolves to a thousandth.
ROUND_SECONDS = 0.002
MIN_ROUNDS, MAX_ROUNDS = 5, 300

# After another library's threads have run, ours (or a peer's) find them spinning: they get this long to fall asleep.
SETTLE_SECONDS = 0.001

# Of a call that takes longer, waking one's own threads is no part worth a call that is not timed.
LONG_SECONDS = 0.02

# The error an element may have: relative to itself, and relative to the root mean square of all. The second is for the
# tails, where some packages' formulas cancel: JAX's gelu_tanh_backward is off by 1e-5 where it should vanish.
TOLERANCES = {"float16": (1e-2, 5e-3), "float32": (1e-4, 3e-5), "float64": (1e-9, 1e-10)}


def compete(
    case: Case, ours: Peer, peers: Sequence[Peer], threads: int, budget: float, device: Device = PROCESSORS
) -> Cell:
    """Compare and time all contenders of a case."""
    result, contenders, problems = admit(case, ours, peers, device)
    medians = time_in_turn(contenders, budget, settle=threads > 1, seconds=device.seconds)
    return Cell(
        case.operation.name,
        case.operation.family,
        case.shape,
        case.dtype,
        threads,
        case.read + array_bytes(as_tuple(result)),
        tuple(
            Time(contender.peer, contender.way, contender.out, seconds)
            for contender, seconds in zip(contenders, medians, strict=True)
        ),
        tuple(problems),
    )


def admit(
    case: Case, ours: Peer, peers: Sequence[Peer], device: Device = PROCESSORS
) -> tuple[Any, list[Contender], list[Problem]]:
    """Our result, the contenders that agree with it, and those that do not."""
    result = _owned(device, ours.contender(ours.ways_of(case)[0], case).call())
    contenders: list[Contender] = []
    problems: list[Problem] = []
    for peer in (ours, *peers):
        for way in peer.ways_of(case):
            try:
                contender = peer.contender(way, case, result)
                difference = compare(contender, result, way.precision or case.dtype, device)
            except Exception as error:  # whatever another package may raise: it is left out, and said so
                difference = f"{type(error).__name__}: {error}"
            if difference is None:
                contenders.append(contender)
            else:
                problems.append(Problem(peer.label(way), difference))
    return result, contenders, problems


def _owned(device: Device, result: Any) -> Any:
    """A result, or each of several, as an array of the device."""
    return tuple(map(device.own, result)) if isinstance(result, tuple) else device.own(result)


def compare(contender: Contender, result: Any, precision: str, device: Device = PROCESSORS) -> str | None:
    """How the contender's result differs from ours, or None if it does not, by more than rounding in that precision."""
    with contender.context():
        found = as_tuple(_owned(device, contender.call()))
    expected = as_tuple(result)
    if len(found) != len(expected):
        return f"{len(found)} results instead of {len(expected)}"
    for one, ours in zip(found, expected, strict=True):
        difference = _difference(one, ours, precision)
        if difference is not None:
            return difference
    return None


def _difference(found: Any, expected: Any, precision: str) -> str | None:
    if found.shape != expected.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    if expected.dtype.kind == "f" and expected.ndim and found.dtype != expected.dtype:
        return f"{found.dtype} instead of {expected.dtype}"
    relative, absolute = TOLERANCES[precision]
    found, expected = np.atleast_1d(found, expected)
    dtype = np.result_type(expected, np.float32)  # counts are compared as floats
    size = np.abs(expected, dtype=dtype)
    flat = size.reshape(-1)
    limit = absolute * math.sqrt(float(np.vdot(flat, flat)) / max(flat.size, 1))
    excess = np.abs(found - expected, dtype=dtype)
    excess -= np.multiply(size, relative, out=size)
    worst = int(np.argmax(excess))  # NaN, if there is any
    if float(excess.reshape(-1)[worst]) <= limit:
        return None
    place = tuple(map(int, np.unravel_index(worst, excess.shape)))
    return f"{float(found[place]):.9g} instead of {float(expected[place]):.9g} at {place}"


def time_in_turn(
    contenders: Sequence[Contender],
    budget: float,
    *,
    settle: bool,
    seconds: Callable[[Callable[[], Any], int], float] = host_seconds,
) -> list[float]:
    """The median seconds of a call of each, from rounds in which each has its turn.

    Parameters
    ----------
    contenders
        Whose turn comes next rotates from round to round.
    budget
        Seconds for each contender, on average; there are five rounds in any case.
    settle
        Before each turn let the threads of the others fall asleep, and wake one's own with a call that is not timed.
    seconds
        Whose clock: `Device.seconds`.
    """

    def turn(contender: Contender, repeats: int, *, wake: bool) -> float:
        """Seconds of a call, after one that is not timed if it is to `wake` threads."""
        with contender.context():
            if wake:
                contender.call()
            return seconds(contender.call, repeats)

    # About how many seconds a call takes; it has been called before, so what it compiles or keeps is there.
    guesses = [turn(contender, 1, wake=False) for contender in contenders]
    for i, contender in enumerate(contenders):
        if guesses[i] < LONG_SECONDS:
            guesses[i] = min(guesses[i], turn(contender, 1, wake=False))
    repeats = [max(1, round(ROUND_SECONDS / guess)) for guess in guesses]
    wake = [settle and guess < LONG_SECONDS for guess in guesses]
    times: list[list[float]] = [[] for _ in contenders]
    with _no_garbage_collection():
        end = time.perf_counter() + budget * len(contenders)
        rounds = 0
        while rounds < MIN_ROUNDS or (rounds < MAX_ROUNDS and time.perf_counter() < end):
            for place in range(len(contenders)):
                i = (place + rounds) % len(contenders)
                if settle:
                    time.sleep(SETTLE_SECONDS)
                times[i].append(turn(contenders[i], repeats[i], wake=wake[i]))
            rounds += 1
    return [statistics.median(found) for found in times]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
