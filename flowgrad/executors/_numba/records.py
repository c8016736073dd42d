"""The records through which Python and the kernels talk: of a part of a plan, of a call, of a thread's tile.

All fields are int64: sizes, and addresses of arrays. `real` is the program's dtype. A row is `lanes` reals, one sample
each. Numbers of rows are stored times STRIDE where a sweep reads them for an edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad.executors._numba.memory import record_at

PLAIN, FUSED, SCALED, FUSED_SCALED, WHOLE, AGGREGATED = 0, 1, 2, 3, 4, 5
"""Kinds of runs: sum; the same, of the activation that is compiled into the sweep; a multiple of the sum, and of that
activation; part of a dense block; AGGREGATED + code: another aggregation."""
FUSE, BACKWARD, DROP = 1, 2, 4
"""Flags of a sweep: runs that are FUSED have their activation compiled in, and leave no z; backward follows; neurons
are dropped, which goes without FUSE."""
STRIDE = 16
"""What numbers of rows are multiplied by: rows of 128 or 32 bytes are then found by 8 or 2 times that, which a
processor multiplies by while it reads."""
WIDE = 128
"""Bytes of a row of a tile; small batches have rows of a quarter."""
GROUP = 4
"""Out-edges that backward takes at a time."""
MANY = 64
"""Chunks that a batch is cut into, at most."""
AHEAD = 32
"""How many edges ahead a sweep fetches rows, where it does."""


def record(*fields: str) -> np.dtype[np.void]:
    """A record of these fields, named in strings that may hold several."""
    return np.dtype([(name, np.int64) for name in " ".join(fields).split()])


NET = record(
    # sizes: nodes of the part of the plan that is computed, all of the plan's, inputs, outputs, the plan's edges,
    # places of sparse out-edges, runs of neurons, rows of base cases, dense runs; θ's length
    "nodes positions inputs outputs edges places runs bases dense_runs parameters",
    # whether θ is w and b as they stand; whether all edges are in dense runs; how many edges ahead rows are fetched;
    # lanes of a row
    "direct all_dense ahead lanes",
    # int32, of node v of the part: its position in the plan; of a position: which node it is, or `nodes`
    "position node",
    # int64: the in-edges of v are in_begin[v] … in_end[v]−1; its out-edges that lead into no dense run have the places
    # out_begin[v] … out_end[v]−1: the last node's come first, and each node's are filled up to whole groups
    "in_begin in_end out_begin out_end",
    # int32, of in-edge e: its source times STRIDE; of place k: the row of A with ∂L/∂(w·a), a row of zeros where it is
    # filled up, times STRIDE, and the in-edge or −1; of in-edge e: its place, a place behind all that holds 0, or −1 in
    # a dense run
    "in_source out_row out_edge out_place",
    # int32, of run r: its first neuron (runs+1 of them), its kind, its activation, its record if it is dense
    "run_begin run_kind run_activation run_dense",
    # records of dense runs; int32: rows of base cases of their sources; 0, 1, 2, …
    "dense dense_base iota",
    # int32: node of output n; of node v: row of its base case in G, first of its message rows in A; real: c·r
    "output base_row message response",
    # int32 slots into θ; real values of what is frozen
    "weight_slot bias_slot frozen_weight frozen_bias",
    # addresses of kernels: by code of activation, and of aggregation; the loss; the
    # sweeps; those of a dense run
    "activate slopes gather spread loss forward backward whole_forward whole_backward multiply",
    # those of passes over the parameters, see `parameters`
    "collect prepare finish fold",
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
    # the network's record; samples, tiles of them, chunks of tiles; tiles of a chunk in one round, rounds
    "net batch tiles chunks at_once rounds",
    # pieces that passes over the parameters are cut into
    "pieces",
    # how to sweep, by flags; whether targets are base cases; of dropout: first sample, what is added to numbers of
    # samples and of neurons, and the least hashes that stay
    "how pulled drop_first drop_samples drop_neurons drop_least drop_inputs",
    # the threads' records; words, 0 before a call: of each phase how many items are taken, and how many are done; the
    # word that stops all
    "works counters stop",
    # what a forward leaves for the backward of a later call, see `keeping`: rows of the tiles that are held, how many
    # these are; float64, how far each one's pile reaches; bytes a tile, and where in it D, the pile and the zeros begin
    "held held_tiles held_tops held_step held_slopes held_stack held_zeros",
    # (V, B) reals by node, or 0: z and a of a forward, to be written or to stand for it; ∂L/∂z and ∂L/∂a
    "z a dz da",
    # real: w by in-edge and b by position, where θ is not just these; w by place; gradients by in-edge and position
    "weight bias turned grad_weight grad_bias",
    # one row a chunk: real ∂L/∂w by place; real ∂L/∂b by node, then 0; float64 loss; bytes a row
    "chunk_weight chunk_weight_step chunk_bias chunk_bias_step chunk_loss",
    # what dense runs keep of a tile, a row of lanes of every chunk beside each other; bytes of those
    "kept kept_step",
)

PASS = record(
    *(JOB.names or ()),
    # address of three words: items taken, items done, stop; address of float64 sums, one a block; number of blocks
    "counters sums blocks",
    # length of θ; addresses of θ, of its gradient and of the new θ; address of the rows of state and bytes a row;
    # address of float64 constants
    "length theta gradient out rows step constants",
)

TILE = record(
    # rows of a and then ∂L/∂z of every node, messages, zeros; of z; of what σ' is found from; of ∂L/∂a or 0; of base
    # cases; of ∂L/∂a of one run
    "A Z D DA G S",
    # such rows of fused runs, one upon another; where the next goes
    "stack top",
    # the mask row: all ones where a lane is a sample; first sample, how many
    "mask begin count",
    # rows of a before neurons were dropped; hashes of the samples; as in the call
    "U draws drop_neurons drop_least drop_inputs",
    # whether ∂L/∂x is wanted
    "inputs",
    # its chunk, and its arrays; whether it is the chunk's first; the block whose sources' a have been turned; as in the
    # call
    "chunk weight bias loss first turned_block kept kept_step",
    # room for one neuron of another aggregation, see `aggregate`; for losses, see `losses`
    "terms lse share",
)

DENSE = record(
    # its first neuron, how many; how many sources, how many of them come first and are inputs; which block of the part
    "first count sources inputs block",
    # where its sources' a and its ∂L/∂z stand in what is kept, in rows of lanes; where its rows of base cases are
    "turned dz base_rows",
)

net_at: Any = record_at(NET)
call_at: Any = record_at(CALL)
tile_at: Any = record_at(TILE)
pass_at: Any = record_at(PASS)
dense_at: Any = record_at(DENSE)
TILE_SIZE, DENSE_SIZE = TILE.itemsize, DENSE.itemsize
