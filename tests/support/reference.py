"""What every operation is held to: its textbook definition, sharing no code with the package.

Those of activations and elementwise losses are in elementwise_reference.py.

The formulas are the naive ones. What makes them accurate is the arithmetic: `exactly` turns an array into mpmath
numbers, whose exponent is unbounded, so nothing overflows, and whose digits are chosen so that ``1 + exp(x)`` or
``1 - y`` loses nothing that matters. The functions of whole arrays take plain float64 arrays as well, which is
quicker and enough to judge float32 results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp, mpf

# For whole arrays, whose terms are not that far apart: 40 to 60 logits between the largest and the one asked for.
mp.dps = 60

_to_mpf = np.frompyfunc(lambda value: mpf(float(value)), 1, 1)
_exp = np.frompyfunc(mp.exp, 1, 1)
_log = np.frompyfunc(mp.log, 1, 1)
_tanh = np.frompyfunc(mp.tanh, 1, 1)


def exactly(x: Any) -> np.ndarray:
    """The same numbers as mpmath numbers, in an object array."""
    return np.asarray(_to_mpf(np.asarray(x)), object)


def exp(x: np.ndarray) -> np.ndarray:
    return _exp(x) if x.dtype == object else np.exp(x)


def log(x: np.ndarray) -> np.ndarray:
    return np.asarray(_log(x), object) if np.asarray(x).dtype == object else np.log(x)


# ---- rows


def softmax(x: np.ndarray, axis: Any = -1, temperature: float = 1.0) -> np.ndarray:
    largest = x.max(axis=axis, keepdims=True)
    if temperature == 0:
        ties = (x == largest).astype(float)
        return ties / ties.sum(axis=axis, keepdims=True)
    if temperature == np.inf:
        alive = (x != -np.inf).astype(float)
        return alive / alive.sum(axis=axis, keepdims=True)
    e = exp((x - largest) / temperature)
    return e / e.sum(axis=axis, keepdims=True)


def logsumexp(x: np.ndarray, axis: Any = -1, keepdims: bool = False) -> np.ndarray:
    largest = x.max(axis=axis, keepdims=True)
    total = log(exp(x - largest).sum(axis=axis, keepdims=True)) + largest
    return total if keepdims else np.asarray(total.sum(axis=axis), total.dtype)  # a sum over axes of size 1


def log_softmax(x: np.ndarray, axis: Any = -1, temperature: float = 1.0) -> np.ndarray:
    if temperature in (0, np.inf):
        with np.errstate(divide="ignore"):
            return np.log(softmax(x, axis, temperature))
    z = (x - x.max(axis=axis, keepdims=True)) / temperature
    return z - log(exp(z).sum(axis=axis, keepdims=True))


def softmax_backward(grad: np.ndarray, y: np.ndarray, axis: Any = -1, temperature: float = 1.0) -> np.ndarray:
    return y * (grad - (grad * y).sum(axis=axis, keepdims=True)) / temperature


def log_softmax_backward(grad: np.ndarray, y: np.ndarray, axis: Any = -1, temperature: float = 1.0) -> np.ndarray:
    return (grad - exp(y) * grad.sum(axis=axis, keepdims=True)) / temperature


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The loss of each row: -log softmax(logits)[label]."""
    return -log_softmax(logits)[np.arange(len(logits)), labels]


