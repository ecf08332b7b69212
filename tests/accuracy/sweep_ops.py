"""Measure the errors of the public operations in ULP, beside those of NumPy or SciPy and of PyTorch.

    PYTHONPATH=tests/support python tests/accuracy/sweep_ops.py [options]

    --every 4099            one float32 number in 4,099, and samples of float64
    --dtype float32         every float32 number; minutes a function
    --function gelu_backward --dtype float64
    --markdown bench/results/accuracy.md

Activations are swept forward and backward, with a gradient of 1; a backward that takes the output over the values that
the output has. float32 is held against tests/support/elementwise_reference.py in float64; float64, and the rows of the
softmax family, against the references in mpmath. The other libraries are measured where the argument is finite.

An ULP is that of the exact value, and below the normal numbers the smallest number. Where a slope crosses zero, which
is where its two terms cancel, it is that of the first of the terms (`first_term`) if that is larger.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import reference
import scipy.special as sp
from elementwise_reference import ACTIVATIONS, each, quickly
from numerics import spiky, ulp_error
from sweep_ulp import Worst, float32_arguments, float32_errors

from softgrad import ops

torch: ModuleType | None
try:
    import torch
except ImportError:
    torch = None

Array = np.ndarray
OneArray = Callable[[Array], Array]


def bound(name: str) -> float:
    """The goal, in ULP."""
    row = ACTIVATIONS.get(name.removesuffix("_backward"))
    if row is None:
        return 4.0
    return row.slope_ulp if name.endswith("_backward") else row.ulp


# ---- the functions elsewhere

NUMPY: Mapping[str, OneArray] = {
    "heaviside": lambda x: np.heaviside(x, x.dtype.type(1)),
    "sigmoid": sp.expit,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "softplus": lambda x: np.logaddexp(x.dtype.type(0), x),
    "log_sigmoid": sp.log_expit,
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "relu6": lambda x: np.clip(x, 0, 6),
    "softmax": lambda x: sp.softmax(x, axis=-1),
    "log_softmax": lambda x: sp.log_softmax(x, axis=-1),
    "logsumexp": lambda x: sp.logsumexp(x, axis=-1),
}


def _torch_functions() -> dict[str, Callable[..., Any]]:
    if torch is None:
        return {}
    functional, aten = torch.nn.functional, torch.ops.aten
    elsewhere = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "logsumexp": lambda x: torch.logsumexp(x, -1)}
    elsewhere["gelu_tanh"] = lambda x: functional.gelu(x, approximate="tanh")
    elsewhere["heaviside"] = lambda x: torch.heaviside(x, torch.ones((), dtype=x.dtype))
    elsewhere["softmax"] = lambda x: torch.softmax(x, -1)
    elsewhere["log_softmax"] = lambda x: torch.log_softmax(x, -1)
    names = {"log_sigmoid": "logsigmoid"}
    for name in ops.ACTIVATIONS:
        if name not in elsewhere and hasattr(functional, names.get(name, name)):
            elsewhere[name] = getattr(functional, names.get(name, name))

    def differentiated(forward: Callable[..., Any]) -> Callable[..., Any]:
        def slope(x: Any) -> Any:
            x.requires_grad_()
            return torch.autograd.grad(forward(x).sum(), x)[0]

        return slope

    for name, row in ops.ACTIVATIONS.items():
        if row.saved == "input" and row.backward and name in elsewhere:
            elsewhere[f"{name}_backward"] = differentiated(elsewhere[name])
    elsewhere["sigmoid_backward"] = lambda y: aten.sigmoid_backward(torch.ones_like(y), y)
    elsewhere["tanh_backward"] = lambda y: aten.tanh_backward(torch.ones_like(y), y)
    elsewhere["relu_backward"] = lambda y: aten.threshold_backward(torch.ones_like(y), y, 0)
    elsewhere["hardtanh_backward"] = lambda y: aten.hardtanh_backward(torch.ones_like(y), y, -1, 1)
    elsewhere["relu6_backward"] = lambda y: aten.hardtanh_backward(torch.ones_like(y), y, 0, 6)
    return elsewhere


def contenders(name: str) -> dict[str, OneArray]:
    """The operation here and elsewhere, by the library's name."""
    function = getattr(ops, name)
    backward = name.endswith("_backward")
    found: dict[str, OneArray] = {"softgrad": lambda x: function(np.ones_like(x), x) if backward else function(x)}
    if name in NUMPY:
        found["NumPy/SciPy"] = NUMPY[name]
    theirs = TORCH.get(name)
    if theirs:
        found["PyTorch"] = lambda x: theirs(torch.from_numpy(x)).detach().numpy()
    return found


