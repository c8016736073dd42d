"""Every block of kernels says the same compiled and as the plain function that it is; so do whole sweeps."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from flowgrad.executors._numba import across, memory, panels, simd
from flowgrad.executors._numba.across import dots, gather, load8, placed, store_transposed, total
from flowgrad.executors._numba.compiled import kernel
from flowgrad.executors._numba.memory import atomic_get, f64_at, fetch_add, i32_at, i64_at, put_f64
from flowgrad.executors._numba.simd import (
    absolute,
    any_lane,
    both,
    bytes_of,
    choose,
    fma,
    keep,
    lanes_of,
    load,
    load4,
    power_of_two,
    put_real,
    put_word,
    real_at,
    real_of,
    root,
    size_of,
    splat,
    store,
    with_sign,
)
from flowgrad.executors._numba.spec import REALS, Spec

WIDTHS = [(np.float32, 8), (np.float32, 32), (np.float64, 4), (np.float64, 16)]


@kernel
def arithmetic(spec: Any, x: int, out: int) -> None:
    row = size_of(spec)
    a, b, c = load(spec, x), load(spec, x + row), load(spec, x + 2 * row)
    store(out, fma(a, b, c))
    store(out + row, (a + 1.5) * b / (absolute(c) + 1.0) - 2 * -a)
    store(out + 2 * row, with_sign(a, b) + root(absolute(c)))
    store(out + 3 * row, choose(both(a < b, b >= 0.0), c, splat(spec, 3.0)))
    store(out + 4 * row, splat(spec, 1.0) if any_lane(a > b) else splat(spec, 0.0))
    store(out + 5 * row, keep(a, load(spec, x + 3 * row)))


@kernel
def numbers(spec: Any, x: int, out: int) -> None:
    n = lanes_of(spec)
    for k in range(n):
        put_real(spec, out, n - 1 - k, 2.0 * real_at(spec, x, k))
    put_real(spec, out, 0, real_of(spec, 0.1))
    put_word(spec, out, 1, -1)
    store(out + 2 * bytes_of(spec), load4(spec, x))


@kernel
def sums(spec: Any, x: int, out: int) -> None:
    row = size_of(spec)
    a, b, c, d = load(spec, x), load(spec, x + row), load(spec, x + 2 * row), load(spec, x)
    store(out, dots(a, b, c, d, a))
    put_real(spec, out, 4, total(a))


@kernel
def transposed(spec: Any, x: int, out: int) -> None:
    row = size_of(spec)
    a, b, c = load(spec, x), load(spec, x + row), load(spec, x + 2 * row)
    store_transposed(out, 5 * bytes_of(spec), a, b, c, a)


@pytest.mark.parametrize(("dtype", "n"), WIDTHS)
@pytest.mark.parametrize("block", [arithmetic, numbers, sums, transposed])
def test_blocks_are_their_twins(block: Any, dtype: Any, n: int) -> None:
    words = np.dtype(f"i{np.dtype(dtype).itemsize}")
    x = np.random.default_rng(1).standard_normal((4, n)).astype(dtype)
    x[3] = np.where(np.arange(n) % 3 == 0, -1, 0).astype(words).view(dtype)
    compiled, plain = np.zeros((6, n), dtype), np.zeros((6, n), dtype)
    block(Spec(dtype, n), x.ctypes.data, compiled.ctypes.data)
    block.py_func(Spec(dtype, n), x.ctypes.data, plain.ctypes.data)
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=16 * n * np.finfo(dtype).eps)
    assert np.isfinite(plain[:5]).any()


@kernel
def powers(spec: Any, x: int, more: int, out: int) -> None:
    store(out, power_of_two(load(spec, x), more))


@pytest.mark.parametrize(("dtype", "n"), WIDTHS)
def test_a_power_of_two_is_exact(dtype: Any, n: int) -> None:
    real = np.dtype(dtype)
    x = (np.arange(n) - n // 2 + simd.ROUND[REALS[real]]).astype(dtype)
    for run in (powers, powers.py_func):
        out = np.zeros(n, dtype)
        run(Spec(dtype, n), x.ctypes.data, 3, out.ctypes.data)
        assert out.tolist() == np.ldexp(1.0, np.arange(n) - n // 2 + 3).tolist()


@kernel
def gathered(spec: Any, base: int, index: int, out: int) -> None:
    store(out, choose(placed(spec, index), gather(spec, base, index), load8(spec, out)))
    store(out + 8 * bytes_of(spec), gather(spec, base, index))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_gathered_from_where_they_are_not_absent(dtype: Any) -> None:
    given = np.arange(100, dtype=dtype)
    given[0] = np.nan  # which nobody asks for
    index = np.array([99, -1, 7, 7, -2147483648, 1, 50, -5], np.int32)
    for run in (gathered, gathered.py_func):
        out = -np.arange(1, 17, dtype=dtype)
        run(Spec(dtype, 8), given.ctypes.data, index.ctypes.data, out.ctypes.data)
        assert out.tolist() == [99, -2, 7, 7, -5, 1, 50, -8, 99, 0, 7, 7, 0, 1, 50, 0]


RECORD = np.dtype([("count", np.int64), ("total", np.int64), ("numbers", np.int64)])
record_at = memory.record_at(RECORD)


@kernel
def memory_of(record: int) -> None:
    r = record_at(record)
    for k in range(r.count):
        r.total += i32_at(r.numbers, k) + fetch_add(r.numbers + 8, 1)
    put_f64(r.numbers, 2, f64_at(r.numbers, 2) + float(atomic_get(r.numbers + 8)) + i64_at(r.numbers, 1))


def test_numbers_records_and_words_between_threads() -> None:
    for run in (memory_of, memory_of.py_func):
        held = np.zeros(3, np.int64)
        held[:1].view(np.int32)[:] = [3, -5]
        record = np.array([(2, 0, held.ctypes.data)], RECORD)
        run(record.ctypes.data)
        assert record["total"][0] == 3 - 5 + 0 + 1
        assert held[2:].view(np.float64)[0] == 4.0


@kernel
def multiplied(spec: Any, c: int, numbers: int, b: int, s: int, terms: int, rows: int, new: int) -> None:
    panels.product(
        spec,
        c,
        numbers,
        size_of(spec),
        b,
        numbers,
        size_of(spec),
        s,
        terms * bytes_of(spec),
        bytes_of(spec),
        terms,
        rows,
        new,
    )


@pytest.mark.parametrize(("dtype", "n"), WIDTHS)
def test_a_product_of_panels_is_numpys(dtype: Any, n: int) -> None:
    rng, terms = np.random.default_rng(2), 5
    numbers = np.arange(40, dtype=np.int32)
    for rows in (1, 3, 4, 12, 17):
        s, b = rng.standard_normal((rows, terms)).astype(dtype), rng.standard_normal((terms, n)).astype(dtype)
        for new in (0, 1):
            before = rng.standard_normal((rows, n)).astype(dtype)
            want = s @ b + (0.0 if new else before)
            c = before.copy()
            at = (a.ctypes.data for a in (c, numbers, b, s))
            multiplied(Spec(dtype, n), *at, terms, rows, new)
            np.testing.assert_allclose(c, want, rtol=0, atol=64 * np.finfo(dtype).eps)


def test_a_sum_over_lanes_takes_them_all() -> None:
    assert across.total(np.arange(32, dtype=np.float32)) == 496.0


def test_whole_calls_run_uncompiled_too() -> None:
    """With NUMBA_DISABLE_JIT every kernel is the plain function that it is."""
    script = """
        import numpy as np, flowgrad as fg
        rng = np.random.default_rng(0)
        G = fg.topologies.random_dag(3, 9, fan_in=3, seed=1).graph.copy()
        for k, v in enumerate(v for v in G if G.in_degree(v)):
            G.nodes[v]["activation"] = ("tanh", "sin", "relu", "tanh")[k % 4]
            G.nodes[v]["aggregation"] = ("sum", "mean", "max", "sum", "sum")[k % 5]
            G.nodes[v]["response"] = (1.0, 0.5, 1.0)[k % 3]
        net = fg.Network.from_networkx(G)
        dense = fg.topologies.layered([3, 9, 8, 2], activation="sigmoid", seed=0)
        for net in (net, dense):
            x, t = rng.standard_normal((5, len(net.inputs))), rng.standard_normal((5, len(net.outputs)))
            want, found = (fg.compile(net, executor=e, loss="squared_error") for e in ("python", "numba"))
            np.testing.assert_allclose(found.predict(x), want.predict(x), rtol=1e-12)
            for draw in (None, fg.Dropout(0.3, seed=1, step=2, inputs=0.2)):
                np.testing.assert_allclose(found.value_and_grad(found.theta, x, t, dropout=draw)[1],
                                           want.value_and_grad(want.theta, x, t, dropout=draw)[1],
                                           rtol=1e-11, atol=1e-14)
            np.testing.assert_allclose(found.vjp(x, t)[1], want.vjp(x, t)[1], rtol=1e-11, atol=1e-14)
            pair = [p.backward(p.forward(x), t) for p in (want, found)]
            np.testing.assert_allclose(pair[1].dz.array, pair[0].dz.array, rtol=1e-11, atol=1e-14)
        import numba
        print(numba.config.DISABLE_JIT, "the same")
    """
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    code = textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=env)
    assert done.stdout.split() == ["1", "the", "same"], done.stderr[-2000:]


def test_kernels_for_any_processor_give_the_same_numbers(request: pytest.FixtureRequest) -> None:
    """Numba can be told to compile for another processor than this one, which has no wide registers and no tables."""
    script = """
        import numpy as np, flowgrad as fg
        net, rng = fg.topologies.layered([9, 12, 3], seed=0), np.random.default_rng(0)
        x, t = rng.standard_normal((40, 9)), rng.standard_normal((40, 3))
        want, found = (fg.compile(net, executor=e, dtype="float32", loss="squared_error") for e in ("python", "numba"))
        if WHOLE:
            g, h = (p.value_and_grad(p.theta, x, t)[1] for p in (want, found))
        else:
            g, h = (p.predict(x) for p in (want, found))
        print(abs(g - h).max() <= 2e-5 * abs(g).max())
    """
    env = os.environ | {"NUMBA_CPU_NAME": "generic"}
    code = textwrap.dedent(script).replace("WHOLE", str(bool(request.config.getoption("--soak"))))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=env)
    assert done.stdout.split() == ["True"], done.stderr[-2000:]
