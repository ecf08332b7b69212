"""JAX: jitted functions, in float64 too; a call ends when its result is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax, nn
from jax.scipy.special import logsumexp

from softgrad.bench.formulas import FORMULAS, name_of
from softgrad.bench.peers.peer import Call, Peer, Way

jax.config.update("jax_enable_x64", True)


def _jitted(function: Callable[..., Any]) -> tuple[Way, ...]:
    """The way that compiles `function(*arguments, **options)` once; JAX has no out=."""

    def make(*arguments: Any, **options: Any) -> Call:
        compiled = jax.jit(partial(function, **options))
        if len(jax.tree.leaves(jax.eval_shape(compiled, *arguments))) == 1:
            return lambda: compiled(*arguments).block_until_ready()
        return lambda: jax.block_until_ready(compiled(*arguments))

    return (Way(make),)


def _vjp(function: Callable[..., Any]) -> tuple[Way, ...]:
    """The backward, from the inputs: what jax.grad would compile, with the part of the forward that it needs."""

    def backward(grad: Any, *arrays: Any) -> Any:
        grads = jax.vjp(function, *arrays)[1](grad)
        return grads if len(grads) > 1 else grads[0]

    return _jitted(backward)


# ---- rows


def _cross_entropy(logits: Any, labels: Any) -> Any:
    chosen = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
    return (logsumexp(logits, 1) - chosen).mean()


def _softmax_backward(grad: Any, y: Any, axis: int) -> Any:
    return y * (grad - (grad * y).sum(axis, keepdims=True))


def _log_softmax_backward(grad: Any, y: Any, axis: int) -> Any:
    return grad - jnp.exp(y) * grad.sum(axis, keepdims=True)


# ---- elementwise


def _within(low: float, high: float) -> tuple[Way, ...]:
    """The backward of a function that is straight between two limits and flat outside."""
    return _jitted(lambda grad, y: jnp.where((y > low) & (y < high), grad, 0))


# ---- other


def _linear(x: Any, w: Any, b: Any, activation: str | None) -> Any:
    y = x @ w + b
    return nn.relu(y) if activation == "relu" else y


def _linear_backward(grad: Any, y: Any, x: Any, w: Any, activation: str) -> Any:
    dz = jnp.where(y > 0, grad, 0)
    return dz @ w.T, x.T @ dz, dz.sum(0)


def _updating(step: Callable[..., Any]) -> tuple[Way, ...]:
    """The way of ``step(state, grad, **options)``, the state being param and what else is written.

    Arrays of JAX are never written; donated ones are, behind the scenes.
    """

    def make(param: Any, grad: Any, *states: Any, **options: Any) -> Call:
        state = param, *states
        compiled = jax.jit(partial(step, **options), donate_argnums=0)

        def call() -> Any:
            nonlocal state
            state = jax.block_until_ready(compiled(state, grad))
            return state

        return call

    return (Way(make, out=True),)


def _sgd(state: Any, grad: Any, lr: float, momentum: float) -> Any:
    param, *velocity = state
    if not velocity:
        return (param - lr * grad,)
    new_velocity = momentum * velocity[0] + grad
    return param - lr * new_velocity, new_velocity


def _adagrad(state: Any, grad: Any, lr: float, step: int, eps: float) -> Any:
    param, total = state
    total = total + grad * grad
    return param - lr * grad / (jnp.sqrt(total) + eps), total


def _rmsprop(state: Any, grad: Any, lr: float, alpha: float, eps: float) -> Any:
    param, mean = state
    mean = alpha * mean + (1 - alpha) * grad * grad
    return param - lr * grad / (jnp.sqrt(mean) + eps), mean


def _adam(
    state: Any, grad: Any, lr: float, step: int, betas: tuple[float, float], eps: float, weight_decay: float
) -> Any:
    """AdamW's; without decay it is Adam's."""
    param, mean, square = state
    beta1, beta2 = betas
    mean = beta1 * mean + (1 - beta1) * grad
    square = beta2 * square + (1 - beta2) * grad * grad
    step_size, scale = lr / (1 - beta1**step), 1 / (1 - beta2**step) ** 0.5
    return (1 - lr * weight_decay) * param - step_size * mean / (jnp.sqrt(square) * scale + eps), mean, square


def _one_hot(labels: Any, classes: int, dtype: Any) -> Call:
    compiled = jax.jit(lambda labels: nn.one_hot(labels, classes, dtype=dtype))
    return lambda: compiled(labels).block_until_ready()


def _count_correct(logits: Any, labels: Any) -> Any:
    return (logits.argmax(1) == labels).sum()


def _gather_scale(x: Any, indices: Any, dtype: Any, scale: float, shift: float) -> Call:
    compiled = jax.jit(lambda x, indices: x[indices].astype(dtype) * scale + shift)
    return lambda: compiled(x, indices).block_until_ready()


# ---- formulas

FUNCTIONS = SimpleNamespace(
    exp=jnp.exp, erf=lax.erf, fabs=jnp.abs, tanh=jnp.tanh, sqrt=jnp.sqrt, log1p=jnp.log1p, where=jnp.where
)
OWN = {name: formula(FUNCTIONS) for name, formula in FORMULAS.items()}

PEER = Peer(
    "jax",
    MappingProxyType(
        {name_of(name): _jitted(formula) for name, formula in OWN.items()}
        | {name_of(name, gradient=True): _vjp(formula) for name, formula in OWN.items()}
        | {
            "softmax": _jitted(nn.softmax),
            "log_softmax": _jitted(nn.log_softmax),
            "logsumexp": _jitted(logsumexp),
            "softmax_backward": _jitted(_softmax_backward),
            "log_softmax_backward": _jitted(_log_softmax_backward),
            "softmax_cross_entropy": _jitted(_cross_entropy),
            "softmax_cross_entropy_with_grad": _jitted(jax.value_and_grad(_cross_entropy)),
            "heaviside": _jitted(lambda x: jnp.heaviside(x, 1)),
            "identity": _jitted(jnp.copy),
            "identity_backward": _jitted(lambda grad, y: jnp.copy(grad)),
            "sigmoid": _jitted(nn.sigmoid),
            "tanh": _jitted(jnp.tanh),
            "relu": _jitted(nn.relu),
            "leaky_relu": _jitted(nn.leaky_relu),
            "elu": _jitted(nn.elu),
            "selu": _jitted(nn.selu),
            "celu": _jitted(nn.celu),
            "gelu": _jitted(partial(nn.gelu, approximate=False)),
            "gelu_tanh": _jitted(partial(nn.gelu, approximate=True)),
            "silu": _jitted(nn.silu),
            "mish": _jitted(nn.mish),
            "softplus": _jitted(nn.softplus),
            "softsign": _jitted(nn.soft_sign),
            "log_sigmoid": _jitted(nn.log_sigmoid),
            "hardtanh": _jitted(nn.hard_tanh),
            "relu6": _jitted(nn.relu6),
            "hardsigmoid": _jitted(nn.hard_sigmoid),
            "hardswish": _jitted(nn.hard_swish),
            "sigmoid_backward": _jitted(lambda grad, y: grad * y * (1 - y)),
            "tanh_backward": _jitted(lambda grad, y: grad * (1 - y * y)),
            "relu_backward": _jitted(lambda grad, y: jnp.where(y > 0, grad, 0)),
            "hardtanh_backward": _within(-1, 1),
            "relu6_backward": _within(0, 6),
            "leaky_relu_backward": _vjp(nn.leaky_relu),
            "elu_backward": _vjp(nn.elu),
            "selu_backward": _vjp(nn.selu),
            "celu_backward": _vjp(nn.celu),
            "gelu_backward": _vjp(partial(nn.gelu, approximate=False)),
            "gelu_tanh_backward": _vjp(partial(nn.gelu, approximate=True)),
            "silu_backward": _vjp(nn.silu),
            "mish_backward": _vjp(nn.mish),
            "softplus_backward": _vjp(nn.softplus),
            "softsign_backward": _vjp(nn.soft_sign),
            "log_sigmoid_backward": _vjp(nn.log_sigmoid),
            "hardsigmoid_backward": _vjp(nn.hard_sigmoid),
            "hardswish_backward": _vjp(nn.hard_swish),
            "linear": _jitted(_linear),
            "linear_backward": _jitted(_linear_backward),
            "sgd_update": _updating(_sgd),
            "adagrad_update": _updating(_adagrad),
            "rmsprop_update": _updating(_rmsprop),
            "adam_update": _updating(_adam),
            "adamw_update": _updating(_adam),
            "one_hot": (Way(_one_hot),),
            "accuracy": _jitted(lambda logits, labels: _count_correct(logits, labels) / len(labels)),
            "count_correct": _jitted(_count_correct),
            "gather_scale": (Way(_gather_scale),),
        }
    ),
    array=jnp.array,
)
