"""numexpr: a formula as text, which it computes block by block. It has no erf."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numexpr
import numpy as np

from softgrad.bench.formulas import ARRAYS, FORMULAS, Function, name_of
from softgrad.bench.peers.peer import Call, Peer, Way


def _operator(sign: str) -> tuple[Callable[..., _Text], Callable[..., _Text]]:
    """An operator's method, and that of the operand on the right."""

    def forward(self: _Text, other: Any) -> _Text:
        return _Text(f"({self.text} {sign} {self.of(other)})", self.numbers)

    def reflected(self: _Text, other: Any) -> _Text:
        return _Text(f"({self.of(other)} {sign} {self.text})", self.numbers)

    return forward, reflected


class _Text:
    """A formula's text, by calling it. Numbers are given names, so that beside float32 they are not float64."""

    def __init__(self, text: str, numbers: dict[str, float]) -> None:
        self.text, self.numbers = text, numbers

    def of(self, other: Any) -> str:
        if isinstance(other, _Text):
            return other.text
        name = f"c{str(other).replace('.', '_').replace('-', 'm')}"
        self.numbers[name] = other
        return name

    def __neg__(self) -> _Text:
        return _Text(f"(-{self.text})", self.numbers)

    __add__, __radd__ = _operator("+")
    __sub__, __rsub__ = _operator("-")
    __mul__, __rmul__ = _operator("*")
    __truediv__, __rtruediv__ = _operator("/")
    __le__, __ge__ = _operator("<=")


def _function(name: str) -> Callable[..., _Text]:
    def call(x: _Text, *others: Any) -> _Text:
        return _Text(f"{name}({', '.join([x.text, *map(x.of, others)])})", x.numbers)

    return call


FUNCTIONS = SimpleNamespace(
    fabs=_function("abs"), **{name: _function(name) for name in ("exp", "tanh", "sqrt", "log1p", "where")}
)


def _evaluated(formula: Function, arrays: int) -> tuple[Way, ...]:
    numbers: dict[str, float] = {}
    names = [f"x{i}" for i in range(arrays)]
    text = formula(*(_Text(name, numbers) for name in names)).text

    def make(*arguments: Any, **out: Any) -> Call:
        dtype = arguments[0].dtype.type
        given = dict(zip(names, arguments, strict=True)) | {name: dtype(value) for name, value in numbers.items()}
        return lambda: numexpr.evaluate(text, local_dict=given, global_dict={}, **out)

    return Way(make), Way(make, out=True)


PEER = Peer(
    "numexpr",
    MappingProxyType(
        {
            name_of(name): _evaluated(formula(FUNCTIONS), ARRAYS[name])
            for name, formula in FORMULAS.items()
            if name != "gelu_by_erf"
        }
    ),
    array=np.asarray,
    set_threads=numexpr.set_num_threads,
)
