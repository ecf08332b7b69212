"""The process that measures, one for each number of threads: settings in, a JSON object a line out.

    python -m softgrad.bench THREADS SETTINGS

Numbers of threads are fixed when libraries are loaded: `run` sets the environment and starts this.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from dataclasses import asdict
from typing import Any, TextIO

from softgrad.bench.settings import ON_GPU, Settings


def main() -> None:
    """Measure everything the settings ask for with this many threads."""
    threads, settings = int(sys.argv[1]), Settings.from_json(json.loads(sys.argv[2]))
    _hold_to(threads)
    # What a library prints must not come between the lines of JSON.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    measure(threads, settings, lines)


def _hold_to(threads: int) -> None:
    """Keep this process to as many processors; jax has no other way of being held to a number of threads."""
    if threads != ON_GPU and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def measure(threads: int, settings: Settings, lines: TextIO) -> None:
    """Write what is found to `lines`: environment, cells, copy rates between them, call overhead, others' share."""
    from softgrad.bench.cases import OPERATIONS
    from softgrad.bench.contention import Clock, share_of_others
    from softgrad.bench.contest import compete
    from softgrad.bench.copy_rate import copy_rate_of
    from softgrad.bench.device import device_of
    from softgrad.bench.overhead import softmax_overhead
    from softgrad.bench.peers import load_peer, version_of
    from softgrad.ops.environment import Environment

    def tell(event: str, value: Any) -> None:
        print(json.dumps({"event": event, "value": value}), file=lines, flush=True)

    def tell_copy_rate() -> None:
        tell("copy_rate", copy_rate_of(device, threads, settings.elements))

    device = device_of(settings.backend)
    ours, *peers = [load_peer(name) for name in ("softgrad", *settings.peers)]
    for peer in peers if threads != ON_GPU else ():
        peer.set_threads(threads)
    environment = Environment.here().to_json()
    environment["packages"] |= dict(map(version_of, settings.peers))
    tell("environment", environment)
    gc.freeze()  # what the packages hold is no garbage, and looking through it before every cell takes long

    before = Clock.now()
    family = None
    for name in settings.operations:
        operation = OPERATIONS[name]
        if operation.family != family:
            family = operation.family
            tell_copy_rate()
        for dtype, shape in operation.places(settings):
            case = operation.case(shape, dtype, device)
            tell("cell", compete(case, ours, peers, threads, settings.budget, device).to_json())
    tell_copy_rate()
    tell("overhead", asdict(softmax_overhead(threads, settings.budget, device)))
    tell("others", share_of_others(before))


if __name__ == "__main__":
    main()
