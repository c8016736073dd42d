"""Callbacks that log a training to TensorBoard or MLflow.

`fit(..., callbacks=["tensorboard"])` uses a callback with its default settings, and
`fit(..., callbacks=[callbacks.TensorBoard("runs/one")])` one with the given settings. Any object with the methods of
`flowgrad.callback.Callback` is a callback, too.
"""

from flowgrad.callbacks.mlflow import MLflow
from flowgrad.callbacks.tensorboard import TensorBoard

__all__ = ["MLflow", "TensorBoard"]
