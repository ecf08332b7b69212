"""The kernels: where each operation's formula and loops are, and what every backend must export.

======================================  ============================  ======================
operation                               formula (`formulas/`)         loop (`cpu/`, `cuda/`)
======================================  ============================  ======================
activations and their backwards         activations                   activations
bias + activation, and back             activations                   linear
softmax, log_softmax, logsumexp, back   logsumexp                     softmax
the same over an axis that is not last  logsumexp                     columns
softmax cross-entropy, with gradient    losses, logsumexp             cross_entropy
the same with all options               losses, logsumexp             weighted_cross_entropy
elementwise losses, with gradient       elementwise_losses            elementwise_losses
entropy and its like                    information                   information
draws from a softmax                    random, logsumexp             sampling
label check, accuracy count, one-hot                                  labels
updates of SGD, Adagrad, RMSprop, Adam  updates                       updates
gather and scale                        primitives (fma)              gather
======================================  ============================  ======================

On the CPU `rows` serves the loops over rows that are wider than a tile, `tiles` and `narrow` those over narrower ones.
On a card `rows` has a row in the registers of a thread, a warp or a block, and `wide` serves those that need several
blocks. `formulas/activation_table` lists the activations, `formulas/elementwise_loss_table` the elementwise losses.
Formulas are written over `formulas/primitives`; those are `cpu/simd`, a vector type for Numba, and `cpu/vecmath`, the
elementary functions over it. A thread of a card computes with numbers, for which the two serve as they are: an
element's bits are the CPU's. `cache` keeps the compiled code on disk.

`CONTRACT` is what a backend's folder exports: the same names with the same arguments, over arrays of that backend,
contiguous, already checked, outputs last. The two kernels of activations are built, once for each:
``activation_forward(activation)`` gives ``forward(x, parameters, out)``, ``activation_backward(activation)`` gives
``backward(grad, saved, parameters, out)``. So is that of an update's rule: ``update(rule)`` gives
``step(param, grad, states, numbers)``. And so are those of elementwise losses: ``elementwise_loss_forward(loss)`` gives
``forward(x, targets, operands, losses)``, ``elementwise_loss_with_grad(loss)`` gives
``with_grad(x, targets, operands, scale, losses, grad)``, where an operand is a number or an array of x's size. A kernel
that returns a number returns Python's on the CPU; on a card it is an array without axes, left there, so that nothing
waits for it. Only `first_outside`, `first_failing` and `first_beyond` are waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CONTRACT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "activation_forward": ("activation",),
        "activation_backward": ("activation",),
        "bias_activation_forward": (
            "activation", "product", "bias", "parameters", "preactivation", "out",
        ),
        "bias_activation_backward": (
            "activation", "grad", "saved", "parameters", "grad_product", "grad_bias",
        ),
        "softmax_forward": ("x", "temperature", "out"),
        "softmax_backward": ("grad", "y", "temperature", "out"),
        "log_softmax_forward": ("x", "temperature", "out"),
        "log_softmax_backward": ("grad", "y", "temperature", "out"),
        "logsumexp_forward": ("x", "out"),
        "softmax_columns_forward": ("x", "temperature", "out"),
        "softmax_columns_backward": ("grad", "y", "temperature", "out"),
        "log_softmax_columns_forward": ("x", "temperature", "out"),
        "log_softmax_columns_backward": ("grad", "y", "temperature", "out"),
        "logsumexp_columns_forward": ("x", "out"),
        "softmax_cross_entropy_forward": ("logits", "labels", "losses"),
        "softmax_cross_entropy_with_grad": ("logits", "labels", "scale", "losses", "grad"),
        "weighted_cross_entropy_forward": (
            "logits", "labels", "weight", "ignore_index", "label_smoothing", "z_loss", "softcap", "losses",
        ),
        "weighted_cross_entropy_with_grad": (
            "logits", "labels", "weight", "ignore_index", "label_smoothing", "z_loss", "softcap", "scale", "losses",
            "grad",
        ),
        "soft_cross_entropy_forward": (
            "logits", "targets", "weight", "label_smoothing", "z_loss", "softcap", "losses",
        ),
        "soft_cross_entropy_with_grad": (
            "logits", "targets", "weight", "label_smoothing", "z_loss", "softcap", "scale", "losses", "grad",
        ),
        "elementwise_loss_forward": ("loss",),
        "elementwise_loss_with_grad": ("loss",),
        "first_failing": ("holds", "x"),
        "self_information_forward": ("p", "factor", "factor_lost", "out"),
        "entropy_forward": ("p", "factor", "factor_lost", "out", "checks"),
        "perplexity_forward": ("p", "out", "checks"),
        "cross_entropy_forward": ("p", "q", "factor", "factor_lost", "out", "checks"),
        "kl_divergence_forward": ("p", "q", "factor", "factor_lost", "out", "checks"),
        "sample_categorical_forward": ("logits", "temperature", "key", "out"),
        "first_beyond": ("x", "low", "high"),
        "first_outside": ("indices", "bound"),
        "count_correct": ("logits", "labels"),
        "one_hot_forward": ("labels", "out"),
        "update": ("rule",),
        "gather_scale": ("x", "indices", "scale", "shift", "out"),
    }
)  # fmt: skip
