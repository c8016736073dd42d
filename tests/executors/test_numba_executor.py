"""What only the Numba executor promises: bits that depend on no thread, memory, interruption, honest refusals."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import textwrap
import threading
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ExecutorError

pytest.importorskip("numba")


def program(threads: int, n: int = 3000, dtype: str = "float32", activation: Any = "tanh") -> fg.Program:
    rng = np.random.default_rng(0)
    target = np.repeat(np.arange(20, n), 8)
    source = (rng.random(len(target)) * target).astype(np.int64)
    edges = np.unique(np.stack([target, source]), axis=1)
    net = fg.Network.from_arrays(edges[1], edges[0], inputs=np.arange(20), n_nodes=n, activation=activation)
    return fg.compile(net, executor="numba", loss="squared_error", dtype=dtype, threads=threads)


def data(p: fg.Program, rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    shape = rows, len(p.inputs), len(p.outputs)
    return rng.standard_normal(shape[:2]).astype(p.dtype), rng.standard_normal((rows, shape[2])).astype(p.dtype)


@pytest.mark.covering(rows=[1, 7, 64, 300], dtype=["float32", "float64"])
def test_bits_depend_neither_on_threads_nor_on_the_run(dtype: str, rows: int) -> None:
    seen = set()
    for threads in (1, 2, 4, 8, 1):
        p = program(threads, dtype=dtype)
        x, t = data(p, rows)
        for _ in range(2):
            loss, g = p.value_and_grad(p.theta, x, t)
            seen.add((loss, g.tobytes(), p.predict(x).tobytes()))
    assert len(seen) == 1


def test_sixteen_callers_at_once_are_served_right() -> None:
    p = program(2)
    batches = [data(p, 40 + k) for k in range(16)]
    want = [p.value_and_grad(p.theta, x, t)[1].tobytes() for x, t in batches]
    got: list[Any] = [None] * 16

    def call(k: int) -> None:
        for _ in range(20):
            got[k] = p.value_and_grad(p.theta, *batches[k])[1].tobytes()

    threads = [threading.Thread(target=call, args=(k,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == want


def test_a_thread_that_calls_between_any_two_lines_gets_a_workspace_of_its_lanes() -> None:
    """Every line on which one call gives its workspace back is a moment for another call, of another batch."""
    p = program(1)
    few, many = data(p, 3), data(p, 100)
    want = p.value_and_grad(p.theta, *many)
    seen = []

    def other() -> None:
        seen.append(p.value_and_grad(p.theta.copy(), *many))

    def tracer(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_name != "_call":
            return tracer
        if event == "line":
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        p.value_and_grad(p.theta, *few)
    finally:
        sys.settrace(before)
    assert len(seen) >= 2
    for (lanes, _), idle in p.kernel._live._idle.items():
        assert {w.tiles["S"][0] % 64 for w in idle} == {0}
        assert {p.kernel._live._nets[lanes].address for _ in idle} == {int(w.record["net"]) for w in idle}
    for found in [*seen, p.value_and_grad(p.theta, *many, sample_weight=np.ones(100))]:
        assert found[0] == want[0]
        np.testing.assert_array_equal(found[1], want[1])


def test_steps_take_no_more_memory() -> None:
    resource = pytest.importorskip("resource")
    p = program(2)
    x, t = data(p, 64)
    out = np.empty_like(p.theta)

    def steps(n: int) -> int:
        for _ in range(n):
            p.value_and_grad(p.theta, x, t, out=out)
            p.predict(x)
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    before = steps(100)
    assert steps(500) - before < 1024


@pytest.mark.parametrize("fan_out", [1, 2, 3, 4, 5])
def test_what_fills_a_group_up_changes_nothing_where_numbers_are_not_finite(fan_out: int) -> None:
    """An a that is ∞ and a weight that is NaN spoil what depends on them and no more, and no later call."""
    targets = np.arange(3, 3 + fan_out)
    net = fg.Network.from_arrays(
        np.concatenate([[0, 1], np.full(fan_out, 2), [1]]),
        np.concatenate([[2, 2], targets, [3 + fan_out]]),
        inputs=[0, 1],
        activation=["identity"] * 3 + ["sigmoid"] * (fan_out + 1),
    )
    python, numba = (fg.compile(net, executor=e, loss="squared_error") for e in ("python", "numba"))
    rng = np.random.default_rng(fan_out)
    x, t = rng.standard_normal((5, 2)), rng.standard_normal((5, fan_out + 1))
    good = rng.standard_normal(len(python.theta))
    for weight, edge in [(1e308, (0, 2)), (np.nan, (1, 3 + fan_out)), (np.nan, (0, 2)), (0.5, (0, 2))]:
        theta = good.copy()
        theta[python.theta_index.weight[edge]] = weight
        with np.errstate(all="ignore"):
            want = python.value_and_grad(theta, 100.0 * x, t)
        loss, gradient = numba.value_and_grad(theta, 100.0 * x, t)
        np.testing.assert_allclose(loss, want[0], rtol=1e-12)
        np.testing.assert_allclose(gradient, want[1], rtol=1e-12, atol=1e-300)


def test_a_large_batch_takes_memory_by_tiles() -> None:
    p = program(2)
    x, t = data(p, 20_000)
    p.value_and_grad(p.theta, x, t)
    kernel: Any = p.kernel
    held = sum(len(b) for idle in kernel._live._idle.values() for w in idle for b in w.buffers.values())
    assert held < 16_000_000 < 20_000 * 3000 * 4


def succeeds(script: str) -> None:
    """A process of its own runs it to the end: what is tested kills a process where it fails."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_long_batch_takes_no_more_of_the_stack() -> None:
    succeeds("""
        import threading, numpy as np, flowgrad as fg
        net = fg.Network.from_arrays([0], [1], weight=[0.5])
        p = fg.compile(net, executor="numba", loss="squared_error", threads=1)
        x, found = np.ones((2_500_000, 1)), []
        threading.stack_size(256 * 1024)
        thread = threading.Thread(target=lambda: found.append(p.value_and_grad(p.theta, x, x)))
        thread.start()
        thread.join()
        assert np.isfinite(found[0][1]).all()
    """)


