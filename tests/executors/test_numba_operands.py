"""Arrays that are just as kernels read them are handed on; others are converted, and what does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import FlowgradError

pytest.importorskip("numba")

ROWS = 5
Call = Callable[..., Any]


def network(gathered: bool = False) -> fg.Network:
    """Three inputs, two outputs; θ is gathered where a weight is not trained."""
    net, weights = fg.Network(), np.linspace(-1, 1, 8)
    for name in range(3):
        net.add_input(name)
    for name in range(3, 7):
        net.add_neuron(name, activation="tanh", bias=0.1 * name)
    edges = [(0, 3), (1, 3), (1, 4), (2, 4), (3, 5), (4, 5), (3, 6), (4, 6)]
    for k, (source, target) in enumerate(edges):
        net.connect(source, target, weights[k], trainable=k > 0 or not gathered)
    net.set_outputs([5, 6])
    return net


def compiled() -> Any:
    return fg.compile(network(), executor="numba", loss="squared_error")


def arrays(program: Any, rows: int = ROWS) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(rows)
    theta = rng.standard_normal(len(program.theta)).astype(program.dtype)
    return (theta, *(rng.standard_normal((rows, n)).astype(program.dtype) for n in (3, 2)))


CALLS: dict[str, Call] = {
    "value_and_grad": lambda program, theta, x, t: program.value_and_grad(theta, x, t),
    "predict": lambda program, theta, x, t: (0.0, program.predict(x, theta)),
}


@pytest.mark.covering(
    call=CALLS.keys(), reduction=["mean", "sum"], dtype=["float32", "float64"], gathered=[False, True], strength=2
)
def test_the_next_call_gives_the_same_bits(call: str, reduction: Any, dtype: str, gathered: bool) -> None:
    program = fg.compile(network(gathered), executor="numba", dtype=dtype, loss="squared_error", reduction=reduction)
    given = arrays(program)
    first = CALLS[call](program, *given)
    for _ in range(3):
        value, array = CALLS[call](program, *given)
        assert value == first[0]
        np.testing.assert_array_equal(array, first[1])


def test_the_programs_own_theta_and_another_one() -> None:
    program = compiled()
    theta, x, _ = arrays(program)
    want = program.predict(x), program.predict(x, theta)
    for _ in range(2):
        np.testing.assert_array_equal(program.predict(x), want[0])
        np.testing.assert_array_equal(program.predict(x, theta), want[1])


class Table(np.ndarray[Any, Any]):
    """A class of a user's."""


UNREADY: dict[str, Call] = {
    "a list": lambda a: a.tolist(),
    "another dtype": lambda a: a.astype(np.float32),
    "integers": lambda a: np.rint(a).astype(np.int64),
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "a subclass": lambda a: a.view(Table),
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "in Fortran's order": lambda a: np.asfortranarray(a),
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "not aligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "read only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("form", UNREADY)
def test_what_is_not_ready_is_converted_as_ever(form: str, which: int) -> None:
    program, python = compiled(), fg.compile(network(), executor="python", loss="squared_error")
    ready = list(arrays(program))
    program.value_and_grad(*ready)
    given = [UNREADY[form](a) if k == which else a for k, a in enumerate(ready)]
    value, gradient = program.value_and_grad(*given)
    want_value, want = python.value_and_grad(*given)
    assert value == pytest.approx(want_value, rel=1e-12)
    assert gradient.dtype == want.dtype
    np.testing.assert_allclose(gradient, want, rtol=0, atol=1e-6 if want.dtype == np.float32 else 1e-12)
    if which < 2:
        program.predict(ready[1], ready[0])
        found = program.predict(given[1], given[0])
        np.testing.assert_allclose(found, python.predict(given[1], given[0]), rtol=1e-12)


WRONG: dict[str, Call] = {
    "nothing": lambda a: None,
    "one axis": lambda a: a.ravel(),
    "three axes": lambda a: a[None, None],
    "a column more": lambda a: np.concatenate([a, a[..., :1]], axis=-1),
    "a row less": lambda a: np.ascontiguousarray(a[:-1]),
    "no row": lambda a: np.ascontiguousarray(a[:0]),
    "text": lambda a: a.astype(str),
    "objects": lambda a: a.astype(object),
}


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("form", WRONG)
def test_what_does_not_fit_is_refused_in_the_same_words(form: str, which: int) -> None:
    """By the first call, which looks in Python, and by the next, which would be taken."""
    said = []
    for warm in (False, True):
        program = compiled()
        ready = list(arrays(program))
        if warm:
            program.value_and_grad(*ready)
        given = [WRONG[form](a) if k == which else a for k, a in enumerate(ready)]
        try:
            program.value_and_grad(*given)
        except (FlowgradError, TypeError, ValueError) as error:
            said.append((type(error), str(error)))
        else:
            said.append((None, ""))
    assert said[0] == said[1]
    assert said[0][0] is not None or (form, which) == ("one axis", 0)  # a θ of one axis is none that is wrong


OUT: dict[str, Call] = {
    "as θ is": lambda theta: np.empty_like(theta),
    "θ itself": lambda theta: theta,
    "part of θ's memory": lambda theta: np.concatenate([theta, theta])[3:][: len(theta)],
    "every other": lambda theta: np.empty(2 * len(theta))[::2],
}


@pytest.mark.parametrize("form", OUT)
def test_an_array_to_write_to(form: str) -> None:
    program = compiled()
    theta, x, t = arrays(program)
    want = program.value_and_grad(theta, x, t)
    out = OUT[form](theta)
    if form == "part of θ's memory":
        theta = np.lib.stride_tricks.as_strided(out, shape=theta.shape)  # moves by nothing, and is another object
        theta[:] = arrays(program)[0]
    value, gradient = program.value_and_grad(theta, x, t, out=out)
    assert gradient is out
    assert value == want[0]
    np.testing.assert_array_equal(gradient, want[1])


WRONG_OUT: dict[str, Call] = {
    "shorter": lambda theta: np.empty(len(theta) - 1),
    "another dtype": lambda theta: np.empty(len(theta), np.float32),
    "no array": lambda theta: [0.0] * len(theta),
    "two axes": lambda theta: np.empty((1, len(theta))),
    "read only": lambda theta: np.frombuffer(theta.tobytes()),
}


@pytest.mark.parametrize("form", WRONG_OUT)
def test_an_array_that_cannot_be_written_to_is_refused_in_the_same_words(form: str) -> None:
    said = []
    for warm in (False, True):
        program = compiled()
        ready = arrays(program)
        if warm:
            program.value_and_grad(*ready)
        with pytest.raises((ValueError, TypeError)) as caught:
            program.value_and_grad(*ready, out=WRONG_OUT[form](ready[0]))
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_batches_in_turn_weighted_and_not() -> None:
    """What a call left in the frame does not reach the next."""
    program, python = compiled(), fg.compile(network(), executor="python", loss="squared_error")
    rng = np.random.default_rng(9)
    for rows in (5, 5, 40, 40, 5, 1, 1, 64, 64):
        theta, x, t = arrays(program, rows)
        for weights in (None, rng.uniform(0.1, 2, rows), None):
            value, gradient = program.value_and_grad(theta, x, t, sample_weight=weights)
            want = python.value_and_grad(theta, x, t, sample_weight=weights)
            assert value == pytest.approx(want[0], rel=1e-12)
            np.testing.assert_allclose(gradient, want[1], rtol=0, atol=1e-12)
            np.testing.assert_allclose(program.predict(x, theta), python.predict(x, theta), rtol=1e-12)
