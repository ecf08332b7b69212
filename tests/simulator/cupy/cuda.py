"""The one device of the stand-in."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    return True


class Device:
    id = 0


class runtime:
    @staticmethod
    def getDeviceProperties(device: int) -> dict[str, Any]:
        return {"name": b"Numba's CUDA simulator", "totalGlobalMem": 0}

    @staticmethod
    def getDeviceCount() -> int:
        return 1