def test_the_first_calls_of_a_program_may_come_from_many_threads() -> None:
    succeeds("""
        import threading, numpy as np, flowgrad as fg
        rng = np.random.default_rng(0)
        target = np.repeat(np.arange(4, 60), 3)
        source = np.concatenate([rng.choice(v, 3, replace=False) for v in range(4, 60)])
        kinds = ["tanh" if v % 2 else "sin" for v in range(60)]
        net = fg.Network.from_arrays(source, target, activation=kinds, inputs=range(4), outputs=[59], n_nodes=60)
        p = fg.compile(net, executor="numba", loss="squared_error", threads=2)
        x, t, barrier, found = rng.normal(size=(40, 4)), rng.normal(size=(40, 1)), threading.Barrier(8), []
        def work():
            barrier.wait()
            for _ in range(4):
                grads = p.backward(p.forward(x), t)
                found.append((grads.theta, p.value_and_grad(p.theta, x, t)[1]))
                some = [np.array([1, 2]) for _ in range(50)]  # would take the place of what was freed
        threads = [threading.Thread(target=work) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(found) == 32
        for pair in found:
            for one, first in zip(pair, found[0]):
                np.testing.assert_array_equal(one, first)
    """)


@pytest.mark.parametrize("kind", ["single edges", "dense runs"])
def test_a_long_step_is_interrupted_and_theta_is_intact(kind: str) -> None:
    script = """
        import os, signal, sys, threading, time, numpy as np, flowgrad as fg
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is deaf to it
        rng = np.random.default_rng(0)
        target = np.repeat(np.arange(20, 6_000), 10)
        source = (rng.random(len(target)) * target).astype(np.int64)
        edges = np.unique(np.stack([target, source]), axis=1)
        if KIND == "dense runs":
            net = fg.topologies.layered([20, 400, 400, 10], activation="tanh")
        else:
            net = fg.Network.from_arrays(edges[1], edges[0], inputs=np.arange(20), activation="tanh")
        p = fg.compile(net, executor="numba", loss="squared_error", dtype="float32")
        few = np.ones((1600, 20), np.float32), np.ones((1600, len(p.outputs)), np.float32)
        p.value_and_grad(p.theta, *few)
        start = time.perf_counter()
        p.value_and_grad(p.theta, *few)
        times = int(1.0 / (time.perf_counter() - start)) + 1  # a second, were it not interrupted
        x, t = (np.broadcast_to(a[:1], (times * 1600, a.shape[1])).copy() for a in few)
        before, asked = p.theta.copy(), []
        def ask():
            time.sleep(0.1); asked.append(time.perf_counter()); os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=ask, daemon=True).start()
        try:
            p.value_and_grad(p.theta, x, t)
        except KeyboardInterrupt:
            took = time.perf_counter() - asked[0]
            assert (p.theta == before).all()
            value, _ = p.value_and_grad(p.theta, *few)
            print(f"interrupted after {took:.3f}", np.isfinite(value))
    """.replace("KIND", repr(kind))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("interrupted after 0."), done.stdout + done.stderr
    assert done.stdout.strip().endswith("True")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_an_interrupt_at_any_moment_leaves_the_next_call_right(request: pytest.FixtureRequest) -> None:
    wanted = 1000 if request.config.getoption("--soak") else 10
    script = f"""
        import random, signal, sys, time
        sys.path.insert(0, "tests/executors")
        from test_numba_executor import data, program
        from flowgrad.executors._numba import compiled, engine
        compiled.package_stamp()  # before a constant changes, that kernels on disk fit
        engine.LONG = 0
        p = program(2, 1000); x, t = data(p, 600)
        p.value_and_grad(p.theta, x, t)
        start = time.perf_counter()
        loss, want = p.value_and_grad(p.theta, x, t)
        whole = time.perf_counter() - start
        left, hits = 0, 0
        def interrupt(*_):
            global left
            if left:
                left = 0
                raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        for _ in range(50 * {wanted}):
            if hits == {wanted}:
                break
            try:
                left = 1
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, whole))
                p.value_and_grad(p.theta, x, t)
                left = 0
            except KeyboardInterrupt:
                hits += 1
            found = p.value_and_grad(p.theta, x, t)
            assert found[0] == loss and (found[1] == want).all()
        print("right after", hits)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("right after "), done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) == wanted


def test_a_forked_child_has_threads_of_its_own() -> None:
    script = """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, "tests/executors")
        from test_numba_executor import data, program
        p = program(2, 300); x, t = data(p, 64)
        want = p.value_and_grad(p.theta, x, t)[1]
        child = os.fork()
        if not child:
            os._exit(0 if all((p.value_and_grad(p.theta, x, t)[1] == want).all() for _ in range(10)) else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    if not hasattr(sys, "getsizeof") or sys.platform == "win32":
        pytest.skip("no fork here")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "0", done.stdout + done.stderr


SCALE = 0.5


def halved(z: float) -> float:
    return SCALE * z


def test_a_users_activation_calls_what_it_likes() -> None:
    own = fg.Activation("own", lambda z: halved(z) + z * z, lambda z: SCALE + 2.0 * z)
    p = program(1, 100, "float64", own)
    x, t = data(p, 5)
    p.theta = p.theta * 0.1
    slow = fg.compile(p.network(), executor="python", loss="squared_error")
    loss, g = p.value_and_grad(p.theta, x, t)
    want_loss, want = slow.value_and_grad(p.theta, x, t)
    assert loss == pytest.approx(want_loss, rel=1e-13)
    np.testing.assert_allclose(g, want, rtol=0, atol=1e-13 * np.abs(want).max())


def test_what_numba_cannot_compile_is_refused_by_name() -> None:
    bad = fg.Activation("bad", lambda z: __import__(str(z)), lambda z: z)
    with pytest.raises(ExecutorError, match="activation 'bad': f cannot be compiled by Numba"):
        program(1, 100, "float64", bad)


UNCOMPILABLE: dict[str, Any] = {
    "loss 'bad': f": lambda: (None, fg.Loss("bad", lambda y, t: __import__(str(y)), lambda y, t: y)),
    "loss 'bad': df": lambda: (None, fg.Loss("bad", lambda y, t: y * t, lambda y, t: __import__(str(y)))),
    "aggregation 'bad': f": lambda: (fg.Aggregation("bad", lambda t: __import__(str(t)), lambda t, d: None), None),
    "aggregation 'bad': df": lambda: (
        fg.Aggregation("bad", lambda t: t[0], lambda t, d: d.fill(__import__(str(t)))),
        None,
    ),
}


@pytest.mark.parametrize("what", UNCOMPILABLE)
def test_losses_and_aggregations_that_numba_cannot_compile_are_refused_by_name(what: str) -> None:
    """When the program is compiled, and not when it is first run; "auto" goes on without Numba."""
    aggregation, loss = UNCOMPILABLE[what]()
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 0.5}, aggregation=aggregation or "sum")
    net.set_outputs(["y"])
    with pytest.raises(ExecutorError, match=f"{what} cannot be compiled by Numba"):
        fg.compile(net, executor="numba", loss=loss or "squared_error")
    chosen = fg.compile(net, loss=loss or "squared_error")
    assert chosen.executor == "python"
    assert f"{what} cannot be compiled by Numba" in chosen.why


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from flowgrad.executors.numba import entry

    real = importlib.util.find_spec
    monkeypatch.setattr("flowgrad.executor.find_spec", lambda name: None if name == "numba" else real(name))
    assert "pip install numba" in str(entry.info.available())


def test_listing_executors_imports_none_of_their_libraries_and_running_numba_does() -> None:
    succeeds("""
        import sys, flowgrad as fg
        fg.executors()
        assert "flowgrad.executors.numba" in sys.modules
        assert not {"numba", "llvmlite", "scipy", "torch", "dask", "distributed"} & {*sys.modules}, "listed"
        fg.compile(fg.Network.from_arrays([0], [1]), executor="numba").predict([[1.0]])
        assert "numba" in sys.modules
    """)