def softmax_cross_entropy_grad(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The gradient of each row's own loss."""
    return softmax(logits) - one_hot(labels, logits.shape[1])


# ---- information, of exact numbers

_minus_p_log_q = np.frompyfunc(lambda p, q: mpf(0) if p == 0 else mp.inf if q == 0 else -p * mp.log(q), 2, 1)
_divergence = np.frompyfunc(lambda p, q: q if p == 0 else mp.inf if q == 0 else p * mp.log(p / q) - p + q, 2, 1)


def _of_terms(terms: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    return np.asarray(np.sum(terms, axis=axis, keepdims=keepdims), object)


def self_information(p: np.ndarray) -> np.ndarray:
    return np.asarray(_minus_p_log_q(mpf(1), p), object)


def entropy(p: np.ndarray, axis: Any = -1, keepdims: bool = False) -> np.ndarray:
    return _of_terms(_minus_p_log_q(p, p), axis, keepdims)


def perplexity(p: np.ndarray, axis: Any = -1, keepdims: bool = False) -> np.ndarray:
    return np.asarray(_exp(entropy(p, axis, keepdims)), object)


def cross_entropy(p: np.ndarray, q: np.ndarray, axis: Any = -1, keepdims: bool = False) -> np.ndarray:
    return _of_terms(_minus_p_log_q(p, q), axis, keepdims)


def kl_divergence(p: np.ndarray, q: np.ndarray, axis: Any = -1, keepdims: bool = False) -> np.ndarray:
    return _of_terms(_divergence(p, q), axis, keepdims)


# ---- softmax cross-entropy with its options


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Each row's loss and its gradient, and the sizes of their terms, by which errors are measured."""

    losses: np.ndarray
    grad: np.ndarray
    loss_sizes: np.ndarray
    grad_sizes: np.ndarray


def weighted_cross_entropy(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> WeightedCrossEntropy:
    """Softmax cross-entropy with its options, for targets that are a matrix like the logits."""
    z, slope = logits, 1
    if softcap is not None:
        bounded = _tanh(logits / softcap) if logits.dtype == object else np.tanh(logits / softcap)
        z, slope = softcap * bounded, 1 - bounded * bounded
    c = (1 if weight is None else weight) * ((1 - label_smoothing) * targets + label_smoothing / logits.shape[1])
    lse = logsumexp(z, keepdims=True)
    total = c.sum(axis=1, keepdims=True)
    terms = np.where(c == 0, 0 * lse, c * np.where(c == 0, 0 * lse, lse - z))
    p = exp(z - lse)
    grad = (total * p - c + 2 * z_loss * lse * p) * slope
    largest = abs(np.where(z == -math.inf, 0 * lse, z)).max(axis=1, keepdims=True)
    loss_sizes = (terms.sum(axis=1) + z_loss * largest[:, 0] ** 2) + (0 if softcap is None else total[:, 0] * softcap)
    grad_sizes = (total * p + c + 2 * z_loss * (abs(lse) + largest) * p) * slope
    return WeightedCrossEntropy(terms.sum(axis=1) + z_loss * lse[:, 0] ** 2, grad, loss_sizes, grad_sizes)


# ---- labels and rows of pixels


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return (labels[..., None] == np.arange(classes)).astype(np.float64)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def gather_scale(x: np.ndarray, indices: np.ndarray, scale: float, shift: float) -> np.ndarray:
    return x.astype(np.float64)[indices] * scale + shift


# ---- linear layers and updates, in float64


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """x @ w + b, each entry as the sum that it is."""
    product = np.asarray((x[..., :, None] * w).sum(axis=-2))
    return product if b is None else product + b


def linear_backward(dz: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of linear's x, w and b from that of its result."""
    rows = math.prod(x.shape[:-1])
    rows_dz, rows_x = dz.reshape(rows, dz.shape[-1]), x.reshape(rows, x.shape[-1])
    dw = (rows_x[:, :, None] * rows_dz[:, None, :]).sum(axis=0)
    return linear(dz, w.T), dw, rows_dz.sum(axis=0)


def sgd(
    param: np.ndarray,
    grads: list[np.ndarray],
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Param and velocity after one step for each gradient: the algorithm box of ``torch.optim.SGD``."""
    velocity = np.zeros_like(param)
    for grad in grads:
        g = grad + weight_decay * param
        velocity = momentum * velocity + g
        param = param - lr * (g + momentum * velocity if nesterov else velocity)
    return param, velocity


State = dict[str, np.ndarray]


def adagrad(
    param: np.ndarray,
    grad: np.ndarray,
    state: State,
    *,
    lr: float,
    step: int,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    eps: float = 1e-10,
) -> tuple[np.ndarray, State]:
    """Param and state after a step: the algorithm box of ``torch.optim.Adagrad``."""
    g = grad + weight_decay * param
    total = state["state_sum"] + g**2
    return param - lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(total) + eps), {"state_sum": total}


def rmsprop(
    param: np.ndarray,
    grad: np.ndarray,
    state: State,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> tuple[np.ndarray, State]:
    """Param and states after a step: the algorithm box of ``torch.optim.RMSprop``."""
    g = grad + weight_decay * param
    new = {"square_avg": alpha * state["square_avg"] + (1 - alpha) * g**2}
    variance = new["square_avg"]
    if centered:
        new["grad_avg"] = alpha * state["grad_avg"] + (1 - alpha) * g
        variance = variance - new["grad_avg"] ** 2
    quotient = g / (np.sqrt(variance) + eps)
    if momentum > 0:
        quotient = new["momentum_buffer"] = momentum * state["momentum_buffer"] + quotient
    return param - lr * quotient, new


def adam(
    param: np.ndarray,
    grad: np.ndarray,
    state: State,
    *,
    lr: float,
    step: int,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
) -> tuple[np.ndarray, State]:
    """Param and states after a step: the algorithm box of ``torch.optim.Adam``."""
    g = grad + weight_decay * param
    new = {name: beta * state[name] + (1 - beta) * g**power
           for name, beta, power in zip(("exp_avg", "exp_avg_sq"), betas, (1, 2), strict=True)}  # fmt: skip
    v = new["exp_avg_sq"]
    if amsgrad:
        v = new["max_exp_avg_sq"] = np.maximum(state["max_exp_avg_sq"], v)
    unbiased, unbiased_sq = new["exp_avg"] / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
    return param - lr * unbiased / (np.sqrt(unbiased_sq) + eps), new


def adamw(
    param: np.ndarray, grad: np.ndarray, state: State, *, lr: float, weight_decay: float = 1e-2, **options: Any
) -> tuple[np.ndarray, State]:
    """Param and states after a step: the algorithm box of ``torch.optim.AdamW``."""
    return adam(param - lr * weight_decay * param, grad, state, lr=lr, **options)