TORCH = _torch_functions()
LIBRARIES = ("softgrad", "NumPy/SciPy", "PyTorch")
ROWS = ("softmax", "log_softmax", "logsumexp")
WIDTHS = (10, 1_000, 32_000)
NAMES = [
    f"{row.name}{kind}" for row in ops.ACTIVATIONS.values() for kind in ("", "_backward")[: 2 if row.backward else 1]
]
NAMES += ROWS

# ---- arguments and errors

# The values of the functions whose backward takes the output.
OUTPUTS = {
    name: ACTIVATIONS[name].forward_limits(*row.parameters.values())
    for name, row in ops.ACTIVATIONS.items()
    if row.saved == "output" and name != "identity"
}

# Held to whatever `every` is.
EDGES = np.array([0.0, np.inf, np.nan, np.finfo(np.float32).max, np.finfo(np.float32).tiny, 2.0**-149], np.float32)
EDGES = np.concatenate([EDGES, -EDGES])


def float64_arguments(outputs: tuple[float, float] | None, count: int) -> Array:
    """About `count` numbers: to where exp vanishes, the middle, every magnitude; or among the values of an output."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], count)
    if outputs:
        low, high = max(outputs[0], -100.0), min(outputs[1], 100.0)
        near = 2.0 ** rng.uniform(-53, 0, count // 3)
        x = np.concatenate([rng.uniform(low, high, count // 3), near, 1 - near, -near, near - 1, high - near])
        return x[(x >= low) & (x <= high)]
    parts = [
        *(rng.uniform(-limit, limit, count // 6) for limit in (750, 40, 24, 3)),
        rng.uniform(-750, -700, count // 6),
        signs[: count // 6] * 2.0 ** rng.uniform(-1074, 1024, count // 6),
    ]
    return np.concatenate([*parts, [0.0, -0.0]])


def activation_errors(name: str, dtype: str, every: int, samples: int) -> Iterator[tuple[Array, Callable[..., Array]]]:
    """Arguments in chunks, each with the function that gives the errors of results for them."""
    row = name.removesuffix("_backward")
    backward = name != row
    outputs = OUTPUTS.get(row) if backward else None
    parameters = tuple(ops.ACTIVATIONS[row].parameters.values())
    formula = ACTIVATIONS[row].slope if backward else ACTIVATIONS[row].forward
    first = ACTIVATIONS[row].first_term if backward else None
    if dtype == "float64":
        x = float64_arguments(outputs, samples)
        exact = each(formula, x, *parameters)
        floor = each(first, x) if first else 0.0
        yield x, lambda y: ulp_error(y, exact, floor)
        return
    for x in chain([EDGES], float32_arguments(every)):
        if outputs:
            x = x[~((x < outputs[0]) | (x > outputs[1]))]
        exact = quickly(formula, x, *parameters)
        floor = quickly(first, x) if first else 0.0
        yield x, lambda y, exact=exact, floor=floor: float32_errors(y, exact, floor)


def row_errors(name: str, dtype: str, width: int) -> Iterator[tuple[Array, Callable[..., Array]]]:
    """Rows of logits whose softmax is not flat, on a grid, so that no result owes its error to rounding x - max(x)."""
    x = spiky(np.random.default_rng(width), (max(2, 20_000 // width), width), dtype)
    exact = getattr(reference, name)(reference.exactly(x))
    yield x, lambda y: ulp_error(y, exact)


@dataclass(frozen=True)
class Line:
    """One line of the table: the largest error of each library, and where softgrad's is."""

    name: str
    dtype: str
    worst: Mapping[str, Worst]
    bound: float

    @property
    def cells(self) -> tuple[str, ...]:
        errors = {
            library: f"{worst.error:.2f}" if worst.error < 1e5 else f"{worst.error:.1e}"
            for library, worst in self.worst.items()
        }
        ours = self.worst["softgrad"]
        at = f"{ours.argument:.9g}" if ours.error and self.name in NAMES else ""
        return (self.name, self.dtype, *(errors.get(library, "") for library in LIBRARIES), at, f"{self.bound:g}")


