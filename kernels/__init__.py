"""The kernels: where each operation's formula and loops are, and what every backend must export.

======================================  ============================  ======================
operation                               formula (`formulas/`)         loop (`cpu/`, `cuda/`)
======================================  ============================  ======================
activations and their backwards         activations                   activations
bias + activation, and back             activations                   linear
softmax, log_softmax, logsumexp, back   softmax                       softmax, columns
softmax cross-entropy, with gradient    cross_entropy, softmax        cross_entropy
elementwise losses, with gradient       elementwise_losses            elementwise_losses
entropy and its like                    information                   information
draws from a softmax                    random, softmax               sampling
accuracy count, one-hot                                               labels
checks of what arrays hold              conditions                    search
updates of SGD, Adagrad, RMSprop, Adam  updates                       updates
gather and scale                        primitives (fma)              gather
======================================  ============================  ======================

On the CPU `rows` serves the loops over rows that are wider than a tile, `tiles` and `narrow` those over narrower ones;
`label_cross_entropy` has the loops of cross-entropy without options.
On a GPU `rows` has a row in the registers of a thread, a warp or a block, `held` in a block's shared memory, `wide`
serves those that need several blocks.

`formulas/registry` has the tables of activations, elementwise losses and update rules, whose rows kernels are built of.
Formulas are written over `formulas/primitives`; those are `simd/vector`, a vector type for Numba, and `simd/math`, the
elementary functions over it. A thread of a GPU computes with numbers, for which the two serve as they are: an element's
bits are the CPU's. `cache` keeps the compiled code on disk.

`Kernels` is what a backend's folder exports, each kernel described once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from softgrad.kernels.formulas.cross_entropy import CrossEntropyOptions
from softgrad.kernels.formulas.information import Measure
from softgrad.kernels.formulas.softmax import Normalised

Array = Any
Formula = Callable[..., Any]


class Kernels(Protocol):
    """The kernels of a backend: over its arrays, contiguous, of one dtype, already checked; outputs last.

    Numbers are those of the dtype computed in, float32 for 16-bit floats; so are the losses and sums of such. On the
    CPU 16-bit floats are given as their bits (`simd.half`).

    An output may lie in the memory of an input only where it is said. A kernel that returns a number returns Python's
    on the CPU; on a GPU it is an array without axes, left there, so that nothing waits for it. Only the search is
    waited for.

    Attributes
    ----------
    FEWEST_COLUMNS
        With fewer columns side by side a transposed copy, normalised by rows, is quicker than the columns.
    """

    FEWEST_COLUMNS: int

    # ---- element by element

    def over_arrays(self, formula: Formula, arrays: int, results: int) -> Callable[..., None]:
        """Build ``run(inputs, parameters, outs)`` of tuples: outs = formula(*inputs, *parameters).

        There are so many inputs and outs, of one size. An out may be an input.
        """

    def activation_forward(self, activation: Any) -> Callable[..., None]:
        """Build ``forward(x, parameters, out)``: out = f(x), both of one size. `out` may be x."""

    def activation_backward(self, activation: Any) -> Callable[..., None]:
        """Build ``backward(grad, saved, parameters, out)``: out = grad f'(saved). `out` may be grad or saved."""

    def elementwise_loss_forward(self, loss: Any) -> Callable[..., Any]:
        """Build ``forward(x, targets, operands, divisor, losses)``: each in `losses` unless that is None, and a number.

        It is their sum, added in float64, over the divisor, on a GPU of x's dtype; of None it is the sum in float64. An
        operand, a weight or a parameter of the loss, is a number or an array of x's size.
        """

    def elementwise_loss_with_grad(self, loss: Any) -> Callable[..., Any]:
        """Build ``with_grad(x, targets, operands, divisor, scale, losses, grad)``: the same, and the gradient.

        grad = scale d loss / dx, of each loss, not of the number. `grad` may be x or the targets.
        """

    def self_information_forward(self, p: Array, factor: float, factor_lost: float, out: Array) -> None:
        """out = -(factor + factor_lost) log p. `out` may be p."""

    def update(self, rule: Any) -> Callable[..., None]:
        """Build ``step(param, grad, states, numbers)``: a rule's step over arrays of one shape, in place."""

    # ---- what surrounds a matrix product

    def bias_activation_forward(
        self, activation: Any, product: Array, bias: Array, parameters: Any, preactivation: Array, out: Array
    ) -> None:
        """out = f(product + bias), and preactivation = product + bias unless it is None. Either may be `product`."""

    def bias_activation_backward(
        self, activation: Any, grad: Array, saved: Array, parameters: Any, grad_product: Array, grad_bias: Array
    ) -> None:
        """grad_product = grad f'(saved), grad_bias = its column sums, compensated. `grad_product` may be grad."""

    # ---- the softmax family

    def normalised(self, row: Normalised) -> Callable[..., None]:
        """Build ``forward(x, temperature, out)``: each row of the matrix x normalised, as softmax(x / temperature) is.

        Of an array of three axes it is the columns over axis 1; of an empty one nothing. `out` may be x.
        """

    def normalised_backward(self, row: Normalised) -> Callable[..., None]:
        """Build ``backward(grad, y, temperature, out)``: the gradient of x from that of y = forward(x, temperature).

        `out` may be grad or y.
        """

    def logsumexp(self, x: Array, out: Array) -> None:
        """out[r] = log(sum(exp(x[r]))), or of three axes out[o, i] = log(sum(exp(x[o, :, i])))."""

    def sample_categorical_forward(self, logits: Array, temperature: float, key: int, out: Array) -> None:
        """out[n] = a class drawn from softmax(logits[n % rows] / temperature), by the key and n alone, or -1.

        There is none in a row with NaN or +inf, or with nothing but -inf.
        """

    # ---- softmax cross-entropy

    def softmax_cross_entropy_forward(
        self, logits: Array, targets: Array, options: CrossEntropyOptions | None, divisor: Any, losses: Any
    ) -> Any:
        """The sum of the rows' losses over the divisor, and each in `losses` unless that is None.

        It is added in float64, and 0 where the divisor is; on a GPU it has the logits' dtype, and the divisor may be an
        array of float64 without axes. If the divisor is None nothing is divided, and the sum is in float64.
        The targets are labels, or probabilities: a matrix like the logits. Without options labels have a kernel of
        their own. A label outside the classes that is not to be ignored gives NaN for its row; nothing is read or
        written out of bounds.
        """

    def softmax_cross_entropy_with_grad(
        self,
        logits: Array,
        targets: Array,
        options: CrossEntropyOptions | None,
        divisor: Any,
        scale: Any,
        losses: Any,
        grad: Array,
    ) -> Any:
        """As `softmax_cross_entropy_forward`, and grad = scale d loss / d logits.

        `scale` is a float, or on a GPU an array of the logits' dtype without axes. `grad` may be the logits, or
        probabilities.
        """

    # ---- information measures of the rows of a matrix

    def information_measure(self, measure: Measure) -> Callable[..., None]:
        """Build ``measured(distributions, factor, factor_lost, out, checks)`` of the rows of one or two matrices.

        Of an entropy out[r] = (factor + factor_lost) sum(-p[r] log p[r]). checks[k, r] is the sum of row r of
        distribution k, or its lowest number if that is below 0.
        """

    # ---- labels and indices

    def count_correct(self, logits: Array, labels: Array) -> Any:
        """How many rows have their largest logit, the first of equals, at their label.

        A row with NaN does not, nor one with a label outside the classes.
        """

    def one_hot_forward(self, labels: Array, out: Array) -> None:
        """out[r, j] = 1 where j is the row's label, else 0; the labels must have been checked."""

    def gather_scale(self, x: Array, indices: Array, scale: float, shift: float, out: Array, *, halves: bool) -> None:
        """out[r] = x[indices[r]] * scale + shift; for an index outside the rows the nearest is taken.

        `halves` says that x holds 16-bit floats, and on the CPU not the integers that their bits are given as.
        """

    def gather_batch(
        self,
        x: Array,
        labels: Array,
        indices: Array,
        begin: int,
        scale: float,
        shift: float,
        out: Array,
        labels_out: Array,
    ) -> None:
        """As `gather_scale` by the indices from `begin` on, and labels_out[r] = labels[the same index]."""

    # ---- a training step

    def classification_step(
        self, product: Array, bias: Array, labels: Array, loss_sum: Array, correct: Array, grad: Array
    ) -> bool:
        """All that `ops.training.classification_step` does, in one launch; False, and nothing done, if there is none.

        `grad` may be the product.
        """

    # ---- the search, which is waited for

    def first_failing(self, holds: Formula) -> Callable[..., int]:
        """The function of an array of one axis, and numbers, that searches it.

        It gives the position of the first element of which the formula ``holds(element, *numbers)`` is not true, or -1.
        """
