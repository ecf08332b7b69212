"""PyTorch: its public functions in inference mode, and aten's own backwards, which autograd would call.

aten's functions are taken as overloads (`.default`, `.grad_input`), which spares their lookup in every call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from softgrad.bench.formulas import FORMULAS, name_of
from softgrad.bench.peers.peer import Call, Peer, Way, allocating, both, writing

aten = torch.ops.aten
nn = torch._C._nn  # where torch.nn.functional finds its functions; there they take out=

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
CELU_SCALES = (1.0, 1.0, 1.0)  # alpha, scale, input scale at celu's default alpha
SELU_SCALES = (SELU_ALPHA, SELU_SCALE, 1.0)
MEAN, IGNORE_NOTHING = 1, -100


def own_tensor(array: Any) -> torch.Tensor:
    """A tensor over an array's memory, NumPy's or CuPy's."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.from_dlpack(array)


# ---- rows


def _over_axis(function: Callable[..., Any]) -> tuple[Way, ...]:
    def make(x: Any, axis: int, **out: Any) -> Call:
        return partial(function, x, axis, **out)

    return Way(make), Way(make, out=True)


def _softmax_backward(overload: Any, grad: Any, y: Any, axis: int, out: Any = None) -> Call:
    given = {} if out is None else {"grad_input" if overload is aten._softmax_backward_data.out else "out": out}
    return partial(overload, grad, y, axis, y.dtype, **given)


def _softmax_backwards(name: str) -> tuple[Way, ...]:
    overloads = getattr(aten, name)
    return Way(partial(_softmax_backward, overloads.default)), Way(partial(_softmax_backward, overloads.out), out=True)


def _loss_by_autograd(function: Callable[..., Any]) -> Way:
    """A loss with its gradient, through the graph that each call builds."""

    def make(logits: Any, targets: Any) -> Call:
        leaf = logits.clone().requires_grad_()

        def call() -> Any:
            loss = function(leaf, targets)
            (grad,) = torch.autograd.grad(loss, leaf)
            return loss.detach(), grad

        return call

    return Way(make, name="autograd", context=nullcontext)


def _cross_entropy_by_aten(logits: Any, labels: Any, out: Any = None) -> Call:
    one = logits.new_ones(())
    log_backward = aten._log_softmax_backward_data
    log_backward = log_backward.default if out is None else partial(log_backward.out, out=out[1])

    def call() -> Any:
        y = torch.log_softmax(logits, 1)
        loss, weight = aten.nll_loss_forward.default(y, labels, None, MEAN, IGNORE_NOTHING)
        grad = aten.nll_loss_backward.default(one, y, labels, None, MEAN, IGNORE_NOTHING, weight)
        return loss, log_backward(grad, y, 1, y.dtype)

    return call


# ---- elementwise


def _heaviside(x: Any, out: Any = None) -> Call:
    return partial(torch.heaviside, x, x.new_ones(()), **({} if out is None else {"out": out}))


def _copy(x: Any, *ignored: Any, out: Any = None) -> Call:
    return partial(torch.clone, x) if out is None else partial(out.copy_, x)


def _backward(name: str, *constants: Any, **options: Any) -> tuple[Way, ...]:
    """aten's backward(grad, saved, *constants), allocating and with grad_input=."""
    overloads = getattr(aten, f"{name}_backward")

    def make(grad: Any, saved: Any, out: Any = None) -> Call:
        if out is None:
            return partial(overloads.default, grad, saved, *constants, **options)
        return partial(overloads.grad_input, grad, saved, *constants, **options, grad_input=out)

    ways = (Way(make), Way(make, out=True))
    return ways if hasattr(overloads, "grad_input") else ways[:1]


def _elu_backward(alpha: float, scale: float, input_scale: float) -> tuple[Way, ...]:
    def make(grad: Any, x: Any, out: Any = None) -> Call:
        arguments = (grad, alpha, scale, input_scale, False, x)
        if out is None:
            return partial(aten.elu_backward.default, *arguments)
        return partial(aten.elu_backward.grad_input, *arguments, grad_input=out)

    return Way(make), Way(make, out=True)


def _log_sigmoid_backward(grad: Any, x: Any, out: Any = None) -> Call:
    _, buffer = aten.log_sigmoid_forward.default(x)
    if out is None:
        return partial(aten.log_sigmoid_backward.default, grad, x, buffer)
    return partial(aten.log_sigmoid_backward.grad_input, grad, x, buffer, grad_input=out)


