"""The one device of the stand-in."""

from __future__ import annotations

import time
from typing import Any


class Event:
    """A moment on the host, since work there is done when it is called for."""

    moment = 0.0

    def record(self) -> None:
        self.moment = time.perf_counter()

    def synchronize(self) -> None:
        pass


def get_elapsed_time(begin: Event, end: Event) -> float:
    """In milliseconds."""
    return (end.moment - begin.moment) * 1e3


def is_available() -> bool:
    return True


class Device:
    id = 0

    def synchronize(self) -> None:
        pass


class runtime:
    @staticmethod
    def getDeviceProperties(device: int) -> dict[str, Any]:
        return {"name": b"Numba's CUDA simulator", "totalGlobalMem": 0}

    @staticmethod
    def getDeviceCount() -> int:
        return 1
