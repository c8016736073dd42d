"""The Numba executor's kernels. Nothing outside this package imports numba or llvmlite.

Kernels are functions in a small part of Python that `translate` turns into LLVM IR: uncompiled they run too, only
slowly. They are compiled once for a dtype and a number of lanes, and know no graph. Numba itself compiles what is
not ours to restrict: a user's activations and losses, and the aggregations.

    blocks        building blocks: plain functions with a second form in LLVM IR
    memory        loads, stores, atomics and calls by address, as blocks
    vectors       rows of lanes as vector values, as blocks
    across        sums over lanes, and vectors turned, as blocks
    language      the functions and operators that kernels may use
    translate     functions → LLVM IR
    machine       LLVM IR → addresses
    formulas      other functions → addresses, by Numba
    frame         the records through which Python and the kernels talk
    part          which nodes of a plan a call computes
    layout        a part of a plan as the arrays that the sweeps read
    sweeps        forward and backward over one tile, by equations (1)–(10)
    panels        their matrix products
    phases        what threads do beside the sweeps: filling tiles, permuting θ, adding up gradients
    activations, exponentials, tables, aggregations, losses   the functions of maths/ over rows
    floats        the floating-point mode of a thread, as blocks
    pool, cores   threads, and where they run
    code          which kernel stands where
    workspace     the memory of a call
    running       calls run: by whom, and how one is interrupted
    operands      calls whose arrays are looked at in compiled code
    engine        all of it together, for one part of a plan
    kernel        the Kernel of the protocol: an engine for what outputs depend on, one for all
"""