def _by_autograd(function: Callable[..., Any]) -> Way:
    """The backward alone, through the graph of a forward that was built before."""

    def make(grad: Any, x: Any) -> Call:
        leaf = x.clone().requires_grad_()
        return partial(torch.autograd.grad, function(leaf), leaf, grad, retain_graph=True)

    return Way(make, name="autograd", context=nullcontext)


# ---- other


def _linear(x: Any, w: Any, b: Any, activation: str | None, out: Any = None) -> Call:
    weight = w.t().contiguous()  # the layout of torch.nn.Linear
    if activation is None:
        return partial(torch.addmm, b, x, w, out=out) if out is not None else partial(functional.linear, x, weight, b)
    if out is not None:
        return lambda: torch.relu_(torch.addmm(b, x, w, out=out))
    return lambda: torch.relu_(functional.linear(x, weight, b))


def _linear_backward(grad: Any, y: Any, x: Any, w: Any, activation: str, out: Any = None) -> Call:
    def call() -> Any:
        dz = aten.threshold_backward.default(grad, y, 0)
        return torch.mm(dz, w.t()), torch.mm(x.t(), dz), dz.sum(0)

    def call_out() -> Any:
        dz = aten.threshold_backward.default(grad, y, 0)
        torch.mm(dz, w.t(), out=out[0])
        torch.mm(x.t(), dz, out=out[1])
        torch.sum(dz, 0, out=out[2])
        return out

    return call if out is None else call_out


def _linear_cross_entropy(x: Any, w: Any, labels: Any) -> Any:
    return functional.cross_entropy(x @ w, labels)


def _linear_cross_entropy_with_grad(x: Any, w: Any, labels: Any) -> Call:
    leaves = x.clone().requires_grad_(), w.clone().requires_grad_()

    def call() -> Any:
        loss = _linear_cross_entropy(*leaves, labels)
        return loss.detach(), *torch.autograd.grad(loss, leaves)

    return call


def _sgd_in_steps(param: Any, grad: Any, velocity: Any = None, *, lr: float, momentum: float) -> Call:
    def plain() -> Any:
        param.add_(grad, alpha=-lr)
        return (param,)

    def with_momentum() -> Any:
        velocity.mul_(momentum).add_(grad)
        param.add_(velocity, alpha=-lr)
        return param, velocity

    return plain if velocity is None else with_momentum


def _sgd_fused(param: Any, grad: Any, velocity: Any = None, *, lr: float, momentum: float) -> Call:
    """What torch.optim.SGD(fused=True) calls."""
    results = (param,) if velocity is None else (param, velocity)
    step = partial(
        torch._fused_sgd_, [param], [grad], list(results[1:]), weight_decay=0.0, momentum=momentum, lr=lr,
        dampening=0.0, nesterov=False, maximize=False, is_first_step=False,
    )  # fmt: skip

    def call() -> Any:
        step()
        return results

    return call


def _adagrad_in_steps(param: Any, grad: Any, total: Any, *, lr: float, step: int, eps: float) -> Call:
    def call() -> Any:
        total.addcmul_(grad, grad)
        param.addcdiv_(grad, total.sqrt().add_(eps), value=-lr)
        return param, total

    return call


def _adagrad_fused(param: Any, grad: Any, total: Any, *, lr: float, step: int, eps: float) -> Call:
    """What torch.optim.Adagrad(fused=True) calls."""
    steps = [torch.tensor(float(step), device=grad.device)]
    fused = partial(
        torch._fused_adagrad_, [param], [grad], [total], steps, lr=lr, lr_decay=0.0, weight_decay=0.0, eps=eps,
        maximize=False,
    )  # fmt: skip

    def call() -> Any:
        fused()
        return param, total

    return call


def _rmsprop_in_steps(param: Any, grad: Any, mean: Any, *, lr: float, alpha: float, eps: float) -> Call:
    """What torch.optim.RMSprop does; it has no fused step."""

    def call() -> Any:
        mean.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        param.addcdiv_(grad, mean.sqrt().add_(eps), value=-lr)
        return param, mean

    return call


