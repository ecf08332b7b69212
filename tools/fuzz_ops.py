"""Call the public functions with hostile arguments, at random, and see that nothing breaks.

    python tools/fuzz_ops.py [--calls 1000000] [--seed 0] [--op softmax ...]

Arguments are drawn by the names of a function's parameters: arrays of every dtype, stride and odd size, with
infinities, NaN and subnormal numbers in them; labels in and out of range; options of the wrong type and beyond every
limit. Of each call it is checked that

- it ends, without a crash, within a minute;
- what it raises is TypeError, ValueError or MemoryError, and no warning;
- `out` is untouched if it raises, and what lies around `out` in memory in any case;
- arguments that are only read are not written.

Prints how many calls of each function returned and raised. A failing call is printed with the seed that repeats it.
"""

from __future__ import annotations

import faulthandler
import inspect
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import click
import numpy as np

from softgrad import ops

DOCUMENTED = (TypeError, ValueError, MemoryError)
HANG_SECONDS = 60

# Written around `out`.
GUARD = 0xA5
GUARD_BYTES = 256

FLOATS = ("float16", "float32", "float64")
OTHER_DTYPES = ("int8", "uint8", "int32", "int64", "uint64", "bool", ">f4", ">f8", "complex64", "longdouble", "U3", "O")
SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-45, 5e-324, 3e38, -3e38, 1e308, 1e4, -1e4, 6e4)
SIZES = (0, 1, 2, 3, 5, 10, 16, 17, 33, 70)
NO_ARRAYS: tuple[Any, ...] = (
    None,
    "abc",
    object(),
    {},
    [[1.0], [1.0, 2.0]],
    [],
    1.5,
    3,
    True,
    1j,
    b"x",
    [1, 2],
    np.float32(2),
)
NUMBERS: tuple[Any, ...] = (*SPECIAL, 0.5, 0.1, 0.999, 2, 0, -1, 10**400, "1", None, True, np.float32(0.5), 1j, [1.0])
WHOLE: tuple[Any, ...] = (0, 1, 2, 3, 7, -1, -100, 2**31, 2**63, -(2**63), 10**400, 1.0, "2", None, True, np.int8(3))


