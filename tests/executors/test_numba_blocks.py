"""Every building block says the same compiled and as the plain function that it is; so do whole sweeps."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba import across, machine, memory, panels, pool, sweeps, vectors
from flowgrad.executors._numba.blocks import I64
from flowgrad.executors._numba.translate import check_formula, translate
from flowgrad.executors._numba.values import Untranslatable
from flowgrad.executors._numba.vectors import lanes

WIDTHS = [(np.float32, 8), (np.float32, 32), (np.float64, 4), (np.float64, 16)]
_count = iter(range(10_000))


def run(kernel: Callable[[int, int, int], None], *addresses: int) -> None:
    """Compile a kernel of three integers and call it."""
    module = translate(kernel, f"test_{next(_count)}", 3)
    pool.native(machine.compile(module))(*addresses)


def rows(rng: np.random.Generator, dtype: Any, n: int, count: int) -> Any:
    return rng.standard_normal((count, n)).astype(dtype)


@pytest.mark.parametrize(("dtype", "n"), WIDTHS)
@pytest.mark.parametrize("name", ["fma", "absolute", "with_sign", "choose", "keep", "dots", "arithmetic"])
def test_a_vector_block_is_its_twin(name: str, dtype: Any, n: int) -> None:
    v, size = lanes(np.dtype(dtype), n), np.dtype(dtype).itemsize * n
    load, splat, real = v.load, v.splat, np.dtype(dtype).itemsize
    store, fma, keep, dots = vectors.store, vectors.fma, vectors.keep, across.dots
    absolute, with_sign, choose = vectors.absolute, vectors.with_sign, vectors.choose

    def k_fma(x: int, out: int, _: int) -> None:
        store(out, fma(load(x), load(x + size), load(x + 2 * size)))

    def k_absolute(x: int, out: int, _: int) -> None:
        store(out, absolute(load(x)))

    def k_with_sign(x: int, out: int, _: int) -> None:
        store(out, with_sign(load(x), load(x + size)))

    def k_choose(x: int, out: int, _: int) -> None:
        store(out, choose(load(x) < load(x + size), load(x + 2 * size), splat(3.0)))

    def k_keep(x: int, out: int, _: int) -> None:
        store(out, keep(load(x), load(x + 4 * size)))

    def k_dots(x: int, out: int, _: int) -> None:
        store(out, dots(load(x), load(x + size), load(x + 2 * size), load(x + 3 * size), load(x)))

    def k_arithmetic(x: int, out: int, _: int) -> None:
        store(out, (load(x) + 1.5) * load(x + size) / (absolute(load(x + 2 * size)) + 1.0) - load(x + 3 * size))

    kernel = locals()[f"k_{name}"]
    x = rows(np.random.default_rng(1), dtype, n, 5)
    words = np.int32 if real == 4 else np.int64
    x[4] = np.where(np.arange(n) % 3 == 0, words(-1), words(0)).astype(words).view(dtype)
    compiled, plain = np.zeros(n, dtype), np.zeros(n, dtype)
    run(kernel, x.ctypes.data, compiled.ctypes.data, 0)
    kernel(x.ctypes.data, plain.ctypes.data, 0)
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=16 * n * np.finfo(dtype).eps)


@pytest.mark.parametrize(("dtype", "n"), [*WIDTHS, (np.float32, 4), (np.float32, 16)])
def test_a_near_reciprocal_is_near(dtype: Any, n: int) -> None:
    v = lanes(np.dtype(dtype), n)
    load, store, size, near_reciprocal = v.load, vectors.store, v.size, vectors.near_reciprocal

    def kernel(x: int, out: int, count: int) -> None:
        for k in range(count):
            store(out + k * size, near_reciprocal(load(x + k * size)))

    x = np.exp2(np.random.default_rng(0).uniform(-20, 20, 64 * n)).astype(dtype)
    found = np.zeros_like(x)
    run(kernel, x.ctypes.data, found.ctypes.data, 64)
    np.testing.assert_allclose(found, near_reciprocal(x), rtol=2.0**-14)


@pytest.mark.parametrize(("dtype", "n"), [*WIDTHS, (np.float32, 4), (np.float64, 2), (np.float64, 8)])
def test_four_vectors_are_written_lane_by_lane(dtype: Any, n: int) -> None:
    v = lanes(np.dtype(dtype), n)
    load, store_turned, size, step = v.load, across.store_turned, v.size, 5 * np.dtype(dtype).itemsize

    def kernel(x: int, out: int, _: int) -> None:
        store_turned(out, step, load(x), load(x + size), load(x + 2 * size), load(x + 3 * size))

    x = rows(np.random.default_rng(3), dtype, n, 4)
    compiled, plain = np.zeros((n, 5), dtype), np.zeros((n, 5), dtype)
    run(kernel, x.ctypes.data, compiled.ctypes.data, 0)
    kernel(x.ctypes.data, plain.ctypes.data, 0)
    for found in (compiled, plain):
        np.testing.assert_array_equal(found[:, :4], x.T)
        assert not found[:, 4].any()


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_gathered_from_where_they_are_not_absent(
    dtype: Any, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if able and not machine.can_gather():
        pytest.skip("this processor gathers no faster than number by number")
    monkeypatch.setattr(vectors, "can_gather", lambda: able)
    v = lanes(np.dtype(dtype), 4)
    gather, load8, store = v.gather, v.load8, vectors.store
    numbers, old = np.arange(100, dtype=dtype), -np.arange(1, 9, dtype=dtype)
    numbers[0] = np.nan  # which nobody asks for
    index = np.array([99, -1, 7, 7, -2147483648, 1, 50, -5], np.int32)

    def kernel(base: int, index: int, out: int) -> None:
        store(out, gather(base, index, load8(out)))

    for call in (lambda *at: run(kernel, *at), kernel):
        out = old.copy()
        call(numbers.ctypes.data, index.ctypes.data, out.ctypes.data)
        assert out.tolist() == [99, -2, 7, 7, -5, 1, 50, -8]


@pytest.mark.skipif(not machine.can_pick(), reason="this processor looks up in no table of 32 numbers")
@pytest.mark.parametrize("n", [4, 8, 16, 32])
def test_numbers_of_a_table_by_piece_of_an_octave(n: int) -> None:
    v = lanes(np.dtype(np.float32), n)
    load, store, pick, piece_of = v.load, vectors.store, vectors.pick, vectors.piece_of
    table = np.arange(32, dtype=np.float32) ** 2

    def kernel(x: int, out: int, _: int) -> None:
        store(out, pick(table, piece_of(load(x))))

    x = np.exp2(np.random.default_rng(0).uniform(-8, 8, n)).astype(np.float32)
    compiled, plain = np.zeros(n, np.float32), np.zeros(n, np.float32)
    run(kernel, x.ctypes.data, compiled.ctypes.data, 0)
    kernel(x.ctypes.data, plain.ctypes.data, 0)
    assert compiled.tolist() == plain.tolist() == table[piece_of(x) % 32].tolist()


@pytest.mark.skipif(not machine.can_gather(), reason="this processor gathers no faster than number by number")
@pytest.mark.parametrize("n", [4, 8, 16])
def test_numbers_of_a_table_by_their_last_bits(n: int) -> None:
    v = lanes(np.dtype(np.float64), n)
    load, store, look_up, onto = v.load, vectors.store, vectors.look_up, vectors.ROUND[np.dtype(np.float64)]
    table = np.arange(64.0) ** 2

    def kernel(x: int, out: int, _: int) -> None:
        store(out, look_up(table, load(x) + onto))

    x = np.random.default_rng(0).integers(64, size=n).astype(np.float64)
    x[1] = np.nan  # anything, but from the table
    compiled, plain = np.zeros(n), np.zeros(n)
    run(kernel, x.ctypes.data, compiled.ctypes.data, 0)
    kernel(x.ctypes.data, plain.ctypes.data, 0)
    assert compiled.tolist() == plain.tolist() == [table[int(k)] if k == k else table[0] for k in x]


@pytest.mark.parametrize(("dtype", "n"), WIDTHS)
def test_a_power_of_two_is_exact(dtype: Any, n: int) -> None:
    v = lanes(np.dtype(dtype), n)
    load, store, power_of_two, onto = v.load, vectors.store, vectors.power_of_two, vectors.ROUND[np.dtype(dtype)]

    def kernel(x: int, out: int, _: int) -> None:
        store(out, power_of_two(load(x) + onto, 7))

    x, compiled, plain = np.arange(-n // 2, n // 2).astype(dtype), np.zeros(n, dtype), np.zeros(n, dtype)
    run(kernel, x.ctypes.data, compiled.ctypes.data, 0)
    kernel(x.ctypes.data, plain.ctypes.data, 0)
    assert compiled.tolist() == plain.tolist() == np.exp2(x + 7).tolist()


def test_numbers_in_memory_and_control_flow() -> None:
    i32_at, i64_at, put_i64, f64_at = memory.i32_at, memory.i64_at, memory.put_i64, memory.f64_at

    def inner(k: int) -> int:
        if k % 2 == 0:
            return k * 10
        return 0 - k

    def kernel(words: int, out: int, n: int) -> None:
        total, k = 0, 0
        for i in range(n):
            if i == 3 or (i > 6 and not i < 8):
                continue
            total += inner(i32_at(words, i))
        while True:
            k += 1
            if k > 4:
                break
        put_i64(out, 0, total if n > 0 else -1)
        put_i64(out, 1, k + n // 3)
        put_i64(out, 2, min(i64_at(out, 1), max(n, 2)))
        put_i64(out, 3, 1 if f64_at(out, 4) > 0.5 else 0)

    words = np.arange(10, dtype=np.int32)
    results = []
    for call in (lambda *a: run(kernel, *a), kernel):
        out = np.zeros(5, np.int64)
        out[4:].view(np.float64)[0] = 0.75
        call(words.ctypes.data, out.ctypes.data, 10)
        results.append(out.tolist())
    assert results[0] == results[1]


def test_words_between_threads() -> None:
    fetch_add, atomic_get, atomic_put = memory.fetch_add, memory.atomic_get, memory.atomic_put

    def kernel(word: int, out: int, _: int) -> None:
        atomic_put(out, fetch_add(word, 5) + atomic_get(word))

    for call in (lambda *a: run(kernel, *a), kernel):
        words = np.array([7, 0], np.int64)
        call(words.ctypes.data, words.ctypes.data + 8, 0)
        assert words.tolist() == [12, 19]


def test_what_is_beyond_the_subset_is_named() -> None:
    def kernel(a: int, b: int, c: int) -> None:
        with open("x"):
            pass

    with pytest.raises(Untranslatable, match=r"kernel, line .*With"):
        translate(kernel, "never", 3)
    assert I64.width == 64


def mixed_names(z: float) -> float:
    t = 0
    t = 1.5
    return t * z


def mixed_sum(z: float) -> float:
    t = 0
    t += z
    return t


def mixed_bits(z: float) -> float:
    t = z > 0
    t = 2
    return t * z


def mixed_returns(z: float) -> float:
    if z < 0:
        return 0
    return z


def smallest_mixed(z: float) -> float:
    return z * min(9, 2.5)


def largest_of_three(z: float) -> float:
    return max(z, 0.0, 1.0)


def largest_of_number_and_whole(z: float) -> float:
    return max(z, 0)


def unbound(z: float) -> float:
    if z > 0:
        t = 1.0
    return t if z > 0 else 0.0


def unbound_after_a_loop(z: float) -> float:
    for k in range(3):
        t = z * k
    return t


limit = 7.0


def unbound_hides_a_global(z: float) -> float:
    if z > 1e300:
        limit = z
    return z if z < 1 else limit


def no_value(z: float) -> float:  # noqa: RET503
    if z > 0:
        return z


def chained(z: float) -> float:
    return 1.0 if -1 < z < 1 else 0.0


def power(z: float) -> float:
    return z**2 + 2.0**-z


def either(z: float) -> float:
    return z or 3.0


def both(z: float) -> float:
    return (z > 0 and z) + 1.0


def in_turn(z: float) -> float:
    total = 0.0
    for k in (1.0, 2.0):
        total += k * z
    return total


def backwards(z: float) -> float:
    total = 0.0
    for k in reversed(range(3)):
        total = total * z + k
    return total


def loop_with_an_else(z: float) -> float:
    t = z
    for k in range(3):
        if t > k:
            break
    else:
        t = -1.0
    return t


def with_a_default(z: float, scale: float = 2.0) -> float:
    return scale * z


def again(z: float) -> float:
    return again(z - 1.0) if z > 0.0 else z


def over_zero(z: float) -> float:
    return z * (1.0 / 0.0)


def by_name(z: float) -> float:
    return np.where(z, z, 1.0)


@pytest.mark.parametrize(
    "formula",
    [mixed_names, mixed_sum, mixed_bits, mixed_returns, smallest_mixed, largest_of_three, largest_of_number_and_whole,
     unbound, unbound_after_a_loop, unbound_hides_a_global, no_value, chained, power, either, both, in_turn, backwards,
     loop_with_an_else, with_a_default, again, over_zero, by_name],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_what_cannot_be_translated_exactly_is_refused(formula: Any) -> None:
    with pytest.raises(Untranslatable):
        check_formula(formula)


def clipped(z: float) -> float:
    return min(max(z, 0.0), 6.0)


def whole_constants(z: float) -> float:
    t = 0.0 if z < 0 else 2
    return t * (z > 1) + -(z > 3) - 1


def conditions(z: float) -> float:
    inside = (z > -1 and z < 1) or z == 4
    if not z:
        return 9.0
    return 1.0 if inside and z else -1.0


def both_ways(z: float) -> float:
    if z > 0:
        t = z
        t += 1.0
    else:
        t = -2.0 * z
    return t


def every_path(z: float) -> float:
    if z > 1:
        return 1.0
    if z < -1:
        return -1.0
    return z


def floats_first(z: float) -> float:
    t = 0.5
    t = 2
    return t * z


@pytest.mark.parametrize(
    "formula", [clipped, whole_constants, conditions, both_ways, every_path, floats_first], ids=lambda f: f.__name__
)
def test_what_is_translated_is_exact(formula: Any) -> None:
    check_formula(formula)
    v = lanes(np.dtype(np.float64), 1)
    real_at, put_real = v.real_at, v.put_real

    def kernel(at: int, to: int, n: int) -> None:
        for j in range(n):
            put_real(to, j, formula(float(real_at(at, j))))

    z = np.array([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, 3.5, 4.0, 7.0, -9.0, np.inf, -np.inf, np.nan])
    got = np.empty_like(z)
    run(kernel, z.ctypes.data, got.ctypes.data, len(z))
    np.testing.assert_array_equal(got, [float(formula(x)) for x in z.tolist()])


def test_a_fixed_record_is_not_written() -> None:
    at = memory.record_type(np.dtype([("field", np.int64)]), fixed=True)

    def kernel(a: int, b: int, c: int) -> None:
        r = at(a)
        r.field = b

    with pytest.raises(Untranslatable, match=r"kernel, line .*field is fixed"):
        translate(kernel, "never", 3)


@pytest.mark.parametrize("fused", [True, False])
def test_sweeps_run_uncompiled_too(fused: bool) -> None:
    """The whole step with both sweeps as plain Python, their fused runs too, against the compiled one."""
    net = fg.Network.from_arrays(
        [0, 1, 0, 2, 3, 2], [2, 2, 3, 4, 4, 3], weight=[0.5, -1, 2, 0.3, 0.4, 0.1], activation="tanh"
    )
    program = fg.compile(net, executor="numba", loss="squared_error", threads=1)
    x, t = np.random.default_rng(0).standard_normal((3, 2)), np.ones((3, 1))
    loss, g = program.value_and_grad(program.theta, x, t)
    kernel: Any = program.kernel
    (w,) = kernel._live._idle[4]
    v = lanes(np.dtype(np.float64), 4)
    out = np.zeros_like(g)
    w.set(weight=program.theta.ctypes.data, bias=program.theta.ctypes.data + (6 - 2) * 8)
    before = w.works[0]
    rows_of_d = (memory.ctypes.c_double * (5 * 4)).from_address(int(before["D"]))
    compiled_dz = list(rows_of_d)
    called, kind = [], ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)

    def interpreted(sweep: Callable[[int, int, int], None]) -> Any:
        def fused_run(frame: int, work: int, run: int) -> None:
            called.append(run)
            sweep(frame, work, run)

        return kind(fused_run)

    runs = interpreted(sweeps.fused_forward(v, 0, "tanh", True)), interpreted(sweeps.fused_backward(v, 0, True, "tanh"))
    if fused:
        there, back = (ctypes.cast(run, ctypes.c_void_p).value or 0 for run in runs)
        w.set(fused_forward=there, fused_backward=back)
    sweeps.forward(v)(w.address, w.works.ctypes.data, 0)
    w.works["first"][0] = 1
    sweeps.backward(v)(w.address, w.works.ctypes.data, 0)
    np.testing.assert_allclose(list(rows_of_d)[8:], compiled_dz[8:], rtol=1e-14)
    assert called == ([0, 1, 2, 2, 1, 0] if fused else [])
    assert out.shape == g.shape
    assert loss > 0


@pytest.mark.parametrize(("dtype", "n"), WIDTHS)
@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("count", [1, 4, 12, 17])
def test_a_panel_is_its_twin_and_the_product_is_numpys(dtype: Any, n: int, new: int, count: int) -> None:
    v, rng, terms = lanes(np.dtype(dtype), n), np.random.default_rng(0), 7
    size, row = np.dtype(dtype).itemsize, np.dtype(dtype).itemsize * n
    b, s = rows(rng, dtype, n, 20), rng.standard_normal((terms, count)).astype(dtype)
    ci, bi = rng.permutation(30)[:count].astype(np.int32), rng.permutation(20)[:terms].astype(np.int32)
    numbers = np.array(
        [ci.ctypes.data, row, b.ctypes.data, bi.ctypes.data, row, s.ctypes.data, size, count * size, terms]
    )

    at = memory.i64_at

    def kernel(grow: Callable[..., None]) -> Callable[[int, int, int], None]:
        def call(c: int, p: int, last: int) -> None:
            grow(c, at(p, 0), at(p, 1), at(p, 2), at(p, 3), at(p, 4), at(p, 5), at(p, 6), at(p, 7), at(p, 8), last, new)

        return call

    def one(c: int, p: int, _: int) -> None:
        row_by_row(c, at(p, 0), at(p, 1), at(p, 2), at(p, 3), at(p, 4), at(p, 5), at(p, 6), at(p, 7), at(p, 8), new)

    start = rows(rng, dtype, n, 30)
    want = start.copy()
    want[ci] = (0.0 if new else want[ci]) + s.T @ b[bi]
    tolerance = {"rtol": 0, "atol": 64 * np.finfo(dtype).eps}
    for spacing in (None, size):
        found, twin = start.copy(), start.copy()
        run(kernel(panels.product(v, spacing)), found.ctypes.data, numbers.ctypes.data, count)
        np.testing.assert_allclose(found, want, **tolerance)
        row_by_row = panels.panel(v, count, spacing)
        one(twin.ctypes.data, numbers.ctypes.data, 0)
        np.testing.assert_allclose(twin, want, **tolerance)


@pytest.mark.parametrize(("dtype", "n"), WIDTHS)
def test_blocks_of_four_and_of_any_lane_are_their_twins(dtype: Any, n: int) -> None:
    v, size = lanes(np.dtype(dtype), n), np.dtype(dtype).itemsize * n
    load, load4, store = v.load, v.load4, vectors.store
    lane_sums, first_of_four, any_lane = across.lane_sums, across.first_of_four, vectors.any_lane

    def kernel(x: int, out: int, k: int) -> None:
        sums = lane_sums(load(x), load(x + size), load(x + 2 * size), load(x + 3 * size))
        store(out, first_of_four(k, sums, load4(x)))
        if any_lane(load(x) > 2.5):
            store(out, load4(x + size))

    for seed in range(4):
        x = rows(np.random.default_rng(seed), dtype, n, 4)
        for k in range(5):
            compiled, plain = np.zeros(4, dtype), np.zeros(4, dtype)
            run(kernel, x.ctypes.data, compiled.ctypes.data, k)
            kernel(x.ctypes.data, plain.ctypes.data, k)
            np.testing.assert_allclose(compiled, plain, rtol=0, atol=16 * n * np.finfo(dtype).eps)
