"""Dropout: every executor drops the same neurons of the same samples, and differentiates the thinned network."""

from __future__ import annotations

import numpy as np

from flowgrad.executors import python
from flowgrad.maths.dropout import Dropout
from flowgrad.testing.battery import NEAR, Skip, Subject, check, quietly


@check("dropout", least=100)
def drops_what_the_definition_drops(subject: Subject) -> None:
    """With a Dropout, z, a, ∂L/∂z, loss and ∂L/∂θ equal the Python executor's, by backward and by value_and_grad."""
    if not subject.info.dropout:
        raise Skip("it declares no dropout")
    rng = np.random.default_rng(151)
    for k, (_, network, X) in enumerate(subject.random(8, 40, seed=152, smooth=True)):
        T, draw = rng.standard_normal((len(X), len(network.outputs))), Dropout(0.4, 5, k, 3 * k, 0.2 * (k % 2))
        truth = quietly(network, executor=python.entry, loss="squared_error")
        wanted = truth.forward(X, dropout=draw)
        theirs, given = truth.backward(wanted, T), subject.given(truth)
        for dtype in subject.info.dtypes:
            program, near = subject.compile(network, dtype, loss="squared_error"), NEAR[dtype]
            acts = program.forward(X, dropout=draw)
            subject.bits("which a are 0", acts.a.array == 0, wanted.a.array.astype(dtype) == 0)
            subject.same("z", acts.z.array, wanted.z.array, near)
            subject.same("a", acts.a.array, wanted.a.array, near)
            grads, (loss, g) = program.backward(acts, T), program.value_and_grad(program.theta, X, T, dropout=draw)
            for way, value, by_theta in (("backward", grads.loss, grads.theta), ("value_and_grad", loss, g)):
                subject.same(f"∂L/∂θ by {way} in {dtype}", by_theta, theirs.theta, near)
                subject.same(f"loss by {way} in {dtype}", value, theirs.loss, near)
            subject.same("∂L/∂z", grads.dz.array[given], theirs.dz.array[given], near)


@check("dropout", least=4)
def pulls_back_what_backward_gives(subject: Subject) -> None:
    """`program.vjp` gives the ∂L/∂θ and ∂L/∂x of backward for the same ∂L/∂y, also with `kept` of predict_keeping."""
    rng = np.random.default_rng(153)
    for _, network, X in subject.random(6, 40, seed=154, smooth=True):
        C = rng.standard_normal((len(X), len(network.outputs)))
        C[:, 0] = 0
        program = subject.compile(network)
        grads = program.backward(program.forward(X), cotangent=C)
        g, dx = program.vjp(X, C, inputs=subject.info.input_gradients)
        subject.same("∂L/∂θ", g, grads.theta, 1e-12)
        if dx is not None:
            subject.same("∂L/∂x", dx, grads.input.array, 1e-12)
        Y, kept = program.predict_keeping(X)
        subject.same("outputs of predict_keeping", Y, program.predict(X), 1e-12)
        for what in ("from what was kept", "from the same once more"):
            again, _ = program.vjp(X, C, inputs=subject.info.input_gradients, kept=kept)
            subject.same(f"∂L/∂θ {what}", again, g, 1e-12)
