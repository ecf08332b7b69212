"""One cell: everyone's result compared with ours, then everyone timed in turn."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from softgrad.bench.cases import Case, array_bytes
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
TOLERANCES = {"float32": (1e-4, 3e-5), "float64": (1e-9, 1e-10)}


def compete(case: Case, ours: Peer, peers: Sequence[Peer], threads: int, budget: float) -> Cell:
    """Compare and time all contenders of a case."""
    result, contenders, problems = admit(case, ours, peers)
    medians = time_in_turn(contenders, budget, settle=threads > 1)
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


def admit(case: Case, ours: Peer, peers: Sequence[Peer]) -> tuple[Any, list[Contender], list[Problem]]:
    """Our result, the contenders that agree with it, and those that do not."""
    result = _as_numpy(ours.contender(ours.ways_of(case)[0], case).call())
    contenders: list[Contender] = []
    problems: list[Problem] = []
    for peer in (ours, *peers):
        for way in peer.ways_of(case):
            try:
                contender = peer.contender(way, case, result)
                difference = compare(contender, result, way.precision or case.dtype)
            except Exception as error:  # whatever another package may raise: it is left out, and said so
                difference = f"{type(error).__name__}: {error}"
            if difference is None:
                contenders.append(contender)
            else:
                problems.append(Problem(peer.label(way), difference))
    return result, contenders, problems


def _as_numpy(result: Any) -> Any:
    """A result, or each of several, as a NumPy array."""
    return tuple(map(np.asarray, result)) if isinstance(result, tuple) else np.asarray(result)


def compare(contender: Contender, result: Any, precision: str) -> str | None:
    """How the contender's result differs from ours, or None if it does not, by more than rounding in that precision."""
    with contender.context():
        found = as_tuple(_as_numpy(contender.call()))
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
    limit = absolute * math.sqrt(np.vdot(flat, flat) / max(flat.size, 1))
    excess = np.abs(found - expected, dtype=dtype)
    excess -= np.multiply(size, relative, out=size)
    worst = np.unravel_index(np.argmax(excess), excess.shape)  # NaN, if there is any
    if excess[worst] <= limit:
        return None
    return f"{found[worst]:.9g} instead of {expected[worst]:.9g} at {tuple(map(int, worst))}"


def time_in_turn(contenders: Sequence[Contender], budget: float, *, settle: bool) -> list[float]:
    """The median seconds of a call of each, from rounds in which each has its turn.

    Parameters
    ----------
    contenders
        Whose turn comes next rotates from round to round.
    budget
        Seconds for each contender, on average; there are five rounds in any case.
    settle
        Before each turn let the threads of the others fall asleep, and wake one's own with a call that is not timed.
    """
    guesses = [_guess(contender) for contender in contenders]
    repeats = [max(1, round(ROUND_SECONDS / guess)) for guess in guesses]
    wake = [settle and guess < LONG_SECONDS for guess in guesses]
    seconds: list[list[float]] = [[] for _ in contenders]
    with _no_garbage_collection():
        end = time.perf_counter() + budget * len(contenders)
        rounds = 0
        while rounds < MIN_ROUNDS or (rounds < MAX_ROUNDS and time.perf_counter() < end):
            for turn in range(len(contenders)):
                i = (turn + rounds) % len(contenders)
                if settle:
                    time.sleep(SETTLE_SECONDS)
                seconds[i].append(_turn(contenders[i], repeats[i], wake=wake[i]))
            rounds += 1
    return [statistics.median(times) for times in seconds]


def _turn(contender: Contender, repeats: int, *, wake: bool) -> float:
    """Seconds of a call, from one round of `repeats` calls, after one that is not timed if it is to `wake` threads."""
    call = contender.call
    with contender.context():
        if wake:
            call()
        started = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - started) / repeats


def _guess(contender: Contender) -> float:
    """About how many seconds a call takes; it has been called before, so what it compiles or keeps is there."""
    first = _turn(contender, 1, wake=False)
    return first if first > LONG_SECONDS else min(first, _turn(contender, 1, wake=False))


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
