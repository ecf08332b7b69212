"""Write ops/__init__.pyi: what a type checker knows of the public functions, made from their signatures.

python tools/make_stubs.py            write it
python tools/make_stubs.py --check    compare it with what would be written; exit 1 on a difference

The activations and elementwise losses come from tables and have no definition that a type checker could read. And of
every function a checker is to know that arrays of float32 give arrays of float32, and that what is no NumPy array, a
GPU's say, gives something else: that takes overloads, alike for all.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import click

from softgrad import ops

STUB = Path(__file__).resolve().parent.parent / "ops" / "__init__.pyi"

HEADER = '''\
"""The types of the public functions. Made by tools/make_stubs.py: change that, or the functions."""

from collections.abc import Mapping
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softgrad.kernels.formulas.registry import Activation
from softgrad.ops.axes import Axis
from softgrad.ops.elementwise import elementwise as elementwise
from softgrad.ops.gpu import BackendUnavailableError as BackendUnavailableError

# An array of one of the dtypes that keep theirs: float16, float32, float64; bfloat16 is `ml_dtypes`' to type.
F = TypeVar("F", np.float16, np.float32, np.float64)

ACTIVATIONS: Mapping[str, Activation]
'''

# What a function returns for arrays of dtype F, where that is not an array of F.
RETURNS = {
    "logsumexp": "Any",  # over all axes a number
    "linear_backward": "tuple[NDArray[F] | None, NDArray[F], NDArray[F]]",
    "linear_cross_entropy": "Any",
    "linear_cross_entropy_with_grad": "tuple[Any, tuple[NDArray[F], NDArray[F], NDArray[F] | None]]",
    "one_hot": "NDArray[Any]",
    "gather_scale": "NDArray[Any]",
    "accuracy": "Any",
    "count_correct": "Any",
    "sample_categorical": "NDArray[np.int64]",
    "entropy": "Any",
    "cross_entropy": "Any",
    "kl_divergence": "Any",
    "perplexity": "Any",
}


def functions() -> list[str]:
    """The public functions by name, in alphabetical order."""
    names = (name for name in ops.__all__ if name != "elementwise")  # which takes no arrays
    return sorted(name for name in names if inspect.isfunction(getattr(ops, name)))


def returns(name: str) -> str:
    """The type of the result for arrays of dtype F."""
    if name in RETURNS:
        return RETURNS[name]
    if name.endswith("_update"):
        return "None"
    if name.endswith("_with_grad"):
        return "tuple[Any, NDArray[F]]"
    # Losses are numbers, or arrays where they are not reduced.
    return "Any" if f"{name}_with_grad" in ops.__all__ else "NDArray[F]"


def definition(name: str, first: str, others: str, result: str) -> str:
    """One signature: the type of the first array, of the other arrays, and of the result."""
    parts, has_slash, has_star = [], False, False
    for i, parameter in enumerate(inspect.signature(getattr(ops, name)).parameters.values()):
        annotation = "Any" if parameter.annotation is parameter.empty else str(parameter.annotation)
        default = "" if parameter.default is parameter.empty else " = ..."
        if parameter.kind is parameter.POSITIONAL_ONLY:
            annotation = (first if i == 0 else others) if annotation == "Any" else annotation
            has_slash = True
        elif has_slash:
            parts.append("/")
            has_slash = False
        if parameter.kind is parameter.KEYWORD_ONLY and not has_star:
            parts.append("*")
            has_star = True
        if parameter.annotation is parameter.empty and isinstance(parameter.default, float):
            annotation = "float"
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        parts.append(f"{stars}{parameter.name}: {annotation}{default}")
    if has_slash:
        parts.append("/")
    return f"def {name}({', '.join(parts)}) -> {result}: ...\n"


def stub() -> str:
    """The text of the file."""
    blocks = [HEADER]
    for name in functions():
        result = returns(name)
        if "F" not in result.replace("NDArray[F]", "F"):  # nothing depends on the dtype
            blocks.append(definition(name, "Any", "Any", result))
            continue
        forms = (
            definition(name, "NDArray[F]", "Any", result),
            definition(name, "Any", "Any", "Any" if result == "NDArray[F]" else result.replace("NDArray[F]", "Any")),
        )
        blocks.append("".join(f"@overload\n{form}" for form in forms))
    return "\n".join(blocks)


@click.command()
@click.option("--check", is_flag=True, help="Compare, and write nothing.")
def main(check: bool) -> None:
    """Write the stub of softgrad.ops, or check that it is what would be written."""
    text = stub()
    if not check:
        STUB.write_text(text)
    elif not STUB.exists() or STUB.read_text() != text:
        click.echo(f"{STUB.name} is not what the functions' signatures say; run python tools/make_stubs.py", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
