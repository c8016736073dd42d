"""Shards on a cluster: the bits of one process, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from distributed import LocalCluster
from flowgrad_dask import ClusterError, DaskExecutor, Machines, crew, engine, map_jobs, sharded_value_and_grad

import flowgrad as fg
from flowgrad.errors import ExecutorError, FlowgradError
from flowgrad.maths.losses import Loss
from flowgrad.testing import parametrize_with_executor


def test_listing_executors_imports_no_dask():
    code = "import sys, flowgrad as fg; assert fg.executors()['dask'] is True; assert 'distributed' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("inner", ["python", "numba"])
def test_bits_are_those_of_one_process_with_the_same_shards(executor, case, inner):
    net, X, T = case
    one = DaskExecutor(shards=4, executor=inner)
    one.cluster = executor.cluster
    program = fg.compile(net, executor=one, loss="squared_error")
    local = fg.compile(net, executor=inner, loss="squared_error")
    value, g = program.value_and_grad(program.theta, X, T)
    expected = sharded_value_and_grad(local, local.theta, X, T, shards=4)
    assert value == expected[0]
    assert g.tobytes() == expected[1].tobytes()
    whole = local.value_and_grad(local.theta, X, T)
    np.testing.assert_allclose(g, whole[1], rtol=1e-11, atol=1e-13)
    assert program.predict(X).tobytes() == local.predict(X).tobytes()
    weighted = program.value_and_grad(program.theta, X, T, sample_weight=[0, 0, 0, 1, 2, 0, 0, 1, 1, 3])
    again = local.value_and_grad(local.theta, X, T, sample_weight=[0, 0, 0, 1, 2, 0, 0, 1, 1, 3])
    np.testing.assert_allclose(weighted[1], again[1], rtol=1e-11, atol=1e-13)


def test_a_program_is_compiled_once_a_worker(executor, case):
    net, X, T = case
    program = fg.compile(net, executor=executor, loss="squared_error")
    for _ in range(5):
        program.value_and_grad(program.theta, X, T)
    kept = executor.cluster.client.run(engine.programs_here)
    assert [keys.count(program.kernel.job.key) for keys in kept.values()] == [1, 1]


def kill_worker_of(client, after):
    """SIGKILL to one worker process, some seconds from now; the list takes its process id."""
    killed = []

    def kill():
        time.sleep(after)
        killed.append(min(client.run(os.getpid).values()))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread, killed


def test_a_worker_killed_in_the_middle_of_a_step_changes_no_bit(executor, case):
    net, X, T = case
    X, T = np.tile(X, (40, 1)), np.tile(T, (40, 1))
    program = fg.compile(net, executor=executor, loss="squared_error")
    local = fg.compile(net, executor="python", loss="squared_error")
    expected = sharded_value_and_grad(local, local.theta, X, T, shards=4)
    start = time.monotonic()
    program.value_and_grad(program.theta, X, T)
    thread, killed = kill_worker_of(executor.cluster.client, 0.3 * (time.monotonic() - start))
    found = []
    for _ in range(3):
        found.append(program.value_and_grad(program.theta, X, T))
    thread.join()
    print(f"worker process {killed[0]} was killed; 3 steps of {len(X)} samples, all of the same bits")
    assert len(killed) == 1
    for value, g in found:
        assert value == expected[0]
        assert g.tobytes() == expected[1].tobytes()


def test_parts_lost_before_they_are_added_up_are_computed_again(executor, case, monkeypatch):
    """The worker dies after its shards are done: what was on it is not missing from the sum."""
    net, X, T = case
    program = fg.compile(net, executor=executor, loss="squared_error")
    local = fg.compile(net, executor="python", loss="squared_error")
    reduced, tries = crew.Crew._reduced, []

    async def killing(self, step, out):
        tries.append(sorted(set(step.holders.values())))
        if len(tries) == 1:
            pids = await self.client.run(os.getpid)
            os.kill(pids[tries[0][0]], signal.SIGKILL)
        return await reduced(self, step, out)

    monkeypatch.setattr(crew.Crew, "_reduced", killing)
    value, g = program.value_and_grad(program.theta, X, T)
    expected = sharded_value_and_grad(local, local.theta, X, T, shards=4)
    assert len(tries) == 2
    assert tries[0][0] not in tries[1]
    assert (value, g.tobytes()) == (expected[0], expected[1].tobytes())


@pytest.fixture(scope="module")
def five():
    """Five workers in this process."""
    with (
        LocalCluster(n_workers=5, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        DaskExecutor(cluster.scheduler_address, shards=7, executor="python", timeout=60) as found,
    ):
        yield found


def sent(monkeypatch):
    """Shards' rows and θ as they are sent from here: (rows of how many shards, to how many workers θ directly)."""
    log = {"rows": 0, "theta": 0}
    one, theta = crew.Crew._one, crew.Crew._send_theta

    async def counted_one(self, step, address, shard, spread):
        log["rows"] += (step.batch, shard) not in self.has.get(address, crew.Has()).rows
        return await one(self, step, address, shard, spread)

    async def counted_theta(self, step, addresses):
        log["theta"] += 1
        return await theta(self, step, addresses)

    monkeypatch.setattr(crew.Crew, "_one", counted_one)
    monkeypatch.setattr(crew.Crew, "_send_theta", counted_theta)
    return log


