"""What goes wrong before and beside the work: versions, memory, scripts, copies, schedulers of other people."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import time
from importlib import metadata

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from flowgrad_dask import ClusterError, DaskExecutor, VersionWarning, map_jobs, sharded_value_and_grad, versions

import flowgrad as fg
from flowgrad.crossval import cross_validate
from flowgrad.errors import BoundedOutputWarning, ConfigError, FlowgradError
from flowgrad.maths.dropout import Dropout
from flowgrad.maths.losses import Loss
from flowgrad.model import Model
from flowgrad.testing import conformance

HERE = {"flowgrad": "0.2.1", "flowgrad-dask": "0.2.0", "numpy": "2.3.1"}


@pytest.fixture
def in_threads():
    """Workers that are threads of this process."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        DaskExecutor(cluster.scheduler_address, shards=2, executor="python", timeout=60) as found,
    ):
        yield found


# ---- versions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"flowgrad-dask": None}, "lacks flowgrad-dask: pip install flowgrad-dask==0.2.0 there"),
        ({"flowgrad": None, "flowgrad-dask": None}, "lacks flowgrad and flowgrad-dask: pip install"),
        ({"numpy": None}, "lacks numpy"),
        ({"flowgrad": "0.1.9"}, "has flowgrad 0.1.9, and this process 0.2.1: install the same on both"),
        ({"flowgrad-dask": "0.3.0"}, "has flowgrad-dask 0.3.0, and this process 0.2.0: install"),
        ({"numpy": "1.26.4"}, "has numpy 1.26.4, and this process 2.3.1: install"),
        ({"numpy": "2.0.0", "flowgrad": "1.2.1"}, "has flowgrad 1.2.1, and this process 0.2.1, numpy 2.0.0"),
    ],
)
def test_a_worker_that_would_not_understand_is_refused(there, said):
    with pytest.raises(ClusterError) as caught:
        versions.difference("tcp://a:1", HERE | there, HERE)
    assert str(caught.value).startswith("the worker at tcp://a:1 ")
    assert said in str(caught.value)
    assert isinstance(caught.value, FlowgradError)


@pytest.mark.parametrize("there", [{"flowgrad": "0.2.7"}, {"flowgrad-dask": "0.2.0.dev1"}, {"numpy": "2.1.0"}])
def test_a_worker_of_a_near_version_is_warned_of(there):
    assert versions.difference("tcp://a:1", HERE, HERE) is None
    said = versions.difference("tcp://a:1", HERE | there, HERE)
    name, version = next(iter(there.items()))
    assert said == f"the worker at tcp://a:1 has {name} {version}, and this process {HERE[name]}"


@pytest.mark.parametrize(("given", "kind"), [("0.0.9", ClusterError), ("0.1.99", VersionWarning)])
def test_versions_are_compared_before_anything_is_sent(executor, case, monkeypatch, given, kind):
    """Of real workers; what they have is what is installed here, whose version is told otherwise."""
    net, X, T = case
    true = metadata.version
    assert true("flowgrad").startswith("0.1."), "change the two versions above with the package's own"
    monkeypatch.setattr(metadata, "version", lambda name: given if name == "flowgrad" else true(name))
    program = fg.compile(net, executor=executor, loss="squared_error")
    with pytest.raises(kind, match=rf"^the worker at tcp://\S+ has flowgrad {true('flowgrad')}, and this process"):
        program.value_and_grad(program.theta, X, T)


def test_a_worker_without_the_package_says_so_first(case):
    net, X, T = case
    code = "import sys; sys.modules['flowgrad_dask'] = None\nfrom distributed.cli.dask_worker import main; main()"
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0", protocol="tcp") as cluster:
        address = cluster.scheduler_address
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard"]
        worker = subprocess.Popen([sys.executable, "-c", code, address, *options], stderr=subprocess.DEVNULL)
        try:
            with DaskExecutor(address, shards=2, executor="python", timeout=60) as bare:
                program = fg.compile(net, executor=bare, loss="squared_error")
                with pytest.raises(ClusterError, match=r"^the worker at tcp://\S+ lacks flowgrad-dask: pip install"):
                    program.value_and_grad(program.theta, X, T)
        finally:
            worker.terminate()
            worker.wait()


# ---- memory ----------------------------------------------------------------------------------------------------


