"""The records through which Python and the kernels talk: one a call, one a thread.

Fields are addresses (of arrays, of functions) and sizes, all int64. `real` is the program's dtype. Rows are
`lanes` reals, one sample each; node and row numbers count rows.
"""

from __future__ import annotations

import numpy as np

from flowgrad.executors._numba.memory import record_type


def record(*fields: str) -> np.dtype[np.void]:
    """A record of these fields, named in strings that may hold several."""
    names = " ".join(fields).split()
    return np.dtype([(name, np.float64 if name == "scale" else np.int64) for name in names])


FRAME = record(
    # sizes: nodes of the part of the plan that is computed, all of the plan's, inputs, outputs, the plan's edges,
    # places of sparse out-edges, runs of neurons, rows of base cases
    "nodes positions inputs outputs edges places runs bases",
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
    # int32: node of output n; of node v: row of its base case in G, first of its message rows in A; real: r_v
    "output base_row message response",
    # tables of functions by code; single functions
    "activation slope gather spread forward backward loss",
    # functions for one run: dense ones; those whose activation is compiled in, 0 where z is wanted too
    "whole_forward whole_backward fused_forward fused_backward",
    # int32 slots into θ and float64 values of frozen ones; real: w by place; θ; w by in-edge, b by position
    "weight_slot bias_slot frozen_weight frozen_bias turned theta weight bias",
    # arrays of samples, with the steps in bytes from sample to sample and from column to column; 0 where absent
    "x x_step x_next t t_step t_next y y_step y_next sample_weight scale",
    # real results: ∂L/∂w by in-edge, ∂L/∂b by position from bias_from on; ∂L/∂θ where it is not just these two
    "grad_weight grad_bias grad_theta bias_from parameters",
    # sizes: samples, tiles of them, chunks of tiles; pieces that parallel passes over parameters are cut into
    "batch tiles chunks pieces",
    # a word each, 0 before a call: what has become of a piece of the places, turned or added up, and of a piece of the
    # edges, turned back, see `passes`; a line each: how many nodes a chunk's last tile has passed; and all these words
    "turned_pieces added_pieces back_pieces passed progress",
    # int32, of a piece of the edges and of the positions: its lowest node, sources among them; whether all edges are
    # in dense runs
    "lowest all_dense",
    # (V, B) results or, z in backward, operands, with the step in bytes from node to node; 0 where not wanted
    "z a dz da node_step",
    # one row a chunk: real ∂L/∂w by place; real ∂L/∂b by node, then 0; float64 loss; what dense runs keep of a tile;
    # bytes a row
    "chunk_weight chunk_weight_step chunk_bias chunk_bias_step chunk_loss kept kept_step",
    # what a call is compared with that compiled code looks at, and whether it was taken, see `operands`: addresses of
    # NumPy's type and the dtype; bytes of a real; whether θ is w and b as they stand, and where b and ∂L/∂b then begin
    "array_type dtype real direct bias_offset weights_size taken",
    # the threads' records; the word that stops all; what to run: phases, each a function, how many items, what a thread
    # does that finds none left, or 0, and where a word for each item says whether it is done already, or 0
    "works stop phases phase_function phase_items phase_meanwhile phase_words",
    # phases again_from … again_to−1 are run `rounds` times, this being which; tiles of a chunk in one of them
    "again_from again_to rounds round at_once",
)

WORK = record(
    # this thread's tile: rows of a and then ∂L/∂z of every node, and messages; of z, from which σ' is found where a
    # does not tell it, or of σ'; of ∂L/∂a or 0; of base cases; of ∂L/∂a of one run; the block whose sources' a are
    # turned
    "A Z D DA G S transposed",
    # such rows of fused runs, one upon another; where the next goes
    "stack top",
    # the mask row (all ones where a lane is a sample); float64 rows of each sample: what is taken out of y, log Σ e^y
    # of what is left, Σ t, weight
    "mask shift lse mass share",
    # first sample, how many; the chunk's arrays; whether this is the chunk's first tile
    "begin count weight bias loss kept first",
    # where it says how many nodes its backward has passed; 0 but in the chunk's last tile
    "passed",
    # float64: terms and slopes of one aggregation
    "terms slopes",
)

frame_at = record_type(FRAME, fixed=True)
open_frame_at = record_type(FRAME)
"""For what writes it: before a call, and between its phases."""
work_at = record_type(WORK)

DENSE = record(
    # its first neuron, how many; how many sources, how many of them come first and are inputs; which block of the part
    "first count sources inputs block",
    # reals from one lane of its sources' a to the next; where these, and its ∂L/∂z, stand in what is kept, in rows of
    # lanes; where its rows of base cases are
    "wide turned dz base",
)

dense_at = record_type(DENSE)

PLAIN, FUSED, SCALED, WHOLE, AGGREGATED = 0, 1, 2, 3, 4
"""Kinds of runs: sum with r = 1; the same, of the activation that is compiled into its kernel, so that up to FUSED they
are plain; sum with another r; part of a dense block; AGGREGATED + code: another aggregation."""

STRIDE = 16
"""What numbers of rows are multiplied by that are read for an edge: rows of 128 or 32 bytes are then found by 8 or 2
times that, which a processor multiplies by while it reads.
"""
GROUP = 4
"""Out-edges that backward takes at a time."""
AHEAD = 32
"""How many edges ahead a sweep fetches rows."""
