"""Every kernel for the GPU, compiled for real architectures where there is no GPU, and what the machine code is like.

Each op is called with arrays of shapes that take every path; instead of being launched, its kernels are noted, with the
types of their arguments. Then all of them are compiled to PTX and linked.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import gpu_compiler_or_skip
from ml_dtypes import bfloat16
from numerics import one_quick
from ptx import store
from ptx.reading import float64_of

from softgrad.kernels import cache, cuda
from softgrad.kernels.cuda import (
    ending,
    half,
    held,
    label_cross_entropy,
    launch,
    launches,
    memory,
    plans,
    search,
    sums,
    wide,
    wide_cross_entropy,
)
from softgrad.kernels.formulas.conditions import is_between, is_class, is_class_or_ignored
from softgrad.kernels.formulas.cross_entropy import DEFAULTS, CrossEntropyOptions
from softgrad.kernels.formulas.elementwise_losses import PROBABILITIES, SIGNS, WEIGHTS
from softgrad.kernels.formulas.information import CROSS_ENTROPY, ENTROPY, KL_DIVERGENCE, PERPLEXITY
from softgrad.kernels.formulas.registry import ACTIVATIONS, ELEMENTWISE_LOSSES, UPDATE_RULES
from softgrad.kernels.formulas.softmax import LOG_SOFTMAX, SOFTMAX

gpu_compiler_or_skip()

ARCHITECTURES = [(8, 0), (9, 0), (10, 0)]

# Registers of a thread: with 72 a processor of the GPU holds three blocks of 256 threads, 64 bytes each on the way.
MOST_REGISTERS = {"float32": 72, "float64": 144}

# Kernels of float32 that add up in float64, and all that they may do in it.
SUMMING = ("_sum.", "elementwise_loss_")
SUM_INSTRUCTIONS = {"abs", "add", "sub", "mul", "div", "cvt", "ld", "st", "mov", "setp", "selp"}

# Kernels whose threads hold rows, or parts of them.
OVER_ROWS = ("_staged", "_team", "_held", "_row_kernel", "_leaving", "_rewriting", "_part", "_whole", "_wide")

# Rules that divide by a root.
ADAPTIVE = [rule.step for name, rule in UPDATE_RULES.items() if not name.startswith("sgd")]

# A thread a row, and a few, through shared memory; a few without; a block; a block with a row in shared memory, two of
# which a processor holds or one; several blocks: with rows that begin at a multiple of sixteen bytes, and with others.
WIDTHS = [3, 16, 100, 101, 128, 4096, 4097, 16_400, 40_001, 131_072, 131_073]
WEIGHTED_WIDTHS = [12, 16, 64, 97, 1001, 2048, 4100, 40_001, 131_072]

# Rows of 16-bit floats: staged, of lanes, of a block with packs or ragged, held, and in parts.
HALF_WIDTHS = (10, 64, 1001, 4096, 20_000, 60_000)

# Of a block of sm_90; with less, as on sm_80, the same kernels serve narrower rows.
MOST_SHARED = 227 << 10


@dataclass(frozen=True)
class Compiled:
    """A kernel and the types it was launched with."""

    kernel: launch.Kernel
    signature: Any
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.kernel.function.__qualname__} {self.dtype}"

    @property
    def built_of(self) -> Mapping[str, Any]:
        """What the kernel closes over."""
        return inspect.getclosurevars(self.kernel.function).nonlocals

    @property
    def holds_rows(self) -> bool:
        return self.name.startswith(OVER_ROWS)

    @property
    def in_packs_of_four(self) -> bool:
        return reaches(self.kernel.function, memory.load4)


class Stand:
    """An array as the launching code sees it: no memory, only a dtype, a shape and an address."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, address: int = 0) -> None:
        self.shape, self.dtype, self.data = shape, np.dtype(dtype), SimpleNamespace(ptr=address)
        self.size, self.ndim = int(np.prod(shape)), len(shape)

    def __getitem__(self, _: Any) -> float:
        return 0.0

    def get(self) -> Stand:
        return self

    def min(self) -> float:
        return 0.0

    def astype(self, dtype: Any) -> Stand:
        return Stand(self.shape, dtype)