def test_more_workers_the_same_bits_and_theta_goes_on_from_worker_to_worker(five, case, monkeypatch):
    net, X, T = case
    program = fg.compile(net, executor=five, loss="squared_error")
    local = fg.compile(net, executor="python", loss="squared_error")
    log = sent(monkeypatch)
    value, g = program.value_and_grad(program.theta, X, T)
    expected = sharded_value_and_grad(local, local.theta, X, T, shards=7)
    assert (value, g.tobytes()) == (expected[0], expected[1].tobytes())
    assert log["theta"] == 2  # of five


def test_a_batch_that_comes_again_is_not_sent_again_and_one_that_changed_is(five, case, monkeypatch):
    net, X, T = (np.copy(a) if isinstance(a, np.ndarray) else a for a in case)
    X = np.repeat(X, 40, axis=0)
    T = np.repeat(T, 40, axis=0)
    program = fg.compile(net, executor=five, loss="squared_error")
    local = fg.compile(net, executor="python", loss="squared_error")
    log, counts = sent(monkeypatch), []
    for k in range(5):
        if k == 4:
            X[-1, -1] += 1.0  # in place, the same array
        program.theta *= 1.5
        log["rows"] = 0
        value, g = program.value_and_grad(program.theta, X, T)
        counts.append(log["rows"])
        expected = sharded_value_and_grad(local, program.theta, X, T, shards=7)
        assert (value, g.tobytes()) == (expected[0], expected[1].tobytes())
    assert counts[0] == counts[1] == 7  # the second time it is seen to come again
    assert counts[2] + counts[3] < 14  # a shard that another worker took over is sent to that one
    assert counts[4] == 7


def test_a_worker_that_has_forgotten_is_told_again(five, case):
    net, X, T = case
    program = fg.compile(net, executor=five, loss="squared_error")
    expected = program.value_and_grad(program.theta, X, T)

    def forget(dask_worker):
        dask_worker.handlers["flowgrad_run"].__self__.kept.clear()

    five.cluster.client.run(forget)
    value, g = program.value_and_grad(program.theta, X, T)
    assert (value, g.tobytes()) == (expected[0], expected[1].tobytes())


def test_many_threads_with_their_own_theta_and_batch(five, case):
    net, X, T = case
    program = fg.compile(net, executor=five, loss="squared_error")
    cases = [(program.theta * (1 + k), X + k, T - k) for k in range(6)]
    alone = [program.value_and_grad(*c) for c in cases]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda k: program.value_and_grad(*cases[k % 6]), range(24)))
    for k, (value, g) in enumerate(found):
        assert (value, g.tobytes()) == (alone[k % 6][0], alone[k % 6][1].tobytes())