def _adam(fused_step: Callable[..., Any], decoupled: bool) -> tuple[Way, ...]:
    """As torch.optim.Adam or AdamW does it, in steps and, with fused=True, by `fused_step`."""

    def in_steps(
        param: Any, grad: Any, mean: Any, square: Any, *, lr: float, step: int, betas: tuple[float, float], eps: float,
        weight_decay: float,
    ) -> Call:  # fmt: skip
        beta1, beta2 = betas
        lr_now, root = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5

        def call() -> Any:
            if decoupled:
                param.mul_(1 - lr * weight_decay)
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            param.addcdiv_(mean, (square.sqrt() / root).add_(eps), value=-lr_now)
            return param, mean, square

        return call

    def fused(
        param: Any, grad: Any, mean: Any, square: Any, *, step: int, betas: tuple[float, float], **options: Any
    ) -> Call:
        steps = [torch.tensor(float(step), device=grad.device)]
        run = partial(
            fused_step, [param], [grad], [mean], [square], [], steps, beta1=betas[0], beta2=betas[1], amsgrad=False,
            maximize=False, **options,
        )  # fmt: skip

        def call() -> Any:
            run()
            return param, mean, square

        return call

    return Way(in_steps, out=True, name="in steps"), Way(fused, out=True, name="fused")


def _own_dtype(dtype: Any) -> Any:
    return getattr(torch, dtype.name)


def _one_hot(labels: Any, classes: int, dtype: Any) -> Call:
    own = _own_dtype(dtype)
    return lambda: functional.one_hot(labels, classes).to(own)


def _one_hot_by_scatter(labels: Any, classes: int, dtype: Any) -> Call:
    own = _own_dtype(dtype)
    return lambda: labels.new_zeros(len(labels), classes, dtype=own).scatter_(1, labels[:, None], 1)


def _count_correct(logits: Any, labels: Any) -> Any:
    return (logits.argmax(1) == labels).sum()


def _gather_scale(x: Any, indices: Any, dtype: Any, scale: float, shift: float, out: Any = None) -> Call:
    own = _own_dtype(dtype)
    if out is None:
        return lambda: x[indices].to(own).mul_(scale).add_(shift)
    return lambda: out.copy_(x[indices]).mul_(scale).add_(shift)


# ---- formulas

FUNCTIONS = SimpleNamespace(
    exp=torch.exp, erf=torch.erf, fabs=torch.abs, tanh=torch.tanh, sqrt=torch.sqrt, log1p=torch.log1p, where=torch.where
)


def _gradient(formula: Callable[..., Any]) -> tuple[Way, ...]:
    """The gradients of a formula, through the graph that each call builds."""

    def make(grad: Any, *arrays: Any) -> Call:
        leaves = [array.clone().requires_grad_() for array in arrays]

        def call() -> Any:
            grads = torch.autograd.grad(formula(*leaves), leaves, grad)
            return grads if len(grads) > 1 else grads[0]

        return call

    return (Way(make, name="autograd", context=nullcontext),)


OWN = {name: formula(FUNCTIONS) for name, formula in FORMULAS.items()}

