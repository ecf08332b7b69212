"""How functions are compiled that only other compiled code calls, and what they are called.

Numba adds to each a wrapper by which C could call it. Nobody does, and it is a sixth of what compiling takes. And it
would have them take after the function that calls them, which may be a user's: one that checks every division for 0, of
which no SIMD code can be made, or one that allows ``fastmath``, by which sums in two parts lose the second.

The linker knows compiled functions by their qualified names, and so does the compile cache. Two loops from one source,
over two formulas, must not share a name: one loaded from the cache would be linked to the other's code. So a function
that another builds is named by what it closes over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from numba import extending
from numba.core import types

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = {"no_cfunc_wrapper": True, "error_model": "numpy", "fastmath": False}

# Characters of a name; of a longer one its end is a digest.
LONGEST = 120


def jitable(function: Function) -> Function:
    """A function for other compiled code to call, `named` by what it closes over."""
    compiled: Function = extending.register_jitable(**_OPTIONS)(named(function))
    return compiled


overload = partial(extending.overload, jit_options=_OPTIONS)


def named(function: Function, *more: object) -> Function:
    """The function, its qualified name completed by what it closes over, and by what `more` tells it apart.

    Raises
    ------
    TypeError
        If it closes over a thing that has no name of its own, and is no number, text or type.
    """
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    if not (cells or more):
        return function
    builder = function.__qualname__.replace(".<locals>", "")
    name = ".".join([builder, *map(_word, (*cells, *more))])
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 17]}.{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    function.__qualname__ = name
    return function


def _word(value: object) -> str:
    if isinstance(value, bool | int | float | str | types.Type):
        return str(value)
    if isinstance(value, tuple):
        return "_".join(map(_word, value))
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if name is None:
        raise TypeError(f"a compiled function must close over functions, numbers, texts or types; got {value!r}")
    return str(name)
