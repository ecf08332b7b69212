"""An instruction's text to the numbers that the interpreter takes."""

from __future__ import annotations

import re
from itertools import product

from ptx.known import INTEGERS, NONE, WIDTHS, Instruction, Known, known_instructions
from ptx.registers import Registers

# Loads and stores of more bytes than this are for newer architectures.
OLDEST_WIDE_ACCESS, PLAIN_ACCESS_BYTES = 100, 16

# In the order in which `interpreter/launch.h` fills them in.
SPECIAL = [
    *(f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"),
    *("%laneid", "%warpid", "%nwarpid", "%smid"),
    *(f"%lanemask_{which}" for which in ("eq", "lt", "le", "gt", "ge")),
    "%dynamic_smem_size",
]


# Conversions from less than 64 bits may be of a register that has so many.
OF_LOW_BITS = {
    f"cvt.{to}.{source}": f"cvt.{to}.{source} of b64"
    for to, source in product(INTEGERS, INTEGERS)
    if WIDTHS[source] < 8
}


class Decoder:
    """What instructions refer to, by name.

    Parameters
    ----------
    target
        The architecture, as in 90.
    registers
        Those that are declared.
    addresses
        Of parameters and of arrays in shared memory.
    places
        Of labels.
    """

    def __init__(self, target: int, registers: Registers, addresses: dict[str, int], places: dict[str, int]) -> None:
        self._target, self._registers, self._addresses, self._places = target, registers, addresses, places
        self._special: dict[str, int] = {}

    def special(self) -> list[int]:
        """Where the special registers lie that are used."""
        return [self._special.get(name, NONE) for name in SPECIAL]

    def decode(self, statement: str) -> Instruction:
        """Raise KeyError or ValueError for what is not known."""
        instruction = Instruction(guard=NONE, second=NONE)
        if found := re.match(r"@(!?)(%?[\w$]+)\s+", statement):
            instruction.guard, instruction.guard_negated = self._registers.of(found[2], 0), bool(found[1])
            statement = statement[found.end() :]
        name, _, rest = statement.partition(" ")
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", rest)
        if name.startswith("mov.") and "{" in rest:
            name, operands = _with_braces(name, operands)
        if name.startswith("cvt.") and self._registers.widths.get(operands[-1].strip()) == 8:
            name = OF_LOW_BITS.get(name, name)
        known = known_instructions()[name]
        if known.bytes * known.count > PLAIN_ACCESS_BYTES and self._target < OLDEST_WIDE_ACCESS:
            raise ValueError(f"sm_{self._target} has no access of {known.bytes * known.count} bytes")
        instruction.entry = known.index
        signature = known.signature
        if signature.startswith("|"):
            signature = signature[1:]
            operands[0], _, second = operands[0].partition("|")
            if second:
                instruction.second = self._registers.of(second.strip(), 0)
        if len(operands) != len(signature):
            raise ValueError(f"{len(operands)} operands instead of {len(signature)}")
        places: list[int] = []
        for sign, operand in zip(signature, map(str.strip, operands), strict=True):
            places += self._operand(instruction, known, sign, operand)
        instruction.operands[: len(places)] = places
        return instruction

    def _operand(self, instruction: Instruction, known: Known, sign: str, operand: str) -> list[int]:
        """The registers that an operand is."""
        if sign == "L":
            instruction.target = self._places[operand]
            return []
        if sign == "0":
            if operand != "0":
                raise ValueError("only the barrier 0, of the whole block")
            return []
        if sign == "A":
            return [self._address(instruction, operand)]
        if sign == "V":
            names = [one.strip() for one in operand.strip("{}").split(",")]
            widths = {self._registers.widths.get(one, known.bytes) for one in names}
            if len(names) != known.count or len(widths) != 1 or min(widths) < known.bytes:
                raise ValueError("registers that do not fit")
            (instruction.register_bytes,) = widths
            return [self._value(one, instruction.register_bytes) for one in names]
        return [self._value(operand, 0 if sign == "p" else int(sign))]

    def _address(self, instruction: Instruction, operand: str) -> int:
        found = re.fullmatch(r"\[\s*([%\w$]+)\s*(?:\+\s*(-?\w+))?\s*\]", operand)
        if found is None:
            raise ValueError("an address")
        instruction.offset = int(found[2] or "0", 0)
        return self._value(found[1], 8)

    def _value(self, operand: str, width: int) -> int:
        """Where a register's lanes begin, or those of a register with this number in them."""
        registers = self._registers
        if operand in SPECIAL:
            if width != 4:
                raise ValueError(f"{operand} has 4 bytes, not {width}")
            if operand not in self._special:
                self._special[operand] = registers.add(width)
            return self._special[operand]
        if operand in registers.widths:
            return registers.of(operand, width)
        if operand == "_":  # a result that nothing takes
            return registers.add(width)
        if operand in self._addresses:
            if width != 8:
                raise ValueError(f"{operand} has 8 bytes, not {width}")
            return registers.constant(self._addresses[operand], width)
        if found := re.fullmatch(r"0[fF]([0-9a-fA-F]{8})|0[dD]([0-9a-fA-F]{16})", operand):
            if width != (4 if found[1] else 8):
                raise ValueError(f"{operand} for {width} bytes")
            return registers.constant(int(found[1] or found[2], 16), width)
        if re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|[1-9]\d*|0)U?", operand) is None:
            raise ValueError(f"the operand {operand}")
        return registers.constant(int(operand.rstrip("U"), 0), width)


def _with_braces(name: str, operands: list[str]) -> tuple[str, list[str]]:
    """The name that the table has for a `mov` with braces on one side, and its operands one by one."""
    parts = [part.split(",") for part in (operand.strip("{} ") for operand in operands)]
    braces = "{,}" if max(map(len, parts)) == 4 else "{}"
    packs = len(parts[0]) == 1
    return (f"{name} {braces}" if packs else f"{braces} {name}"), [one.strip() for part in parts for one in part]
