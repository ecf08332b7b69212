"""Kernels for the GPU without one: the PTX that Numba compiles them to, executed on a processor.

A kernel's PTX is read (`reading`, `decoding`, `registers`) and executed lane by lane by an interpreter in C++
(`interpreter/`, built by `building` at first use). It finds accesses outside of arrays, misaligned, of freed or never
written memory, races, barriers that not all threads reach and shuffles without a member; and it counts what a launch
costs. `execution` launches and says what is wrong in words; `switch` has softgrad's own launching code run over it,
with the stand-in for CuPy; `totals` adds up.
"""
