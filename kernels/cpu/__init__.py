"""The CPU backend: `kernels.Kernels` over NumPy arrays."""

from softgrad.kernels.cpu.activations import activation_backward, activation_forward
from softgrad.kernels.cpu.classification_step import classification_step
from softgrad.kernels.cpu.columns import FEWEST_COLUMNS
from softgrad.kernels.cpu.cross_entropy import softmax_cross_entropy_forward, softmax_cross_entropy_with_grad
from softgrad.kernels.cpu.elementwise import over_arrays
from softgrad.kernels.cpu.elementwise_losses import (
    elementwise_loss_forward,
    elementwise_loss_with_grad,
)
from softgrad.kernels.cpu.gather import gather_batch, gather_scale
from softgrad.kernels.cpu.information import information_measure, self_information_forward
from softgrad.kernels.cpu.labels import count_correct, one_hot_forward
from softgrad.kernels.cpu.linear import bias_activation_backward, bias_activation_forward
from softgrad.kernels.cpu.sampling import sample_categorical_forward
from softgrad.kernels.cpu.search import first_failing
from softgrad.kernels.cpu.softmax import logsumexp, normalised, normalised_backward
from softgrad.kernels.cpu.updates import update
