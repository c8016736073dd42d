"""flowgrad: exact gradients for networks that are graphs.

A DAG of neurons is evaluated forward in topological order; gradients are computed over the same graph with the
direction of every edge inverted. Public names are imported at first use: importing flowgrad imports neither NumPy nor
Numba nor NetworkX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Network": "flowgrad.network",
    "union": "flowgrad.topologies",
    "compile": "flowgrad.program",
    "executors": "flowgrad.choice",
    "Program": "flowgrad.program",
    "Activations": "flowgrad.results",
    "Gradients": "flowgrad.results",
    "Activation": "flowgrad.maths.activation",
    "Aggregation": "flowgrad.maths.aggregations",
    "Dropout": "flowgrad.maths.dropout",
    "Loss": "flowgrad.maths.losses",
    "Initializer": "flowgrad.maths.initializers",
    "FlowgradError": "flowgrad.errors",
    "StopTraining": "flowgrad.errors",
    "CheckpointWarning": "flowgrad.errors",
    "BoundedOutputWarning": "flowgrad.errors",
    "fit": "flowgrad.training",
    "minimize": "flowgrad.fitting.minimize",
    "History": "flowgrad.training",
    "gradcheck": "flowgrad.checking",
    "reversed_network": "flowgrad.inspection.reversal",
    "load": "flowgrad.files",
    "load_model": "flowgrad.runs",
    "ParquetSamples": "flowgrad.tables.groups",
    "Model": "flowgrad.model",
    "save": "flowgrad.files",
}
_MODULES = {
    "callbacks": "flowgrad.callbacks",
    "crossval": "flowgrad.crossval",
    "errors": "flowgrad.errors",
    "initializers": "flowgrad.maths.initializers",
    "inspection": "flowgrad.inspection",
    "metrics": "flowgrad.metrics",
    "optimizers": "flowgrad.optimizers",
    "schedules": "flowgrad.schedules",
    "topologies": "flowgrad.topologies",
}

__all__ = [
    "Activation",
    "Activations",
    "Aggregation",
    "BoundedOutputWarning",
    "CheckpointWarning",
    "Dropout",
    "FlowgradError",
    "Gradients",
    "History",
    "Initializer",
    "Loss",
    "Model",
    "Network",
    "ParquetSamples",
    "Program",
    "StopTraining",
    "callbacks",
    "compile",
    "crossval",
    "errors",
    "executors",
    "fit",
    "gradcheck",
    "initializers",
    "inspection",
    "load",
    "load_model",
    "metrics",
    "minimize",
    "optimizers",
    "reversed_network",
    "save",
    "schedules",
    "topologies",
    "union",
]

if TYPE_CHECKING:
    from flowgrad import callbacks, crossval, errors, inspection, metrics, optimizers, schedules, topologies
    from flowgrad.checking import gradcheck
    from flowgrad.choice import executors
    from flowgrad.errors import BoundedOutputWarning, CheckpointWarning, FlowgradError, StopTraining
    from flowgrad.files import load, save
    from flowgrad.fitting.minimize import minimize
    from flowgrad.inspection.reversal import reversed_network
    from flowgrad.maths import initializers
    from flowgrad.maths.activation import Activation
    from flowgrad.maths.aggregations import Aggregation
    from flowgrad.maths.dropout import Dropout
    from flowgrad.maths.initializers import Initializer
    from flowgrad.maths.losses import Loss
    from flowgrad.model import Model
    from flowgrad.network import Network
    from flowgrad.program import Program, compile
    from flowgrad.results import Activations, Gradients
    from flowgrad.runs import load_model
    from flowgrad.tables.groups import ParquetSamples
    from flowgrad.topologies import union
    from flowgrad.training import History, fit


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'flowgrad' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
