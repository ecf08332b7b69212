"""The GPU backend: `kernels.Kernels` over CuPy arrays."""

from softgrad.kernels.cuda.activations import activation_backward, activation_forward
from softgrad.kernels.cuda.classification_step import classification_step
from softgrad.kernels.cuda.columns import FEWEST_COLUMNS
from softgrad.kernels.cuda.cross_entropy import softmax_cross_entropy_forward, softmax_cross_entropy_with_grad
from softgrad.kernels.cuda.elementwise import over_arrays
from softgrad.kernels.cuda.elementwise_losses import (
    elementwise_loss_forward,
    elementwise_loss_with_grad,
)
from softgrad.kernels.cuda.gather import gather_batch, gather_scale
from softgrad.kernels.cuda.information import information_measure, self_information_forward
from softgrad.kernels.cuda.labels import count_correct, one_hot_forward
from softgrad.kernels.cuda.linear import bias_activation_backward, bias_activation_forward
from softgrad.kernels.cuda.sampling import sample_categorical_forward
from softgrad.kernels.cuda.search import first_failing
from softgrad.kernels.cuda.softmax import logsumexp, normalised, normalised_backward
from softgrad.kernels.cuda.updates import update
