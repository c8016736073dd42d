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
    # tables of kernels' addresses by code of activation (σ, σ') and of aggregation (forward, backward); addresses of
    # kernels: loss, sweeps, and products of a dense run for z, ∂L/∂a and ∂L/∂w
    "activate slopes gather spread loss forward backward whole_forward whole_backward multiply",
    # addresses of the passes over the parameters, see `parameters`
    "collect prepare finish fold",
)

JOB = record(
    # the kernel that is run as (job, slot), slots from 0; how many slots there are; how many helpers came last time;
    # where jobs are posted, and the kernel that does it
    "body slots came board together",
)

CALL = record(
    *(JOB.names or ()),
    # of the arrays that the call was given: where they begin, and the steps in bytes along their axes; share, out and
    # dx are 0 where there are none; float64
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
    # words of one phase and the one that stops it; float64, the sum of each block, and how many blocks
    "counters sums blocks",
    # of the slots of θ: how many; θ, its gradient and where θ goes; the rows of state and bytes from one to the next;
    # float64 constants
    "slots_of_theta theta gradient out rows step constants",
)

TILE = record(
    # addresses of rows: a, then ∂L/∂z of every node, messages, zeros; z; what forward keeps for σ'; ∂L/∂a of every
    # node or 0; base cases; ∂L/∂a of one run
    "A Z D DA G S",
    # addresses: the stack of rows that fused runs keep for σ'; its top, where the next row goes
    "stack top",
    # address of the mask row, −1 in lanes that hold a sample, else 0; number of the first sample, samples
    "mask begin count",
    # addresses: rows of a before dropout; one hash a lane of its sample; then as in CALL
    "U draws drop_neurons drop_least drop_inputs",
    # 1 if ∂L/∂x is wanted
    "inputs",
    # number of its chunk; addresses of the chunk's ∂L/∂w by place, ∂L/∂b by node, loss; 1 if it is the chunk's first
    # tile; block whose sources' a were transposed last, −1 for none; as in CALL
    "chunk weight bias loss first turned_block kept kept_step",
    # addresses of scratch memory: terms of one neuron, see `aggregate`; two rows of float64, see `losses`
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
