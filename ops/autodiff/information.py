"""The information measures of `softgrad.ops` for variables, by their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from softgrad import ops
from softgrad.ops.arguments import float_array
from softgrad.ops.autodiff.arrays import stretched
from softgrad.ops.autodiff.graph import Taken, Way, each, record, value_of
from softgrad.ops.autodiff.operations import described
from softgrad.ops.axes import Axis
from softgrad.ops.backend import backend_of

# The derivative of a measure by one of its distributions, ``slope(xp, y, p)`` or ``slope(xp, y, p, q)`` with its value
# y in every element. Of a term that is 0 log 0 = 0 it is 0: it has no finite limit there, but has this limit where it
# reaches a logit, times a probability that tends to 0.
Slope = Callable[..., Any]


def _measure(name: str, gradient: str, *slopes: Slope) -> Callable[..., Any]:
    op = getattr(ops, name)

    def function(*distributions: Any, axis: Axis = -1, keepdims: bool = False, **options: Any) -> Any:
        y = op(*map(value_of, distributions), axis=axis, keepdims=keepdims, **options)
        backend = backend_of(**{f"distribution {i}": value_of(x) for i, x in enumerate(distributions)})
        values = [float_array(backend, value_of(x), name) for x in distributions]

        def over_elements(of_row: Any) -> Any:
            return stretched(backend.xp, of_row, values[0].shape, axis, keepdims)

        scale = 1.0 if options.get("base") is None else 1 / math.log(options["base"])

        def way(slope: Slope) -> Way:
            def by_distribution(grad: Any, taken: Taken) -> tuple[Any, Taken]:
                grad, value = over_elements(grad), over_elements(y)
                return grad * slope(backend.xp, value, *values) * scale, None if taken is None else over_elements(taken)

            return by_distribution

        return record(y, *((x, way(slope)) for x, slope in zip(distributions, slopes, strict=True)))

    return described(function, op, f"; {gradient}")


entropy = _measure(
    "entropy",
    "its gradient is -grad * (log(p) + 1), and 0 where p is 0",
    lambda xp, y, p: -xp.where(p == 0, 0, xp.log(p) + 1),
)
perplexity = _measure(
    "perplexity",
    "its gradient is -grad * perplexity * (log(p) + 1), and 0 where p is 0",
    lambda xp, y, p: -y * xp.where(p == 0, 0, xp.log(p) + 1),
)
cross_entropy = _measure(
    "cross_entropy",
    "its gradients are -grad * log(q) and -grad * p / q",
    lambda xp, y, p, q: -xp.where((p == 0) & (q == 0), 0, xp.log(q)),
    lambda xp, y, p, q: -xp.where(p == 0, 0, p / q),
)
kl_divergence = _measure(
    "kl_divergence",
    "its gradients are grad * log(p / q) and grad * (1 - p / q)",
    lambda xp, y, p, q: xp.where(p == 0, 0, xp.log(p) - xp.log(q)),
    lambda xp, y, p, q: 1 - xp.where(p == 0, 0, p / q),
)


def self_information(p: Any, /, *, base: float | None = None, validate: bool = True) -> Any:
    """`ops.self_information`, for a Variable too; its gradient is -grad / p."""
    value = value_of(p)
    y = ops.self_information(value, base=base, validate=validate)
    scale = -1.0 if base is None else -1 / math.log(base)
    return record(y, (p, each(lambda grad: grad * scale / value)))
