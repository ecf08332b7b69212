"""The public operations: NumPy in, NumPy out; CuPy in, CuPy out.

Activations (`ACTIVATIONS` lists them, each with its ``NAME_backward``), the softmax family, cross-entropy and the
elementwise losses (each with its ``NAME_with_grad``), information measures, sampling, linear layers, optimizer updates.
Array arguments are positional, options are keywords. Subclasses of arrays are taken as plain memory of either byte
order, masked arrays are refused; `out` may share memory with whatever a call reads, but no two results with each other;
for a number an array without axes will do. `softgrad.ops.autodiff`, imported by name, differentiates what is
computed with them.
"""

from __future__ import annotations

from softgrad.kernels.formulas.registry import ACTIVATIONS
from softgrad.ops.activations import FUNCTIONS as _FUNCTIONS
from softgrad.ops.cross_entropy import softmax_cross_entropy, softmax_cross_entropy_with_grad
from softgrad.ops.elementwise import elementwise
from softgrad.ops.elementwise_losses import FUNCTIONS as _LOSS_FUNCTIONS
from softgrad.ops.gather import gather_scale
from softgrad.ops.gpu import BackendUnavailableError
from softgrad.ops.information import cross_entropy, entropy, kl_divergence, perplexity, self_information
from softgrad.ops.labels import accuracy, count_correct, one_hot
from softgrad.ops.linear import linear, linear_backward
from softgrad.ops.linear_cross_entropy import linear_cross_entropy, linear_cross_entropy_with_grad
from softgrad.ops.sampling import sample_categorical
from softgrad.ops.softmax import log_softmax, log_softmax_backward, logsumexp, softmax, softmax_backward
from softgrad.ops.updates import adagrad_update, adam_update, adamw_update, rmsprop_update, sgd_update

globals().update(_FUNCTIONS | _LOSS_FUNCTIONS)  # their types are in __init__.pyi, as those of all others

__all__ = [
    "ACTIVATIONS",
    "BackendUnavailableError",
    "accuracy",
    "adagrad_update",
    "adam_update",
    "adamw_update",
    "count_correct",
    "cross_entropy",
    "elementwise",
    "entropy",
    "gather_scale",
    "kl_divergence",
    "linear",
    "linear_backward",
    "linear_cross_entropy",
    "linear_cross_entropy_with_grad",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "one_hot",
    "perplexity",
    "rmsprop_update",
    "sample_categorical",
    "self_information",
    "sgd_update",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_grad",
    *_FUNCTIONS,
    *_LOSS_FUNCTIONS,
]
