"""NumPy: the expressions a careful user writes, without needless temporaries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np

from softgrad.bench.formulas import FORMULAS, name_of
from softgrad.bench.peers.peer import Call, Peer, Way, allocating, both

# ---- rows


def _softmax(x: Any, axis: int = -1, out: Any = None) -> Any:
    out = np.subtract(x, x.max(axis, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis, keepdims=True)
    return out


def _log_softmax(x: Any, axis: int = -1, out: Any = None) -> Any:
    out = np.subtract(x, x.max(axis, keepdims=True), out=out)
    out -= np.log(np.exp(out).sum(axis, keepdims=True))
    return out


def _logsumexp(x: Any, axis: int = -1) -> Any:
    largest = x.max(axis, keepdims=True)
    return np.log(np.exp(x - largest).sum(axis)) + largest.squeeze(axis)


def _softmax_backward(grad: Any, y: Any, axis: int = -1, out: Any = None) -> Any:
    out = np.multiply(grad, y, out=out)
    sums = out.sum(axis, keepdims=True)
    np.subtract(grad, sums, out=out)
    out *= y
    return out


def _log_softmax_backward(grad: Any, y: Any, axis: int = -1, out: Any = None) -> Any:
    out = np.exp(y, out=out)
    out *= grad.sum(axis, keepdims=True)
    return np.subtract(grad, out, out=out)


def _cross_entropy(logits: Any, labels: Any) -> Any:
    shifted = logits - logits.max(1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return (np.log(np.exp(shifted, out=shifted).sum(1)) - chosen).mean()


def _cross_entropy_with_grad(logits: Any, labels: Any, out: Any = None) -> Any:
    rows = np.arange(len(labels))
    grad = np.subtract(logits, logits.max(1, keepdims=True), out=None if out is None else out[1])
    chosen = grad[rows, labels]
    np.exp(grad, out=grad)
    sums = grad.sum(1, keepdims=True)
    grad /= sums * len(labels)
    grad[rows, labels] -= 1 / len(labels)
    return (np.log(sums[:, 0]) - chosen).mean(), grad


def _entropy(p: Any, axis: int) -> Any:
    return -(p * np.log(p)).sum(axis)


def _cross_entropy_of(p: Any, q: Any, axis: int) -> Any:
    return -(p * np.log(q)).sum(axis)


def _kl_divergence(p: Any, q: Any, axis: int) -> Any:
    return (p * np.log(p / q)).sum(axis)


def _self_information(p: Any, out: Any = None) -> Any:
    out = np.log(p, out=out)
    return np.negative(out, out=out)


# ---- elementwise


def _ufunc(function: Callable[..., Any], *constants: float) -> tuple[Way, ...]:
    """Both ways of function(x, *constants)."""

    def make(x: Any, **out: Any) -> Call:
        return partial(function, x, *constants, **out)

    return Way(make), Way(make, out=True)


def _identity(x: Any, out: Any = None) -> Any:
    if out is None:
        return x.copy()
    np.copyto(out, x)
    return out


def _sigmoid(x: Any, out: Any = None) -> Any:
    out = np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def _leaky_relu(x: Any, out: Any = None) -> Any:
    out = np.multiply(x, 0.01, out=out)
    return np.maximum(x, out, out=out)


def _elu(x: Any, out: Any = None) -> Any:
    out = np.minimum(x, 0, out=out)
    np.expm1(out, out=out)
    return np.maximum(x, out, out=out)  # exp(x) - 1 is above x, and both have the sign of x


def _silu(x: Any, out: Any = None) -> Any:
    out = np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    return np.divide(x, out, out=out)


def _softplus(x: Any, out: Any = None) -> Any:
    return np.logaddexp(x, 0, out=out)


def _log_sigmoid(x: Any, out: Any = None) -> Any:
    out = np.negative(x, out=out)
    np.logaddexp(out, 0, out=out)
    return np.negative(out, out=out)


def _softsign(x: Any, out: Any = None) -> Any:
    out = np.abs(x, out=out)
    out += 1
    return np.divide(x, out, out=out)


def _mish(x: Any, out: Any = None) -> Any:
    out = np.logaddexp(x, 0, out=out)
    np.tanh(out, out=out)
    out *= x
    return out


def _gelu_tanh(x: Any, out: Any = None) -> Any:
    out = np.multiply(x, x, out=out)
    out *= 0.044715 * np.sqrt(2 / np.pi)
    out += np.sqrt(2 / np.pi)
    out *= x
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5
    return out


def _hardsigmoid(x: Any, out: Any = None) -> Any:
    out = np.add(x, 3, out=out)
    np.clip(out, 0, 6, out=out)
    out /= 6
    return out


def _hardswish(x: Any, out: Any = None) -> Any:
    out = _hardsigmoid(x, out)
    out *= x
    return out


def _sigmoid_backward(grad: Any, y: Any, out: Any = None) -> Any:
    out = np.subtract(1, y, out=out)
    out *= y
    out *= grad
    return out


def _tanh_backward(grad: Any, y: Any, out: Any = None) -> Any:
    out = np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)
    out *= grad
    return out


def _relu_backward(grad: Any, y: Any, out: Any = None) -> Any:
    return np.multiply(grad, y > 0, out=out)


def _leaky_relu_backward(grad: Any, x: Any) -> Any:
    return np.where(x > 0, grad, grad * 0.01)


def _softsign_backward(grad: Any, x: Any, out: Any = None) -> Any:
    out = np.abs(x, out=out)
    out += 1
    out *= out
    return np.divide(grad, out, out=out)


def _within(low: float, high: float, factor: float = 1) -> Callable[..., Any]:
    """The backward of a function that is straight between two limits and flat outside."""

    def backward(grad: Any, saved: Any, out: Any = None) -> Any:
        out = np.multiply(grad, (saved > low) & (saved < high), out=out)
        if factor != 1:
            out *= factor
        return out

    return backward


def _hardswish_backward(grad: Any, x: Any, out: Any = None) -> Any:
    slope = np.divide(x, 3, out=out)
    slope += 0.5
    slope[x <= -3] = 0
    slope[x >= 3] = 1
    slope *= grad
    return slope


# ---- other


def _linear(x: Any, w: Any, b: Any, activation: str | None, out: Any = None) -> Any:
    out = np.matmul(x, w, out=out)
    out += b
    if activation == "relu":
        np.maximum(out, 0, out=out)
    return out


def _linear_backward(grad: Any, y: Any, x: Any, w: Any, activation: str, out: Any = (None, None, None)) -> Any:
    dz = grad * (y > 0)
    return np.matmul(dz, w.T, out=out[0]), np.matmul(x.T, dz, out=out[1]), np.sum(dz, 0, out=out[2])


def _linear_cross_entropy(x: Any, w: Any, labels: Any) -> Any:
    return _cross_entropy(x @ w, labels)


def _linear_cross_entropy_with_grad(x: Any, w: Any, labels: Any) -> Any:
    logits = x @ w
    loss, grad = _cross_entropy_with_grad(logits, labels, out=(None, logits))
    return loss, grad @ w.T, x.T @ grad


def _sgd_update(param: Any, grad: Any, velocity: Any = None, *, lr: float, momentum: float) -> Callable[[], Any]:
    def plain() -> Any:
        param.__isub__(lr * grad)
        return (param,)

    def with_momentum() -> Any:
        velocity.__imul__(momentum)
        velocity.__iadd__(grad)
        param.__isub__(lr * velocity)
        return param, velocity

    return plain if velocity is None else with_momentum


def _adagrad_update(param: Any, grad: Any, total: Any, *, lr: float, step: int, eps: float) -> Call:
    def call() -> Any:
        total.__iadd__(grad * grad)
        param.__isub__(lr * grad / (np.sqrt(total) + eps))
        return param, total

    return call


def _rmsprop_update(param: Any, grad: Any, mean: Any, *, lr: float, alpha: float, eps: float) -> Call:
    def call() -> Any:
        mean.__imul__(alpha)
        mean.__iadd__((1 - alpha) * grad * grad)
        param.__isub__(lr * grad / (np.sqrt(mean) + eps))
        return param, mean

    return call


def _adam(decoupled: bool) -> tuple[Way, ...]:
    def make(
        param: Any, grad: Any, mean: Any, square: Any, *, lr: float, step: int, betas: tuple[float, float], eps: float,
        weight_decay: float,
    ) -> Call:  # fmt: skip
        beta1, beta2 = betas
        lr_now, scale = lr / (1 - beta1**step), 1 / (1 - beta2**step) ** 0.5

        def call() -> Any:
            if decoupled:
                param.__imul__(1 - lr * weight_decay)
            mean.__imul__(beta1)
            mean.__iadd__((1 - beta1) * grad)
            square.__imul__(beta2)
            square.__iadd__((1 - beta2) * grad * grad)
            param.__isub__(lr_now * mean / (np.sqrt(square) * scale + eps))
            return param, mean, square

        return call

    return (Way(make, out=True),)


def _one_hot(labels: Any, classes: int, dtype: Any) -> Any:
    result = np.zeros((len(labels), classes), dtype)
    result[np.arange(len(labels)), labels] = 1
    return result


def _gather_scale(x: Any, indices: Any, dtype: Any, scale: float, shift: float, out: Any = None) -> Any:
    out = np.multiply(x[indices], scale, dtype=dtype, out=out)
    out += shift
    return out


# ---- formulas, but for the one that needs erf

FUNCTIONS = SimpleNamespace(
    exp=np.exp, erf=None, fabs=np.abs, tanh=np.tanh, sqrt=np.sqrt, log1p=np.log1p, where=np.where
)

PEER = Peer(
    "numpy",
    MappingProxyType(
        {
            name_of(name): (allocating(formula(FUNCTIONS)),)
            for name, formula in FORMULAS.items()
            if name != "gelu_by_erf"
        }
        | {
            "softmax": both(_softmax),
            "log_softmax": both(_log_softmax),
            "logsumexp": (allocating(_logsumexp),),
            "softmax_backward": both(_softmax_backward),
            "log_softmax_backward": both(_log_softmax_backward),
            "softmax_cross_entropy": (allocating(_cross_entropy),),
            "softmax_cross_entropy_with_grad": both(_cross_entropy_with_grad),
            "entropy": (allocating(_entropy),),
            "perplexity": (allocating(lambda p, axis: np.exp(_entropy(p, axis))),),
            "cross_entropy": (allocating(_cross_entropy_of),),
            "kl_divergence": (allocating(_kl_divergence),),
            "self_information": both(_self_information),
            "heaviside": _ufunc(np.heaviside, 1),
            "identity": both(_identity),
            "identity_backward": both(lambda grad, y, out=None: _identity(grad, out)),
            "sigmoid": both(_sigmoid),
            "tanh": both(np.tanh),
            "relu": _ufunc(np.maximum, 0),
            "leaky_relu": both(_leaky_relu),
            "elu": both(_elu),
            "celu": both(_elu),  # the same at alpha 1
            "silu": both(_silu),
            "softplus": both(_softplus),
            "log_sigmoid": both(_log_sigmoid),
            "softsign": both(_softsign),
            "mish": both(_mish),
            "gelu_tanh": both(_gelu_tanh),
            "hardtanh": _ufunc(np.clip, -1, 1),
            "relu6": _ufunc(np.clip, 0, 6),
            "hardsigmoid": both(_hardsigmoid),
            "hardswish": both(_hardswish),
            "sigmoid_backward": both(_sigmoid_backward),
            "tanh_backward": both(_tanh_backward),
            "relu_backward": both(_relu_backward),
            "leaky_relu_backward": (allocating(_leaky_relu_backward),),
            "softsign_backward": both(_softsign_backward),
            "hardtanh_backward": both(_within(-1, 1)),
            "relu6_backward": both(_within(0, 6)),
            "hardsigmoid_backward": both(_within(-3, 3, 1 / 6)),
            "hardswish_backward": both(_hardswish_backward),
            "linear": both(_linear),
            "linear_backward": both(_linear_backward),
            "linear_cross_entropy": (allocating(_linear_cross_entropy),),
            "linear_cross_entropy_with_grad": (allocating(_linear_cross_entropy_with_grad),),
            "sgd_update": (Way(_sgd_update, out=True),),
            "adagrad_update": (Way(_adagrad_update, out=True),),
            "rmsprop_update": (Way(_rmsprop_update, out=True),),
            "adam_update": _adam(decoupled=False),
            "adamw_update": _adam(decoupled=True),
            "one_hot": (allocating(_one_hot),),
            "accuracy": (allocating(lambda logits, labels: (logits.argmax(1) == labels).mean()),),
            "count_correct": (allocating(lambda logits, labels: np.count_nonzero(logits.argmax(1) == labels)),),
            "gather_scale": both(_gather_scale),
        }
    ),
    array=lambda array: array,
)