class Fuzzer:
    """Arguments for one call after another; `dims` and `dtype` are shared by most arrays of a call."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.dims: tuple[int, ...] = ()
        self.dtype = "float32"
        self.arrays: list[np.ndarray] = []
        self.guarded_memories: list[np.ndarray] = []

    def maybe(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def new_call(self) -> None:
        """Draw what the arrays of the next call have in common."""
        self.dims = tuple(int(self.one_of(SIZES)) for _ in range(self.one_of((0, 1, 2, 2, 2, 3))))
        self.dtype = self.one_of(FLOATS)
        self.arrays = []

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
        """The same numbers with other strides."""
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

    def array(self) -> Any:
        if self.maybe(0.03):
            return self.one_of(NO_ARRAYS)
        dims = self.dims
        if self.maybe(0.08):
            dims = tuple(int(self.one_of(SIZES)) for _ in range(self.one_of((0, 1, 2, 3))))
        dtype = self.dtype if self.maybe(0.9) else self.one_of((*FLOATS, *OTHER_DTYPES))
        if self.arrays and self.maybe(0.03):
            return self.one_of(self.arrays)
        array = self.laid_out(self.numbers(dims, dtype))
        if self.maybe(0.03):
            array = array.view()
            array.flags.writeable = False
        self.arrays.append(array)
        return array

    def labels(self) -> Any:
        if self.maybe(0.05):
            return self.array()
        dims = (*self.dims[:1], *self.dims[2:]) if self.maybe(0.9) else self.dims
        classes = self.dims[1] if len(self.dims) > 1 else 3
        low, high = (0, max(classes, 1)) if self.maybe(0.7) else (-5, classes + 5)
        values = self.rng.integers(low, high, dims).astype(self.one_of(("int64", "int64", "int32", "uint8", "int8")))
        return self.laid_out(values)

    def targets(self) -> Any:
        return self.labels() if self.maybe(0.6) else self.array()

    def row_of_classes(self) -> Any:
        """An array of a number for each class: weights, a bias."""
        classes = self.dims[1] if len(self.dims) > 1 else 3
        return np.abs(self.numbers((classes,), self.dtype)) if self.maybe(0.6) else self.array()

    def matrix(self) -> Any:
        inner = self.dims[-1] if self.dims else 1
        return (
            self.laid_out(self.numbers((inner, int(self.one_of(SIZES))), self.dtype))
            if self.maybe(0.9)
            else self.array()
        )

    def number(self) -> Any:
        return float(self.rng.random()) if self.maybe(0.6) else self.one_of(NUMBERS)

    def whole(self) -> Any:
        return self.one_of(WHOLE)

    def count(self) -> Any:
        """A whole number that may be the size of something: not so large that it is filled for minutes."""
        return self.one_of((0, 1, 2, 3, 10, 12, -1, 1 << 60, 1.5, "3", None, True))

    def truth(self) -> Any:
        return self.maybe(0.5) if self.maybe(0.97) else self.one_of((None, 2, "yes"))

    def axis(self) -> Any:
        return self.one_of((-1, -1, -1, 0, 1, -2, 2, 5, None, (0, 1), (0, 0), (), (0, 2), 1.0, "0", (0, 9), True))

    def mask(self) -> Any:
        if self.maybe(0.5):
            return None
        return self.one_of((self.rng.random(self.dims) < 0.5, True, False, self.array(), np.ones(3, bool)))

    def out(self) -> Any:
        """Mostly None, or one of the arrays that are read; else an array between guards."""
        if self.maybe(0.5):
            return None
        if self.arrays and self.maybe(0.3):
            return self.one_of(self.arrays)
        if self.maybe(0.05):
            return self.one_of(NO_ARRAYS)
        return self.guarded(self.dims, self.dtype)

    def guarded(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = np.full(size + 2 * GUARD_BYTES, GUARD, np.uint8)
        self.guarded_memories.append(memory)
        inner: np.ndarray = memory[GUARD_BYTES : GUARD_BYTES + size].view(dtype).reshape(shape)
        if inner.ndim and self.maybe(0.2):
            inner = inner[::2]
        return inner


BY_NAME: dict[str, Callable[[Fuzzer], Any]] = {
    "labels": Fuzzer.labels,
    "indices": Fuzzer.labels,
    "targets": Fuzzer.targets,
    "weight": lambda fuzz: None if fuzz.maybe(0.6) else fuzz.row_of_classes(),
    "pos_weight": lambda fuzz: None if fuzz.maybe(0.6) else fuzz.row_of_classes(),
    "bias": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.row_of_classes(),
    "b": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.row_of_classes(),
    "w": Fuzzer.matrix,
    "num_classes": Fuzzer.count,
    "chunk_rows": Fuzzer.count,
    "shape": lambda fuzz: fuzz.one_of((None, None, 0, 1, 3, (2, 3), (0,), -1, (1 << 60,), 1.5, "2", (2.0,))),
    "axis": Fuzzer.axis,
    "where": Fuzzer.mask,
    "out": Fuzzer.out,
    "step": Fuzzer.whole,
    "ignore_index": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.whole(),
    "betas": lambda fuzz: fuzz.one_of(((0.9, 0.999), (0.5, 0.5), (1.0, 0.5), (0.9,), 0.9, None, ("a", "b"), (-1, 2))),
    "reduction": lambda fuzz: fuzz.one_of(("mean", "sum", "none", "mean", "max", None, 1)),
    "approximate": lambda fuzz: fuzz.one_of(("none", "tanh", "erf", None)),
    "activation": lambda fuzz: fuzz.one_of((None, "relu", "gelu", "softplus", "heaviside", "nothing", 3)),
    "dtype": lambda fuzz: fuzz.one_of((np.float32, "float64", np.float16, "float32", int, "nothing", None)),
    "rng": lambda fuzz: fuzz.one_of((None, 0, 7, np.random.default_rng(1), -1, "seed", 1.5, 2**70)),
    "softcap": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.number(),
    "base": lambda fuzz: None if fuzz.maybe(0.5) else fuzz.number(),
}
TRUTHS = ("validate", "keepdims", "nesterov", "centered", "amsgrad", "input_grad", "overwrite_grad")
STATES = (
    "velocity", "state_sum", "square_avg", "momentum_buffer", "grad_avg", "exp_avg", "exp_avg_sq", "max_exp_avg_sq",
    "preactivation",
)  # fmt: skip


def argument(fuzz: Fuzzer, parameter: inspect.Parameter) -> Any:
    """A value for that parameter."""
    if parameter.name in BY_NAME:
        return BY_NAME[parameter.name](fuzz)
    if parameter.name in TRUTHS:
        return fuzz.truth()
    if parameter.name in STATES:
        return None if fuzz.maybe(0.3) else fuzz.guarded(fuzz.dims, fuzz.dtype) if fuzz.maybe(0.9) else fuzz.array()
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return fuzz.array()
    return fuzz.number()


def call(fuzz: Fuzzer, name: str) -> str:
    """One call of that function: how it ended. Raises AssertionError if something broke."""
    function = getattr(ops, name)
    fuzz.new_call()
    positional, named = [], {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(argument(fuzz, parameter))
        elif parameter.default is parameter.empty or fuzz.maybe(0.4):
            named[parameter.name] = argument(fuzz, parameter)
    given = {**{f"argument {i}": value for i, value in enumerate(positional)}, **named}
    arrays = {key: value for key, value in given.items() if isinstance(value, np.ndarray)}
    before = {key: memory_of(array).tobytes() for key, array in arrays.items()}
    message = ""
    try:
        result = function(*positional, **named)
        ending = "returned"
    except DOCUMENTED as error:
        ending, message = type(error).__name__, str(error)
        assert message, f"{ending} without a word"
    written = []
    if ending == "returned":
        written = [named.get(key) for key in ("out", *STATES)]
        if name.endswith("_update") or named.get("overwrite_grad"):
            written.append(positional[0])
    for key, array in arrays.items():
        if any(shares(array, out) for out in written):
            continue
        assert memory_of(array).tobytes() == before[key], f"{key} was written, and the call {ending} {message}"
    for memory in fuzz.guarded_memories:
        around = memory[:GUARD_BYTES], memory[-GUARD_BYTES:]
        assert all((part == GUARD).all() for part in around), "what lies around out or a state was written"
    if ending == "returned" and isinstance(named.get("out"), np.ndarray) and isinstance(result, np.ndarray):
        assert result is named["out"], "the result is not out"
    return ending


def memory_of(array: np.ndarray) -> np.ndarray:
    """All the memory that an array is part of, guards included."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return whole if whole.dtype != object else np.zeros(0)


