"""The mathematics of softgrad, each formula once.

A formula is a plain Python function over the primitives of `primitives`. It knows nothing of arrays, loops or
targets: `kernels/cpu` compiles it for the processor, `kernels/cuda` for a thread of a GPU, and called as it
stands it runs as Python, on NumPy scalars. Activations, elementwise losses and update rules are imported with the
package, so that their tables, in `registry`, are whole.
"""

from softgrad.kernels.formulas import activations, elementwise_losses, updates  # noqa: F401  (fill the tables)
