"""What a contender is, and how a package's table of calls becomes contenders for a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from softgrad.bench.operation import Case, is_array

Call = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """One call to be timed.

    Attributes
    ----------
    peer, way
        Whose it is, and which way of doing it where that package has several.
    out
        Whether it writes to memory given to it, or allocates its result.
    call
        Does the work once and returns the result, or several as a tuple.
    context
        What to hold around the calls.
    """

    peer: str
    way: str
    out: bool
    call: Call
    context: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass(frozen=True)
class Way:
    """One way of an operation.

    Attributes
    ----------
    make
        `make(*arguments, **options)` returns the call; of a way with `out` it is given `out=` too.
    out
        Whether it writes to memory given to it.
    name
        What tells it from the package's other ways.
    context
        What to hold around its calls, if not what the package's calls need.
    dtypes
        Where it is to be had, if not in every dtype.
    precision
        The dtype whose precision its results have, if they fall short of their own dtype's.
    """

    make: Callable[..., Call]
    out: bool = False
    name: str = ""
    context: Callable[[], AbstractContextManager[Any]] | None = None
    dtypes: tuple[str, ...] | None = None
    precision: str | None = None


def allocating(function: Callable[..., Any], **fixed: Any) -> Way:
    """The way that calls `function(*arguments, **options)` and lets it allocate."""
    return Way(partial(partial, function, **fixed))


def writing(function: Callable[..., Any], **fixed: Any) -> Way:
    """The way that calls `function(*arguments, **options, out=out)`."""
    return Way(partial(partial, function, **fixed), out=True)


def both(function: Callable[..., Any]) -> tuple[Way, ...]:
    """Both ways of a function that takes `out=`."""
    return allocating(function), writing(function)


@dataclass(frozen=True)
class Peer:
    """A package.

    Attributes
    ----------
    name
        As it is imported.
    ways
        Its ways of the public functions of `softgrad.ops`, by name.
    array
        Makes a NumPy array one of its own; on a GPU a CuPy array, whose memory it shares.
    context
        What to hold around its calls.
    set_threads
        Tells it how many threads to use, if the environment does not.
    """

    name: str
    ways: Mapping[str, tuple[Way, ...]]
    array: Callable[[Any], Any]
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    set_threads: Callable[[int], object] = lambda threads: None

    def ways_of(self, case: Case) -> tuple[Way, ...]:
        """Its ways of doing the case; none, if it does not have the operation in that dtype."""
        ways = self.ways.get(case.operation.function, ())
        return tuple(way for way in ways if way.dtypes is None or case.dtype in way.dtypes)

    def contender(self, way: Way, case: Case, result: Any = None) -> Contender:
        """One of those ways, ready to be called.

        `result` is what the call is to return, in our arrays; a way that writes needs it to know the memory.
        Arrays are converted, and memory for results allocated, here and not in the call.
        """
        operation = case.operation
        arguments = [self._own(value, copy=operation.in_place) for value in case.arguments]
        options = dict(operation.options)
        if way.out and not operation.in_place:
            outs = tuple(self._own(np.empty_like(array), copy=False) for array in as_tuple(result))
            options["out"] = outs if isinstance(result, tuple) else outs[0]
        call = way.make(*arguments, **options)
        return Contender(self.name, way.name, way.out, call, way.context or self.context)

    def label(self, way: Way) -> str:
        """Peer, way and mode in words."""
        return self.name + (f" ({way.name})" if way.name else "") + (" with out=" if way.out else "")

    def _own(self, value: Any, *, copy: bool) -> Any:
        if not is_array(value):
            return value
        return self.array(value.copy() if copy else value)


def as_tuple(result: Any) -> tuple[Any, ...]:
    """The results as a tuple, of one or of several."""
    return result if isinstance(result, tuple) else (result,)
