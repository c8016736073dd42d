"""The Numba executor's kernels. Nothing outside this package imports numba or llvmlite.

Kernels are module-level functions over addresses and rows of lanes, compiled by Numba when a network first needs them
and kept on disk. What they are compiled for is one argument, a `Spec`. How they work: docs/kernels.md.

    blocks, spec           functions that become LLVM IR in kernels, and plain functions, too; the types of rows
    simd, across, memory   such blocks: arithmetic of rows, sums over lanes, memory by address
    compiled, digests      functions → machine code, on disk under a digest of the code that is loaded
    records                the records through which Python and the kernels talk
    part, layout, network  which nodes of a plan a call computes; the arrays that the sweeps read; both as a record
    forward, backward      the two sweeps over one tile, equations (1)–(10)
    panels                 their matrix products
    steps, phases          what a thread does in a call: work items that all its threads share, phase after phase
    parameters, update     passes over the parameters: before and after the sweeps; of optimizers
    rows, powers, tables, smooth, primitives, forms, formula_forms   activations over rows
    runs, aggregate, losses   kernels of activations, aggregations and losses, called by sweeps
    formula                scalar functions in kernels, a user's own too
    jobs, threads          calls whose work helper threads share; a plain pool
    workspace, keeping, engine   the memory of a call; tiles kept for a later one; calls
    kernel                 the Kernel of the protocol: an engine for what outputs depend on, one for all
"""