@pytest.fixture
def hungry():
    """A function that takes memory until it is ended; pickled by value, as workers cannot import this file."""

    def eat(*_):
        kept = []
        for _ in range(600):
            kept.append(np.ones(2**21))  # 16 MB
            time.sleep(0.02)
        return kept

    return eat


@pytest.fixture(scope="module")
def narrow():
    """A worker process that may take 400 MB; a job that ends it is not tried again by the scheduler itself."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="400MB", dashboard_address=":0", silence_logs=50
        ) as cluster,
        DaskExecutor(cluster.scheduler_address, shards=1, executor="python", timeout=100, attempts=1) as found,
    ):
        yield found


def test_a_worker_over_its_memory_limit_says_so_first(narrow, case, hungry):
    net, X, T = case
    program = fg.compile(net, executor=narrow, loss=Loss("hungry", hungry, lambda y, t: y))
    said = r"^the worker at tcp://\S+ went over its memory limit, at \d+ MB, and was ended: give workers more memory"
    with pytest.raises(ClusterError, match=said):
        program.value_and_grad(program.theta, X, T)


def test_a_job_over_the_memory_limit_says_so_first(narrow, hungry):
    with pytest.raises(ClusterError, match=r"^the worker at tcp://\S+ went over its memory limit, at \d+ MB"):
        map_jobs(hungry, [1], on=narrow)


# ---- scripts, copies, clients ----------------------------------------------------------------------------------


def test_a_script_without_a_guard_is_told_in_one_sentence(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import flowgrad as fg\nfrom flowgrad_dask import DaskExecutor\n"
        "p = fg.compile(fg.topologies.layered([2, 1]), executor=DaskExecutor(workers=2), loss='squared_error')\n"
        "p.predict([[1.0, 2.0]])\n",
        "utf-8",
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    kind, _, last = found.stderr.strip().splitlines()[-1].partition(": ")
    assert found.returncode == 1
    assert kind == "flowgrad_dask.cluster.ClusterError"
    assert last.startswith("the worker processes of a LocalCluster import the script")
    assert 'under `if __name__ == "__main__":`' in last
    assert found.stderr.count("Traceback") == 1


def test_a_warning_is_given_once_here_and_not_by_every_worker(in_threads):
    net = fg.topologies.layered([2, 3, 2], output_activation="sigmoid", seed=1)
    with pytest.warns(BoundedOutputWarning) as told:
        program = fg.compile(net, executor=in_threads, loss="cross_entropy")
    assert len(told) == 1
    program.value_and_grad(program.theta, [[0.0, 1.0]], [1])  # warnings are errors, in these workers too


def test_an_address_that_is_none_is_told_in_one_line():
    addresses = ["nonsense", "foo://host:1", "no.such.host.invalid:8786"]
    code = (
        "import sys, flowgrad as fg; from flowgrad_dask import ClusterError, DaskExecutor\n"
        "for address in sys.argv[1:]:\n"
        "    p = fg.compile(fg.topologies.layered([2, 1]), executor=DaskExecutor(address, timeout=2))\n"
        "    try: p.predict([[1.0, 2.0]])\n"
        "    except ClusterError as error: print(error, file=sys.stderr)\n"
    )
    found = subprocess.run([sys.executable, "-c", code, *addresses], capture_output=True, text=True, timeout=100)
    assert found.returncode == 0
    assert len(found.stderr.splitlines()) == 3, found.stderr
    for address, line in zip(addresses, found.stderr.splitlines(), strict=True):
        assert line.startswith(f"no Dask scheduler answers at {address} within 2 s: ")


def test_a_fold_in_a_process_of_its_own_takes_a_scheduler_and_no_local_cluster(executor):
    rng = np.random.default_rng(1)
    model = Model(fg.topologies.layered([2, 3, 1], seed=1))
    given = {"folds": 2, "workers": 2, "fit": {"epochs": 2, "batch_size": 10}}
    X, T = rng.standard_normal((20, 2)), rng.standard_normal((20, 1))
    with pytest.raises(ClusterError, match="cannot start in a worker process"):
        cross_validate(model, X, T, executor=DaskExecutor(shards=2), **given)
    on = DaskExecutor(executor.cluster.client, shards=2, executor="python")
    found = cross_validate(model, X, T, executor=on, **given)
    alone = cross_validate(model, X, T, executor="python", **given)
    np.testing.assert_allclose(found.outputs, alone.outputs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_used_executor_pickles_and_copies_and_connects_again(executor, case, copied):
    net, X, T = case
    program = fg.compile(net, executor=executor, loss="squared_error")
    value, g = program.value_and_grad(program.theta, X, T)
    with copied(executor) as other:
        assert (other.shards, other.inner, other.timeout, other.attempts) == (4, "python", 60, 3)
        again = fg.compile(net, executor=other, loss="squared_error")
        found = again.value_and_grad(again.theta, X, T)
        assert (found[0], found[1].tobytes()) == (value, g.tobytes())
        assert other.cluster.client is not executor.cluster.client
        assert other.cluster.client.scheduler.address == executor.cluster.client.scheduler.address
    assert program.value_and_grad(program.theta, X, T)[0] == value  # the copy closed its own connection alone


def test_an_executor_not_used_yet_pickles_too():
    given = DaskExecutor(workers=3, shards=5, executor="numba", timeout=7, attempts=2)
    other = pickle.loads(pickle.dumps(given))
    assert repr(other) == repr(given) == "DaskExecutor(LocalCluster, 5 shards, 'numba')"
    assert other.cluster.workers == 3
    assert other.info == given.info


def test_a_client_may_be_given_and_stays_its_owner_s(executor, case):
    net, X, T = case
    with Client(executor.cluster.client.scheduler.address, set_as_default=False) as client:
        with DaskExecutor(client, shards=4, executor="python") as one:
            program = fg.compile(net, executor=one, loss="squared_error")
            value, g = program.value_and_grad(program.theta, X, T)
            assert one.cluster.client is client
            assert pickle.loads(pickle.dumps(one)).cluster.scheduler == client.scheduler.address
        local = fg.compile(net, executor="python", loss="squared_error")
        expected = sharded_value_and_grad(local, local.theta, X, T, shards=4)
        assert (value, g.tobytes()) == (expected[0], expected[1].tobytes())
        assert client.status == "running"
        assert len(client.run(os.getpid)) == 2
    with pytest.raises(ClusterError, match="the client is closed"):
        fg.compile(net, executor=one).predict(X)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scheduler": 8786}, "scheduler=8786: must be an address, a distributed.Client or None"),
        ({"shards": 0}, "shards=0: must be"),
        ({"shards": True}, "shards=True: must be"),
        ({"shards": "8"}, "shards='8': must be"),
        ({"workers": 0}, "workers=0: must be"),
        ({"attempts": 1.5}, "attempts=1.5: must be"),
        ({"timeout": 0}, "timeout=0: must be"),
    ],
)
def test_arguments_are_checked(given, said):
    with pytest.raises(ConfigError, match=said):
        DaskExecutor(**given)


# ---- dropout ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3, 4])
def test_masks_are_those_of_the_whole_batch(executor, case, shards):
    net, X, T = case
    draw = Dropout(0.4, seed=3, step=7, first=5, inputs=0.2)
    one = DaskExecutor(executor.cluster.client, shards=shards, executor="python")
    program = fg.compile(net, executor=one, loss="squared_error")
    local = fg.compile(net, executor="python", loss="squared_error")
    value, g = program.value_and_grad(program.theta, X, T, dropout=draw)
    expected = sharded_value_and_grad(local, local.theta, X, T, shards, dropout=draw)
    assert (value, g.tobytes()) == (expected[0], expected[1].tobytes())
    whole = local.value_and_grad(local.theta, X, T, dropout=draw)
    np.testing.assert_allclose(g, whole[1], rtol=1e-11, atol=1e-13)
    assert value == pytest.approx(whole[0], rel=1e-12)
    assert (program.forward(X, dropout=draw).a.array == local.forward(X, dropout=draw).a.array).all()


def test_training_with_dropout_is_that_of_the_inner_executor(executor, case):
    net, X, T = case
    found = []
    for on in (DaskExecutor(executor.cluster.client, shards=1, executor="python"), "python"):
        program = fg.compile(net, executor=on, loss="squared_error")
        fg.fit(program, X, T, epochs=3, batch_size=4, dropout=0.3, seed=1)
        found.append(program.theta)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_dropout_conforms(executor):
    report = conformance(executor, only=["drops_what_the_definition_drops"])
    assert [o.result for o in report.outcomes] == ["pass"], report.outcomes


def test_an_inner_executor_without_dropout_has_none():
    from flowgrad.executors import python

    class Plain:
        info = python.entry.info.__class__("plain", "no dropout")

    assert not DaskExecutor(executor=Plain()).info.dropout
    assert DaskExecutor(executor="numba").info.dropout
