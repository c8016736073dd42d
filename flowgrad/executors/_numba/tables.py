"""tanh in float32 by piecewise polynomials, for AVX-512: one instruction looks up a register in 32 numbers.

    tanh x = tanh c + (x − c) g(x − c),    0 ≤ x ≤ 15

Each octave from 2⁻⁴ to 2⁴ has four pieces, the lowest of which begins at 0; each piece has a centre c and a polynomial
g of degree 4. Centres are chosen so that tanh c is very nearly a float32 (Gal's accurate tables), and g interpolates at
Chebyshev nodes: nearly all of the error, which is below 1 ulp, is that of the last rounding. This takes half the
instructions of tanh by exponentials.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from flowgrad.executors._numba.blocks import I32, block, call, constant
from flowgrad.executors._numba.simd import choose, fma
from flowgrad.executors._numba.spec import Vector

PIECES = 32
LOWEST = 0.0625
"""Start of the lowest octave: smaller x use the first piece too."""
HIGHEST = 15.0
"""Bound to which larger x are clipped; tanh x rounds to 1 in float32 from 9.02 on."""
DEGREE = 4
NEIGHBOURS = 2000
"""Candidates for a piece's centre: this number of float32 on each side of its midpoint."""


@cache
def tanh_table() -> npt.NDArray[np.float32]:
    """Return (DEGREE + 3, PIECES): rows c, tanh c, coefficients of g by rising power; columns as `look_up` reads."""
    begin = LOWEST * np.ldexp(1.0 + np.arange(PIECES) % 4 / 4, np.arange(PIECES) // 4)
    place = piece_of(begin.astype(np.float32)) % PIECES
    end, begin[0] = np.append(begin[1:], 16.0), 0.0
    middle = ((begin + end) / 2).astype(np.float32)
    near = middle.view(np.int32)[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1, dtype=np.int32)
    candidates = near.view(np.float32).astype(np.float64)
    exact = np.tanh(candidates)
    best = np.abs(1.0 - exact.astype(np.float32) / exact).argmin(axis=1)
    c = candidates[np.arange(PIECES), best]
    c[0] = 0.0  # small x keep their relative accuracy
    half, powers = (end - begin) / 2, np.arange(DEGREE + 1)
    x = (begin + half)[:, None] + half[:, None] * np.cos((powers + 0.5) / (DEGREE + 1) * np.pi)
    y = x - c[:, None]
    quotient = np.divide(np.sinh(y), y, out=np.ones_like(y), where=y != 0.0)
    g = quotient / (np.cosh(x) * np.cosh(c)[:, None])  # (tanh x − tanh c) / (x − c), without cancellation
    scaled = (y / half[:, None])[..., None] ** powers
    coefficients = np.linalg.solve(scaled, g[..., None])[..., 0] / half[:, None] ** powers
    table = np.empty((DEGREE + 3, PIECES), np.float32)
    table[0, place], table[1, place], table[2:, place] = c, np.tanh(c), coefficients.T
    return table


def piece_of(x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Return the exponent and the upper two bits of the mantissa of positive x; mod PIECES it numbers the piece."""
    return x.view(np.uint32) >> np.uint32(21)


def _emit_look_up(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    x, which = values
    words, sixteen = row.words, ir.VectorType(ir.FloatType(), 16)
    at = builder.lshr(builder.bitcast(x, words), constant(words, 21))
    table, parts = tanh_table()[which.constant], []
    halves = [ir.Constant(sixteen, table[half].tolist()) for half in (slice(16), slice(16, 32))]
    for first in range(0, row.n, 16):
        lanes = ir.Constant(ir.VectorType(I32, 16), [min(k, row.n) for k in range(first, first + 16)])
        part = builder.shuffle_vector(at, ir.Constant(words, ir.Undefined), lanes)
        parts.append(call(builder, "llvm.x86.avx512.vpermi2var.ps.512", sixteen, halves[0], part, halves[1]))
    if len(parts) == 1:
        parts = [parts[0], ir.Constant(sixteen, ir.Undefined)]
    return builder.shuffle_vector(*parts, ir.Constant(ir.VectorType(I32, row.n), list(range(row.n))))


@block(lambda x, which: x if isinstance(x, Vector) else None, _emit_look_up)
def look_up(x: Any, which: int) -> Any:
    """Return, for each positive x, the entry of its piece in row `which` of `tanh_table`."""
    return tanh_table()[which][piece_of(x) % PIECES]


def tanh_of_positive(x: Any) -> Any:
    """Return tanh x of a row of float32 x ≥ 0; NaN stays NaN."""
    x = choose(x > HIGHEST, HIGHEST, x)
    piece = choose(x < LOWEST, LOWEST, x)
    y = x - look_up(piece, 0)
    g = fma(look_up(piece, 6), y, look_up(piece, 5))
    g = fma(fma(fma(g, y, look_up(piece, 4)), y, look_up(piece, 3)), y, look_up(piece, 2))
    return fma(y, g, look_up(piece, 1))
