"""Records shared by Python and the kernels: of a part of a plan, of a call, of a pass over θ, of a thread's tile.

All fields are int64: sizes, flags, and addresses of arrays. `real` is the program's dtype. A row holds one real for
each of `lanes` samples. Row numbers that a sweep reads for an edge are stored times STRIDE.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad.executors._numba.memory import record_at

SUM, FUSED, WHOLE, AGGREGATED = 0, 1, 2, 3
"""Kinds of runs: multiple of the sum; such with the activation that is compiled into the sweep; part of a dense block;
AGGREGATED + code: another aggregation."""
FUSE, BACKWARD, DROP = 1, 2, 4
"""Flags of a sweep: fused runs use the compiled-in activation and store no z; backward follows; neurons are dropped,
which excludes FUSE."""
STRIDE = 16
"""Factor of stored row numbers: 8 or 2 times the product is the offset of a row of 128 or 32 bytes, and processors
multiply by 8 or 2 in the addressing mode of a load."""
WIDE = 128
"""Size in bytes of a row of a tile; a quarter of it for small batches."""
GROUP = 4
"""Number of out-edges that backward processes at a time."""
MANY = 64
"""Greatest number of chunks of a batch."""
AHEAD = 32
"""Prefetch distance of rows, in edges, in sweeps that prefetch."""


def record(*fields: str) -> np.dtype[np.void]:
    """Return the dtype of a record of int64 fields; a string may name several, separated by blanks."""
    return np.dtype([(name, np.int64) for name in " ".join(fields).split()])


NET = record(
    # numbers of: nodes of the part of the plan that is computed; positions, inputs, outputs of the part, edges of the
    # plan; places of sparse out-edges with padding; runs of neurons; rows of G; dense runs; slots of θ
    "nodes positions inputs outputs edges places runs bases dense_runs parameters",
    # 1 if θ is w, then b (`Plan.direct`); 1 if all edges are in dense runs; by how many edges prefetches of rows run
    # ahead, 0 for none; lanes of a row
    "direct all_dense ahead lanes",
    # int32: position in the plan of node v of the part; node of a position, `nodes` if it is not in the part
    "position node",
    # int64: node v has the in-edges in_begin[v] … in_end[v]−1; its sparse out-edges (into no dense run) have the places
    # out_begin[v] … out_end[v]−1, which rise from the last node to the first, each padded to a multiple of GROUP
    "in_begin in_end out_begin out_end",
    # int32: source of in-edge e, times STRIDE; row of A with ∂L/∂(w·a) of place k, times STRIDE, the row of zeros in
    # padding; in-edge of place k, −1 in padding; place of in-edge e: −1 in a dense run, one behind all places, whose
    # gradient is 0, if it leaves the part
    "in_source out_row out_edge out_place",
    # int32: first neuron of run r (runs + 1 entries); its kind, code of its activation, number of its record if dense
    "run_begin run_kind run_activation run_dense",
    # records of dense runs, see DENSE; int32: rows of G of the sources of each block; 0, 1, 2, …
    "dense dense_base iota",
    # int32: node of output n; row of G with the base case of node v, its first message row in A; real: its c·r or r
    "output base_row message response",
    # int32: slot of θ by edge, by position, −1 if frozen; real: weight by edge, bias by position, read where frozen
    "weight_slot bias_slot frozen_weight frozen_bias",
    # tables of kernels' addresses by code of activation and of aggregation (forward, backward); addresses of
    # kernels: loss, sweeps, and products of a dense run for z and ∂L/∂a
    "activate gather spread loss forward backward whole_forward whole_backward",
    # addresses of the kernels that compute an item of a phase, see `steps`, `parameters` and `backward.multiply`
    "collect permute predict_tile step_chunk multiply add unpermute fold",
)

JOB = record(
    # address of the kernel that each thread runs as body(job, slot); number of slots, which are numbered from 0; number
    # of helpers that joined the last call; addresses of the table of jobs and of `jobs.run_shared`
    "body slots joined table run_shared",
)

CALL = record(
    *(JOB.names or ()),
    # addresses of the arguments and their strides in bytes; share (sample weights), out and dx are 0 if there are none;
    # a float64, the factor of the gradient
    "theta x x_step x_next targets targets_step targets_next share out dx dx_step dx_next scale",
    # address of the record NET; numbers of samples, tiles, chunks, tiles of a chunk in a round, rounds
    "net batch tiles chunks at_once rounds",
    # number of work items of each pass over the parameters
    "pieces",
    # flags of the sweep; 1 if targets are ∂L/∂y; dropout: number of the first sample, keys that are added to numbers of
    # samples and of neurons, least hash of a neuron and of an input that stays
    "how pulled drop_first drop_samples drop_neurons drop_least drop_inputs",
    # addresses: the threads' records TILE; words, 0 before a call, that count the items taken and done in each phase;
    # the word that, if not 0, makes all threads return early
    "works counters stop",
    # tiles that a forward holds for the backward of a later call, see `keeping`: address of the first one's rows; their
    # number; bytes a tile; offsets in its rows of D, of the stack and of the row of zeros
    "held held_tiles held_step held_slopes held_stack held_zeros",
    # addresses of reals (V, B), or 0: z and a, written by forward or read in place of it; ∂L/∂z and ∂L/∂a
    "z a dz da",
    # addresses of reals: w by in-edge, b by position, in θ if it is these two; w by place; ∂L/∂w by in-edge, ∂L/∂b by
    # position, in `out` if θ is these two
    "weight bias out_weight grad_weight grad_bias",
    # addresses and strides in bytes of the chunks' ∂L/∂w by place and ∂L/∂b by node; address of their float64 losses
    "chunk_weight chunk_weight_step chunk_bias chunk_bias_step chunk_loss",
    # address of what dense runs keep of a tile of each chunk, rows of the chunks side by side; bytes of such rows
    "kept kept_step",
)

PASS = record(
    *(JOB.names or ()),
    # address of the number of blocks taken; address of float64 sums, one a block; number of blocks
    "taken sums blocks",
    # length of θ; addresses of θ, of its gradient and of the new θ; address of the rows of state and bytes a row;
    # address of float64 constants
    "length theta gradient out rows step constants",
)

TILE = record(
    # addresses of rows: a, then r·∂L/∂z of every node, messages, zeros; z; σ' of neurons that are not fused, ∂L/∂z if
    # traced; ∂L/∂a of every node if traced, else 0; base cases; scratch of `backward.multiply`
    "A Z D DA G S",
    # addresses: the stack of rows of z that fused runs keep for σ'; its top, where the next row goes
    "stack top",
    # address of the mask row, −1 in lanes that hold a sample, else 0; number of the first sample, samples
    "mask begin count",
    # address of one hash a lane, of its sample; then as in CALL
    "draws drop_neurons drop_least drop_inputs",
    # 1 if ∂L/∂x is wanted
    "inputs",
    # number of the round, of its chunk; addresses of the chunk's ∂L/∂w by place, ∂L/∂b by node, loss; 1 in the first
    # tile of its chunk; block whose sources' a were transposed last, −1 for none; as in CALL
    "round_number chunk weight bias loss first transposed_block kept kept_step",
    # addresses of scratch memory: terms of one neuron, see `aggregate`; two rows of float64, see `losses`
    "terms lse share",
)

DENSE = record(
    # first neuron; numbers of neurons, of sources, and of leading sources that are inputs; number of its block
    "first count sources inputs block",
    # offsets, in rows of lanes, of the transposed a of its sources and of its ∂L/∂z in what is kept; offset of its
    # sources in `dense_base`
    "transposed dz base_rows",
)

net_at: Any = record_at(NET)
call_at: Any = record_at(CALL)
tile_at: Any = record_at(TILE)
pass_at: Any = record_at(PASS)
dense_at: Any = record_at(DENSE)
TILE_SIZE, DENSE_SIZE = TILE.itemsize, DENSE.itemsize
SCALE = (CALL.names or ()).index("scale")
"""Index of the one word of a call's record that is a float64."""
