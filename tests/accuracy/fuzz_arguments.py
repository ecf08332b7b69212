"""Hostile arguments for `fuzz_ops`, drawn by the names of a function's parameters.

Arrays have every dtype, byte order, stride and odd size, with infinities, NaN and subnormal numbers in them; some are
masked or of a subclass, and in some calls all lie in one memory, wherever it happens. Labels are in and out of range;
options of the wrong type and beyond every limit, and numbers in arrays without axes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from fuzz_values import (
    BETAS,
    FLOATS,
    GUARD,
    GUARD_BYTES,
    NO_ARRAYS,
    NUMBERS,
    OTHER_DTYPES,
    SIZES,
    SPECIAL,
    STATES,
    TRUTHS,
    WHOLE,
    Boxed,
    Touchy,
)


class Fuzzer:
    """Arguments for one call after another; the shapes in `dims` and `dtype` are shared by most arrays of a call.

    In a `tame` call little is wrong, so that enough of them return, whatever the number of their arguments.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.dims: tuple[int, ...] = ()
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtype = "float32"
        self.tame = False
        self.arrays: list[np.ndarray] = []
        self.memory: np.ndarray | None = None

    def maybe(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def wrong(self, probability: float) -> bool:
        return self.maybe(probability / 10 if self.tame else probability)

    def one_of(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def new_call(self, name: str) -> None:
        """Draw what the arrays of the next call have in common."""
        self.dims = dims = tuple(int(self.one_of(SIZES)) for _ in range(self.one_of((0, 1, 2, 2, 2, 3))))
        self.dtype = self.one_of(FLOATS)
        self.tame = self.maybe(0.5)
        self.arrays = []
        self.memory = None
        classes = dims[1] if len(dims) > 1 else 3
        self.shapes = {"labels": (*dims[:1], *dims[2:]), "classes": (classes,)}
        if name.startswith("linear"):
            inner, outputs = dims[-1] if dims else 1, int(self.one_of(SIZES))
            self.shapes |= {"w": (inner, outputs), "classes": (outputs,), "labels": dims[:1]}
            self.shapes |= dict.fromkeys(("grad", "saved", "preactivation", "out"), (*dims[:-1], outputs))
        if name == "logsumexp":
            self.shapes["out"] = dims[:-1]
        if self.maybe(0.3):
            size = 2 * max(math.prod(dims), math.prod(self.shapes.get("w", (0,)))) * 8 + 8 * GUARD_BYTES
            self.memory = np.full(size, GUARD, np.uint8)

    def numbers(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        kind = np.dtype(dtype).kind
        if kind == "U":
            return np.full(shape, "abc")
        if kind == "O":
            return np.full(shape, None, object)
        if kind in "iub":
            return self.rng.integers(-3 if kind == "i" else 0, 12, shape).astype(dtype)
        with np.errstate(all="ignore"):
            values = self.rng.standard_normal(shape) * self.one_of((1.0, 1.0, 10.0, 1e-3))
            if self.maybe(0.3):  # a distribution, or a target in [0, 1]
                values = np.abs(values)
                total = values.sum(axis=-1, keepdims=True) if values.ndim else values
                values = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
            if self.maybe(0.4) and values.size:
                values.flat[self.rng.integers(values.size, size=2)] = self.one_of(SPECIAL)
            return np.asarray(values).astype(dtype)

    def laid_out(self, values: np.ndarray) -> np.ndarray:
        """The same numbers with other strides, in the other byte order, or in the call's one memory."""
        if self.maybe(0.05):
            values = values.astype(values.dtype.newbyteorder("S"))
        if self.memory is not None and values.dtype.kind != "O":
            place = self.place(values.shape, values.dtype)
            if place is not None:
                place[...] = values
                return place
        how = self.one_of(("C", "C", "C", "F", "reversed", "spread", "broadcast", "odd"))
        if how == "F":
            return np.asfortranarray(values)
        if how == "reversed" and values.ndim:
            return values[::-1].copy()[::-1]
        if how == "spread" and values.ndim:
            memory = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
            memory[..., ::2] = values
            return memory[..., ::2]
        if how == "broadcast" and values.ndim > 1 and len(values):
            return np.broadcast_to(values[0], values.shape)
        if how == "odd" and values.dtype.kind != "O":  # at an address that is no multiple of anything
            memory = np.zeros(values.nbytes + 1, np.uint8)[1:].view(values.dtype).reshape(values.shape)
            memory[...] = values
            return memory
        return values

    def place(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray | None:
        """An array somewhere in the call's one memory, if it has room."""
        assert self.memory is not None
        dtype = np.dtype(dtype)
        step = 2 if shape and self.maybe(0.15) else 1
        size = math.prod(shape) * step * dtype.itemsize
        row = shape[-1] if shape else 1
        unit = 1 if self.maybe(0.1) else dtype.itemsize * self.one_of((1, 1, row, row, math.prod(shape[:1])))
        start = GUARD_BYTES + int(self.one_of((0, 0, 1, 1, 2, 3, 8, 16))) * unit
        if start + size + GUARD_BYTES > self.memory.size:
            return None
        wide = (*shape[:-1], step * shape[-1]) if shape else shape
        place: np.ndarray = self.memory[start : start + size].view(dtype).reshape(wide)
        return place[..., ::step] if step > 1 else place

    def dressed(self, array: np.ndarray) -> np.ndarray:
        """The array, sometimes read-only, of a subclass or masked."""
        if self.wrong(0.03):
            array = array.view()
            array.flags.writeable = False
        if self.maybe(0.06):
            return array.view(self.one_of((np.recarray, np.memmap, Touchy, Touchy)))
        if self.wrong(0.02):
            return np.ma.array(array, mask=np.full(array.shape, self.maybe(0.5)), copy=False)
        return array

    def array(self, shape: tuple[int, ...] | None = None) -> Any:
        if self.wrong(0.03):
            return self.one_of(NO_ARRAYS)
        dims = self.dims if shape is None else shape
        if self.wrong(0.08):
            dims = tuple(int(self.one_of(SIZES)) for _ in range(self.one_of((0, 1, 2, 3))))
        dtype = self.dtype if not self.wrong(0.07) else self.one_of((*FLOATS, *OTHER_DTYPES))
        if self.arrays and self.maybe(0.03):
            return self.one_of(self.arrays)
        array = self.dressed(self.laid_out(self.numbers(dims, dtype)))
        self.arrays.append(array)
        return array

    def labels(self) -> Any:
        if self.wrong(0.05):
            return self.array()
        dims = self.dims if self.wrong(0.1) else self.shapes["labels"]
        classes = self.shapes["classes"][0]
        low, high = (0, max(classes, 1)) if not self.wrong(0.3) else (-5, classes + 5)
        values = self.rng.integers(low, high, dims).astype(self.one_of(("int64", "int64", "int32", "uint8", "uint64")))
        if values.size and self.wrong(0.1):
            values.flat[0] = np.int64(self.one_of((-100, -1, 100))).astype(values.dtype)  # in uint64 2**64 - 100
        return self.dressed(self.laid_out(values))

    def targets(self) -> Any:
        return self.labels() if self.maybe(0.6) else self.array()

    def row_of_classes(self) -> Any:
        """An array of a number for each class: weights, a bias."""
        if self.wrong(0.3):
            return self.array()
        return self.dressed(self.laid_out(np.abs(self.numbers(self.shapes["classes"], self.dtype))))

    def boxed(self, number: Any) -> Any:
        """The number, sometimes in an array without axes."""
        if isinstance(number, bool) or not isinstance(number, int | float | complex) or self.maybe(0.8):
            return number
        boxed = np.array(number)
        return Boxed(number) if boxed.dtype == object or self.maybe(0.3) else boxed

    def number(self) -> Any:
        return self.boxed(self.one_of(NUMBERS) if self.wrong(0.4) else float(self.rng.random()))

    def whole(self) -> Any:
        return self.boxed(self.one_of(WHOLE) if self.wrong(0.8) else int(self.rng.integers(1, 5)))

    def count(self) -> Any:
        """A whole number that may be the size of something: not so large that it is filled for minutes."""
        sizes = (0, 1, 2, 3, -1, 1 << 60, 2**63, 2**70, 10**5000, 1.5, "3", None, True)
        return self.boxed(self.one_of(sizes) if self.wrong(0.8) else self.one_of((*self.shapes["classes"], 12)))

    def truth(self) -> Any:
        return self.one_of((None, 2, "yes")) if self.wrong(0.03) else self.maybe(0.5)

    def axis(self) -> Any:
        axes = (-1, -1, -1, 0, 1, -2, 2, 5, None, (0, 1), (0, 0), (), (0, 2), 1.0, "0", (0, 9), True, np.array(0))
        return self.one_of(
            (*axes, 2**70, (0, 10**5000)) if self.wrong(0.8) else range(-len(self.dims), len(self.dims)) or (0,)
        )

    def mask(self) -> Any:
        if self.maybe(0.5):
            return None
        drawn = self.dressed(self.laid_out(np.asarray(self.rng.random(self.dims) < 0.5)))
        return self.one_of((True, False, self.array(), np.ones(3, bool))) if self.wrong(0.5) else drawn

    def out(self, name: str = "out") -> Any:
        """Mostly None, or one of the arrays that are read; else an array between guards."""
        if self.maybe(0.4):
            return None
        if self.arrays and self.maybe(0.3):
            return self.one_of(self.arrays)
        if self.wrong(0.05):
            return self.one_of(NO_ARRAYS)
        return self.guarded(self.shapes.get(name, self.dims), self.dtype)

    def guarded(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        if self.memory is not None:
            place = self.place(shape, dtype)
            if place is not None:
                return self.dressed(place)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = np.full(size + 2 * GUARD_BYTES, GUARD, np.uint8)
        inner: np.ndarray = memory[GUARD_BYTES : GUARD_BYTES + size].view(dtype).reshape(shape)
        if self.maybe(0.05):
            inner = inner.view(inner.dtype.newbyteorder("S"))
        if inner.ndim and self.wrong(0.1):
            inner = inner[::2]
        return self.dressed(inner)

    def three_outs(self) -> Any:
        if self.wrong(0.1):
            return self.out()
        shapes = self.dims, self.shapes["w"], self.shapes["classes"]
        return tuple(None if self.maybe(0.3) else self.guarded(shape, self.dtype) for shape in shapes)

    def state(self, name: str) -> Any:
        """Not below 0, so that there is a square root of it."""
        if self.wrong(0.3):
            return None
        if self.wrong(0.1):
            return self.array()
        state = self.guarded(self.shapes.get(name, self.dims), self.dtype)
        if state.flags.writeable:
            np.asarray(state)[...] = np.abs(self.numbers(state.shape, self.dtype))
        return state


BY_NAME: dict[str, Callable[[Fuzzer], Any]] = {
    "labels": Fuzzer.labels,
    "indices": Fuzzer.labels,
    "targets": Fuzzer.targets,
    "weight": lambda fuzz: None if fuzz.maybe(0.6) else fuzz.row_of_classes(),
    "pos_weight": lambda fuzz: None if fuzz.maybe(0.6) else fuzz.row_of_classes(),
    "bias": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.row_of_classes(),
    "b": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.row_of_classes(),
    "num_classes": Fuzzer.count,
    "chunk_rows": Fuzzer.count,
    "shape": lambda fuzz: fuzz.boxed(
        fuzz.one_of((None, None, 0, 1, 3, (2, 3), (0,), -1, (1 << 60,), 2**70, (2, 10**5000), 1.5, "2", (2.0,)))
    ),
    "axis": Fuzzer.axis,
    "where": Fuzzer.mask,
    "out": Fuzzer.out,
    "step": Fuzzer.whole,
    "ignore_index": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.whole(),
    "betas": lambda fuzz: fuzz.one_of(BETAS if fuzz.wrong(0.8) else BETAS[:4]),
    "reduction": lambda fuzz: fuzz.one_of(("max", None, 1) if fuzz.wrong(0.4) else ("mean", "sum", "none")),
    "approximate": lambda fuzz: fuzz.one_of(("erf", None) if fuzz.wrong(0.5) else ("none", "tanh")),
    "activation": lambda fuzz: fuzz.one_of(("nothing", 3) if fuzz.wrong(0.3) else (None, "relu", "gelu", "heaviside")),
    "dtype": lambda fuzz: fuzz.one_of(
        (">f4", int, "nothing", None) if fuzz.wrong(0.5) else ("float32", np.float64, np.float16, fuzz.dtype)
    ),
    "rng": lambda fuzz: fuzz.boxed(fuzz.one_of((None, 0, 7, np.random.default_rng(1), -1, "seed", 1.5, 2**70))),
    "softcap": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.number(),
    "base": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.number(),
}


def argument(fuzz: Fuzzer, name: str, parameter: inspect.Parameter) -> Any:
    """A value for that parameter of the function of that name."""
    if name == "linear_backward" and parameter.name == "out":
        return fuzz.three_outs()
    if parameter.name in BY_NAME:
        return BY_NAME[parameter.name](fuzz)
    if parameter.name in TRUTHS:
        return fuzz.truth()
    if parameter.name in STATES:
        return fuzz.state(parameter.name)
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return fuzz.array(fuzz.shapes.get(parameter.name))
    return fuzz.number()


def arguments(fuzz: Fuzzer, name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a call by their names; those with a default are given or not."""
    fuzz.new_call(name)
    given = {}
    for parameter in inspect.signature(function).parameters.values():
        needed = parameter.kind is parameter.POSITIONAL_ONLY or parameter.default is parameter.empty
        if parameter.kind is not parameter.VAR_KEYWORD and (needed or fuzz.maybe(0.4)):
            given[parameter.name] = argument(fuzz, name, parameter)
    for value in given.values():  # other arrays of the call's memory may have left bytes that are no booleans
        if isinstance(value, np.ndarray) and value.dtype == bool and value.flags.writeable:
            plain = np.asarray(value)
            plain[...] = plain.view(np.uint8) & 1
    return given