def shares(array: np.ndarray, out: Any) -> bool:
    parts = out if isinstance(out, tuple) else (out,)
    return any(isinstance(part, np.ndarray) and np.shares_memory(memory_of(array), memory_of(part)) for part in parts)


def names() -> list[str]:
    """The public functions."""
    return [name for name in ops.__all__ if inspect.isfunction(getattr(ops, name))]


@click.command()
@click.option("--calls", default=1_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--op", "only", multiple=True, help="Only this function; may be repeated.  [default: all]")
def main(calls: int, seed: int, only: tuple[str, ...]) -> None:
    """Make so many calls, and report how they ended."""
    chosen = list(only) or names()
    endings: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(calls):
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            name = chosen[i % len(chosen)]
            try:
                endings[name][call(Fuzzer((seed << 32) + i), name)] += 1
            except Exception as error:
                raise click.ClickException(
                    f"call {i} of seed {seed}, {name}: {type(error).__name__}: {error}"
                ) from error
    faulthandler.cancel_dump_traceback_later()
    for name in chosen:
        counts = ", ".join(f"{ending} {count}" for ending, count in sorted(endings[name].items()))
        click.echo(f"{name:40} {counts}")
    click.echo(f"{calls} calls, seed {seed}, {time.perf_counter() - started:.0f} s: nothing broke")


if __name__ == "__main__":
    main()
