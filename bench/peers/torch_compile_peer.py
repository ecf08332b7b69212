"""PyTorch through `torch.compile`: kernels that Inductor writes with Triton for the shape they are given.

Compiling takes seconds a shape. So of each kind of kernel there is one, in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch.nn import functional

from softgrad.bench.peers.peer import Call, Peer, Way
from softgrad.bench.peers.torch_peer import own_tensor


def _compiled(function: Callable[..., Any]) -> tuple[Way, ...]:
    """The way that compiles `function(*arguments, **options)` for these very shapes."""

    def make(*arguments: Any, **options: Any) -> Call:
        torch.compiler.reset()  # what was compiled for other shapes counts towards a limit
        compiled = torch.compile(lambda *arguments: function(*arguments, **options), dynamic=False)
        return lambda: compiled(*arguments)

    return (Way(make, dtypes=("float32",)),)


def _softmax_backward(grad: Any, y: Any, axis: int) -> Any:
    return y * (grad - (grad * y).sum(axis, keepdim=True))


def _cross_entropy_with_grad(logits: Any, labels: Any) -> Any:
    log_probs = torch.log_softmax(logits, 1)
    one_hot = functional.one_hot(labels, logits.shape[1])
    return functional.nll_loss(log_probs, labels), (log_probs.exp() - one_hot) / len(labels)


PEER = Peer(
    "torch_compile",
    MappingProxyType(
        {
            "softmax": _compiled(torch.softmax),
            "softmax_backward": _compiled(_softmax_backward),
            "softmax_cross_entropy_with_grad": _compiled(_cross_entropy_with_grad),
            "gelu": _compiled(functional.gelu),
        }
    ),
    array=own_tensor,
    context=torch.inference_mode,
)
