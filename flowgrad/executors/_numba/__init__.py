"""The Numba executor's kernels. Nothing outside this package and `executors/numba.py` imports numba.

blocks        building blocks: plain functions with a second, compiled form given as LLVM IR
memory        loads, stores, atomics and calls by address, as blocks
vectors       rows of lanes as vector values, as blocks
frame         the records through which Python and the kernels talk
layout        a plan as the arrays that the sweeps read
sweeps        forward and backward over one tile, by equations (1)–(10)
phases        what threads do beside the sweeps: filling tiles, permuting θ, adding up gradients
activations, aggregations, losses   the functions of maths/, compiled
formulas      plain scalar functions made compilable, with everything that they call
pool          threads
kernel        all of it together: the Kernel of the protocol
"""
