"""Where the registers of a warp lie: the lanes of each side by side, of a predicate a bit for each lane."""

from __future__ import annotations

from ptx.known import WARP, WIDTHS, UnknownPtxError

# Registers begin at multiples of so many bytes.
ALIGNMENT = 64


class Registers:
    """First those that the text declares, then those of the interpreter's own: constants and special registers.

    Attributes
    ----------
    widths
        The bytes of a lane of each register that is declared, by name; 0 of a predicate.
    end
        How many bytes all take.
    """

    def __init__(self) -> None:
        self.widths: dict[str, int] = {}
        self.end = 0
        self._places: dict[str, int] = {}
        self._constants: dict[tuple[int, int], int] = {}

    def add(self, width: int) -> int:
        """Where a new one lies."""
        place = self.end
        self.end = up_to(place + max(width, 1) * WARP, ALIGNMENT)
        return place

    def declare(self, name: str, kind: str) -> None:
        width = WIDTHS.get(kind, 0)
        if self.widths.setdefault(name, width) != width:
            raise UnknownPtxError(f"two registers {name}, of different types")
        if name not in self._places:
            self._places[name] = self.add(width)

    def of(self, name: str, width: int) -> int:
        """Where a declared one lies, of so many bytes."""
        if self.widths[name] != width:
            raise ValueError(f"{name} has {self.widths[name]} bytes, not {width}")
        return self._places[name]

    def constant(self, value: int, width: int) -> int:
        """Where one lies that has that number in all lanes."""
        bits = max(8 * width, 1)
        if not -(1 << bits) < value < 1 << bits:
            raise ValueError(f"{value} does not fit")
        key = value & ((1 << bits) - 1), width
        if key not in self._constants:
            self._constants[key] = self.add(width)
        return self._constants[key]

    def constants(self, begin: int) -> bytes:
        """What the registers from there on hold at first."""
        image = bytearray(self.end - begin)
        for (value, width), place in self._constants.items():
            lanes = value.to_bytes(width, "little") * WARP if width else (-value & 0xFFFFFFFF).to_bytes(4, "little")
            image[place - begin : place - begin + len(lanes)] = lanes
        return bytes(image)


def up_to(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
