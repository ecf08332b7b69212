"""PyTorch through `torch.compile`: kernels that Inductor writes for the shape they are given, with Triton on a GPU.

On processors it writes C++, and needs a compiler for that. Compiling takes seconds a shape: so beside formulas there is
of each kind of kernel one, in float32, for a GPU.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch.nn import functional

from softgrad.bench.formulas import name_of
from softgrad.bench.peers.peer import Call, Peer, Way
from softgrad.bench.peers.torch_peer import OWN, own_tensor

DTYPES = ("float32", "float64")


def _compiled(function: Callable[..., Any], dtypes: tuple[str, ...] = ("float32",)) -> tuple[Way, ...]:
    """The way that compiles `function(*arguments, **options)` for these very shapes."""

    def make(*arguments: Any, **options: Any) -> Call:
        torch.compiler.reset()  # what was compiled for other shapes counts towards a limit
        compiled = torch.compile(lambda *arguments: function(*arguments, **options), dynamic=False)
        return lambda: compiled(*arguments)

    return (Way(make, dtypes=dtypes),)


def _softmax_backward(grad: Any, y: Any, axis: int) -> Any:
    return y * (grad - (grad * y).sum(axis, keepdim=True))


def _cross_entropy_with_grad(logits: Any, labels: Any) -> Any:
    log_probs = torch.log_softmax(logits, 1)
    one_hot = functional.one_hot(labels, logits.shape[1])
    return functional.nll_loss(log_probs, labels), (log_probs.exp() - one_hot) / len(labels)


def _formulas() -> dict[str, tuple[Way, ...]]:
    ways = {}
    for name, formula in OWN.items():

        def gradient(grad: Any, *arrays: Any, formula: Callable[..., Any] = formula) -> Any:
            grads = torch.func.vjp(formula, *arrays)[1](grad)
            return grads if len(grads) > 1 else grads[0]

        ways[name_of(name)] = _compiled(formula, DTYPES)
        ways[name_of(name, gradient=True)] = _compiled(gradient, DTYPES)
    return ways


ON_GPU = {
    "softmax": _compiled(torch.softmax),
    "softmax_backward": _compiled(_softmax_backward),
    "softmax_cross_entropy_with_grad": _compiled(_cross_entropy_with_grad),
    "gelu": _compiled(functional.gelu),
}

PEER = Peer(
    "torch_compile",
    MappingProxyType(
        (_formulas() if shutil.which("g++") or torch.cuda.is_available() else {})
        | (ON_GPU if torch.cuda.is_available() else {})
    ),
    array=own_tensor,
    context=torch.no_grad,
    set_threads=torch.set_num_threads,
)