@pytest.fixture(scope="module")
def kernels() -> dict[str, Compiled]:
    """All kernels, by name."""
    found: dict[str, Compiled] = {}
    dtype = ""

    def note(kernel: launch.Kernel, blocks: Any, threads: Any, *arguments: Any, shared: int = 0) -> None:
        compiled = Compiled(kernel, launch.signature_of(arguments), dtype)
        found.setdefault(f"{compiled.name} {compiled.signature}", compiled)

    def note_again(prepared: launches.Launch, *arrays: Any, numbers: Any = None) -> None:
        note(prepared._kernel, None, None, *prepared.arguments_with(*arrays, *(numbers or prepared.numbers)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch.Kernel, "launch", note)
        patch.setattr(held, "shared_bytes", lambda: MOST_SHARED)
        patch.setattr(launches.Launch, "__call__", note_again)
        patch.setattr(sums, "_of_thread", sums._OfThread())
        patch.setattr(sums, "place_of_work", lambda: (0, 0))
        patch.setattr(sums, "zeros", Stand)
        for module in (ending, label_cross_entropy, search, sums, wide, wide_cross_entropy):
            patch.setattr(module, "empty", Stand)
        for dtype in ("float32", "float64"):
            launch_everything(np.dtype(dtype))
        dtype = "float32"  # in which 16-bit floats are computed
        for stored in (np.float16, bfloat16):
            launch_halves(np.dtype(stored))
    return found


def launch_everything(dtype: np.dtype) -> None:
    """Launch every kernel for that dtype."""
    x, odd, empty = Stand((1000,), dtype), Stand((1000,), dtype, address=4), Stand((0,), dtype)
    for row in ACTIVATIONS.values():
        values = tuple(row.parameters.values())
        for array in (x, odd):
            cuda.activation_forward(row)(array, values, array)
            if row.backward is not None:
                cuda.activation_backward(row)(array, array, values, array)
        matrix, bias = Stand((128, 256), dtype), Stand((256,), dtype)
        cuda.bias_activation_forward(row, matrix, bias, values, matrix, matrix)  # keeping the sum is all that it can do
        if row.backward is not None:
            cuda.bias_activation_backward(row, matrix, matrix, values, matrix, bias)
    for loss in ELEMENTWISE_LOSSES.values():
        operands = [(x, x), (x, 1.0)] if loss.weights else []
        for values, (array, losses) in product([loss.defaults, *operands], [(x, empty), (odd, x)]):
            cuda.elementwise_loss_forward(loss)(array, x, values, 1000, losses)
            cuda.elementwise_loss_with_grad(loss)(array, x, values, 1000, 0.5, losses, array)
        many = Stand((1 << 26,), dtype)  # more blocks than the last of them adds up
        cuda.elementwise_loss_with_grad(loss)(many, many, loss.defaults, many.size, 0.5, empty, many)
    sums.sum_of(Stand((100_000,), dtype))  # of many blocks
    for condition in (PROBABILITIES, SIGNS, WEIGHTS):
        cuda.first_failing(condition.holds)(x)
    of_rows, index = Stand((64,), dtype), Stand((64,), np.int64)
    for width in WIDTHS:
        y = Stand((64, width), dtype)
        for temperature in (1.0, 0.5):
            for normalised in (SOFTMAX, LOG_SOFTMAX):
                cuda.normalised(normalised)(y, temperature, y)
                cuda.normalised_backward(normalised)(y, y, temperature, y)
        cuda.logsumexp(y, of_rows)
        cuda.softmax_cross_entropy_forward(y, index, None, 64, of_rows)
        cuda.softmax_cross_entropy_with_grad(y, index, None, 64, 0.5, of_rows, y)
        cuda.classification_step(y, Stand((width,), dtype), index, Stand((), np.float64), Stand((), np.int64), y)
        many, labels = Stand((100_000, width), dtype), Stand((100_000,), np.int64)
        cuda.softmax_cross_entropy_with_grad(many, labels, None, 100_000, 0.5, empty, many)
        for measure in (ENTROPY, CROSS_ENTROPY, KL_DIVERGENCE, PERPLEXITY):
            checks = Stand((measure.distributions, 64), dtype)
            cuda.information_measure(measure)((y,) * measure.distributions, 1.0, 0.0, of_rows, checks)
        cuda.sample_categorical_forward(y, 0.5, 1, index)
        cuda.count_correct(y, index)
        cuda.one_hot_forward(index, y)
    for width in WEIGHTED_WIDTHS:
        y, scale = Stand((64, width), dtype), Stand((), dtype)
        all_options = CrossEntropyOptions(Stand((width,), dtype), -100, 0.1, 0.01, 30.0)
        for targets, options in ((index, CrossEntropyOptions(label_smoothing=0.1)), (y, None), (index, all_options)):
            cuda.softmax_cross_entropy_forward(y, targets, options, 64, of_rows)
            cuda.softmax_cross_entropy_with_grad(y, targets, options, 64, 0.5, of_rows, y)
        all_options, divisor = all_options._replace(ignore_index=None), Stand((), np.float64)
        cuda.softmax_cross_entropy_with_grad(y, y, all_options, divisor, scale, of_rows, y)
    for width in (65, 4097, 4100):  # one array, as many of its elements a thread as there are registers for
        y = Stand((64, width), dtype)
        for options in (CrossEntropyOptions(None, -100, 0.1, 0.01), CrossEntropyOptions(Stand((width,), dtype), -100)):
            cuda.softmax_cross_entropy_with_grad(y, index, options, 64, 0.5, of_rows, y)
    cube, sums_of_cube = Stand((4, 10, 64), dtype), Stand((4, 64), dtype)
    for temperature in (1.0, 0.5):
        for normalised in (SOFTMAX, LOG_SOFTMAX):
            cuda.normalised(normalised)(cube, temperature, cube)
            cuda.normalised_backward(normalised)(cube, cube, temperature, cube)
    cuda.logsumexp(cube, sums_of_cube)
    for array in (x, odd):
        cuda.self_information_forward(array, 1.0, 0.0, array)
    cuda.first_failing(is_between)(x, 0.0, 1.0)
    cuda.first_failing(is_class)(index, 10)
    cuda.first_failing(is_class_or_ignored)(index, 10, -100)
    for rule in UPDATE_RULES.values():
        for array in (x, odd):
            cuda.update(rule)(array, array, [array] * len(rule.states), (0.5,) * len(rule.numbers))
    for source in (np.uint8, dtype):
        pixels, inputs = Stand((100, 784), source), Stand((64, 784), dtype)
        cuda.gather_scale(pixels, index, 1.0, 0.0, inputs, halves=False)
        cuda.gather_batch(pixels, index, index, 64, 1.0, 0.0, inputs, index)


def launch_halves(dtype: np.dtype) -> None:
    """Launch a kernel of every way that 16-bit floats take."""
    x, odd, x32 = Stand((1000,), dtype), Stand((1000,), dtype, address=2), Stand((1000,), np.float32)
    for array in (x, odd):
        cuda.activation_forward(ACTIVATIONS["relu"])(array, (), array)
        cuda.activation_backward(ACTIVATIONS["gelu"])(array, array, (), array)
        cuda.self_information_forward(array, 1.0, 0.0, array)
    matrix, bias = Stand((128, 256), dtype), Stand((256,), dtype)
    cuda.bias_activation_forward(ACTIVATIONS["gelu"], matrix, bias, (), matrix, matrix)
    cuda.bias_activation_backward(ACTIVATIONS["gelu"], matrix, matrix, (), matrix, bias)
    huber, adam = ELEMENTWISE_LOSSES["huber_loss"], UPDATE_RULES["adam"]
    cuda.elementwise_loss_with_grad(huber)(x, x, huber.defaults, None, 0.5, x32, x)
    for param in (x, x32):
        cuda.update(adam)(param, x, [param] * len(adam.states), (0.5,) * len(adam.numbers))
    of_rows, index = Stand((64,), np.float32), Stand((64,), np.int64)
    for width in HALF_WIDTHS:
        y, weight = Stand((64, width), dtype), Stand((width,), np.float32)
        cuda.normalised(SOFTMAX)(y, 1.0, y)
        cuda.normalised_backward(SOFTMAX)(y, y, 1.0, y)
        cuda.logsumexp(y, Stand((64,), dtype))
        cuda.softmax_cross_entropy_with_grad(y, index, None, 64, 0.5, None, y)
        options = CrossEntropyOptions(weight, -100, 0.1, 0.01, 30.0)
        cuda.softmax_cross_entropy_with_grad(y, index, options, 64, 0.5, of_rows, y)
        cuda.softmax_cross_entropy_with_grad(y, y, DEFAULTS, 64, 0.5, of_rows, y)
    y = Stand((64, 100), dtype)
    cuda.information_measure(ENTROPY)((y,), 1.0, 0.0, of_rows, of_rows)
    cuda.sample_categorical_forward(y, 0.5, 1, index)
    cuda.count_correct(y, index)
    cuda.one_hot_forward(index, y)
    cuda.normalised(SOFTMAX)(Stand((4, 10, 64), dtype), 1.0, Stand((4, 10, 64), dtype))
    cuda.gather_scale(Stand((100, 784), dtype), index, 1.0, 0.0, Stand((64, 784), dtype), halves=True)


def test_every_kernel_has_a_place_of_its_own_in_the_cache(kernels: dict[str, Compiled]) -> None:
    places = {cache.entry_path(one.kernel.function, one.signature) for one in kernels.values()}
    assert None not in places
    assert len(places) == len({(one.kernel.function.__qualname__, str(one.signature)) for one in kernels.values()})


# Which kernels are looked at; of float32 those that hold rows, or parts of them, have the least room in registers.
KINDS: dict[str, Callable[[Compiled], bool]] = {
    "rows": lambda one: one.dtype == "float32" and one.holds_rows,
    "others": lambda one: one.dtype == "float32" and not one.holds_rows,
    "float64": lambda one: one.dtype == "float64",
}

# They are shared out among so many tests, which pytest-xdist shares out among processes.
SHARES = 4


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("kind", one_quick(list(KINDS)))
def test_machine_code(kernels: dict[str, Compiled], kind: str, share: int) -> None:
    mine = list(filter(KINDS[kind], kernels.values()))[share::SHARES]
    faults = [fault for compiled in mine for fault in faults_of(compiled)]
    print(f"{len(mine)} of {len(kernels)} kernels x {len(ARCHITECTURES)} architectures compiled")  # noqa: T201
    assert not faults, "\n".join(faults)


def reaches(function: Any, wanted: Any) -> bool:
    """Does the function close over another, or over one that does?"""
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return wanted in cells or any(reaches(cell, wanted) for cell in cells)


def faults_of(compiled: Compiled) -> Iterator[str]:
    """What is wrong with a kernel's machine code, on any architecture."""
    adds_up = compiled.built_of.get("end", ending._nothing_at_end) is not ending._nothing_at_end
    allowed = SUM_INSTRUCTIONS if adds_up or compiled.name.startswith(SUMMING) else set()
    threads, blocks = compiled.kernel.bounds
    most_registers = plans.REGISTER_FILE // (threads * blocks)
    if blocks == 1:  # else the launch itself says how many blocks a processor has room for
        most_registers = min(MOST_REGISTERS[compiled.dtype], most_registers)
    for capability in ARCHITECTURES:
        name = f"{compiled.name} for sm_{capability[0]}{capability[1]}"
        ptx = store.ptx_of(compiled.kernel, compiled.signature, capability)
        _, log = launch.link(ptx, capability)
        if compiled.dtype == "float32" and (found := float64_of(ptx) - allowed):
            yield f"{name}: float64 arithmetic ({', '.join(sorted(found))}); a literal, or a call of math?"
        halves = any(isinstance(kind, half.HalfPointer) for kind in compiled.signature.args)
        if compiled.in_packs_of_four and not halves and "ld.global.v4" not in ptx:
            yield f"{name}: no loads of sixteen bytes"
        if ".approx" in ptx:
            yield f"{name}: a quotient or a root that is not rounded correctly"
        if compiled.built_of.get("formula") in ADAPTIVE and not ("div.rn" in ptx and "sqrt.rn" in ptx):
            yield f"{name}: no quotient and root"
        if ".local" in ptx:
            yield f"{name}: local memory"
        yield from (
            f"{name}: {amount} bytes {what}"
            for amount, what in re.findall(r"(\d+) bytes (stack frame|spill stores|spill loads)", log)
            if amount != "0"
        )
        registers = re.search(r"Used (\d+) registers", log)
        assert registers is not None, log
        if int(registers[1]) > most_registers:
            yield f"{name}: {registers[1]} registers"
