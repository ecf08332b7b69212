"""The GPU backend: `kernels.CONTRACT` over CuPy arrays."""

from softgrad.kernels.cuda.activations import activation_backward, activation_forward
from softgrad.kernels.cuda.columns import (
    log_softmax_columns_backward,
    log_softmax_columns_forward,
    logsumexp_columns_forward,
    softmax_columns_backward,
    softmax_columns_forward,
)
from softgrad.kernels.cuda.cross_entropy import softmax_cross_entropy_forward, softmax_cross_entropy_with_grad
from softgrad.kernels.cuda.elementwise_losses import (
    elementwise_loss_forward,
    elementwise_loss_with_grad,
    first_failing,
)
from softgrad.kernels.cuda.gather import gather_scale
from softgrad.kernels.cuda.information import (
    cross_entropy_forward,
    entropy_forward,
    first_beyond,
    kl_divergence_forward,
    perplexity_forward,
    self_information_forward,
)
from softgrad.kernels.cuda.labels import count_correct, first_outside, one_hot_forward
from softgrad.kernels.cuda.linear import bias_activation_backward, bias_activation_forward
from softgrad.kernels.cuda.sampling import sample_categorical_forward
from softgrad.kernels.cuda.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    logsumexp_forward,
    softmax_backward,
    softmax_forward,
)
from softgrad.kernels.cuda.updates import update
from softgrad.kernels.cuda.weighted_cross_entropy import (
    soft_cross_entropy_forward,
    soft_cross_entropy_with_grad,
    weighted_cross_entropy_forward,
    weighted_cross_entropy_with_grad,
)

__all__ = [
    "activation_backward",
    "activation_forward",
    "bias_activation_backward",
    "bias_activation_forward",
    "count_correct",
    "cross_entropy_forward",
    "elementwise_loss_forward",
    "elementwise_loss_with_grad",
    "entropy_forward",
    "first_beyond",
    "first_failing",
    "first_outside",
    "gather_scale",
    "kl_divergence_forward",
    "log_softmax_backward",
    "log_softmax_columns_backward",
    "log_softmax_columns_forward",
    "log_softmax_forward",
    "logsumexp_columns_forward",
    "logsumexp_forward",
    "one_hot_forward",
    "perplexity_forward",
    "sample_categorical_forward",
    "self_information_forward",
    "soft_cross_entropy_forward",
    "soft_cross_entropy_with_grad",
    "softmax_backward",
    "softmax_columns_backward",
    "softmax_columns_forward",
    "softmax_cross_entropy_forward",
    "softmax_cross_entropy_with_grad",
    "softmax_forward",
    "update",
    "weighted_cross_entropy_forward",
    "weighted_cross_entropy_with_grad",
]