def test_what_is_wrong_with_the_work_is_raised_as_it_is(five, case):
    net, X, T = case
    loss = Loss("broken", lambda y, t: 1 / 0, lambda y, t: y)
    with pytest.raises(ZeroDivisionError):
        fg.compile(net, executor=five, loss=loss).value_and_grad(fg.compile(net).theta, X, T)


def test_a_step_that_takes_too_long_is_an_error(five, case):
    net, X, T = case

    def slow(y, t):
        time.sleep(3)
        return y - t

    hasty = DaskExecutor(executor="python", shards=2, timeout=0.5)
    hasty.cluster = five.cluster
    program = fg.compile(net, executor=hasty, loss=Loss("slow", slow, lambda y, t: y))
    with pytest.raises(ClusterError, match="did not end in time"):
        program.value_and_grad(program.theta, X, T)


def test_an_error_of_the_work_itself_comes_through(executor):
    def bad(job):
        raise ValueError(f"job {job} is bad")

    with pytest.raises(ValueError, match="job 1 is bad"):
        map_jobs(bad, [1, 2], on=executor)


def test_jobs_keep_their_order_and_tell_their_progress(executor):
    told = []
    found = map_jobs(pow, range(7), shared=(3,), on=executor, progress=lambda done, n: told.append((done, n)))
    assert found == [k**3 for k in range(7)]
    assert told[-1] == (7, 7)


def test_a_lost_scheduler_is_an_error_and_no_hang(case):
    net, X, T = case
    code = (
        "from distributed import LocalCluster; import sys\n"
        "if __name__ == '__main__':\n"
        "    c = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=':0', "
        "protocol='tcp')\n"
        "    print(c.scheduler_address, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-3, text=True) as process:
        executor = DaskExecutor(process.stdout.readline().strip(), shards=2, executor="python", timeout=30)
        program = fg.compile(net, executor=executor, loss="squared_error")
        program.value_and_grad(program.theta, X, T)
        process.kill()
        start = time.monotonic()
        with pytest.raises(ClusterError) as caught:
            program.value_and_grad(program.theta, X, T)
        assert isinstance(caught.value, FlowgradError)
        assert time.monotonic() - start < 45
        executor.close()


def test_no_scheduler_and_no_such_inner_executor_are_errors():
    net = fg.topologies.layered([2, 1])
    nobody, threads = DaskExecutor("tcp://127.0.0.1:9", timeout=1), set(threading.enumerate())
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        fg.compile(net, executor=nobody).predict([[0.0, 0.0]])
    assert not [t for t in set(threading.enumerate()) - threads if t.name == "IO loop"]
    with pytest.raises(ExecutorError, match="inner executor is itself"):
        fg.compile(net, executor=DaskExecutor(executor="dask"))


def test_the_cost_model_by_hand():
    m = Machines(compute=1.0, shard=0.25, theta=2.0, sample=1.0, bandwidth=1.0, add=0.5, message=0.125)
    assert m.step(1, 8, again=True) == 2 + 8.25 + 2  # θ, work, the gradient
    assert m.step(1, 8) == 2 + (8 + 8.25) + 2
    # θ to two of them and then to the other two; two sums
    assert m.step(4, 8, again=True) == 2 * 2 * 2 + 2.25 + 2 * (2 + 0.5 + 0.125) + 2
    assert m.step(2, 8, shards=4, again=True) == 2 * 2 + 2 * 2.25 + 0.5 + (2 + 0.5 + 0.125) + 2
    assert m.speedup(1, 8, again=True) == 8.25 / 12.25


BATTERY = DaskExecutor(workers=2, shards=2, executor="python")


@pytest.fixture(scope="module")
def closing():
    with BATTERY:
        yield


@parametrize_with_executor(BATTERY, only=["protocol", "equals_python_on_larger_graphs[skips]"])
def test_conformance(check, closing):
    """The part of the battery that fits into seconds; every call goes to the cluster and back."""
    check(quick=True)