PEER = Peer(
    "torch",
    MappingProxyType(
        {name_of(name): (allocating(formula),) for name, formula in OWN.items()}
        | {name_of(name, gradient=True): _gradient(formula) for name, formula in OWN.items()}
        | {
            "softmax": _over_axis(torch.softmax),
            "log_softmax": _over_axis(torch.log_softmax),
            "logsumexp": _over_axis(torch.logsumexp),
            "softmax_backward": _softmax_backwards("_softmax_backward_data"),
            "log_softmax_backward": _softmax_backwards("_log_softmax_backward_data"),
            "softmax_cross_entropy": (allocating(functional.cross_entropy),),
            "softmax_cross_entropy_with_grad": (
                _loss_by_autograd(functional.cross_entropy),
                Way(_cross_entropy_by_aten, name="aten"),
                Way(_cross_entropy_by_aten, name="aten", out=True),
            ),
            "sigmoid_cross_entropy": (allocating(functional.binary_cross_entropy_with_logits),),
            "sigmoid_cross_entropy_with_grad": (_loss_by_autograd(functional.binary_cross_entropy_with_logits),),
            "squared_error": (allocating(functional.mse_loss),),
            "squared_error_with_grad": (_loss_by_autograd(functional.mse_loss),),
            "huber_loss": (allocating(functional.huber_loss),),
            "huber_loss_with_grad": (_loss_by_autograd(functional.huber_loss),),
            "heaviside": (Way(_heaviside), Way(_heaviside, out=True)),
            "identity": (Way(_copy), Way(_copy, out=True)),
            "identity_backward": (Way(_copy), Way(_copy, out=True)),
            "sigmoid": both(torch.sigmoid),
            "tanh": both(torch.tanh),
            "relu": (allocating(torch.relu), writing(torch.clamp_min, min=0)),
            "leaky_relu": (allocating(functional.leaky_relu), writing(nn.leaky_relu)),
            "elu": (allocating(functional.elu), writing(nn.elu)),
            "selu": (allocating(torch.selu), writing(nn.elu, alpha=SELU_ALPHA, scale=SELU_SCALE)),
            "celu": (allocating(torch.celu), writing(nn.elu)),  # celu is elu at alpha 1
            "gelu": (allocating(functional.gelu), writing(nn.gelu)),
            "gelu_tanh": (allocating(functional.gelu, approximate="tanh"), writing(nn.gelu, approximate="tanh")),
            "silu": (allocating(functional.silu), writing(nn.silu)),
            "mish": (allocating(functional.mish), writing(nn.mish)),
            "softplus": (allocating(functional.softplus), writing(nn.softplus)),
            "softsign": (allocating(functional.softsign),),
            "log_sigmoid": (allocating(functional.logsigmoid), writing(nn.log_sigmoid)),
            "hardtanh": (allocating(functional.hardtanh), writing(nn.hardtanh)),
            "relu6": (allocating(functional.relu6), writing(nn.hardtanh, min_val=0.0, max_val=6.0)),
            "hardsigmoid": (allocating(functional.hardsigmoid), writing(nn.hardsigmoid)),
            "hardswish": (allocating(functional.hardswish), writing(nn.hardswish)),
            "sigmoid_backward": _backward("sigmoid"),
            "tanh_backward": _backward("tanh"),
            "relu_backward": _backward("threshold", 0),
            "leaky_relu_backward": _backward("leaky_relu", 0.01, False),
            "elu_backward": _elu_backward(*CELU_SCALES),
            "selu_backward": _elu_backward(*SELU_SCALES),
            "celu_backward": _elu_backward(*CELU_SCALES),
            "gelu_backward": _backward("gelu"),
            "gelu_tanh_backward": _backward("gelu", approximate="tanh"),
            "silu_backward": _backward("silu"),
            "mish_backward": _backward("mish"),
            "softplus_backward": _backward("softplus", 1.0, 20.0),
            "softsign_backward": (_by_autograd(functional.softsign),),
            "log_sigmoid_backward": (Way(_log_sigmoid_backward), Way(_log_sigmoid_backward, out=True)),
            "hardtanh_backward": _backward("hardtanh", -1.0, 1.0),
            "relu6_backward": _backward("hardtanh", 0.0, 6.0),
            # Its 1/6 is a float32 in any dtype.
            "hardsigmoid_backward": tuple(replace(way, precision="float32") for way in _backward("hardsigmoid")),
            "hardswish_backward": _backward("hardswish"),
            "linear": (Way(_linear), Way(_linear, out=True)),
            "linear_backward": (Way(_linear_backward), Way(_linear_backward, out=True)),
            "linear_cross_entropy": (allocating(_linear_cross_entropy),),
            "linear_cross_entropy_with_grad": (
                Way(_linear_cross_entropy_with_grad, name="autograd", context=nullcontext),
            ),
            "sgd_update": (
                Way(_sgd_in_steps, out=True, name="in steps"),
                Way(_sgd_fused, out=True, name="fused"),
            ),
            "adagrad_update": (
                Way(_adagrad_in_steps, out=True, name="in steps"),
                Way(_adagrad_fused, out=True, name="fused"),
            ),
            "rmsprop_update": (Way(_rmsprop_in_steps, out=True),),
            "adam_update": _adam(torch._fused_adam_, decoupled=False),
            "adamw_update": _adam(torch._fused_adamw_, decoupled=True),
            "one_hot": (Way(_one_hot, name="one_hot"), Way(_one_hot_by_scatter, name="scatter")),
            "accuracy": (allocating(lambda logits, labels: _count_correct(logits, labels).double() / len(labels)),),
            "count_correct": (allocating(_count_correct),),
            "gather_scale": (Way(_gather_scale), Way(_gather_scale, out=True)),
        }
    ),
    array=own_tensor,
    context=torch.inference_mode,
    set_threads=torch.set_num_threads,
)
