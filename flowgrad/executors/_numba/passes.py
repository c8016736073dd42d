"""Passes over the parameters: weights into the order of backward, gradients added up and back into that of edges.

They are cut into pieces, and a piece is whoever's takes it first. No thread waits for long for another here: before
backward each turns the weights that are not turned yet, and one that has nothing else to do takes what can be taken of
the gradients, as far as every chunk has come. What is left when all sweeps are done is a phase like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.frame import DENSE, WORK, dense_at, frame_at, work_at
from flowgrad.executors._numba.memory import LINE, atomic_get, f64_at, fetch_add, i32_at, i64_at, publish
from flowgrad.executors._numba.panels import product, rows_at_once
from flowgrad.executors._numba.vectors import GATHERED, Lanes, store

SIZE, RECORD = WORK.itemsize, DENSE.itemsize
Phase = Callable[[int, int, int], None]

DONE = 1 << 32
"""In the word of a piece, from here on; below it counts who came for it."""


def is_first(words: int, piece: int) -> Any:
    """Whether a piece was nobody's; it is the caller's then."""
    return atomic_get(words + piece * 8) == 0 and fetch_add(words + piece * 8, 1) == 0


def gather(lanes: Lanes) -> Phase:
    """A piece of the parameters: w and b from θ and the frozen values, where θ is not w and b as they stand."""
    real_at, put_real = lanes.real_at, lanes.put_real

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        for e in range(item * f.edges // f.pieces, (item + 1) * f.edges // f.pieces):
            slot = i32_at(f.weight_slot, e)
            put_real(f.weight, e, real_at(f.theta, slot) if slot >= 0 else f64_at(f.frozen_weight, e))
        for p in range(item * f.positions // f.pieces, (item + 1) * f.positions // f.pieces):
            slot = i32_at(f.bias_slot, p)
            put_real(f.bias, p, real_at(f.theta, slot) if slot >= 0 else f64_at(f.frozen_bias, p))

    return phase


def turner(lanes: Lanes) -> Callable[[Any, int], None]:
    """turn(f, piece): weights in the order in which backward reads them, 0 where no edge is."""
    REAL, gather = lanes.dtype.itemsize, lanes.gather

    def turn(f: Any, piece: int) -> None:
        w, turned, out_edge, eights = f.weight, f.turned, f.out_edge, f.places // GATHERED
        for k in range(piece * eights // f.pieces * GATHERED, (piece + 1) * eights // f.pieces * GATHERED, GATHERED):
            store(turned + k * REAL, gather(w, out_edge + k * 4, 0.0))
        publish(f.turned_pieces + piece * 8, DONE)

    return turn


def weights_turned(lanes: Lanes) -> Callable[[int], None]:
    """turned(frame): all weights are, when this ends."""
    turn = turner(lanes)

    def turned(frame: int) -> None:
        f = frame_at(frame)
        for piece in range(f.pieces):
            if is_first(f.turned_pieces, piece):
                turn(f, piece)
        for piece in range(f.pieces):
            patience = f.places // f.pieces
            while patience > 0 and atomic_get(f.turned_pieces + piece * 8) < DONE:
                patience -= 1
            if patience == 0:  # as long as it takes: who is at it has lost its core
                turn(f, piece)

    return turned


def adder_up(lanes: Lanes) -> Callable[[Any, int], None]:
    """add(f, piece): the chunks' ∂L/∂w added up by place, in order, in the first chunk."""
    load, ROW, N = lanes.load, lanes.size, lanes.n

    def add(f: Any, piece: int) -> None:
        vectors = (f.places + N - 1) // N if f.chunks > 1 else 0  # a chunk is as long as they are
        for k in range(piece * vectors // f.pieces, (piece + 1) * vectors // f.pieces):
            at = f.chunk_weight + k * ROW
            g = load(at)
            for c in range(1, f.chunks):
                g = g + load(at + c * f.chunk_weight_step)
            store(at, g)
        publish(f.added_pieces + piece * 8, DONE)

    return add


def back_turner(lanes: Lanes) -> Callable[[Any, int], None]:
    """back(f, piece): ∂L/∂w of the sparse edges in edge order; the chunks' ∂L/∂b added up, in order."""
    REAL, real_at, put_real = lanes.dtype.itemsize, lanes.real_at, lanes.put_real
    gather, load8 = lanes.gather, lanes.load8

    def back(f: Any, piece: int) -> None:
        summed, out_place, to = f.chunk_weight, f.out_place, f.grad_weight
        eights = f.edges // GATHERED if f.all_dense == 0 else 0
        for e in range(piece * eights // f.pieces * GATHERED, (piece + 1) * eights // f.pieces * GATHERED, GATHERED):
            store(to + e * REAL, gather(summed, out_place + e * 4, load8(to + e * REAL)))
        for e in range(eights * GATHERED, f.edges if piece == f.pieces - 1 and f.all_dense == 0 else 0):
            k = i32_at(out_place, e)
            if k >= 0:
                put_real(to, e, real_at(summed, k))
        for p in range(piece * f.positions // f.pieces, (piece + 1) * f.positions // f.pieces):
            node = i32_at(f.node, p)
            b = real_at(f.chunk_bias, node)
            for c in range(1, f.chunks):
                b += real_at(f.chunk_bias + c * f.chunk_bias_step, node)
            if p >= f.bias_from:
                put_real(f.grad_bias, p - f.bias_from, b if p >= f.inputs else 0.0)
        publish(f.back_pieces + piece * 8, DONE)

    return back


def meanwhile(lanes: Lanes) -> Phase:
    """While others are at their sweeps: a piece turned, or one that can be by now added up, and one turned back."""
    N, turn, add, back = lanes.n, turner(lanes), adder_up(lanes), back_turner(lanes)

    def reached(f: Any) -> Any:
        """The last node that all chunks have passed."""
        passed = f.nodes
        for c in range(f.chunks):
            passed = min(passed, atomic_get(f.passed + c * LINE))
        return f.nodes - passed

    def end_of(f: Any, pieces: int) -> Any:
        """Where so many pieces of the places end."""
        return min(pieces * ((f.places + N - 1) // N) // f.pieces * N, i64_at(f.out_end, 0))

    def phase(frame: int, _: int, __: int) -> None:
        f = frame_at(frame)
        for piece in range(f.pieces):
            if is_first(f.turned_pieces, piece):
                turn(f, piece)
                return
        for piece in range(f.pieces):
            if end_of(f, piece + 1) > i64_at(f.out_end, reached(f)):
                break
            if is_first(f.added_pieces, piece):
                add(f, piece)
                break
        added = 0
        while added < f.pieces and atomic_get(f.added_pieces + added * 8) >= DONE:
            added += 1
        there, last = end_of(f, added), reached(f)
        for piece in range(f.pieces - 1, -1, -1):
            lowest = i32_at(f.lowest, piece)
            if lowest >= last and i64_at(f.out_end, lowest) <= there and is_first(f.back_pieces, piece):
                back(f, piece)
                return

    return phase


def add_up(lanes: Lanes) -> Phase:
    """What is left of a piece of the places: the chunks' ∂L/∂w added up."""
    add = adder_up(lanes)

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        if is_first(f.added_pieces, item):
            add(f, item)

    return phase


def turn_back(lanes: Lanes) -> Phase:
    """What is left of a piece of the edges and of the positions: ∂L/∂w turned back, ∂L/∂b added up."""
    back = back_turner(lanes)

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        if is_first(f.back_pieces, item):
            back(f, item)

    return phase


def multiply(lanes: Lanes) -> Phase:
    """A dense run: its ∂L/∂w from what the chunks have kept of this round's tiles, in order.

    Panels go straight to where they belong; the end of a row that is no whole vector takes a detour.
    """
    ROW, REAL, N, real_at, put_real = lanes.size, lanes.dtype.itemsize, lanes.n, lanes.real_at, lanes.put_real
    by_lane, most = product(lanes, ROW), rows_at_once(lanes)

    def grow(f: Any, q: Any, row: int, rows: int, column: int, to: int, step: int) -> None:
        """A panel of ∂L/∂w, by every tile of the round."""
        new, wide = f.round == 0, q.wide * REAL
        for c in range(f.chunks):
            if c * f.tiles // f.chunks + f.round < (c + 1) * f.tiles // f.chunks:
                kept = f.kept + c * f.kept_step
                a, dz = kept + q.turned * ROW + column * REAL, kept + (q.dz + row) * ROW
                by_lane(to, f.iota, step, a, f.iota, wide, dz, ROW, REAL, N, rows, new)
                new = False

    def phase(frame: int, item: int, slot: int) -> None:
        f, t = frame_at(frame), work_at(frame_at(frame).works + slot * SIZE)
        if i64_at(f.stop, 0) != 0:
            return
        q = dense_at(f.dense + item * RECORD)
        first, step = f.grad_weight + i64_at(f.in_begin, q.first) * REAL, q.sources * REAL
        for row in range(0, q.count, most):
            rows, to = min(most, q.count - row), first + row * step
            for column in range(0, q.sources - N + 1, N):
                grow(f, q, row, rows, column, to + column * REAL, step)
            rest = q.sources % N
            if rest > 0:
                column = q.sources - rest
                for r in range(rows):
                    for k in range(rest):
                        put_real(t.S, r * N + k, real_at(to + r * step, column + k))
                grow(f, q, row, rows, column, t.S, ROW)
                for r in range(rows):
                    for k in range(rest):
                        put_real(to + r * step, column + k, real_at(t.S, r * N + k))

    return phase


def fold(lanes: Lanes) -> Phase:
    """∂L/∂θ from ∂L/∂w and ∂L/∂b: edges that share a slot add up, in edge order. One item."""
    real_at, put_real = lanes.real_at, lanes.put_real

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        for p in range(f.parameters):
            put_real(f.grad_theta, p, 0.0)
        for e in range(f.edges):
            slot = i32_at(f.weight_slot, e)
            if slot >= 0:
                put_real(f.grad_theta, slot, real_at(f.grad_theta, slot) + real_at(f.grad_weight, e))
        for p in range(f.positions):
            slot = i32_at(f.bias_slot, p)
            if slot >= 0:
                put_real(f.grad_theta, slot, real_at(f.grad_bias, p))

    return phase
