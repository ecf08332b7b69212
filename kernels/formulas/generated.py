"""A function written from expressions, an assignment for each: what a traced formula is compiled as.

It is a formula like those written by hand, over their primitives, and its name has the digest of all it says: formulas
that compute the same are compiled once, and one that was changed has another name.
"""

from __future__ import annotations

import hashlib
import linecache
import operator
from collections.abc import Callable, Sequence
from typing import Any

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.formulas.tracing import (
    Argument,
    Constant,
    Expression,
    FormulaError,
    Given,
    Number,
    ancestry,
)

# How operators are written.
OPERATORS = {
    operator.add: "{} + {}",
    operator.sub: "{} - {}",
    operator.mul: "{} * {}",
    operator.truediv: "{} / {}",
    operator.neg: "-{}",
    operator.lt: "{} < {}",
    operator.le: "{} <= {}",
    operator.gt: "{} > {}",
    operator.ge: "{} >= {}",
    operator.eq: "{} == {}",
    operator.ne: "{} != {}",
    operator.and_: "{} & {}",
    operator.or_: "{} | {}",
}

# More operations take minutes to compile.
MOST_OPERATIONS = 2000

# What stands for a file, where a traceback finds the lines.
FILE = "<softgrad formula "


def generated(
    name: str, arguments: Sequence[Argument], parameters: Sequence[Argument], results: Sequence[Number]
) -> Any:
    """A function of the arguments and then the parameters, all numbers or vectors of one dtype, that gives the results.

    It gives a tuple, unless there is one result only. The first argument is none of the parameters.

    Raises
    ------
    FormulaError
        If there are more operations than are sensible.
    """
    lines, functions = _written(arguments, parameters, results)
    taken = ", ".join(one.name for one in (*arguments, *parameters))
    body = "\n".join(f"    {line}" for line in lines)
    digest = hashlib.sha256(f"({taken})\n{body}".encode()).hexdigest()[:32]
    source = f"def formula({taken}):\n{body}\n"
    file = f"{FILE}{digest}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    place: dict[str, Any] = {"__name__": __name__, **functions}
    exec(compile(source, file, "exec"), place)
    function = place["formula"]
    function.__name__, function.__qualname__ = name, f"{name}_{digest}"
    return jitable(function)


def is_generated(function: Callable[..., Any]) -> bool:
    """Is it one of these, whose name says everything of it?"""
    return function.__module__ == __name__ and function.__code__.co_filename.startswith(FILE)


def _written(
    arguments: Sequence[Argument], parameters: Sequence[Argument], results: Sequence[Number]
) -> tuple[list[str], dict[str, Any]]:
    """The lines of the function's body, and the functions they call, by the names they have there."""
    like = arguments[0].name
    names: dict[int, str] = {}  # of expressions, by their ids
    written: dict[str, str] = {}  # what is written already, and what it is called
    functions: dict[str, Any] = {"const": const, "inf": float("inf"), "nan": float("nan")}
    lines: list[str] = []
    own = set(map(id, arguments))

    def called(text: str) -> str:
        if text not in written:
            written[text] = f"_{len(written)}"
            lines.append(f"{written[text]} = {text}")
        return written[text]

    def name_of(node: Expression) -> str:
        if isinstance(node, Argument):
            return node.name if id(node) in own else called(f"const({like}, {node.name})")
        if isinstance(node, Constant):
            return called(f"const({like}, {node.value!r})")
        if isinstance(node, Given):
            return names[id(node.value)]
        given = ["None" if one is None else names[id(one)] for one in node.arguments]
        if node.function in OPERATORS:
            return called(OPERATORS[node.function].format(*given))
        assert node.function is not None
        module = node.function.__module__.rpartition(".")[2]
        functions[f"{module}_{node.function.__name__}"] = node.function
        return called(f"{module}_{node.function.__name__}({', '.join(given)})")

    nodes = ancestry(results, lambda node: (node.value,) if isinstance(node, Given) else node.arguments)
    if len(nodes) > MOST_OPERATIONS:
        raise FormulaError(
            f"a formula may have {MOST_OPERATIONS} operations, and this one, or its derivative, has {len(nodes)}; "
            "loops are written out when a formula is compiled"
        )
    for node in nodes:
        names[id(node)] = name_of(node)
    lines.append("return " + ", ".join(names[id(result)] for result in results))
    return lines, functions
