"""Numbers and vectors of numbers for Numba: the arithmetic and the elementary functions that formulas are made of.

A thread of a GPU computes with numbers, a processor with vectors; the same code serves both, so an element's bits are
the same on either. `vector` has the types and their operators, `bits` what is done to the bits of a number, `math` and
`normal` the elementary functions, over the polynomials of `coefficients`; `primitives` gives the formulas' primitives
these bodies.
"""