def measure(name: str, label: str, chunks: Iterator[tuple[Array, Callable[..., Array]]], dtype: str) -> Line:
    found = contenders(name)
    worst = {library: Worst() for library in found}
    with np.errstate(all="ignore"):
        for x, errors in chunks:
            for library, contender in found.items():
                error = errors(contender(x.copy()))
                if library != "softgrad" and name not in ROWS and not np.isfinite(x).all():
                    error = np.where(np.isfinite(x), error, 0.0)  # NaN is theirs to treat as they like
                worst[library].meet(error.ravel(), x.ravel())
    return Line(label, dtype, worst, bound(name))


def lines(names: list[str], dtypes: list[str], every: int, samples: int) -> Iterator[Line]:
    for name in names:
        for dtype in dtypes:
            if name in ROWS:
                for width in WIDTHS:
                    yield measure(name, f"{name}, {width} classes", row_errors(name, dtype, width), dtype)
            else:
                yield measure(name, name, activation_errors(name, dtype, every, samples), dtype)


HEAD = ("function", "dtype", *LIBRARIES, "at", "bound")
LAYOUT = "{:22} {:8} {:>9} {:>12} {:>9} {:>18} {:>6}"
EXPLANATION = """# Largest errors, in ULP

Written by `python tests/accuracy/sweep_ops.py {options} --markdown`, whose first lines say what is
measured against what. float32: {swept}, subnormal numbers, infinities and NaN included; float64: about {samples:,}
samples a function. Backwards are those of a gradient of 1. Empty: the library has no such function.

"""


def markdown(table: list[Line], every: int, samples: int, options: str) -> str:
    swept = "every number" if every == 1 else f"one number in {every:,}"
    head = [HEAD, ("---", "---", "---:", "---:", "---:", "---:", "---:")]
    rows = (f"| {' | '.join(cells)} |" for cells in [*head, *(line.cells for line in table)])
    return EXPLANATION.format(options=options, swept=swept, samples=samples) + "\n".join(rows) + "\n"


@click.command()
@click.option("--function", "chosen", type=click.Choice(NAMES), multiple=True, help="Which; all if not given.")
@click.option("--dtype", type=click.Choice(["float32", "float64", "both"]), default="both", show_default=True)
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="float32: one number in so many.")
@click.option("--samples", type=click.IntRange(6), default=3_000, show_default=True, help="float64: how many.")
@click.option("--markdown", "path", type=click.Path(path_type=Path), help="Write the table there, too.")
def main(chosen: tuple[str, ...], dtype: str, every: int, samples: int, path: Path | None) -> None:
    """Print the largest error of each operation, and where it is. The exit code is 1 if one is beyond its bound."""
    if torch is not None:
        torch.set_num_threads(1)  # chunks are small
    dtypes = ["float32", "float64"] if dtype == "both" else [dtype]
    table = []
    click.echo(LAYOUT.format(*HEAD))
    for line in lines(list(chosen) or NAMES, dtypes, every, samples):
        click.echo(LAYOUT.format(*line.cells))
        table.append(line)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(markdown(table, every, samples, f"--every {every} --samples {samples}"))
    sys.exit(any(line.worst["softgrad"].error > line.bound for line in table))


if __name__ == "__main__":
    main()
